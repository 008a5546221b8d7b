# SPDX-License-Identifier: Apache-2.0
"""Sealed requests: handed in advance, carried out while the head-end is away, opened there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chain import CONCENTRATOR, REGION, Chain, decode_rows, until
from loops import in_loop
from openami.concentrator.collection import Collection
from openami.concentrator.journal import Outcome, Put
from openami.concentrator.owntime import HostClock, OwnTime
from openami.concentrator.plans import Due, Plans, RequestState
from openami.concentrator.registry import Registry
from openami.concentrator.relay import Relay
from openami.cosem.classes.disconnect import ControlState
from openami.dlms.errors import DecodeError
from openami.exchange.field import Notice, NoticeCode
from openami.exchange.orders import Plan, SealedRequest, decode_order, encode_plan
from openami.headend.associations import MeterSession
from openami.headend.config import CollectionSettings
from openami.headend.reading import EMPTY_ARRAY, read_control_state
from openami.headend.sessions import Urgency
from openami.runtime.clock import real_us
from openami.store import inbox

METER = bytes.fromhex("4F414D0000000001")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
QUICK = CollectionSettings(every_s=0.4, readings=50, look_s=0.02)


@asynccontextmanager
async def planned_chain(
    folder: Path, meters: int = 2, settings: CollectionSettings = QUICK
) -> AsyncIterator[Chain]:
    """Start all; wait until the concentrator holds a plan for each meter."""
    chain = Chain(folder, meters)
    chain.collection = settings
    chain.now -= timedelta(days=1)
    await start_headend(chain)
    await chain.start_concentrator()
    chain.concentrator.collection.look_s = 0.02
    try:
        await chain.attach()
        await until(lambda: chain.headend.sealing.plans == meters)
        yield chain
    finally:
        for meter in chain.meters.values():
            if meter.wire is not None:
                meter.wire.close()
        await chain.concentrator_ends()
        await chain.headend_ends()
        chain.close()


async def start_headend(chain: Chain) -> None:
    await chain.start_headend()
    chain.headend.sealing._speed = lambda: 7200.0  # each reading asks for so many hours of rows


async def state_of(session: MeterSession) -> ControlState:
    return ControlState(await read_control_state(session))


@in_loop
async def test_what_is_sealed_is_collected_while_the_head_end_is_away(tmp_path: Path) -> None:
    async with planned_chain(tmp_path) as chain:
        collection, journal = chain.concentrator.collection, chain.concentrator.journal
        before = {n: meter.requests for n, meter in chain.meters.items()}
        await chain.headend_ends()
        await until(lambda: collection.collected >= 4)
        assert all(m.requests > before[n] for n, m in chain.meters.items())
        entries = journal.after(0, 100)
        assert {entry.title for entry in entries} == {m.title for m in chain.meters.values()}
        assert all(entry.octets[:2] == b"\xdd\x04" for entry in entries)  # still sealed
        await start_headend(chain)
        await until(lambda: journal.depth == 0)
        stored = chain.stored()
        assert {message.kind for message in stored} == {inbox.PROFILE}
        assert {message.meter_id for message in stored} == {1, 2}
        assert chain.headend.notifications.rejected == 0
        filled = [message for message in stored if message.rows != EMPTY_ARRAY]
        assert {message.meter_id for message in filled} == {1, 2}
        for message in filled:
            rows = decode_rows(message.rows)
            assert set(rows) <= set(chain.meters[message.meter_id].rows())
        # Our own counters were passed by the sealed ones: the head-end counts on above them.
        state = await chain.headend.sessions.run(1, Urgency.COMMAND, state_of)
        assert state is ControlState.CONNECTED


@in_loop
async def test_while_the_head_end_is_there_nothing_sealed_is_sent(tmp_path: Path) -> None:
    short = replace(QUICK, readings=5)
    async with planned_chain(tmp_path, meters=1, settings=short) as chain:
        await until(lambda: chain.headend.sealing.plans >= 3)  # made anew before any is due
        assert chain.concentrator.collection.collected == 0
        assert (await chain.headend.sessions.run(1, Urgency.COMMAND, state_of)) is not None


@in_loop
async def test_a_killed_concentrator_still_has_its_plans(tmp_path: Path) -> None:
    async with planned_chain(tmp_path, meters=1) as chain:
        await chain.headend_ends()
        await chain.concentrator_ends()
        await chain.start_concentrator()
        chain.concentrator.collection.look_s = 0.02
        await chain.meters[1].connect(chain.meters_url)
        await until(lambda: chain.concentrator.collection.collected >= 2)
        await start_headend(chain)


@in_loop
async def test_an_answer_that_comes_late_is_kept(tmp_path: Path) -> None:
    async with planned_chain(tmp_path, meters=1) as chain:
        collection, meter = chain.concentrator.collection, chain.meters[1]
        collection.answer_s = 0.0  # whoever was asked is late at the next look
        collection.look_s = 3600.0  # the looks are ours
        meter.hold()
        await chain.headend_ends()
        while not collection._asked:
            await collection.look()
            await asyncio.sleep(0.02)
        (last,) = collection._plans.due(2**62, offline=True, most=1)
        collection._plans.note(last.title, last.number, RequestState.SENT)  # no other is due now
        await collection.look()
        meter.go_on()
        await until(lambda: collection.collected == 1, chain.running_concentrator)
        await start_headend(chain)


@in_loop
async def test_a_late_answer_after_a_newer_request_is_kept_and_refuses_nothing(
    tmp_path: Path,
) -> None:
    service = Alone(tmp_path)
    collection = service.collection
    collection.answer_s = 0.0
    await collection.take(plan(offline_only=True, count=2, due=NOW))
    asked = []
    for number in (0, 1):
        await collection._ask(Due(METER, number, b"\xdd\x04\0\0\0" + bytes([number, 9])))
        asked.append(service.line.sent[-1])
    stranger = b"\xdd\x04\0\0\0\x63\x09"
    for apdu in (asked[0], stranger, asked[1]):
        service.relay.from_meter(METER, service.line, 1, 65, apdu)
    assert [put.long_invoke_id for put in service.kept] == [0, 1]
    assert (collection.collected, collection.refused) == (2, 1)  # the stranger's
    await collection.close()
    plans = Plans(tmp_path / "plans.db")
    assert plans.counts() == {RequestState.ANSWERED: 2}
    plans.close()
    await service.registry.close()


@in_loop
async def test_a_meter_that_answers_nothing_fills_no_memory(tmp_path: Path) -> None:
    service = Alone(tmp_path)
    for number in range(20):
        octets = b"\xdd\x04\0\0\0" + bytes([number, 9])
        await service.collection._ask(Due(METER, number, octets))
    assert [asking[1] for asking in service.collection._asked] == list(range(12, 20))
    await service.collection.close()
    await service.registry.close()


@in_loop
async def test_a_meter_that_does_not_know_the_client_is_told_of(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    meter = chain.meters[1]
    meter.device.associations.pop(65)  # type: ignore[attr-defined]
    await chain.start_concentrator()
    service = chain.concentrator
    service.collection.look_s = 0.02
    await meter.connect(chain.meters_url)
    await service.collection.take(plan(offline_only=True, count=1, due=NOW))
    await until(lambda: service.collection.refused == 1)
    (told,) = [n for n in service.registry.untold(10) if n.code == 30]
    assert told.title == meter.title
    assert "D8" in told.text
    assert meter.wire is not None
    meter.wire.close()
    await chain.concentrator_ends()
    chain.close()


class Alone:
    """Collection with one meter on a line that answers when the test says so."""

    class Line:
        def __init__(self) -> None:
            self.sent: list[bytes] = []

        def send(self, source: int, destination: int, apdu: bytes) -> bool:
            del source, destination
            self.sent.append(apdu)
            return True

        def supersede(self) -> None: ...

    def __init__(self, folder: Path) -> None:
        self.kept: list[Put] = []
        self.line = self.Line()
        self.registry = Registry(folder / "meters.db")
        self.relay = Relay(self._keep, lambda: 0, lambda: NOW)
        self.relay.attach(METER, self.line)
        self.collection = Collection(
            Plans(folder / "plans.db"),
            self.relay,
            self.registry,
            keep=self._keep,
            is_online=lambda: False,
            time=OwnTime(HostClock(real_us, real_us, lambda: None), 5.0),
        )

    def _keep(self, put: Put, done: Callable[[Outcome | None], None]) -> bool:
        self.kept.append(put)
        done(Outcome.STORED)
        return True


def plan(*, offline_only: bool, count: int, due: datetime) -> Plan:
    return Plan(
        title=METER,
        offline_only=offline_only,
        requests=tuple(
            SealedRequest(
                due=due + timedelta(minutes=number), octets=b"\xdd\x04\0\0\0" + bytes([number, 9])
            )
            for number in range(count)
        ),
    )


def test_an_order_is_what_was_said() -> None:
    said = plan(offline_only=True, count=3, due=NOW)
    invoke_id, found = decode_order(encode_plan(said, 7))
    assert found == said
    assert invoke_id & 0xFFFFFF == 7
    assert [one.transaction for one in said.requests] == [0, 1, 2]
    bad = Plan(title=METER, offline_only=True, requests=(SealedRequest(due=NOW, octets=b"\xc0"),))
    with pytest.raises(DecodeError, match="transaction-id of 4 octets"):
        decode_order(encode_plan(bad, 1))


def test_the_latest_that_is_due_goes_and_those_before_it_pass(tmp_path: Path) -> None:
    plans = Plans(tmp_path / "plans.db")
    plans.replace(plan(offline_only=True, count=5, due=NOW))
    third_us = int((NOW + timedelta(minutes=2)).timestamp() * 1_000_000)
    assert plans.due(third_us, offline=False, most=9) == []
    (due,) = plans.due(third_us, offline=True, most=9)
    assert (due.title, due.number) == (METER, 2)
    plans.note(METER, due.number, RequestState.SENT)
    assert plans.due(third_us, offline=True, most=9) == []
    assert plans.counts() == {
        RequestState.PASSED: 2,
        RequestState.SENT: 1,
        RequestState.WAITING: 2,
    }
    plans.close()
    plans = Plans(tmp_path / "plans.db")  # what was sent stays sent
    assert plans.counts()[RequestState.SENT] == 1
    plans.replace(plan(offline_only=False, count=1, due=NOW))
    assert plans.counts() == {RequestState.WAITING: 1}
    assert len(plans.due(third_us, offline=False, most=9)) == 1
    plans.close()


@in_loop
async def test_plans_that_are_lost_are_handed_over_at_once(tmp_path: Path) -> None:
    async with planned_chain(tmp_path, settings=replace(QUICK, every_s=3600.0)) as chain:
        sealing = chain.headend.sealing
        await chain.concentrator_ends()
        (chain.layout.concentrator(REGION) / "plans.db").write_bytes(b"rubbish" * 1000)
        await chain.start_concentrator()
        for meter in chain.meters.values():
            await meter.connect(chain.meters_url)
        await until(lambda: sealing.plans == 4, chain.running_headend)
        counts = chain.concentrator.plans.counts()
        assert counts == {RequestState.WAITING: 2 * QUICK.readings}
        # The same notice, told again, hands nothing over a second time.
        (lost,) = [n for n in sealing._told.items() if n[0] == CONCENTRATOR]
        sealing.heard(CONCENTRATOR, [notice(lost[1])])
        assert len(sealing._handed) == 2
        sealing.heard(CONCENTRATOR, [notice(lost[1] + 1)])
        assert not sealing._handed


def notice(number: int) -> Notice:
    return Notice(number=number, at=NOW, code=int(NoticeCode.PLANS_SET_ASIDE))


@in_loop
async def test_a_plan_that_cannot_be_sealed_is_tried_again_ever_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with planned_chain(tmp_path, meters=1) as chain:
        sealing, (meter,) = chain.headend.sealing, chain.headend.directory.meters()
        sealing._later_s[meter.meter_id] = float("inf")  # the looks of the head-end are over
        monkeypatch.setattr(sealing, "_seal", lambda _session: 1 / 0)  # a fault of ours
        loop = asyncio.get_running_loop()
        for pause_s in (60, 120, 240, 480, 900, 900):
            began_s = loop.time()
            await sealing._hand_over(meter)
            assert began_s + pause_s <= sealing._later_s[meter.meter_id] <= loop.time() + pause_s
        before = sealing.plans
        sealing._look()
        assert not sealing._under_way
        assert sealing.plans == before
