# SPDX-License-Identifier: Apache-2.0
"""Which clocks are corrected: not twice in a while, not too far, not over an interval's end."""

import itertools
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.datetimes import ClockStatus
from openami.headend.clock_policy import (
    Ask,
    Judgement,
    Left,
    Meter,
    Standing,
    judge,
    keeps_interval,
    suspicion,
    window_of,
)
from openami.headend.config import ClockSettings
from openami.headend.orders import MOST_SHIFT_S
from openami.runtime.clock import MICROSECONDS
from openami.store.clocks import Kept, Measured, Suspicion

POLICY: Final = ClockSettings()
PERIOD_S: Final = 1800
HALF_PAST: Final = 1_800_000 * PERIOD_S * MICROSECONDS  # the end of an interval
NOW: Final = HALF_PAST + 600 * MICROSECONDS
AGO: Final = 400 * MICROSECONDS  # measured so long ago: longer than it is waited for others


def clock(off_s: float | None = -90.0, meter_id: int = 1, **changed: object) -> Kept:
    kept = Kept(
        meter_id=meter_id,
        measured_us=NOW - AGO,
        deviation_s=off_s,
        uncertainty_s=0.1,
        status=0,
        worker="headend",
        tolerated_s=30.0,
    )
    return replace(kept, **changed)  # type: ignore[arg-type]


def told(off_s: float, meter_id: int, ago_s: float, worker: str = "headend") -> Measured:
    return Measured(
        meter_id=meter_id,
        measured_us=NOW - round(ago_s * MICROSECONDS),
        deviation_s=off_s,
        uncertainty_s=0.1,
        status=0,
        worker=worker,
    )


def judged(
    *clocks: Kept,
    sample: list[Measured] | None = None,
    standing: Standing | None = None,
    policy: ClockSettings = POLICY,
    now_us: int = NOW,
    meter: Meter | None = None,
) -> Judgement:
    known = meter or Meter(period_s=PERIOD_S)
    meters = {each.meter_id: known for each in clocks}
    return judge(clocks, meters, sample or [], standing or Standing(), policy, now_us)


def asked(*clocks: Kept, policy: ClockSettings = POLICY) -> Ask:
    (ask,) = judged(*clocks, policy=policy).asks
    return ask


def left(kept: Kept, policy: ClockSettings = POLICY, meter: Meter | None = None) -> Left:
    found = judged(kept, policy=policy, meter=meter)
    assert not found.asks
    (one,) = found.left
    return one


def test_a_clock_that_is_slow_is_shifted() -> None:
    ask = asked(clock(-90.4))
    assert (ask.action, ask.shift_s, ask.notice) == ("shift", 90, False)
    assert ask.said == "-90.4 ± 0.1 s off"
    assert asked(clock(7.6)).shift_s == -8


def test_what_is_more_off_is_set_and_what_is_far_off_waits_for_a_person() -> None:
    assert asked(clock(-180.0)).action == "shift"
    ask = asked(clock(-181.0))
    assert (ask.action, ask.shift_s) == ("set", 0)
    found = left(clock(901.0))
    assert found.notice
    assert "+901.0 s off, more than 900 s" in found.said
    quarter = Meter(period_s=300)
    assert left(clock(301.0), meter=quarter).notice  # more than an interval


def test_a_doubtful_time_is_set_since_a_shift_leaves_the_doubt() -> None:
    doubtful = clock(-20.0, status=int(ClockStatus.DOUBTFUL_VALUE))
    assert asked(doubtful).action == "set"


@pytest.mark.parametrize("off_s", [4.9, -4.9, 5.05, 0.0])
def test_what_is_little_off_is_left_alone(off_s: float) -> None:
    found = left(clock(off_s))
    assert (found.said, found.notice) == ("", False)


def test_what_is_not_known_well_is_not_acted_on_and_said_so() -> None:
    found = left(clock(-90.0, uncertainty_s=11.0))
    assert found.said == "-90.0 s off, known to ±11 s only: left alone"
    assert not found.notice


@pytest.mark.parametrize(
    ("kept", "sentence", "notice"),
    [
        (clock(None), "tells no time", True),
        (clock(measured_us=NOW - 21_601 * MICROSECONDS), "too long ago", False),
        (
            clock(asked_us=NOW - 71_999 * MICROSECONDS),
            "off though a correction was asked for 20.0 h",
            True,
        ),
        (clock(8.0, asked_us=NOW - 3600 * MICROSECONDS), "asked for 1.0 h ago", False),
        (clock(1.0, drift_s=12.0, drift_uncertainty_s=1.0), "drifts +12.0 s a day", True),
    ],
)
def test_what_is_not_corrected_says_why(kept: Kept, sentence: str, *, notice: bool) -> None:
    found = left(kept)
    assert sentence in found.said
    assert found.notice is notice


def test_a_meter_that_is_not_set_from_here_waits_for_a_person() -> None:
    found = left(clock(), meter=Meter(period_s=PERIOD_S, settable=False))
    assert found.notice
    assert "not set from here" in found.said


def test_a_clock_that_drifts_much_is_corrected_and_told() -> None:
    ask = asked(clock(-90.0, drift_s=-30.0, drift_uncertainty_s=2.0))
    assert ask.notice
    assert ask.said.endswith("drifts -30.0 s a day, more than 10")
    assert not asked(clock(-90.0, drift_s=-30.0, drift_uncertainty_s=21.0)).notice


def test_others_are_waited_for_before_one_is_corrected() -> None:
    young = judged(clock(measured_us=NOW - 299 * MICROSECONDS))
    assert (young.asks, young.left) == ([], [])


def test_no_more_are_corrected_at_once_or_in_an_hour_than_may_be() -> None:
    clocks = [clock(meter_id=number) for number in range(1, 31)]
    found = judged(*clocks)
    assert len(found.asks) == POLICY.at_once
    assert found.left == []  # the others have their turn later
    assert len(judged(*clocks, standing=Standing(open=17)).asks) == 3
    assert len(judged(*clocks, standing=Standing(last_hour=499)).asks) == 1
    assert judged(*clocks, standing=Standing(open=25)).asks == []


# Is it us? ----------------------------------------------------------------------------------------


def jumped(wrong: int, right: int, off_s: float = -120.0) -> list[Measured]:
    """Measurements newest first: so many right, then a jump of ours, then so many wrong."""
    after = [told(off_s + n * 0.1, n, n) for n in range(wrong)]
    return after + [told(0.1, 1000 + n, wrong + n) for n in range(right)]


def test_a_head_end_whose_clock_jumped_corrects_nobody_until_it_is_right_again() -> None:
    off = clock(-120.0, meter_id=5)
    found = judged(off, sample=jumped(10, 500))
    assert found.asks == []
    (suspected,) = found.suspicions
    assert "10 of the last 10 meters are off by about -120 s" in suspected.sentence
    (one,) = found.left
    assert one.said == "measured while the head-end's own clock was suspected"

    # Its clock is right again: what it measures from now on counts, what it measured does not.
    later = NOW + 1000 * MICROSECONDS
    good = [told(0.0, n, -900 + n) for n in range(30)]
    standing = Standing(suspicions={"headend": suspected})
    tainted = replace(off, meter_id=77)
    fresh = replace(off, meter_id=78, measured_us=later - AGO)
    found = judged(tainted, fresh, sample=good, standing=standing, now_us=later)
    assert [each.clock.meter_id for each in found.asks] == [78]
    assert [each.clock.meter_id for each in found.left] == [77]
    assert [each.sentence for each in found.suspicions] == [""]


@pytest.mark.parametrize(("wrong", "right"), [(3, 0), (4, 0), (10, 0), (10, 5000), (40, 30)])
def test_meters_that_are_wrong_alike_speak_against_the_head_end(wrong: int, right: int) -> None:
    assert suspicion(jumped(wrong, right), POLICY)


@pytest.mark.parametrize(
    "sample",
    [
        jumped(2, 0),  # too few
        jumped(9, 500),
        jumped(30, 50, off_s=-8.0),  # so little does no harm
        [told((-1) ** n * 120.0, n, n) for n in range(40)],  # as many one way as the other
        [told(30.0 + 20.0 * n, n, n) for n in range(40)],  # each by another amount
    ],
)
def test_meters_that_are_wrong_otherwise_do_not(sample: list[Measured]) -> None:
    assert suspicion(sample, POLICY) == ""


def test_who_is_right_is_not_suspected_with_who_is_wrong() -> None:
    theirs = [told(0.0, 500 + n, n + 0.5, "other") for n in range(40)]
    mine = jumped(20, 0)
    sample = sorted([*mine, *theirs], key=lambda each: -each.measured_us)
    good = clock(meter_id=900, worker="other")
    found = judged(clock(), good, sample=sample)
    assert [each.worker for each in found.suspicions] == ["headend"]
    assert [each.clock.worker for each in found.asks] == ["other"]


def test_a_person_who_has_looked_ends_the_suspicion() -> None:
    trusted = Suspicion(worker="headend", suspected_us=NOW, trusted_until_us=NOW + 1)
    standing = Standing(suspicions={"headend": trusted})
    found = judged(clock(), sample=jumped(20, 0), standing=standing)
    assert len(found.asks) == 1
    assert found.suspicions == []
    again = judged(clock(), sample=jumped(20, 0), standing=standing, now_us=NOW + 1)
    assert again.asks == []


# Whatever is measured -----------------------------------------------------------------------------

policies = st.builds(
    ClockSettings,
    shift_from_s=st.floats(1, 50),
    shift_most_s=st.floats(0, MOST_SHIFT_S),
    set_most_s=st.floats(0, 5000),
    between_s=st.floats(0, 200_000),
    guard_s=st.floats(0, 600),
    settle_s=st.floats(0, 600),
    at_once=st.integers(1, 30),
)
clocks = st.builds(
    clock,
    off_s=st.none() | st.floats(-5000, 5000),
    meter_id=st.integers(1, 10**6),
    uncertainty_s=st.floats(0, 20),
    measured_us=st.integers(NOW - 10**11, NOW),
    asked_us=st.none() | st.integers(NOW - 3 * 10**11, NOW),
    status=st.none() | st.integers(0, 255),
)
PERIODS: Final = st.sampled_from([60, 300, 900, 1800, 3600, 86_400])


@given(st.lists(clocks, max_size=30, unique_by=lambda c: c.meter_id), policies, PERIODS)
def test_nothing_is_asked_beyond_the_limits(
    found: list[Kept], policy: ClockSettings, period_s: int
) -> None:
    judgement = judged(*found, policy=policy, meter=Meter(period_s=period_s))
    assert len(judgement.asks) <= policy.at_once
    for ask in judgement.asks:
        off_s = ask.clock.deviation_s
        assert off_s is not None
        assert abs(off_s) <= min(policy.set_most_s, period_s)
        assert ask.clock.uncertainty_s <= policy.uncertainty_most_s
        if ask.action == "shift":
            assert 1 <= abs(ask.shift_s) <= min(MOST_SHIFT_S, policy.shift_most_s + 0.5)
            assert abs(off_s + ask.shift_s) <= 0.5
        asked_us = ask.clock.asked_us
        assert asked_us is None or NOW - asked_us >= policy.between_s * MICROSECONDS
        move_s = ask.shift_s or -off_s
        margin_s = policy.guard_s + ask.clock.uncertainty_s
        for part in (0.001, 0.5, 0.999):
            moved_us = NOW + round((ask.window.opens_s + part * ask.window.lasts_s) * MICROSECONDS)
            assert keeps_interval(moved_us, off_s, move_s, margin_s - 1e-3, period_s)


@given(st.floats(-900, 900), st.floats(0, 100), st.integers(0, 3600 * 10**6))
def test_a_clock_is_moved_within_one_interval(off_s: float, margin_s: float, later_us: int) -> None:
    now_us = NOW + later_us
    window = window_of(now_us, off_s, -off_s, margin_s, PERIOD_S)
    if window is None:
        assert abs(off_s) + 2 * margin_s >= PERIOD_S
        return
    assert 0 <= window.opens_s < PERIOD_S
    middle_us = now_us + round((window.opens_s + window.lasts_s / 2) * MICROSECONDS)
    began = {
        (middle_us + seconds * MICROSECONDS) // (PERIOD_S * MICROSECONDS)
        for seconds in (off_s - margin_s, off_s + margin_s, -margin_s, margin_s)
    }
    assert len(began) == 1


@given(st.lists(st.floats(-400, 400), min_size=2, max_size=60), policies)
def test_no_meter_is_corrected_twice_within_the_pause(
    measured: list[float], policy: ClockSettings
) -> None:
    """A meter is measured every hour, and is off anew each time."""
    kept, moments = clock(0.0), []
    for hour, off_s in enumerate(measured):
        now_us = NOW + hour * 3600 * MICROSECONDS
        kept = replace(kept, deviation_s=off_s, measured_us=now_us - 600 * MICROSECONDS)
        found = judged(kept, policy=policy, now_us=now_us)
        if found.asks:
            moments.append(now_us)
            kept = replace(kept, asked_us=now_us)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(pause >= policy.between_s * MICROSECONDS for pause in pauses)
