# SPDX-License-Identifier: Apache-2.0
"""Both ends on simulated time: days pass in a moment, and the ends are the product's own."""

import asyncio
import time
from collections.abc import Callable

import pytest

from openami.transport.bearers.discrete import DiscreteLoop, Stuck, connected, run_discrete
from openami.transport.bearers.link import Link
from openami.transport.bearers.medium import Medium
from openami.transport.bearers.parameters import preset, presets
from openami.transport.bearers.sender import Flow
from openami.transport.wire import Limits, Wire

IMAGE = bytes(range(256)) * 880  # 220 KiB


class Ear:
    """Hears frames, and answers if it is told to."""

    def __init__(self, wire: Wire, answer: bool) -> None:  # noqa: FBT001
        self.heard: list[bytes] = []
        self.reason = ""
        self._wire = wire
        self._answer = answer

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.heard.append(apdu)
        if self._answer:
            self._wire.send(destination, source, apdu)

    def closed(self, reason: str) -> None:
        self.reason = reason


async def until(true: Callable[[], bool], step_s: float) -> None:
    """Wait on simulated time, a day at most; a test polls what the ends do."""
    while not true():
        assert asyncio.get_running_loop().time() < 86_400
        await asyncio.sleep(step_s)


def wires(link: Link) -> tuple[Wire, Wire, list[Ear]]:
    """Return two wires joined by a link, the device's first, and who listens at each."""
    ears: list[Ear] = []

    def accept(wire: Wire) -> Ear:
        ears.append(Ear(wire, answer=not ears))
        return ears[-1]

    network, device = Wire(accept, Limits()), Wire(accept, Limits())
    connected(link, lambda: device, lambda: network)
    return device, network, ears


def test_time_jumps_and_real_time_does_not_pass() -> None:
    async def days() -> float:
        await asyncio.sleep(10 * 86_400)
        return asyncio.get_running_loop().time()

    began_s = time.monotonic()

    assert run_discrete(days()) == 864_000
    assert time.monotonic() - began_s < 60


def test_timers_go_off_in_their_order() -> None:
    order = []

    async def later(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        order.append((delay_s, asyncio.get_running_loop().time()))

    async def main() -> None:
        await asyncio.gather(*(later(delay_s) for delay_s in (3_600.0, 0.5, 60.0)))

    run_discrete(main())

    assert order == [(0.5, 0.5), (60.0, 60.0), (3_600.0, 3_600.0)]


def test_who_waits_for_what_never_comes_is_told() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    loop = DiscreteLoop()
    try:
        with pytest.raises(Stuck, match="nothing is due"):
            loop.run_until_complete(wait())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.mark.parametrize("name", sorted(set(presets()) - {"mbus-wired", "rs485"}))
def test_the_products_own_wires_talk_over_every_bearer(name: str) -> None:
    async def main() -> tuple[list[bytes], float]:
        device, _, ears = wires(Link(Medium(preset(name), 7)))
        sent = [bytes((number,)) * 300 for number in range(20)]
        for apdu in sent:
            device.send(1, 16, apdu)
        await until(lambda: len(ears[1].heard) == 20, 1.0)
        device.close()
        await device.gone()
        assert ears[1].heard == sent
        return ears[0].heard, asyncio.get_running_loop().time()

    heard, took_s = run_discrete(main())

    assert len(heard) == 20
    assert took_s < 86_400


def test_an_image_takes_as_long_as_the_rate_says() -> None:
    bearer = preset("cat-m1").with_figures(
        {"up_bit_s": 100_000, "loss": 0, "outage_every_s": 0}, ""
    )

    async def main() -> float:
        device, network, ears = wires(Link(Medium(bearer)))
        for start in range(0, len(IMAGE), 1_024):
            device.send(1, 16, IMAGE[start : start + 1_024])
            await device.drain()
        await until(lambda: sum(map(len, ears[0].heard)) == len(IMAGE), 0.1)
        assert network.is_open
        return asyncio.get_running_loop().time()

    took_s = run_discrete(main())

    least_s = 8 * len(IMAGE) / 100_000
    assert least_s < took_s < 2.6 * least_s  # it is answered, on a half-duplex medium


def test_a_seed_repeats_a_run_to_the_moment() -> None:
    async def main(seed: int) -> float:
        device, _, ears = wires(Link(Medium(preset("plc-prime"), seed)))
        device.send(1, 16, bytes(5_000))
        await until(lambda: bool(ears[1].heard), 0.01)
        return asyncio.get_running_loop().time()

    assert run_discrete(main(1)) == run_discrete(main(1)) != run_discrete(main(2))


def test_datagrams_reach_a_protocol_with_an_address() -> None:
    heard = []

    class Socket(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.append((data, addr))

    async def main() -> None:
        device, network = connected(
            Link(Medium(preset("ethernet"))), Socket, Socket, flow=Flow.DATAGRAMS
        )
        device.sendto(b"up")
        await asyncio.sleep(1)
        network.sendto(b"down")
        await asyncio.sleep(1)

    run_discrete(main())

    assert heard == [(b"up", ("device", 0)), (b"down", ("network", 0))]
