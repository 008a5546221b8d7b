# SPDX-License-Identifier: Apache-2.0
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.device import FLASH_OCTETS, SMALL
from openami.firmware.bank import Bank
from openami.firmware.flash import SimulatedFlash
from openami.firmware.state import (
    AT_BOOT,
    CALLS,
    LONGEST_ERROR,
    RECORD,
    BootState,
    Call,
    StateJournal,
    UpdateState,
)

states = st.builds(
    BootState,
    counter=st.integers(0, 0xFFFFFFFF),
    confirmed=st.sampled_from(Bank),
    state=st.sampled_from(UpdateState),
    candidate=st.none() | st.sampled_from(Bank),
    error=st.text("abc-", max_size=LONGEST_ERROR),
)


def blank() -> SimulatedFlash:
    return SimulatedFlash(FLASH_OCTETS, page_octets=SMALL.page_octets)


@given(states, st.integers(0, 0xFFFFFFFF))
def test_decode_inverts_encode(state: BootState, sequence: int) -> None:
    octets = state.encode(sequence)
    assert len(octets) == RECORD.size == 64
    assert BootState.decode(octets) == (sequence, state)


@given(states, st.integers(0, 63), st.integers(1, 255))
def test_an_altered_record_is_none(state: BootState, at: int, change: int) -> None:
    octets = bytearray(state.encode(1))
    octets[at] ^= change
    assert BootState.decode(bytes(octets)) is None


@given(st.binary(min_size=64, max_size=64))
def test_any_octets_are_a_record_or_none(octets: bytes) -> None:
    assert BootState.decode(octets) is None


def test_the_newest_record_counts_however_many_there_are() -> None:
    made = blank()
    assert StateJournal(made, SMALL).read() is None
    for counter in range(40):
        StateJournal(made, SMALL).write(BootState(counter=counter, confirmed=Bank(counter % 2)))
        found = StateJournal(made, SMALL).read()
        assert found == BootState(counter=counter, confirmed=Bank(counter % 2))


def test_the_counter_never_goes_back() -> None:
    made = blank()
    journal = StateJournal(made, SMALL)
    journal.write(BootState(counter=7, confirmed=Bank.A))
    with pytest.raises(ValueError, match="from 7 to 6"):
        journal.write(BootState(counter=6, confirmed=Bank.A))


def test_a_cell_that_goes_bad_does_not_take_the_counter_back() -> None:
    made = blank()
    for counter in range(9):
        StateJournal(made, SMALL).write(BootState(counter=counter, confirmed=Bank.A))
        newest = max(
            (found[0], at)
            for at in range(SMALL.state.offset, SMALL.state.end, RECORD.size)
            if (found := BootState.decode(made.read(at, RECORD.size))) is not None
        )
        made.content[newest[1] + 8] ^= 1
        found = StateJournal(made, SMALL).read()
        assert found is not None
        assert found.counter == counter


def test_a_cut_leaves_the_old_record_or_the_new_one() -> None:
    made = blank()
    for counter in range(12):
        StateJournal(made, SMALL).write(BootState(counter=counter, confirmed=Bank.A))
    written = [0]
    for done in range(len(made.operations) + 1):
        for seed in range(12):
            after = made.after_cut(done, random.Random(seed).randrange)
            found = StateJournal(after, SMALL).read()
            sure = made.after_cut(done, lambda _: 0)
            least = StateJournal(sure, SMALL).read()
            if least is None:
                continue
            assert found is not None
            assert found.counter in {least.counter, least.counter + 1}
            written.append(found.counter)
            journal = StateJournal(after, SMALL)
            journal.write(BootState(counter=99, confirmed=Bank.B))
            again = journal.read()
            assert again is not None
            assert again.counter == 99
    assert set(written) == set(range(12))


def test_every_state_and_call_is_decided() -> None:
    assert set(CALLS) <= set(product(UpdateState, Call))
    assert {call for _, call in CALLS} == set(Call)
    assert {state for state, _ in CALLS} | set(AT_BOOT) == set(UpdateState)
    volatile = {UpdateState.STAGED, UpdateState.TRIAL, UpdateState.REJECTED}
    assert set(AT_BOOT) == volatile, "no other state is gone after a start"
    assert [state.value for state in UpdateState] == list(range(8))
