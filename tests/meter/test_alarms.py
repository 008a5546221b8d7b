# SPDX-License-Identifier: Apache-2.0
"""Alarm registers of a meter: filter, latch, storm, who may clear, power cuts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from device.power import Recorder, images
from meter.house import MeterInMemory, Reader, config_in
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.push import PushSetup
from openami.cosem.refusals import AccessError
from openami.device import cell as cell_module
from openami.device import journal as journal_module
from openami.device.storage import StorageError
from openami.dlms.data import DoubleLongUnsigned, LongUnsigned
from openami.dlms.obis import Obis
from openami.exchange.alarms import (
    ALARM_DESCRIPTOR,
    ALARM_FILTER,
    ALARM_REGISTER,
    ALL_BITS,
    ERROR_REGISTER,
    AlarmNotice,
)
from openami.exchange.events import EventCode
from openami.exchange.notice import ALARM_PUSH_SETUP
from openami.meter.alarms import AlarmRecord, Alarms, AlarmSettings, AlarmStore
from openami.meter.fleet_records import FleetRecords, MeterState
from openami.meter.records import AlarmCell

COVER, FIELD, NEUTRAL, APART = 1, 1 << 2, 1 << 9, 1 << 8
AT_S = 1_793_491_200


class Kept:
    """A store in memory; `full`, it takes nothing."""

    def __init__(self) -> None:
        self.record: AlarmRecord | None = None
        self.full = False

    def load(self) -> AlarmRecord | None:
        return self.record

    def keep(self, record: AlarmRecord, *, durable: bool) -> None:
        del durable
        if self.full:
            raise StorageError("the disk is full: free space")
        self.record = record


class Told:
    """A meter's alarms, and what it tells."""

    def __init__(
        self, store: AlarmStore | None = None, settings: AlarmSettings | None = None
    ) -> None:
        self.now_s = AT_S
        self.notices: list[AlarmNotice] = []
        self.kept = store or Kept()
        self.settings = settings or AlarmSettings()
        self.woken = 0
        self.begin()

    def begin(self) -> None:
        self.alarms = Alarms(
            self.settings, self.kept, lambda: self.now_s, self.notices.append, self._wake
        )

    def _wake(self) -> None:
        self.woken += 1

    def event(self, code: int) -> None:
        self.alarms.event(code, self.now_s)

    def told(self) -> list[tuple[int, int, int]]:
        """Return code, register and descriptor of what was told since the last call."""
        found = [(each.code, each.register, each.descriptor) for each in self.notices]
        self.notices.clear()
        return found


def test_a_latched_alarm_stays_when_its_cause_ends() -> None:
    told = Told()
    told.event(EventCode.TERMINAL_COVER_REMOVED)
    told.event(EventCode.TERMINAL_COVER_CLOSED)
    assert told.told() == [(EventCode.TERMINAL_COVER_REMOVED, COVER, COVER)]
    assert told.alarms.record.register == COVER


def test_one_that_ends_leaves_the_register_and_stays_in_the_descriptor() -> None:
    told = Told()
    told.event(EventCode.NEUTRAL_LOST)
    told.event(EventCode.NEUTRAL_RETURNED)
    assert told.told() == [
        (EventCode.NEUTRAL_LOST, NEUTRAL, NEUTRAL),
        (EventCode.NEUTRAL_RETURNED, 0, NEUTRAL),
    ]


def test_what_the_filter_keeps_out_neither_stands_nor_is_told() -> None:
    told = Told(settings=AlarmSettings(filter=ALL_BITS & ~COVER))
    told.event(EventCode.TERMINAL_COVER_REMOVED)
    told.event(EventCode.STRONG_FIELD)
    assert told.told() == [(EventCode.STRONG_FIELD, FIELD, FIELD)]


def test_the_error_register_knows_no_filter() -> None:
    told = Told(settings=AlarmSettings(filter=0))
    told.event(EventCode.MODULE_REMOVED)
    assert (told.alarms.record.error, told.alarms.record.register) == (1 << 3, 0)
    told.event(EventCode.MODULE_INSERTED)
    assert told.alarms.record.error == 0
    assert told.told() == []


def test_events_that_are_no_alarm_change_nothing() -> None:
    told = Told()
    assert not told.alarms.event(EventCode.CLOCK_ADJUSTED, AT_S)
    assert not told.alarms.event(EventCode.POWER_FAILURE, AT_S)
    assert told.alarms.record == AlarmRecord()


def test_a_flapping_alarm_is_told_so_often_and_then_what_it_has_come_to() -> None:
    told = Told(settings=AlarmSettings(most=3, within_s=600))
    for _ in range(50):
        told.event(EventCode.NEUTRAL_LOST)
        told.now_s += 2
        told.event(EventCode.NEUTRAL_RETURNED)
        told.now_s += 2
    told.event(EventCode.NEUTRAL_LOST)
    assert len(told.told()) == 3
    assert told.alarms.busy
    assert told.woken > 0
    told.alarms.tick()
    assert told.told() == []
    told.now_s = AT_S + 601
    told.alarms.tick()
    assert told.told() == [(0, NEUTRAL, NEUTRAL)]
    assert not told.alarms.busy


def test_a_storm_of_one_keeps_no_other_alarm_back() -> None:
    told = Told(settings=AlarmSettings(most=1, within_s=600))
    told.event(EventCode.NEUTRAL_LOST)
    told.event(EventCode.NEUTRAL_RETURNED)
    told.event(EventCode.STRONG_FIELD)
    assert [code for code, _, _ in told.told()] == [EventCode.NEUTRAL_LOST, EventCode.STRONG_FIELD]


def test_what_was_not_receipted_before_a_restart_is_told_after_it() -> None:
    told = Told()
    told.event(EventCode.STRONG_FIELD)
    told.notices.clear()
    told.begin()
    (notice,) = told.notices
    assert (notice.code, notice.register) == (0, FIELD)
    told.alarms.told(notice)
    told.notices.clear()
    told.begin()
    assert told.told() == []


def test_a_full_disk_forgets_no_alarm() -> None:
    kept = Kept()
    told = Told(kept)
    kept.full = True
    told.event(EventCode.STRONG_FIELD)
    assert told.alarms.record.register == FIELD
    assert told.alarms.failing.startswith("the disk is full")
    assert told.alarms.busy
    kept.full = False
    told.alarms.tick()
    assert kept.record is not None
    assert kept.record.register == FIELD
    assert told.alarms.failing == ""


# Power cuts ---------------------------------------------------------------------------------------


def _story(told: Told) -> Iterator[AlarmRecord]:
    """Yield the record after each write."""
    told.event(EventCode.TERMINAL_COVER_REMOVED)
    yield told.alarms.record
    told.event(EventCode.NEUTRAL_LOST)
    yield told.alarms.record
    told.event(EventCode.NEUTRAL_RETURNED)
    yield told.alarms.record
    register, _, descriptor, error = told.alarms.objects(lambda _code: None)
    sink = register.sinks[2]
    sink(DoubleLongUnsigned(ALL_BITS & ~COVER))
    yield told.alarms.record
    descriptor.sinks[2](DoubleLongUnsigned(0))
    yield told.alarms.record
    told.event(EventCode.MODULE_REMOVED)
    yield told.alarms.record
    error.sinks[2](DoubleLongUnsigned(0))
    yield told.alarms.record


@contextmanager
def _cell(folder: Path) -> Iterator[AlarmStore]:
    cell = AlarmCell(folder / "alarms.cell")
    assert cell.finding is None
    try:
        yield cell
    finally:
        cell.close()


@contextmanager
def _journal(folder: Path) -> Iterator[AlarmStore]:
    records = FleetRecords(
        folder / "management.journal", lambda: AT_S * 10**6, begun=False, event_entries=8
    )
    try:
        yield MeterState(records, 7)
    finally:
        records.close()


@pytest.mark.parametrize(
    ("opened", "module", "file"),
    [(_cell, cell_module, "alarms.cell"), (_journal, journal_module, "management.journal")],
    ids=["single", "fleet"],
)
def test_power_may_be_cut_at_every_write_of_the_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: object, module: object, file: str
) -> None:
    """What was durable is there; what was not is there whole, or is the record before."""
    assert callable(opened)
    folder, path = tmp_path, tmp_path / file
    with opened(folder) as store:
        store.keep(AlarmRecord(), durable=True)
        before = path.read_bytes()
        recorder = Recorder(monkeypatch, module)  # type: ignore[arg-type]
        written: list[tuple[int, AlarmRecord]] = [(0, AlarmRecord())]
        written += [(len(recorder.operations), each) for each in _story(Told(store))]
        monkeypatch.undo()
    records = [record for _, record in written]
    cuts = 0
    for done, image in images(before, recorder.operations, Random(1)):
        path.write_bytes(image)
        with opened(folder) as store:
            found = store.load() or AlarmRecord()
        least = max(place for place, (at, _) in enumerate(written) if at <= done)
        assert found in records[least : least + 2]
        cuts += 1
    assert cuts > 20


def test_the_journal_keeps_alarms_when_it_is_shortened(tmp_path: Path) -> None:
    with _journal(tmp_path) as store:
        Told(store).event(EventCode.STRONG_FIELD)
        assert isinstance(store, MeterState)
        store._records.shorten()
    with _journal(tmp_path) as store:
        again = store.load()
        assert again is not None
        assert again.register == FIELD


# At the meter -------------------------------------------------------------------------------------


def word(reader: Reader, at: Obis) -> int:
    value = reader.run(reader.client.get(Data.value, at=at))
    assert isinstance(value, DoubleLongUnsigned)
    return int(value)


def write(reader: Reader, at: Obis, value: int) -> None:
    reader.run(reader.client.set_data(1, at, 2, DoubleLongUnsigned(value)))


def manager(meter: MeterInMemory) -> Reader:
    connection = meter.management.connection()
    reader = Reader(connection.receive, 1)
    reader.run(reader.client.associate())
    return reader


def test_the_head_end_reads_and_clears_and_the_log_has_it(tmp_path: Path) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    reader = manager(meter)
    assert word(reader, ALARM_FILTER) == ALL_BITS
    meter.management.log_event(EventCode.STRONG_FIELD)
    meter.management.log_event(EventCode.TERMINAL_COVER_REMOVED)
    assert word(reader, ALARM_REGISTER) == word(reader, ALARM_DESCRIPTOR) == FIELD | COVER
    write(reader, ALARM_REGISTER, ALL_BITS & ~COVER)
    assert word(reader, ALARM_REGISTER) == FIELD
    assert word(reader, ALARM_DESCRIPTOR) == FIELD | COVER
    write(reader, ALARM_DESCRIPTOR, 0)
    assert word(reader, ALARM_DESCRIPTOR) == 0
    write(reader, ALARM_REGISTER, ALL_BITS)  # sets nothing
    assert word(reader, ALARM_REGISTER) == FIELD
    write(reader, ERROR_REGISTER, 0)
    codes = meter.logged()
    assert codes.count(EventCode.ALARM_REGISTER_CLEARED) == 2
    assert codes.count(EventCode.ERROR_REGISTER_CLEARED) == 1


def test_the_filter_that_was_written_outlives_a_restart(tmp_path: Path) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    write(manager(meter), ALARM_FILTER, COVER)
    meter.management.close()
    meter.start_management()
    meter.management.log_event(EventCode.STRONG_FIELD)
    reader = manager(meter)
    assert word(reader, ALARM_FILTER) == COVER
    assert word(reader, ALARM_REGISTER) & FIELD == 0


def test_another_type_is_refused(tmp_path: Path) -> None:
    reader = manager(MeterInMemory(config_in(tmp_path)))
    with pytest.raises(AccessError, match=r"(?i)type.unmatched"):
        reader.run(reader.client.set_data(1, ALARM_FILTER, 2, LongUnsigned(0)))


@pytest.mark.parametrize("at", [ALARM_REGISTER, ALARM_FILTER, ALARM_DESCRIPTOR, ERROR_REGISTER])
def test_the_reader_reads_and_writes_nothing(tmp_path: Path, at: Obis) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    connection = meter.management.connection(plain=True)
    reader = Reader(connection.receive, 32)
    reader.run(reader.client.associate())
    word(reader, at)
    with pytest.raises(AccessError):
        write(reader, at, 0)


def test_the_public_client_sees_no_alarm(tmp_path: Path) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    reader = Reader(meter.management.connection().receive, 16)
    reader.run(reader.client.associate())
    with pytest.raises(AccessError):
        word(reader, ALARM_REGISTER)


def test_a_push_is_repeated_until_it_is_receipted_and_its_setup_names_what_is_in_it(
    tmp_path: Path,
) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    reader = manager(meter)
    setup = reader.run(reader.client.get(PushSetup.push_object_list, at=ALARM_PUSH_SETUP))
    assert [each.instance_id for each in setup][3:] == [
        ALARM_DESCRIPTOR,
        ALARM_REGISTER,
        ERROR_REGISTER,
    ]
    meter.hop.confirming = False
    meter.management.notices.attached(meter._push, meter.now_s)
    meter.management.log_event(EventCode.STRONG_FIELD)
    for _ in range(3):
        meter.management.tick_pushes(meter.now_s)
        meter.now_s += 100
    assert len(meter.hop.alarms) == 3
    assert {each.code for each in meter.hop.alarms} == {EventCode.STRONG_FIELD}
    meter.hop.confirming = True
    meter.management.tick_pushes(meter.now_s)
    assert meter.management.notices.pending == 0
    record = meter.management.alarms.record
    assert (record.told_register, record.told_descriptor) == (record.register, record.descriptor)
    assert not meter.hop.notices  # the event goes with its alarm, not beside it


def test_a_meter_whose_alarm_was_not_receipted_tells_it_after_a_restart(tmp_path: Path) -> None:
    meter = MeterInMemory(replace(config_in(tmp_path)))
    meter.management.log_event(EventCode.STRONG_FIELD)
    meter.management.close()
    meter.start_management()
    meter.management.notices.attached(meter._push, meter.now_s)
    meter.management.tick_pushes(meter.now_s)
    assert [(each.code, each.register & FIELD) for each in meter.hop.alarms] == [(0, FIELD)]
