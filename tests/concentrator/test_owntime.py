# SPDX-License-Identifier: Apache-2.0
"""Own time over clocks that a test sets: the host's, monotonic time, and the head-end's."""

import pytest

from openami.concentrator.own.objects import clock_status
from openami.concentrator.owntime import HostClock, OwnTime, sentence
from openami.dlms.datetimes import ClockStatus
from openami.exchange.field import ClockState, NoticeCode
from openami.exchange.timesync import JUMP_SAMPLES, Exchange

SECOND = 1_000_000
TRUTH_US = 1_800_000_000 * SECOND
HOUR_US = 3600 * SECOND
LIMIT_S = 5.0


class Setting:
    """A host whose clock is off by `host_off_us`, a head-end whose is by `head_end_off_us`."""

    def __init__(self, host_off_us: int = 0, *, kept: bool | None = False) -> None:
        self.monotonic_us = 7 * SECOND
        self.host_off_us = host_off_us
        self.head_end_off_us = 0
        self.kept = kept
        host = HostClock(
            lambda: self.true_us() + self.host_off_us,
            lambda: self.monotonic_us,
            lambda: self.kept,
        )
        self.time = OwnTime(host, LIMIT_S)

    def true_us(self) -> int:
        return TRUTH_US + self.monotonic_us

    def wait(self, seconds: float) -> None:
        self.monotonic_us += round(seconds * SECOND)

    def exchange(self, *, way_us: int = 5000, kept: bool | None = None) -> None:
        """Ask and be answered; the way takes as long there as back."""
        asked_us = self.monotonic_us
        self.monotonic_us += way_us
        shown_us = self.true_us() + self.head_end_off_us
        self.monotonic_us += way_us
        exchange = Exchange(
            asked_us=asked_us,
            received_us=shown_us,
            answered_us=shown_us,
            heard_us=self.monotonic_us,
        )
        self.time.heard(exchange, head_end_kept=kept)

    def codes(self) -> list[NoticeCode]:
        return [code for code, _ in self.time.look()]

    def off_us(self) -> int:
        """Return by how much own time is before the truth."""
        return self.true_us() - self.time.now_us()


def test_until_the_head_end_has_told_it_the_time_is_the_hosts() -> None:
    it = Setting(host_off_us=-HOUR_US)
    assert it.off_us() == HOUR_US
    assert it.time.state().offset_us is None
    assert sentence(it.time.state()) == "not compared with the head-end's"
    assert it.codes() == []
    assert "clock offset seconds" not in it.time.figures()


def test_a_wrong_host_has_the_right_time_from_the_first_answer_on_and_far_from_the_head_end() -> (
    None
):
    it = Setting(host_off_us=-HOUR_US)
    it.exchange()
    assert it.off_us() == 0
    state = it.time.state()
    assert state.offset_us == HOUR_US
    assert sentence(state) == "3600.000 s behind the head-end's, ±0.005 s"
    it.wait(86_400)  # the head-end is away for a day
    assert it.off_us() == 0
    assert it.time.state().uncertainty_us == 5000 + 2 + 8_640_001  # 100 ppm of a day


def test_a_host_that_is_set_during_an_exchange_spoils_nothing_and_is_seen_at_once() -> None:
    it = Setting()
    it.exchange()
    asked_us = it.monotonic_us
    it.wait(0.01)
    shown_us = it.true_us()
    it.host_off_us = 2 * HOUR_US  # somebody sets the host's clock
    it.wait(0.01)
    it.time.heard(
        Exchange(
            asked_us=asked_us,
            received_us=shown_us,
            answered_us=shown_us,
            heard_us=it.monotonic_us,
        ),
        head_end_kept=None,
    )
    assert it.time.refused == 0
    assert it.off_us() == 0
    assert it.time.state().offset_us == -2 * HOUR_US
    assert it.codes() == [NoticeCode.CLOCK_OFF]
    it.host_off_us = 0
    assert it.codes() == [NoticeCode.CLOCK_WELL]  # without another exchange


def test_a_clock_about_the_limit_is_told_of_once() -> None:
    it = Setting()
    it.exchange()
    told = []
    for off_s in (0, 4, 6, 5, 4, 6, 3, 5.5, 2, 4, 2, 4.9, 6):
        it.host_off_us = round(off_s * SECOND)
        told += it.codes()
    assert told == [NoticeCode.CLOCK_OFF, NoticeCode.CLOCK_WELL, NoticeCode.CLOCK_OFF]


def test_a_head_end_that_is_set_is_believed_when_it_says_so_for_the_fourth_time() -> None:
    it = Setting(kept=True)
    it.exchange()
    it.head_end_off_us = -HOUR_US
    for refused in range(1, JUMP_SAMPLES):
        it.exchange(kept=False)
        assert it.time.refused == refused
        assert it.off_us() == 0
    it.exchange(kept=False)
    told = it.time.look()
    assert [code for code, _ in told] == [NoticeCode.HEAD_END_CLOCK_SET, NoticeCode.CLOCK_OFF]
    assert told[0][1] == "by -3600.000 s"
    assert told[1][1].endswith(
        "a time daemon keeps it, and none is known to keep the head-end's: look there"
    )
    # Plans are due by the clock of whoever wrote them; the host's is not touched.
    assert it.off_us() == HOUR_US
    it.head_end_off_us = 0
    for _ in range(JUMP_SAMPLES):
        it.exchange(kept=True)
    assert it.codes() == [NoticeCode.HEAD_END_CLOCK_SET, NoticeCode.CLOCK_WELL]
    assert it.off_us() == 0


@pytest.mark.parametrize(
    ("kept", "head_end_kept", "said"),
    [
        (True, None, "look there"),
        (True, True, "look at both"),
        (False, True, "chrony"),
        (None, None, "chrony"),
    ],
)
def test_it_is_said_where_to_look_first(
    kept: bool | None,  # noqa: FBT001
    head_end_kept: bool | None,  # noqa: FBT001
    said: str,
) -> None:
    it = Setting(host_off_us=HOUR_US, kept=kept)
    it.exchange(kept=head_end_kept)
    ((_, text),) = it.time.look()
    assert said in text


def test_a_head_end_that_has_lost_the_time_is_not_followed() -> None:
    it = Setting()
    it.head_end_off_us = -TRUTH_US  # 1970
    it.exchange()
    assert (it.time.refused, it.time.state().offset_us) == (1, None)
    assert it.off_us() == 0


def state(
    near_us: int | None = 1000, *, past: bool = False, kept: bool | None = None
) -> ClockState:
    offset_us = None if near_us is None else 0
    return ClockState(
        offset_us=offset_us, uncertainty_us=near_us, limit_us=SECOND, past_limit=past, kept=kept
    )


@pytest.mark.parametrize(
    ("clock", "now_us", "status"),
    [
        (state(), TRUTH_US, 0),
        (state(past=True), TRUTH_US, ClockStatus.DOUBTFUL_VALUE),
        (state(past=True, kept=True), TRUTH_US, ClockStatus.DOUBTFUL_VALUE),
        (state(None), TRUTH_US, ClockStatus.DOUBTFUL_VALUE),
        (state(None, kept=False), TRUTH_US, ClockStatus.DOUBTFUL_VALUE),
        (state(None, kept=True), TRUTH_US, 0),
        (state(2 * SECOND), TRUTH_US, ClockStatus.DOUBTFUL_VALUE),  # the head-end is long away
        (state(None), 0, ClockStatus.INVALID_VALUE),
        (state(None, kept=True), 0, ClockStatus.INVALID_VALUE),
    ],
)
def test_the_clock_object_says_how_far_it_can_be_trusted(
    clock: ClockState, now_us: int, status: int
) -> None:
    assert clock_status(clock, now_us) == status
