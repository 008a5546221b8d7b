# SPDX-License-Identifier: Apache-2.0
"""`openami read` over HDLC: addresses, windows, and what is asked wrongly."""

import asyncio
import threading

import pytest

from cli.runs import Run
from openami.dlms.hdlc.address import Station
from openami.transport.hdlcpoint import listen_hdlc
from openami.transport.url import Url
from playbooks.demo_meter import CLIENT_TITLE, KEYS, PASSWORD
from transport.hdlcmeter import Lines

ENERGY = "1.0.1.8.0.255"
CLOCK = "0.0.1.0.0.255"
GUEK, GAK = KEYS.encryption_key.hex(), KEYS.authentication_key.hex()
LLS = ["--client", "32", "--secret", PASSWORD.decode()]
GMAC = ["--guek", GUEK, "--gak", GAK, "--title", CLIENT_TITLE.hex()]


class HdlcMeter:
    """The demo meter behind HDLC, in a thread of its own."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def __enter__(self) -> str:
        ready = threading.Event()

        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            any_port = Url("hdlc+tcp", "127.0.0.1", 0)
            listener = await listen_hdlc(any_port, Lines().accept, self._station)
            self._url = str(listener.url)
            ready.set()
            await self._stop.wait()
            await listener.close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self._thread.start()
        assert ready.wait(10)
        return self._url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@pytest.mark.parametrize("security", [[], LLS, GMAC])
def test_a_meter_behind_hdlc(security: list[str], run: Run) -> None:
    wanted = CLOCK if not security else ENERGY
    address = ["--server-address", "1/17", "--address-size", "4", "--window", "3"]
    with HdlcMeter(Station.of([1], 17, 4)) as url:
        outcome = run(url, wanted, *security, *address, "--max-info", 128)

    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(wanted)


def test_a_meter_with_another_hdlc_address(run: Run) -> None:
    with HdlcMeter(Station.of([1], 17)) as url:
        outcome = run(url, CLOCK, "--server-address", "1/18", "--timeout", "0.3")

    assert outcome.status == 1
    assert "server 1/18 did not answer within 0.3 s" in outcome.sentence
    assert "check line, speed, server address and its size" in outcome.sentence


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--server-address", "1/x", "must be LOGICAL/PHYSICAL, each 0 to 16383"),
        ("--server-address", "16384", "must be LOGICAL/PHYSICAL"),
        ("--address-size", "3", "must be 1, 2 or 4 octets"),
        ("--window", "8", "must be 1 to 7 frames"),
        ("--max-info", "2031", "must be 32 to 2030 octets"),
        ("--baud", "9601", "must be one of 300, 600"),
        ("--mode-e", "perhaps", "must be yes or no"),
    ],
)
def test_hdlc_asked_wrongly(option: str, value: str, problem: str, run: Run) -> None:
    outcome = run("hdlc+tcp://127.0.0.1:1", CLOCK, option, value)

    assert outcome.status == 2
    assert f"{option} '{value}' {problem}" in outcome.sentence


def test_only_a_serial_line_is_opened_in_mode_e(run: Run) -> None:
    for url in ("hdlc+tcp://127.0.0.1:1", "tcp://127.0.0.1:1"):
        outcome = run(url, CLOCK, "--mode-e", "yes")
        assert outcome.status == 2
        assert (
            f"--mode-e opens an optical port at 300 baud, which {url} has not" in outcome.sentence
        )
        assert run(url, CLOCK, "--mode-e", "no").status == 1


def test_hdlc_addresses_that_do_not_fit(run: Run) -> None:
    address = ["--server-address", "1/17", "--address-size", "1"]
    outcome = run("hdlc+tcp://127.0.0.1:1", CLOCK, *address)

    assert outcome.status == 2
    assert "physical address 17 needs an address of 2 or 4 octets" in outcome.sentence


def test_a_serial_line_that_is_not_there(run: Run) -> None:
    outcome = run("hdlc+serial:///dev/no-such-line", CLOCK)

    assert outcome.status == 1
    assert "hdlc+serial:///dev/no-such-line: cannot be opened" in outcome.sentence
