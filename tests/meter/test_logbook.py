# SPDX-License-Identifier: Apache-2.0
"""Metrology's logbook, and its way into management's event log."""

from pathlib import Path

import pytest

from meter.house import MeterInMemory, config_in
from openami.device.storage import StorageError
from openami.exchange.events import EventCode
from openami.meter.logbook import ENTRIES, Logbook

AT_S = 1_790_000_000


@pytest.fixture
def meter(tmp_path: Path) -> MeterInMemory:
    return MeterInMemory(config_in(tmp_path))


def test_events_survive_and_are_offered_until_taken(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    for code in (EventCode.SAG_L1, EventCode.SAG_L1, EventCode.STRONG_FIELD):
        book.log(code, AT_S)
    assert [each.code for each in book.after(0, 2)] == [93, 93]
    book.take(2)
    book.close()

    book = Logbook(tmp_path)
    assert book.after(0, 9) == [(3, EventCode.STRONG_FIELD, AT_S)]
    book.take(9)  # of another life
    assert book.taken == 2


def test_what_a_stranger_causes_fills_no_log(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    for second in range(180):
        book.log(EventCode.MODULE_REFUSED, AT_S + second)
    assert book.last == 3


def test_the_oldest_events_go_first(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    for number in range(ENTRIES + 3):
        book.log(EventCode.SAG_L2, AT_S + number)
    assert book.after(0, 1)[0].sequence == 4


def test_a_damaged_logbook_is_set_aside(tmp_path: Path) -> None:
    Logbook(tmp_path).close()
    (tmp_path / "events.ring").write_bytes(b"\x5a" * 5000)
    book = Logbook(tmp_path)
    assert "events.ring.damaged-1" in book.findings[0]
    book.log(EventCode.SAG_L1, AT_S)
    assert book.after(0, 9)[0].sequence == 1


def test_events_reach_managements_log_once_whatever_restarts(meter: MeterInMemory) -> None:
    meter.run(60)
    meter.logbook.log(EventCode.TERMINAL_COVER_REMOVED, meter.calendar_s)
    meter.start_management()  # before it heard of it
    meter.run(60)
    meter.logbook.log(EventCode.STRONG_FIELD, meter.calendar_s)
    meter.logbook.log(EventCode.STRONG_FIELD, meter.calendar_s)  # within a minute, twice
    meter.logbook.close()
    meter.start_metrology()
    meter.run(60)
    meter.run(60)

    found = [code for code in meter.logged() if code in (40, 42)]
    assert found == [40, 42, 42]
    assert meter.logbook.taken == meter.logbook.last


def test_events_that_management_cannot_write_come_again(
    meter: MeterInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter.run(60)

    def full(_payloads: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(meter.management.events.ring, "append", full)
        meter.logbook.log(EventCode.SAG_L3, meter.calendar_s)
        meter.logbook.log(EventCode.SWELL_L3, meter.calendar_s)
        meter.run(60)
        assert meter.logbook.taken < meter.logbook.last
    for _ in range(4):
        meter.run(60)

    assert [code for code in meter.logged() if code in (95, 98)] == [95, 98]
    assert meter.logbook.taken == meter.logbook.last
