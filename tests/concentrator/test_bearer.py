# SPDX-License-Identifier: Apache-2.0
"""Over a bearer that loses packets: pushes come in, requests go through to the meter."""

from pathlib import Path

from chain import closed, row_of, running_chain, until
from loops import in_loop
from openami.cosem.classes.disconnect import ControlState
from openami.headend.associations import MeterSession
from openami.headend.reading import read_control_state
from openami.headend.sessions import Urgency
from openami.transport.bearers.medium import Medium
from openami.transport.bearers.parameters import Bearer, Range
from openami.transport.bearers.relay import Between, relay_tcp
from openami.transport.url import Url

LOSSY = Bearer(
    name="lossy",
    down_bit_s=Range(1e6, 1e6),
    up_bit_s=Range(1e6, 1e6),
    round_trip_s=Range(0.2, 0.2),
    mtu_octets=256,
    loss=Range(0.2, 0.2),
)
SPEED = 100.0


@in_loop
async def test_pushes_and_requests_pass_a_bearer_that_loses_every_fifth_packet(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        between = Between(medium=Medium(LOSSY, seed=5), speed=SPEED)
        inner = Url("tcp", "127.0.0.1", chain.meters_url.port)
        relay = await relay_tcp(Url("tcp", "127.0.0.1", 0), inner, between)
        concentrator = chain.meters_url
        chain.meters_url = Url("tls", "127.0.0.1", relay.url.port)
        await chain.attach()
        for index in range(10):
            chain.meters[1].push([row_of(1, index)])
        await until(lambda: not chain.meters[1].outbox)
        await until(lambda: len(chain.stored()) == 10)

        async def ask(session: MeterSession) -> ControlState:
            return ControlState(await read_control_state(session))

        state = await chain.headend.sessions.run(1, Urgency.COMMAND, ask)
        assert state is ControlState.CONNECTED
        (flow,) = relay.counts
        assert sum(counts.repeated for counts in flow) > 0  # it was put to the test
        chain.meters_url = concentrator
        wire = chain.meters[1].wire
        assert wire is not None
        await closed(wire)
        await relay.close()
