# SPDX-License-Identifier: Apache-2.0
"""When the time is asked for, and what counts as an answer."""

from openami.concentrator.owntime import HostClock, OwnTime
from openami.concentrator.questions import FIRST, FIRST_S, Questions
from openami.exchange.field import ClockState, decode_word
from openami.exchange.orders import TimeAnswer

SECOND = 1_000_000
TRUTH_US = 1_800_000_000 * SECOND


class Setting:
    """Questions on an uplink, at a time that the test sets."""

    def __init__(self, every_s: float = 60.0) -> None:
        self.now_us = 0
        host = HostClock(lambda: TRUTH_US + self.now_us, lambda: self.now_us, lambda: None)
        self.time = OwnTime(host, 5.0)
        self.questions = Questions(self.time, every_s)
        self.questions.begin()
        self.numbers = 0

    def asks(self) -> bool:
        return self.questions.due(self._number, lambda number: number) is not None

    def answer(self, number: int) -> None:
        shown_us = TRUTH_US + self.now_us
        self.questions.answered(
            TimeAnswer(asked=number, received_us=shown_us, answered_us=shown_us, kept=None)
        )

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers


def test_a_few_are_asked_at_first_and_then_one_each_interval() -> None:
    it = Setting(every_s=60.0)
    asked = []
    for second in range(200):
        it.now_us = second * SECOND
        if it.asks():
            asked.append(second)
            it.answer(it.numbers)
    first = [round(number * FIRST_S) for number in range(FIRST)]
    assert asked == [*first, first[-1] + 60, first[-1] + 120, first[-1] + 180]
    assert it.questions.answers == len(asked)
    it.questions.begin()  # on a new uplink as at first
    assert it.asks()


def test_the_question_tells_of_the_clock() -> None:
    it = Setting()
    apdu = it.questions.due(lambda: 7, lambda number: number)
    assert apdu is not None
    _, word = decode_word(apdu)
    assert word == ClockState(limit_us=5 * SECOND, past_limit=False)


def test_with_an_interval_of_nothing_nothing_is_asked() -> None:
    assert not Setting(every_s=0.0).asks()


def test_an_answer_counts_once_and_to_its_own_question_only() -> None:
    it = Setting()
    it.answer(1)  # nobody asked
    assert it.asks()
    it.answer(2)
    assert it.questions.answers == 0
    it.now_us += 3000
    it.answer(1)
    it.answer(1)
    assert it.questions.answers == 1
    assert it.time.state().round_trip_us == 3000
    it.now_us += 2 * SECOND
    assert it.asks()
    it.questions.begin()  # the uplink was lost
    it.answer(2)
    assert it.questions.answers == 1


def test_on_a_slow_way_the_answer_is_waited_for() -> None:
    it = Setting()
    assert it.asks()
    it.now_us += 30 * SECOND
    assert not it.asks()
    it.answer(1)
    assert it.time.state().round_trip_us == 30 * SECOND
    assert it.asks()
    it.now_us += 61 * SECOND  # that one is lost
    assert it.asks()


def test_a_head_end_that_confirms_without_an_answer_is_not_asked_again_on_that_uplink() -> None:
    it = Setting()
    assert it.asks()
    it.answer(1)
    it.questions.confirmed(1)  # as one does that has answered
    assert it.questions.is_answered
    it.now_us += 2 * SECOND
    assert it.asks()
    it.questions.confirmed(1)  # of something else
    assert it.questions.is_answered
    it.questions.confirmed(2)
    assert not it.questions.is_answered
    it.now_us += 1000 * SECOND
    assert not it.asks()
    it.questions.begin()
    assert it.asks()
