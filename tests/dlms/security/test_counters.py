# SPDX-License-Identifier: Apache-2.0
"""Invocation counters: never twice, not after a crash, not beyond the end."""

import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import ReplayError, SecurityError
from openami.dlms.security.counters import (
    CounterBlock,
    InvocationCounter,
    ReceiveWindow,
)


@dataclass
class Disk:
    """What survives a crash: the first counter that was never reserved."""

    first_free: int = 0

    def reserve(self, count: int) -> InvocationCounter:
        first = self.first_free
        self.first_free += count
        return InvocationCounter(first)


@given(
    lives=st.lists(st.integers(0, 25), max_size=8),
    size=st.integers(1, 10),
    start=st.integers(0, 1000),
)
def test_no_counter_is_given_twice_however_often_the_sender_crashes(
    lives: list[int], size: int, start: int
) -> None:
    disk = Disk(start)
    given_out: list[int] = []

    for length in lives:
        block = CounterBlock.reserving(disk, size)
        for _ in range(length):
            counter = block.next()
            assert counter < disk.first_free  # durable before it is used
            given_out.append(counter)

    assert given_out == sorted(set(given_out))


def test_a_block_without_a_reserve_ends() -> None:
    block = CounterBlock(5, 7)

    assert [block.next(), block.next()] == [5, 6]
    for _ in range(2):
        with pytest.raises(SecurityError, match="the reserved block ends before 7"):
            block.next()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_last_counter_of_a_key_is_never_sent(size: int) -> None:
    block = CounterBlock.reserving(Disk(2**32 - 3), size)

    assert [block.next(), block.next()] == [2**32 - 3, 2**32 - 2]
    for _ in range(2):
        with pytest.raises(SecurityError, match="all counters of this key are used; transfer"):
            block.next()


def test_a_fixed_block_stops_at_the_end_too() -> None:
    block = CounterBlock(2**32 - 2, 2**32 - 1)

    block.next()
    with pytest.raises(SecurityError, match="all counters of this key are used"):
        block.next()


def test_a_reserve_that_went_back_is_refused() -> None:
    disk = Disk()
    block = CounterBlock.reserving(disk, 2)
    block.next()
    block.next()
    disk.first_free = 1  # restored from an old backup

    with pytest.raises(SecurityError, match="went back to 1"):
        block.next()


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_each_counter_is_above_the_last(counters: list[int]) -> None:
    window = ReceiveWindow()
    last = -1
    for counter in counters:
        if counter > last:
            window.accept(counter)
            last = counter
        else:
            with pytest.raises(ReplayError) as caught:
                window.accept(counter)
            assert caught.value.expected == min(last + 1, 2**32 - 1)
    assert window.expected == last + 1


def test_a_replay_says_what_is_expected_in_another_process_too() -> None:
    with pytest.raises(ReplayError) as caught:
        ReceiveWindow(11).accept(10)

    error = pickle.loads(pickle.dumps(caught.value))

    assert error.expected == 11
    assert str(error) == (
        "the invocation counter is not above the last one; 11 is expected, "
        "at invocation counter 10 (DLMS UA 1000-2 Ed. 10, 9.2.7.2.4)"
    )
