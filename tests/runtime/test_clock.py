# SPDX-License-Identifier: Apache-2.0
"""The calendar: scaled, frozen, moved and read by others."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.runtime.clock import CalendarState, Clock, FixedClock, boot_id, from_us, real_us, to_us
from openami.runtime.errors import ConfigurationError

NOON = to_us(datetime(2026, 6, 1, 12, tzinfo=UTC))


def state(**changes: object) -> CalendarState:
    fields = {
        "base_us": NOON,
        "epoch_monotonic_s": 100.0,
        "speed": 120.0,
        "running": True,
        "boot": boot_id(),
    }
    return CalendarState(**(fields | changes))  # type: ignore[arg-type]


def test_a_real_second_is_speed_calendar_seconds() -> None:
    assert state().at(101.0) == NOON + 120_000_000


def test_a_frozen_calendar_stands_still() -> None:
    assert state(running=False).at(1e6) == NOON


@given(st.floats(100, 1e6), st.floats(0, 1e5), st.floats(0.1, 1000))
def test_rebasing_neither_jumps_nor_changes_pace(at: float, later: float, speed: float) -> None:
    before = state(speed=speed)
    after = before.rebased(at, running=True)

    assert after.at(at) == before.at(at)
    assert abs(after.at(at + later) - before.at(at + later)) <= 2  # microseconds of rounding


def test_stop_and_go_on_where_it_was(tmp_path: Path) -> None:
    frozen = state().rebased(160.0, running=False)
    frozen.store(tmp_path / "clock.json")
    again = CalendarState.load(tmp_path / "clock.json").rebased(9000.0, running=True)

    assert again.at(9000.0) == NOON + 60 * 120_000_000


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_microseconds_and_datetimes_are_inverses(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert from_us(to_us(aware)) == aware


@pytest.mark.parametrize("content", ["", "{", "[]", '{"base_us": 1}', "null"])
def test_a_damaged_calendar_is_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clock.json"
    path.write_text(content)

    with pytest.raises(ConfigurationError, match=r"clock\.json"):
        Clock(path)


def test_where_nobody_made_a_calendar_it_is_real_time(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock.json")
    before_us = real_us()
    assert before_us <= clock.now_us() <= real_us()
    assert clock.speed == 1.0


def test_a_running_process_sees_the_calendar_change(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    state(running=False).store(path)
    clock = Clock(path)
    state(running=False, base_us=NOON + 1).store(path)
    clock._checked_s -= 2.0  # as if the last look was two seconds ago

    assert clock.now_us() == NOON + 1


def test_waiting_is_counted_in_real_seconds() -> None:
    clock = FixedClock(NOON, speed=60.0)
    assert clock.real_seconds_until(NOON + 120_000_000) == 2.0
    assert clock.real_seconds_until(NOON - 1) == 0.0
