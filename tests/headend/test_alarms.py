# SPDX-License-Identifier: Apache-2.0
"""Alarms over a real chain: told, read, cleared, filtered; forged, replayed and unknown ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chain import NOW, Chain, TestMeter, running_chain, until
from headend.test_command_kinds import done
from loops import in_loop
from openami.exchange.alarms import ALARM_BITS, ALL_BITS, ERROR_BITS, AlarmNotice
from openami.exchange.commands import CommandKind, CommandState
from openami.exchange.events import EventCode
from openami.headend.alarms import fetch_alarms
from openami.headend.companion import UNKNOWN, Companion, Companions
from openami.headend.sessions import Urgency
from openami.meter.alarms import AlarmRecord
from openami.runtime.clock import to_us
from openami.runtime.errors import ConfigurationError
from openami.store import alarms, registry, tables
from openami.store.alarms import Alarm
from openami.store.database import reading

AT_S = to_us(NOW) // 10**6
COVER, FIELD, NEUTRAL = 0, 2, 9


def rejected(chain: Chain) -> list[str]:
    with reading(chain.engine) as connection:
        return [str(text) for (text,) in connection.execute(select(tables.rejected.c.reason))]


def stored(chain: Chain) -> dict[tuple[int, int], Alarm]:
    return {(each.register, each.bit): each for each in alarms.of(chain.engine, 1)}


def codes(chain: Chain) -> list[int]:
    return sorted(event.code for event in registry.events(chain.engine, meter_id=1))


async def raise_(chain: Chain, *events: int) -> TestMeter:
    """Let events happen at the meter; wait until the head-end has all that it tells."""
    meter = chain.meters[1]
    for code in events:
        meter.alarms.event(code, AT_S)
    await until(lambda: not meter.outbox)
    await until(lambda: chain.concentrator.journal.depth == 0)
    return meter


async def command(
    chain: Chain, argument: dict[str, Any], state: CommandState = CommandState.CONFIRMED
) -> dict[str, Any]:
    found = await done(chain, CommandKind.ALARMS, argument, state)
    assert found.result is not None
    return dict(found.result)


@in_loop
async def test_an_alarm_is_told_stored_shown_and_cleared(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        await raise_(chain, EventCode.STRONG_FIELD, EventCode.NEUTRAL_LOST)
        await raise_(chain, EventCode.NEUTRAL_RETURNED)
        assert codes(chain) == sorted(
            [EventCode.STRONG_FIELD, EventCode.NEUTRAL_LOST, EventCode.NEUTRAL_RETURNED]
        )
        found = stored(chain)
        field, neutral = found[1, FIELD], found[1, NEUTRAL]
        assert (field.kind, field.standing, field.since_us) == ("magnetic-field", True, to_us(NOW))
        assert (neutral.standing, neutral.ended_us) == (False, to_us(NOW))
        assert field.cleared_us is None is neutral.cleared_us
        assert alarms.by_region(chain.engine) == {"north": {"magnetic-field": 1, "neutral-lost": 1}}

        shown = await command(chain, {"action": "show"})
        assert {each["kind"] for each in shown["alarms"]} == {"magnetic-field", "neutral-lost"}
        await command(chain, {"action": "clear", "register": 1, "bits": [FIELD]})
        found = stored(chain)
        assert found[1, FIELD].cleared_by == "utility"
        assert found[1, NEUTRAL].cleared_us is None
        await command(chain, {"action": "clear"})
        assert [each.cleared_by for each in stored(chain).values()] == ["utility"] * 2
        record = chain.meters[1].alarms.record
        assert (record.register, record.descriptor) == (0, 0)
        assert alarms.by_region(chain.engine) == {}


@in_loop
async def test_a_filter_is_changed_by_bits_or_as_a_whole(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        await command(chain, {"action": "filter", "register": 1, "disable": [FIELD]})
        meter = await raise_(chain, EventCode.STRONG_FIELD)
        assert meter.alarms.record.filter == ALL_BITS & ~(1 << FIELD)
        assert stored(chain) == {}
        await command(chain, {"action": "filter", "register": 1, "value": 5})
        assert meter.alarms.record.filter == 5
        picture = alarms.last_picture(chain.engine, 1)
        assert picture is not None
        assert picture.words[1]["filter"] == 5
        await command(chain, {"action": "filter", "register": 0, "value": 1}, CommandState.FAILED)
        await command(chain, {"action": "clear", "register": 7}, CommandState.FAILED)


@in_loop
async def test_a_lost_answer_is_proven_by_reading_back(tmp_path: Path) -> None:
    for arrives in (True, False):
        async with running_chain(tmp_path / str(arrives), meters=1) as chain:
            chain.headend.routes.answer_timeout_s = 0.3
            await chain.attach()
            meter = await raise_(chain, EventCode.STRONG_FIELD)
            chain.headend.commands.ask_first_s = 0.05
            meter.silence_at_command(arrives=arrives)
            state = CommandState.FAILED
            found = await done(chain, CommandKind.ALARMS, {"action": "clear", "register": 1}, state)
            # Register and descriptor are two writes: the second is never sent again.
            assert found.state is state
            assert meter.alarms.record.register == (0 if arrives else 1 << FIELD)
            assert stored(chain)[1, FIELD].standing is not arrives


@in_loop
async def test_what_is_sent_again_counts_once_and_what_is_forged_changes_nothing(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        meter.alarms.event(EventCode.STRONG_FIELD, AT_S)
        ((_, octets),) = meter.outbox.items()
        await until(lambda: not meter.outbox)
        await until(lambda: len(codes(chain)) == 1)
        await command(chain, {"action": "clear"})
        assert meter.wire is not None
        accepted = chain.headend.notifications.accepted
        meter.wire.send(1, 64, octets)
        await until(lambda: chain.headend.notifications.repeated == 1)
        forged = octets[:-20] + bytes([octets[-20] ^ 1]) + octets[-19:]
        meter.wire.send(1, 64, forged)
        await until(lambda: len(rejected(chain)) == 1)
        assert chain.headend.notifications.accepted == accepted
        assert stored(chain)[1, FIELD].cleared_by == "utility"
        assert codes(chain) == [EventCode.STRONG_FIELD]


@in_loop
async def test_an_older_push_out_of_a_journal_is_an_event_and_no_news_of_the_registers(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = await raise_(chain, EventCode.NEUTRAL_LOST)
        late = AlarmNotice(
            at_s=AT_S - 60, code=EventCode.STRONG_FIELD, descriptor=4, register=4, error=0
        )
        meter.tell(late.encode())
        await until(lambda: len(codes(chain)) == 2)
        assert list(stored(chain)) == [(1, NEUTRAL)]
        assert stored(chain)[1, NEUTRAL].standing


@in_loop
async def test_unknown_bits_are_kept_and_told_as_unknown(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        strange = AlarmNotice(at_s=AT_S, code=0, descriptor=0, register=1 << 31, error=1 << 30)
        chain.meters[1].tell(strange.encode())
        await until(lambda: len(stored(chain)) == 2)
        assert codes(chain) == []
        for (register, bit), alarm in stored(chain).items():
            assert alarm.kind == UNKNOWN
            place = f"bit {bit} of {'alarm register 1' if register else 'the error register'}"
            assert alarm.text.startswith(place)
        meter = chain.meters[1]
        meter.alarms.record = replace(meter.alarms.record, register=1 << 31)
        shown = await command(chain, {"action": "show"})
        assert [(each["bit"], each["kind"]) for each in shown["alarms"]] == [(31, UNKNOWN)]


@in_loop
async def test_what_no_push_told_is_found_by_a_read(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        chain.meters[1].alarms.record = AlarmRecord(register=1, descriptor=1, error=2)
        companion = chain.headend.directory.companion(chain.headend.directory.by_id(1))
        await chain.headend.sessions.run(
            1,
            Urgency.COMMAND,
            lambda session: fetch_alarms(
                session, chain.headend.books, companion, lambda: to_us(NOW)
            ),
        )
        assert {each.kind for each in stored(chain).values()} == {"terminal-cover", "memory-error"}


# The companion profiles ---------------------------------------------------------------------------


def test_our_companion_profile_names_the_bits_that_our_meters_have() -> None:
    ours = Companions.load().known["openami"].alarms
    for number, bits in ((1, ALARM_BITS), (0, ERROR_BITS)):
        assert ours[number].bits == {each.bit: (each.kind, each.text) for each in bits}
        assert ours[number].clears_by_zeros


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("number = 11\nregister = '0.0.97.98.0.255'", "not 0 to 10"),
        ("number = 1\nregister = '0.0.97'", "0.0.97"),
        ("number = 1\nregister = '0.0.97.98.0.255'\nclears = 'some'", "all, zeros"),
        ("number = 1\nregister = '0.0.97.98.0.255'\nbits = {32 = ['a', 'b']}", "32"),
        ("number = 1\nregister = '0.0.97.98.0.255'\nbits = {3 = ['a']}", "unpack"),
    ],
)
def test_a_wrong_table_is_refused(lines: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Companion.parse("mine", f"title = 'mine'\n[[alarms]]\n{lines}\n")


def test_a_model_may_have_registers_of_its_own() -> None:
    text = """title = 'mine'
[[alarms]]
number = 1
register = '0.0.97.98.0.255'
[[model]]
begins = 'ABC2'
[[model.alarms]]
number = 1
register = '0.1.97.98.0.255'
bits = {4 = ['door', 'door open']}
"""
    mine = Companion.parse("mine", text)
    assert mine.of("ABC1").alarm_name(1, 4)[0] == UNKNOWN
    assert mine.of("ABC2").alarm_name(1, 4) == ("door", "door open")
    assert str(mine.of("ABC2").alarms[1].register) == "0.1.97.98.0.255"
