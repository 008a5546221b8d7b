# SPDX-License-Identifier: Apache-2.0
"""What is dear is shared among pages, what is cheap is made anew."""

from openami.web.remembered import CHEAP_S, MOST_S, SHARE, Remembered


class Work:
    """Takes as long as it is told, and says which time this was."""

    def __init__(self) -> None:
        self.now_s, self.takes_s, self.times = 100.0, 0.0, 0

    def __call__(self) -> int:
        self.now_s += self.takes_s
        self.times += 1
        return self.times


def test_what_costs_much_is_good_for_long_and_what_costs_little_is_not() -> None:
    work = Work()
    answers: Remembered[int] = Remembered(monotonic_s=lambda: work.now_s)
    assert [answers.get("a", work), answers.get("a", work)] == [1, 2]
    work.takes_s = 10 * CHEAP_S
    assert [answers.get("a", work), answers.get("a", work)] == [3, 3]
    assert answers.get("b", work) == 4
    work.now_s += work.takes_s / SHARE - 0.01
    assert answers.get("b", work) == 4
    work.now_s += 0.02
    assert answers.get("b", work) == 5
    work.takes_s = 10 * MOST_S
    assert [answers.get("c", work), answers.get("c", work)] == [6, 6]
    work.now_s += MOST_S + 0.01
    assert answers.get("c", work) == 7


def test_what_is_to_be_kept_is_kept_whatever_it_cost() -> None:
    work = Work()
    answers: Remembered[int] = Remembered(60.0, monotonic_s=lambda: work.now_s)
    assert answers.get("a", work) == 1
    work.now_s += 59.0
    assert answers.get("a", work) == 1
    work.now_s += 2.0
    assert answers.get("a", work) == 2
