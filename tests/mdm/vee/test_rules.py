# SPDX-License-Identifier: Apache-2.0
"""Each rule objects to what it names and to nothing else."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from openami.exchange.channels import Channel
from openami.mdm.vee.limits import Limits
from openami.mdm.vee.rules import RULES, validate
from openami.mdm.vee.series import Flag, Series, runs

LIMITS = Limits()
BACK = 49


def series(values: Sequence[int | None], before: Sequence[int | None] = ()) -> Series:
    """A day after `before` (filled up with 100 Wh to the look-back); None is missing."""
    padded = [100] * (BACK - len(before))
    everything = [*padded, *before, *values]
    present = np.array([value is not None for value in everything])
    known = np.array([value or 0 for value in everything], np.int64)
    size = len(everything)
    return Series(
        channel=Channel.IMPORT_WH,
        values=known,
        present=present,
        expected=np.ones(size, np.bool_),
        estimated=np.zeros(size, np.bool_),
        register=np.cumsum(known),
        register_present=present.copy(),
        differing=np.zeros(size, np.bool_),
        dark=np.zeros(size, np.bool_),
        day=BACK,
    )


def codes(day: Series, *, ended: bool = True, limits: Limits = LIMITS) -> list[tuple[str, int]]:
    found = validate(day, limits, day_ended=ended)
    return [(rule.code, flag.at - BACK) for rule, flag in found]


ORDINARY = [100 + slot % 5 for slot in range(48)]


def with_(*changes: tuple[int, int | None]) -> list[int | None]:
    values: list[int | None] = list(ORDINARY)
    for slot, value in changes:
        values[slot] = value
    return values


def test_an_ordinary_day_passes() -> None:
    assert codes(series(ORDINARY)) == []


def test_every_rule_has_its_own_code() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.code.startswith("vee.") for rule in RULES)


def test_missing_runs_are_flagged_at_their_beginning_once_the_day_has_ended() -> None:
    day = series(with_((3, None), (4, None), (47, None)), before=[None])

    assert codes(day) == [("vee.missing", 3), ("vee.missing", 47)]
    assert validate(day, LIMITS, day_ended=True)[0][1].numbers == {"intervals": 2}
    assert codes(day, ended=False) == []


def test_what_is_not_expected_is_not_missing() -> None:
    day = series(with_((0, None), (1, None)))
    day.expected[BACK] = False

    assert codes(day) == [("vee.missing", 1)]


def test_differing_values_are_duplicates() -> None:
    day = series(ORDINARY)
    day.differing[[3, BACK + 7]] = True

    assert codes(day, ended=False) == [("vee.duplicate", 7)]


@pytest.mark.parametrize(
    ("peak", "third", "flagged"),
    [
        (2800, 1000, False),  # (2800 - 1000) / 1000 = 1.8: not above the ratio
        (2801, 1000, True),
        (2499, 100, False),  # below the minimum
        (2500, 100, True),
        (3000, 0, True),  # nothing but the peak
    ],
)
def test_spike(peak: int, third: int, flagged: bool) -> None:  # noqa: FBT001
    values = [min(third, 100)] * 45 + [third, peak, third]
    day = series(values)

    found = [code for code, _ in codes(day) if code == "vee.spike"]
    assert bool(found) is flagged
    assert [code for code, _ in codes(day, ended=False)] == []


def test_spike_gives_its_numbers_and_needs_three_values() -> None:
    day = series([100, 9000, 300, 200])
    rule, flag = next(each for each in validate(day, LIMITS, day_ended=True))
    assert (rule.code, flag.at - BACK) == ("vee.spike", 1)
    assert flag.numbers == {"p1_wh": 9000, "p3_wh": 200, "ratio": 44.0}
    assert codes(series([9000, 1])) == []


def test_an_estimate_is_no_spike() -> None:
    day = series(with_((5, 9000)))
    day.estimated[BACK + 5] = True

    assert "vee.spike" not in [code for code, _ in codes(day)]


def test_negative_values_and_registers_that_go_back() -> None:
    assert ("vee.negative", 4) in codes(series(with_((4, -1))), ended=False)

    back = series(ORDINARY)
    back.register[BACK + 9 :] -= 5000
    flags = [flag for rule, flag in validate(back, LIMITS, day_ended=False)]
    assert flags == [Flag(BACK + 9, {"register_step_wh": -5000 + ORDINARY[9]})]

    gap = series(ORDINARY)
    gap.register[BACK + 9 :] -= 5000
    gap.register_present[BACK + 9 :] = False
    assert codes(gap, ended=False) == []


def test_sum_check_names_the_interval_that_does_not_fit() -> None:
    day = series(ORDINARY)
    day.values[BACK + 20] += 500

    assert ("vee.sum", 20) in codes(day)
    (numbers,) = [
        f.numbers for r, f in validate(day, LIMITS, day_ended=True) if r.code == "vee.sum"
    ]
    total = sum(ORDINARY)
    assert numbers["sum_wh"] == total + 500
    assert numbers["register_wh"] == total
    assert codes(day, ended=False) == []


@pytest.mark.parametrize(("off", "flagged"), [(2, False), (4, False), (5, True), (-5, True)])
def test_sum_check_has_a_tolerance(off: int, flagged: bool) -> None:  # noqa: FBT001
    """0.1 % of about 4.9 kWh is 4.9 Wh; two steps of the register are less."""
    day = series(ORDINARY)
    day.register[-1] += off

    assert bool(codes(day)) is flagged


def test_sum_check_flags_the_first_interval_when_none_is_wrong_by_itself() -> None:
    day = series(ORDINARY)
    day.register[BACK:] += np.arange(1, 49)

    assert codes(day) == [("vee.sum", 0)]


@pytest.mark.parametrize("absent", ["value", "start register", "end register"])
def test_sum_check_needs_the_whole_day_and_both_registers(absent: str) -> None:
    day = series(ORDINARY)
    day.values[BACK + 20] += 500
    if absent == "value":
        day.present[BACK + 30] = False
    elif absent == "start register":
        day.register_present[BACK - 1] = False
    else:
        day.register_present[-1] = False

    assert "vee.sum" not in [code for code, _ in codes(day)]


def test_zero_runs_are_flagged_once_where_they_pass_the_limit() -> None:
    assert codes(series([0] * 48), ended=False) == []
    assert codes(series([0] * 48, before=[0]), ended=False) == [("vee.zero_run", 47)]
    assert codes(series([0] * 48, before=[0] * 40), ended=False) == [("vee.zero_run", 8)]
    assert codes(series([0] * 48, before=[0, None]), ended=False) == []
    assert codes(series([0] * 48, before=[0] * 49), ended=False) == []  # told the day before
    exported = replace(series([0] * 48, before=[0] * 40), channel=Channel.EXPORT_WH)
    assert codes(exported, ended=False) == []  # a home without generation exports nothing


def test_high_limit() -> None:
    limit = LIMITS.high_limit_wh
    assert codes(series(with_((4, limit))), ended=False) == []
    day = series(with_((4, limit + 1)), before=[limit + 1])
    assert codes(day, ended=False) == [("vee.high", 4)]


def test_an_empty_day_is_missing_and_nothing_else() -> None:
    assert codes(series([None] * 48)) == [("vee.missing", 0)]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([], []),
        ([False], []),
        ([True], [(0, 1)]),
        ([True, True, False, True], [(0, 2), (3, 4)]),
    ],
)
def test_runs(mask: list[bool], expected: list[tuple[int, int]]) -> None:
    assert runs(np.array(mask, np.bool_)) == expected


@pytest.mark.parametrize("size", [2**32, 10**8, 10**9])
def test_a_register_that_begins_at_zero_again_behind_its_end_has_not_gone_back(size: int) -> None:
    day = series(ORDINARY)
    day.register[:] = (day.register + size - int(day.register[BACK + 20]) + 30) % size
    assert (np.diff(day.register) < 0).sum() == 1

    assert codes(day) == []


def test_a_register_that_goes_back_further_than_its_end_explains_is_negative() -> None:
    day = series(ORDINARY)
    day.register[BACK + 20 :] -= 5000

    assert ("vee.negative", 20) in codes(day)


def test_without_supply_zeros_are_no_run() -> None:
    day = series([0] * 48, before=[0])
    assert codes(day, limits=replace(LIMITS, sum_tolerance_wh=10**6)) == [("vee.zero_run", 47)]
    day.dark[BACK + 3 : BACK + 40] = True
    assert codes(day, limits=replace(LIMITS, sum_tolerance_wh=10**6)) == []


def test_limits_are_for_half_hours_and_follow_the_capture_period() -> None:
    assert Limits.of_period(1800) == LIMITS
    quarter, hour = Limits.of_period(900), Limits.of_period(3600)
    assert (quarter.high_limit_wh, hour.high_limit_wh) == (6325, 25_300)
    assert (quarter.zero_run_intervals, hour.zero_run_intervals) == (96, 24)  # a day
    assert (quarter.interpolate_intervals, hour.interpolate_intervals) == (8, 2)  # two hours
    assert Limits.of_period(86_400).interpolate_intervals == 0
