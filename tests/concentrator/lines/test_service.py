# SPDX-License-Identifier: Apache-2.0
"""Meters on a line: found, read through the gateway, heard, and left alone when they are dead."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from chain import Chain, row_of, until
from concentrator.lines.lineparts import line_config
from concentrator.lines.sharedline import SharedLine
from loops import in_loop
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.registry import read_notices
from openami.concentrator.relay import NOT_ATTACHED
from openami.concentrator.sqlitefile import open_reader
from openami.cosem.classes.disconnect import ControlState
from openami.exchange.field import Notice, NoticeCode
from openami.headend.associations import MeterSession
from openami.headend.reading import read_control_state, read_profile
from openami.headend.sessions import Urgency
from openami.runtime.clock import to_us
from openami.transport.url import Url

FIRST = 16  # physical address of meter 1


@asynccontextmanager
async def chain_with_line(
    folder: Path,
    meters: int = 3,
    *,
    over_tcp: bool = False,
    on_line: int | None = None,
    prepare: Callable[[Chain], object] = lambda _chain: None,
    **changes: object,
) -> AsyncIterator[tuple[Chain, SharedLine]]:
    """Start head-end and concentrator with meters 1, 2, … at physical addresses 16, 17, ….

    Args:
        folder: Of the chain.
        meters: How many there are.
        over_tcp: Whether the line lies behind a TCP port.
        on_line: How many of the meters hang on it; all without.
        prepare: Told of the chain before it starts.
        changes: Of the line's configuration.
    """
    chain, shared = Chain(folder, meters), SharedLine()
    prepare(chain)
    for number, meter in list(chain.meters.items())[:on_line]:
        shared.hang(meter, FIRST + number - 1)
    if over_tcp:
        server = await shared.tcp()
        url = Url("hdlc+tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
    else:
        pty = shared.pty(folder / "line")
        url = Url.serial(str(folder / "line"))
    line = line_config(url, physical=tuple(range(FIRST, FIRST + (on_line or meters))), **changes)
    made = chain.concentrator_config

    def config() -> ConcentratorConfig:
        return replace(made(), lines=(line,))

    chain.concentrator_config = config  # type: ignore[method-assign]
    await chain.start_headend()
    await chain.start_concentrator()
    try:
        await until(lambda: chain.concentrator.uplink.is_up, chain.running_concentrator)
        yield chain, shared
    finally:
        await chain.concentrator_ends()
        await chain.headend_ends()
        if over_tcp:
            server.close()
        else:
            pty.close()
        chain.close()


async def state_of(session: MeterSession) -> ControlState:
    return ControlState(await read_control_state(session))


async def all_found(chain: Chain) -> None:
    await until(
        lambda: all(chain.headend.uplinks.has_route(m.title) for m in chain.meters.values()),
        chain.running_concentrator,
    )


@pytest.mark.parametrize("over_tcp", [False, True], ids=["pty", "tcp"])
@in_loop
async def test_meters_are_found_by_address_and_read_through_the_gateway(
    tmp_path: Path,
    over_tcp: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    async with chain_with_line(tmp_path, over_tcp=over_tcp) as (chain, _):
        await all_found(chain)
        bearer = "hdlc+tcp" if over_tcp else "hdlc+serial"
        link = chain.concentrator.registry.link(chain.meters[2].title)
        assert link is not None
        assert (link.bearer, link.address) == (bearer, f"street 1/{FIRST + 1}")
        for number, meter in chain.meters.items():
            state = await chain.headend.sessions.run(number, Urgency.COMMAND, state_of)
            assert state is ControlState.CONNECTED
            assert meter.requests > 0
        since, end = (to_us(chain.now.replace(hour=h)) for h in (0, 23))

        async def rows(session: MeterSession) -> bytes:
            return await read_profile(session, since - 86_400_000_000, end)

        octets = await chain.headend.sessions.run(1, Urgency.SCHEDULE, rows)
        assert len(octets) > 1000  # longer than one frame
        await chain.concentrator.observer.look()
        link = chain.concentrator.registry.link(chain.meters[1].title)
        assert link is not None
        assert link.sent > 10
        assert link.round_trip_us is not None


@in_loop
async def test_pushes_come_by_poll_or_unasked_and_are_receipted(tmp_path: Path) -> None:
    async with chain_with_line(tmp_path) as (chain, shared):
        await all_found(chain)
        for number, meter in chain.meters.items():
            meter.wire = shared.drops[FIRST + number - 1].wire  # type: ignore[assignment]
            rows = [row_of(number, index) for index in range(40)]
            meter.push(rows)  # long: in segments of I frames, when it is polled
        await until(lambda: len(chain.stored()) == 3, chain.running_concentrator)
        await until(lambda: not any(m.outbox for m in chain.meters.values()))
        short = chain.meters[1]
        short.wire = None
        short.push([row_of(1, 41)])
        (octets,) = short.outbox.values()
        assert len(octets) < 125
        shared.drops[FIRST].wire.notify(1, 64, octets)  # in a UI frame, when it is polled
        await until(lambda: not short.outbox, chain.running_concentrator)
        await until(lambda: len(chain.stored()) == 4)
    async with chain_with_line(tmp_path / "other", poll_events_s=0.0) as (chain, shared):
        await all_found(chain)
        meter = chain.meters[2]
        meter.wire = shared.drops[FIRST + 1].wire  # type: ignore[assignment]
        meter.push([row_of(2, index) for index in range(40)])  # in UI frames, at once
        await until(lambda: not meter.outbox, chain.running_concentrator)
        await until(lambda: len(chain.stored()) == 1)


@in_loop
async def test_a_dead_meter_does_not_hold_up_the_line_and_is_found_again(tmp_path: Path) -> None:
    async with chain_with_line(tmp_path, absent_first_s=30.0, absent_most_s=60.0) as (
        chain,
        shared,
    ):
        await all_found(chain)
        shared.drops[FIRST].is_cut = True
        await until(lambda: not chain.headend.uplinks.has_route(chain.meters[1].title))
        before = bytes(shared.heard)
        for number in (2, 3):
            state = await chain.headend.sessions.run(number, Urgency.COMMAND, state_of)
            assert state is ControlState.CONNECTED
        said = bytes(shared.heard)[len(before) :]
        (line,) = chain.concentrator.lines
        dead = line.roster.stations[line._config.address(FIRST)]
        assert dead.address.encode() not in said  # nothing of the line went to it
        assert not dead.is_there
        shared.drops[FIRST].is_cut = False
        dead.due_s = 0.0  # its pause is over
        await all_found(chain)
        assert await chain.headend.sessions.run(1, Urgency.COMMAND, state_of)


@in_loop
async def test_a_client_that_no_frame_can_name_is_answered_for(tmp_path: Path) -> None:
    async with chain_with_line(tmp_path, meters=1) as (chain, _):
        await all_found(chain)
        said: list[bytes] = []
        title = chain.meters[1].title
        send = chain.headend.uplinks.open_session(title, 300, said.append, lambda _reason: None)
        send(bytes.fromhex("C0 01 C1 00 08 00 00 01 00 00 FF 02 00"))
        await until(lambda: said, chain.running_concentrator)
        assert said == [NOT_ATTACHED]
        state = await chain.headend.sessions.run(1, Urgency.COMMAND, state_of)
        assert state is ControlState.CONNECTED


@in_loop
async def test_answers_that_are_lost_are_asked_for_again_and_counted(tmp_path: Path) -> None:
    async with chain_with_line(tmp_path, meters=1, poll_events_s=0.0) as (chain, shared):
        await all_found(chain)
        shared.lose = 1
        assert await chain.headend.sessions.run(1, Urgency.COMMAND, state_of)
        await chain.concentrator.observer.look()
        link = chain.concentrator.registry.link(chain.meters[1].title)
        assert link is not None
        assert link.lost >= 1


@in_loop
async def test_a_meter_that_says_the_title_of_an_attached_one_is_not_believed(
    tmp_path: Path,
) -> None:
    async with chain_with_line(tmp_path, meters=1) as (chain, _):
        await all_found(chain)
        await chain.meters[1].connect(chain.meters_url)  # its certificate is the better proof
        (line,) = chain.concentrator.lines
        registry = chain.concentrator.registry
        await until(
            lambda: (
                any(n.code == NoticeCode.METER_TWICE for n in registry.untold(100))
                or any(n.code == NoticeCode.METER_TWICE for n in told(chain))
            ),
            chain.running_concentrator,
        )
        link = registry.link(chain.meters[1].title)
        assert link is not None
        assert link.bearer == "tls"
        assert not list(line.roster.present())
        wire = chain.meters[1].wire
        assert wire is not None
        wire.close()
        await until(  # it is on the line only, and may say so
            lambda: registry.link(chain.meters[1].title).bearer == "hdlc+serial"  # type: ignore[union-attr]
        )


@in_loop
async def test_a_line_that_goes_takes_its_meters_away_and_brings_them_back(tmp_path: Path) -> None:
    async with chain_with_line(tmp_path, meters=2) as (chain, _):
        await all_found(chain)
        (line,) = chain.concentrator.lines
        held, line._bus.port.send = line._bus.port.send, lambda _octets: None  # type: ignore[method-assign]
        await until(lambda: chain.headend.uplinks.reachable == 0)
        line._bus.port.send = held  # type: ignore[method-assign]
        await all_found(chain)


def told(chain: Chain) -> list[Notice]:
    with closing(open_reader(chain.concentrator.config.registry)) as connection:
        return read_notices(connection)
