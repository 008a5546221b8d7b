# SPDX-License-Identifier: Apache-2.0
"""What becomes of an alarm when registers are told or read, one picture after another."""

import itertools

import pytest

from openami.store.alarms import ELSEWHERE, Alarm, Picture, after


def name(register: int, bit: int) -> tuple[str, str]:
    return f"kind-{register}-{bit}", "text"


def seen(
    known: Alarm | None, register: int, descriptor: int | None, *, by: str = "", at_us: int = 5
) -> Alarm | None:
    """Return bit 0 of register 1 as it is known after a picture."""
    word = {"register": register} | ({} if descriptor is None else {"descriptor": descriptor})
    picture = Picture(
        meter_id=1,
        as_of_us=at_us,
        received_us=at_us,
        words={1: word},
        cleared={1: 1} if by else {},
        cleared_by=by,
    )
    changed = after({} if known is None else {(1, 0): known}, picture, name)
    return changed[0] if changed else known


FRESH = Alarm(meter_id=1, register=1, bit=0, kind="kind-1-0", text="text", since_us=1)


def test_an_alarm_stands_is_over_is_cleared_and_rises_again() -> None:
    alarm = seen(None, 1, 1, at_us=1)
    assert alarm == FRESH
    assert seen(alarm, 1, 1) == alarm
    alarm = seen(alarm, 0, 1, at_us=2)
    assert alarm is not None
    assert (alarm.state, alarm.ended_us, alarm.since_us) == ("over", 2, 1)
    assert seen(alarm, 0, 1) == alarm
    alarm = seen(alarm, 0, 0, by="ruth", at_us=3)
    assert alarm is not None
    assert (alarm.state, alarm.cleared_us, alarm.cleared_by, alarm.ended_us) == (
        "cleared",
        3,
        "ruth",
        2,
    )
    assert seen(alarm, 0, 0) == alarm
    alarm = seen(alarm, 1, 1, at_us=4)
    assert alarm is not None
    assert (alarm.state, alarm.since_us, alarm.cleared_by) == ("standing", 4, None)


def test_one_that_came_and_went_between_two_looks_is_known_by_its_descriptor() -> None:
    alarm = seen(None, 0, 1)
    assert alarm is not None
    assert (alarm.state, alarm.since_us, alarm.ended_us) == ("over", 5, 5)


def test_without_a_descriptor_what_leaves_the_register_was_not_cleared_from_here() -> None:
    alarm = seen(FRESH, 0, None)
    assert alarm is not None
    assert (alarm.state, alarm.cleared_by, alarm.ended_us) == ("cleared", ELSEWHERE, 5)


@pytest.mark.parametrize(("register", "descriptor"), list(itertools.product((0, 1), (0, 1, None))))
def test_nothing_is_made_of_nothing_and_nothing_is_lost(
    register: int, descriptor: int | None
) -> None:
    alarm = seen(None, register, descriptor)
    assert (alarm is not None) == bool(register or descriptor)
    is_open = seen(FRESH, register, descriptor)
    assert is_open is not None
    assert (is_open.cleared_us is None) == bool(register or descriptor)


def test_a_register_that_was_not_told_stays_as_it_was() -> None:
    picture = Picture(meter_id=1, as_of_us=5, received_us=5, words={0: {"register": 0}})
    assert after({(1, 0): FRESH}, picture, name) == []
