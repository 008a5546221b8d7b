# SPDX-License-Identifier: Apache-2.0
"""Two simulated clocks and a way between them: what is estimated is true within what it says."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.exchange.field import ClockState
from openami.exchange.timesync import (
    DRIFT_PPM,
    JUMP_SAMPLES,
    SLEW_PPM,
    STAGES,
    STEP_US,
    ClockError,
    Exchange,
    Led,
    Limit,
    Taken,
    TimeFilter,
    is_head_end_suspect,
)

SECOND = 1_000_000
EPOCH_US = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND


class Field:
    """The asker's monotonic time, and another clock that runs beside it."""

    def __init__(self, ppm: int = 0) -> None:
        self.now_us = 5 * SECOND
        self.ppm = ppm
        self.set_us = 0  # by how much the other was set since

    def other_us(self) -> int:
        return EPOCH_US + self.set_us + self.now_us + self.now_us * self.ppm // 1_000_000

    def truth_us(self) -> int:
        """Return the offset as it is now."""
        return self.other_us() - self.now_us

    def exchange(self, out_us: int = 0, took_us: int = 0, back_us: int = 0) -> Exchange:
        asked_us = self.now_us
        self.now_us += out_us
        received_us = self.other_us()
        self.now_us += took_us
        answered_us = self.other_us()
        self.now_us += back_us
        return Exchange(
            asked_us=asked_us,
            received_us=received_us,
            answered_us=answered_us,
            heard_us=self.now_us,
        )


def test_the_example_of_the_standard() -> None:
    # RFC 5905, 8: theta = ((T2-T1)+(T3-T4))/2, delta = (T4-T1)-(T3-T2).
    one = Exchange(asked_us=100, received_us=1150, answered_us=1170, heard_us=200)
    assert (one.offset_us, one.delay_us) == (1010, 80)


@pytest.mark.parametrize("shown_us", [0, 1_735_689_599_999_999, 2**63 - 1])
def test_a_clock_that_has_lost_the_time_is_not_followed(shown_us: int) -> None:
    found = TimeFilter()
    lost = Exchange(asked_us=0, received_us=shown_us, answered_us=shown_us, heard_us=9)
    with pytest.raises(ClockError, match="no time of today"):
        found.take(lost)
    assert found.best is None


delays = st.integers(0, 20 * SECOND)
exchanges = st.lists(
    st.tuples(st.integers(0, 10_000 * SECOND), delays, st.integers(0, SECOND), delays),
    min_size=1,
    max_size=30,
)


@given(exchanges, st.integers(-DRIFT_PPM, DRIFT_PPM), st.integers(0, 10_000 * SECOND))
def test_the_true_offset_is_always_within_the_uncertainty(
    ways: list[tuple[int, int, int, int]], ppm: int, after_us: int
) -> None:
    it, found = Field(ppm), TimeFilter()
    for pause_us, out_us, took_us, back_us in ways:
        it.now_us += pause_us
        # Clocks that only drift are never refused, however lopsided the way is.
        assert found.take(it.exchange(out_us, took_us, back_us)) is Taken.TAKEN
        assert found.best is not None
        off_us = abs(found.best.offset_us - it.truth_us())
        assert off_us <= found.best.uncertainty_us(it.now_us)
    it.now_us += after_us
    assert abs(found.best.offset_us - it.truth_us()) <= found.best.uncertainty_us(it.now_us)  # type: ignore[union-attr]


@given(exchanges, st.integers(-DRIFT_PPM, DRIFT_PPM), st.integers(0, 10 * SECOND))
def test_a_led_clock_never_goes_back_and_stays_near_what_leads_it(
    ways: list[tuple[int, int, int, int]], ppm: int, between_us: int
) -> None:
    it, found, led = Field(ppm), TimeFilter(), Led()
    shown_us = at_us = 0
    for pause_us, out_us, took_us, back_us in ways:
        it.now_us += pause_us
        found.take(it.exchange(out_us, took_us, back_us))
        for _ in range(2):
            best = found.best
            assert best is not None
            before = led.offset_us
            now_us = led.follow(best, it.now_us)
            uncertainty_us = best.uncertainty_us(it.now_us)
            assert abs(now_us - it.other_us()) <= 2 * uncertainty_us + STEP_US
            was_set = led.offset_us == best.offset_us and before != led.offset_us
            if not was_set:
                lasted_us = it.now_us - at_us
                assert now_us >= shown_us
                assert now_us - shown_us <= lasted_us + lasted_us * SLEW_PPM // 1_000_000 + 1
            shown_us, at_us = now_us, it.now_us
            it.now_us += between_us


def test_the_least_round_trip_is_the_best_until_it_is_old() -> None:
    it, found = Field(), TimeFilter()
    quick = it.exchange(5000, 0, 5000)
    found.take(quick)
    it.now_us += MINUTE
    found.take(it.exchange(30_000, 0, 8000))  # lopsided: 11 ms off
    assert found.best == quick
    for _ in range(STAGES - 2):
        it.now_us += MINUTE  # the quick one could be 6 ms off after each
        found.take(it.exchange(15_000, 0, 15_000))
    assert found.best is not None
    assert found.best != quick
    assert found.best.delay_us == 30_000


def test_an_exchange_during_which_a_clock_was_set_is_refused() -> None:
    it, found = Field(), TimeFilter()
    good = it.exchange(1000, 200, 1000)
    found.take(good)
    for broken, said in (
        (replace(good, answered_us=good.received_us - 1), "went back by 1 micro"),
        (replace(good, heard_us=good.asked_us - 1), "monotonic time went back"),
        (replace(good, answered_us=good.answered_us + SECOND), "the other took 1000200"),
    ):
        with pytest.raises(ClockError, match=said):
            found.take(broken)
        assert found.best == good


def test_one_that_contradicts_is_refused_and_several_that_agree_begin_anew() -> None:
    it, found = Field(), TimeFilter()
    for _ in range(STAGES):
        found.take(it.exchange(1000, 0, 1000))
    it.set_us = 3600 * SECOND
    assert found.take(it.exchange(1000, 0, 1000)) is Taken.CONTRADICTS
    it.set_us = 0
    assert found.take(it.exchange(1000, 0, 1000)) is Taken.TAKEN  # what contradicted is forgotten
    it.set_us = 3600 * SECOND
    for _ in range(JUMP_SAMPLES - 1):
        assert found.take(it.exchange(1000, 0, 1000)) is Taken.CONTRADICTS
        assert found.best is not None
        assert found.best.offset_us == EPOCH_US
    assert found.take(it.exchange(1000, 0, 1000)) is Taken.JUMP
    assert found.jump_us == 3600 * SECOND
    assert found.best is not None
    assert found.best.offset_us == EPOCH_US + 3600 * SECOND


def test_those_that_contradict_each_other_prove_nothing() -> None:
    it, found = Field(), TimeFilter()
    found.take(it.exchange(1000, 0, 1000))
    for number in range(1, 4 * JUMP_SAMPLES):
        it.set_us = number * 60 * SECOND
        assert found.take(it.exchange(1000, 0, 1000)) is Taken.CONTRADICTS
    assert found.best is not None
    assert found.best.offset_us == EPOCH_US


def test_after_long_silence_the_first_exchange_is_enough() -> None:
    it, found = Field(ppm=DRIFT_PPM), TimeFilter()
    found.take(it.exchange(1000, 0, 1000))
    it.now_us += 3 * 86_400 * SECOND
    assert found.best is not None
    assert found.best.uncertainty_us(it.now_us) > 25 * SECOND
    assert found.take(it.exchange(1000, 0, 1000)) is Taken.TAKEN
    assert found.best.uncertainty_us(it.now_us) < 2000


def test_a_clock_that_is_far_off_is_set_and_a_near_one_is_led() -> None:
    it, led = Field(), Led()
    first = it.exchange()
    assert led.follow(first, it.now_us) == it.other_us()
    it.set_us = 100_000
    near = it.exchange()
    for _ in range(1000):  # asked each microsecond: what is too little to count is not lost
        it.now_us += 1
        led.follow(near, it.now_us)
    assert led.offset_us == first.offset_us
    for _ in range(1000):
        it.now_us += 1
        led.follow(near, it.now_us)
    assert led.offset_us == first.offset_us + 1
    it.now_us += 200 * SECOND
    assert led.follow(near, it.now_us) == it.other_us()
    it.set_us = -SECOND
    assert led.follow(it.exchange(), it.now_us) == it.other_us()


def test_past_the_limit_is_said_when_it_is_sure_and_taken_back_when_that_is() -> None:
    limit = Limit(limit_us=5 * SECOND)
    assert not limit.judge(6 * SECOND, 2 * SECOND)  # maybe
    assert not limit.past
    assert limit.judge(-6 * SECOND, 0)
    assert limit.past
    for offset_us in (5, 4, 6, 3, 5):  # up and down about the limit: nothing is said
        assert not limit.judge(offset_us * SECOND, 0)
    assert not limit.judge(0, 3 * SECOND)  # too unsure to be called well
    assert limit.judge(2 * SECOND, SECOND // 2)
    assert not limit.past


def off(offset_s: int | None, *, kept: bool | None = None) -> ClockState:
    past = offset_s is not None and abs(offset_s) > 5
    return ClockState(
        offset_us=None if offset_s is None else offset_s * SECOND,
        uncertainty_us=None if offset_s is None else 1000,
        limit_us=5 * SECOND,
        past_limit=past,
        kept=kept,
    )


@pytest.mark.parametrize(
    ("states", "suspect"),
    [
        ([], False),
        ([off(3600)], False),  # one against one
        ([off(3600, kept=True)], True),  # one that NTP keeps
        ([off(3600, kept=True), off(0, kept=True)], False),
        ([off(3600), off(3601)], True),
        ([off(3600), off(-3600)], False),
        ([off(3600), off(3602), off(0), off(1)], False),
        (
            [off(3600), off(3602), off(0, kept=True)],
            False,
        ),  # those that nothing keeps are not asked
        ([off(3600), off(3602), off(3601), off(0), off(None)], True),
        ([off(3600), off(None), off(None)], False),
    ],
)
def test_whose_clock_is_wrong(states: list[ClockState], suspect: bool) -> None:  # noqa: FBT001
    assert is_head_end_suspect(states) is suspect


@given(st.lists(st.tuples(*[st.integers(-(2**62), 2**62)] * 4), max_size=20))
def test_any_timestamps_are_taken_or_refused(times: list[tuple[int, int, int, int]]) -> None:
    found = TimeFilter()
    for one in times:
        exchange = Exchange(
            asked_us=one[0], received_us=one[1], answered_us=one[2], heard_us=one[3]
        )
        with contextlib.suppress(ClockError):
            found.take(exchange)
            assert found.best is not None
