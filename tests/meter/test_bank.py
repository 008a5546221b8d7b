# SPDX-License-Identifier: Apache-2.0
"""Metrology with its journal: restarts at every place, a full disk, a shortened journal."""

import logging
from pathlib import Path

import pytest

from meter.house import DAY_S, INSTALLED_S, config_in, expected_wh
from openami.device.storage import StorageError
from openami.meter.bank import MetrologyBank
from openami.meter.load import INTERVAL_S
from openami.meter.metrology_process import metrology_of
from openami.meter.replay import ReplayedLoad


def bank_in(
    folder: Path, meters: int = 1, *, keep: int = 1000, longest: int = 10**7
) -> MetrologyBank:
    metrology = {n: metrology_of(config_in(folder, n)) for n in range(1, meters + 1)}
    path = folder / "metrology.journal"
    return MetrologyBank(path, metrology, keep=keep, longest_octets=longest)


def test_many_meters_share_one_journal(tmp_path: Path) -> None:
    bank = bank_in(tmp_path, 5)
    closed = bank.advance(INSTALLED_S + DAY_S)
    bank.close()

    assert len(closed) == 5 * 48
    again = bank_in(tmp_path, 5)
    assert again.advance(INSTALLED_S + DAY_S) == []
    for number in range(1, 6):
        found = [interval.import_wh for interval in again.kept[number]]
        assert found == expected_wh(1, 48, ReplayedLoad(number, 1))
    again.close()


def test_a_journal_cut_anywhere_gives_the_same_intervals(tmp_path: Path) -> None:
    """Every prefix of the journal: what is missing is closed again, with the same values."""
    bank = bank_in(tmp_path)
    bank.advance(INSTALLED_S + 3 * INTERVAL_S)
    bank.set_breaker(1, INSTALLED_S + 3 * INTERVAL_S + 600, closed=False)
    bank.set_breaker(1, INSTALLED_S + 3 * INTERVAL_S + 1000, closed=True)
    bank.advance(INSTALLED_S + 5 * INTERVAL_S)
    bank.close()
    whole = (tmp_path / "metrology.journal").read_bytes()
    final = bank.meters[1].last
    reference = bank_in(tmp_path)
    expected = reference.kept[1]
    reference.close()

    for end in range(0, len(whole), 7):
        (tmp_path / "metrology.journal").write_bytes(whole[:end])
        cut = bank_in(tmp_path)
        known = list(cut.kept[1])
        assert known == expected[: len(known)]
        if len(known) >= 4:  # the breaker's day is in it
            cut.advance(INSTALLED_S + 5 * INTERVAL_S)
            assert cut.meters[1].last == final
        cut.close()


def test_a_breaker_transition_is_durable_at_once(tmp_path: Path) -> None:
    bank = bank_in(tmp_path)
    bank.set_breaker(1, INSTALLED_S + INTERVAL_S + 60, closed=False)

    again = bank_in(tmp_path)

    assert not again.meters[1].breaker_closed
    assert again.meters[1].changes == bank.meters[1].changes
    ready = bank.advance(INSTALLED_S + INTERVAL_S + 60)
    assert [one.interval.sequence for one in ready] == [1]
    bank.close()
    again.close()


def test_a_full_disk_keeps_intervals_in_memory_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bank = bank_in(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with caplog.at_level(logging.WARNING):
        for number in range(1, 6):
            assert bank.advance(INSTALLED_S + number * INTERVAL_S) == []
    assert bank.waiting == 5
    assert "free space" in bank.failing
    assert len(caplog.records) == 1
    monkeypatch.undo()

    closed = bank.advance(INSTALLED_S + 6 * INTERVAL_S)

    assert [one.interval.import_wh for one in closed] == expected_wh(1, 6)
    assert bank.failing == ""
    bank.close()


def test_a_disk_that_fails_to_sync_writes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = bank_in(tmp_path)
    with monkeypatch.context() as patch:

        def broken() -> None:
            raise StorageError("the disk does not sync")

        patch.setattr(bank._journal, "sync", broken)
        assert bank.advance(INSTALLED_S + INTERVAL_S) == []
    assert len(bank.advance(INSTALLED_S + 2 * INTERVAL_S)) == 2
    bank.close()

    again = bank_in(tmp_path)
    assert [interval.sequence for interval in again.kept[1]] == [1, 2]
    again.close()


def test_a_shortened_journal_keeps_state_and_newest_intervals(tmp_path: Path) -> None:
    bank = bank_in(tmp_path, 2, keep=10, longest=2000)
    for number in range(1, 200):
        bank.advance(INSTALLED_S + number * INTERVAL_S)
    bank.set_breaker(2, INSTALLED_S + 199 * INTERVAL_S + 5, closed=False)
    assert bank.is_long
    before = bank._journal.size_octets
    bank.shorten()
    assert bank._journal.size_octets < before / 2
    bank.close()

    again = bank_in(tmp_path, 2, keep=10, longest=2000)

    assert again.meters[1].last == bank.meters[1].last
    assert again.meters[2].changes == bank.meters[2].changes
    assert [interval.sequence for interval in again.kept[1]][-10:] == list(range(190, 200))
    again.forget_old()
    assert len(again.kept[1]) == 10
    again.close()


def test_records_of_a_meter_that_moved_away_are_passed(tmp_path: Path) -> None:
    bank = bank_in(tmp_path, 3)
    bank.advance(INSTALLED_S + INTERVAL_S)
    bank.close()

    again = bank_in(tmp_path, 1)

    assert set(again.kept) == {1}
    again.close()
