# SPDX-License-Identifier: Apache-2.0
"""The fleet's journal: counters that never come twice, and states that outlive a kill."""

from pathlib import Path

import pytest

from openami.cosem.classes.disconnect import ControlState
from openami.device.storage import StorageError
from openami.meter.fleet_records import LOW, POOL, FleetRecords, MeterState
from openami.meter.state import COUNTERS_SINCE_S, SPARE_PER_S

DAY_S = 86_400


def records_in(folder: Path) -> FleetRecords:
    return FleetRecords.of(folder, lambda: (COUNTERS_SINCE_S + DAY_S) * 10**6, event_entries=3)


def test_no_counter_is_reserved_twice(tmp_path: Path) -> None:
    used: dict[int, set[int]] = {1: set(), 2: set()}
    for life in range(4):  # each is killed
        records = records_in(tmp_path)
        for turn in range(12):
            for meter_id, before in used.items():
                count = 100 + turn * 37
                first = records.reserve(meter_id, count)
                mine = set(range(first, first + count))
                assert not mine & before
                before.update(mine)
            if life % 2:
                records.stock_up()


def test_one_sync_reserves_for_everybody_who_has_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = records_in(tmp_path)
    syncs: list[int] = []
    monkeypatch.setattr("os.fdatasync", syncs.append)

    records.stock_up(range(1, 1001))
    for meter_id in range(1, 1001):
        records.reserve(meter_id, POOL - LOW + 1)
    assert len(syncs) == 1
    records.stock_up()
    for meter_id in range(1, 1001):
        records.reserve(meter_id, LOW)

    assert len(syncs) == 2


def test_a_full_disk_gives_no_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = records_in(tmp_path)
    first = records.reserve(1, 10)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        with pytest.raises(StorageError):
            records.reserve(2, 10)
        assert records.reserve(1, 10) == first + 10  # those were reserved before
    assert records.reserve(2, 10) == 1


def test_states_and_events_outlive_a_kill(tmp_path: Path) -> None:
    records = records_in(tmp_path)
    MeterState(records, 7).note(receipted=5)
    records.flush()
    MeterState(records, 8).note(durable=True, receipted=9, window_expected=3)
    ring = records.events(7)
    ring.append([bytes([0, 0, 0, number, 0, number]) for number in range(1, 6)])
    MeterState(records, 7).note(receipted=6)  # not written yet

    again = records_in(tmp_path)

    assert again.state(7).receipted == 5
    assert (again.state(8).receipted, again.state(8).window_expected) == (9, 3)
    assert again.events(7).read(1, 99)["code"].tolist() == [3, 4, 5]
    assert again.receipted([9, 8, 7]).tolist() == [0, 9, 5]


def test_counters_of_a_doubtful_journal_are_above_all_that_can_have_been_used(
    tmp_path: Path,
) -> None:
    records_in(tmp_path).reserve(1, 100)
    (tmp_path / "management.journal").write_bytes(b"nothing of use")

    records = records_in(tmp_path)

    assert records.finding is not None
    assert records.reserve(1, 1) == DAY_S * SPARE_PER_S + 1


def test_who_joins_after_the_journal_was_lost_uses_no_counter_again(tmp_path: Path) -> None:
    records = records_in(tmp_path)
    used = records.reserve(2, 500)
    records.close()
    (tmp_path / "profile-1.blocks").touch()
    records.path.unlink()
    records = records_in(tmp_path)
    assert "is gone" in (records.finding or "")
    records.stock_up([1])  # meter 2 is not in this fleet now
    records.shorten()
    records.close()

    again = records_in(tmp_path)

    assert again.finding is None
    assert again.reserve(2, 1) >= DAY_S * SPARE_PER_S > used + 500
    assert again.reserve(1, 1) >= DAY_S * SPARE_PER_S


def test_a_state_that_was_refused_does_not_come_back_with_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = records_in(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("openami.device.journal.synchronise", _refuse)
        with pytest.raises(StorageError, match="sync"):
            records.note(1, durable=True, control_state=ControlState.DISCONNECTED)
    assert records.state(1).control_state is ControlState.CONNECTED
    records.flush()

    again = records_in(tmp_path)  # the one before is killed

    assert again.state(1).control_state is ControlState.CONNECTED


def _refuse(*_arguments: object) -> None:
    raise StorageError("no sync")
