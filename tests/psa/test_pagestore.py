# SPDX-License-Identifier: Apache-2.0
"""The store on page flash: what was committed stays, whenever the power goes."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from openami.psa.flash import ERASED, PAGE_OCTETS, FlashError, MemoryFlash
from openami.psa.pagestore import HEADER_OCTETS, MAGIC, PageStore
from openami.psa.status import PsaError, Status
from powercuts import Record, RecordedFlash, Synchronised, blank

Changes = Mapping[bytes, bytes | None]

HISTORY: list[Changes] = [
    {b"a": b"1" * 100},
    {b"b": b"2" * 700, b"c": b"3"},
    {b"a": b"4" * 900, b"c": None},
    {b"d": b"5" * 600},
    {b"a": b"6" * 500},
    {b"b": None, b"d": b"7" * 900},
    {b"e": b""},
    {b"d": None, b"a": None, b"e": None},
    {b"a": b"8" * 1200},
    {b"a": b"9" * 1300},
] * 3
"""Moves to the other half and back several times on four pages."""


def held(store: PageStore) -> dict[bytes, bytes]:
    return {name: store.get(name) or b"" for name in store.names()}


def applied(before: dict[bytes, bytes], changes: Changes) -> dict[bytes, bytes]:
    after = {name: value for name, value in before.items() if name not in changes}
    return after | {name: value for name, value in changes.items() if value is not None}


def mounted(octets: bytes) -> PageStore:
    flash = MemoryFlash(len(octets) // PAGE_OCTETS)
    flash.octets[:] = octets
    return PageStore(flash)


def recorded(before: bytes, history: list[Changes]) -> tuple[Record, list[int]]:
    """Return what a history did to flash, and after how many steps each commit was done."""
    record = Record([before])
    store = PageStore(record.flashes()[0])
    ends = []
    for changes in history:
        store.commit(changes)
        ends.append(len(record.steps))
    return record, ends


def test_a_cut_at_any_moment_leaves_each_commit_whole_or_undone() -> None:
    record, ends = recorded(blank(4), HISTORY)
    states: list[dict[bytes, bytes]] = [{}]
    for changes in HISTORY:
        states.append(applied(states[-1], changes))
    seen = set()
    for moment, (octets,) in record.cuts():
        done = sum(end <= moment for end in ends)
        allowed = states[done : done + 2] if moment not in ends else [states[done]]
        found = held(mounted(octets))
        assert found in allowed, f"after step {moment}"
        seen.add((done, allowed.index(found)))
    assert {done for done, _ in seen} == set(range(len(HISTORY) + 1))
    assert any(new for _, new in seen), "some cut leaves what was not synchronised, and whole"
    erased = [step for step in record.steps if not isinstance(step, Synchronised)]
    assert sum(len(step.octets) == PAGE_OCTETS for step in erased) >= 8, "it moved four times"


@pytest.mark.parametrize("first", range(len(HISTORY) // 3))
def test_a_second_cut_while_going_on_after_the_first_loses_nothing_either(first: int) -> None:
    record, ends = recorded(blank(4), HISTORY[: first + 1])
    start = ends[first - 1] if first else 0
    changes: Changes = {b"z": b"later" * 20, b"b": None}
    for octets in {each for _, (each,) in record.cuts(start)}:
        before = held(mounted(octets))
        again, _ = recorded(octets, [changes])
        for moment, (left,) in again.cuts():
            found = held(mounted(left))
            whole = moment == len(again.steps)
            assert found in (
                [applied(before, changes)] if whole else [before, applied(before, changes)]
            )


def test_a_commit_is_durable_when_it_returns() -> None:
    record, _ = recorded(blank(2), [{b"a": b"1"}, {b"a": b"2"}])
    assert isinstance(record.steps[-1], Synchronised)
    assert [held(mounted(octets)) for (octets,) in record.left(len(record.steps))] == [{b"a": b"2"}]


def test_what_does_not_fit_changes_nothing() -> None:
    flash = MemoryFlash(2)
    store = PageStore(flash)
    store.commit({b"a": b"1"})
    room = PAGE_OCTETS - PageStore.needed_octets({b"a": b"1"})
    for size in (room, PAGE_OCTETS):
        with pytest.raises(PsaError) as caught:
            store.commit({b"b": bytes(size)})
        assert caught.value.status is Status.INSUFFICIENT_STORAGE
    assert held(store) == held(PageStore(flash)) == {b"a": b"1"}
    store.commit({b"a": None, b"b": bytes(room)})
    assert held(PageStore(flash)) == {b"b": bytes(room)}


@pytest.mark.parametrize("name", [b"a", b"a longer name"])
def test_a_half_is_filled_to_its_last_octet(name: bytes) -> None:
    flash = MemoryFlash(2)
    store = PageStore(flash)
    header, length, checksum, entry = 16, 4, 4, 5
    room = PAGE_OCTETS - header - length - checksum - entry - len(name)
    with pytest.raises(PsaError) as caught:
        store.commit({name: bytes(room + 1)})
    assert caught.value.status is Status.INSUFFICIENT_STORAGE
    store.commit({name: b"x" * room})
    assert held(PageStore(flash)) == {name: b"x" * room}


def test_a_full_half_can_be_written_for_ever() -> None:
    flash = MemoryFlash(2)
    store = PageStore(flash)
    for number in range(300):
        store.commit({b"n": number.to_bytes(2), b"fill": bytes(1000)})
    assert held(PageStore(flash))[b"n"] == (299).to_bytes(2)


class FailingFlash(MemoryFlash):
    """Flash that refuses its nth write from now."""

    left = -1

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise FlashError("flash at 0 does not take it: the part is worn out")

    def program(self, offset: int, octets: bytes) -> None:
        self._count()
        super().program(offset, octets)

    def erase(self, offset: int) -> None:
        self._count()
        super().erase(offset)

    def sync(self) -> None:
        self._count()


@pytest.mark.parametrize("nth", range(1, 8))
@pytest.mark.parametrize("size", [10, 1500])
def test_flash_that_refuses_is_a_storage_failure_and_loses_nothing(nth: int, size: int) -> None:
    flash = FailingFlash(4)
    store = PageStore(flash)
    store.commit({b"a": bytes(1500)})
    flash.left = nth
    try:
        store.commit({b"b": b"x" * size})
        store.commit({b"b": b"y" * size})
    except PsaError as error:
        assert error.status is Status.STORAGE_FAILURE  # noqa: PT017
    assert held(PageStore(flash))[b"a"] == bytes(1500)
    flash.left = -1
    store.commit({b"b": b"again"})
    assert held(PageStore(flash)) == held(store) == {b"a": bytes(1500), b"b": b"again"}


def test_flash_that_cannot_be_read_is_a_storage_failure() -> None:
    class Dead(MemoryFlash):
        def read(self, offset: int, octets: int) -> bytes:
            raise FlashError(f"flash at {offset} cannot be read ({octets} octets)")

    with pytest.raises(PsaError) as caught:
        PageStore(Dead(2))
    assert caught.value.status is Status.STORAGE_FAILURE
    with pytest.raises(ValueError, match="even number of pages"):
        PageStore(MemoryFlash(3))


def test_what_was_written_by_something_else_is_not_taken_for_blank() -> None:
    with pytest.raises(PsaError) as caught:
        mounted(bytes(4 * PAGE_OCTETS))
    assert caught.value.status is Status.DATA_CORRUPT


def test_a_record_that_fades_is_no_cut_unless_it_is_the_last() -> None:
    record, ends = recorded(blank(2), [{b"a": b"1"}, {b"b": b"2"}, {b"c": b"3"}])
    (octets,) = record.left(ends[-1])[0]
    starts = [step.offset for step in record.steps if not isinstance(step, Synchronised)]
    second, third = starts[-2:]
    whole = {b"a": b"1", b"b": b"2", b"c": b"3"}
    for at in range(second, third):
        faded = bytearray(octets)
        faded[at] ^= 0x04
        found: object
        try:
            found = held(mounted(bytes(faded)))
        except PsaError as error:
            found = error.status
        if at == third - 1:
            assert found == whole, "filling says nothing"
        elif second < at < second + 4:
            assert found == {b"a": b"1"}, "a length that grew to the end looks like a cut"
        else:
            assert found is Status.DATA_CORRUPT
    faded = bytearray(octets)
    faded[third + 9] ^= 0x04
    assert held(mounted(bytes(faded))) == {b"a": b"1", b"b": b"2"}


def test_flash_takes_no_second_write() -> None:
    flash = MemoryFlash(1)
    flash.program(0, b"\x00")
    with pytest.raises(FlashError, match="erase its page first"):
        flash.program(0, b"\x00")
    with pytest.raises(FlashError, match="flash has 2048 octets"):
        flash.read(2047, 2)
    with pytest.raises(FlashError, match="no page begins at 5"):
        MemoryFlash(2).erase(5)
    for outside in (-PAGE_OCTETS, 2 * PAGE_OCTETS):
        with pytest.raises(FlashError, match="flash has 4096 octets"):
            MemoryFlash(2).erase(outside)
    flash.erase(0)
    assert flash.read(0, 1) == bytes((ERASED,))


@given(st.binary(max_size=400), st.integers(0, 2))
def test_any_octets_are_a_store_or_refused(octets: bytes, place: int) -> None:
    image = bytearray(blank(2))
    record, _ = recorded(blank(2), [{b"a": b"1"}])
    if place:
        image = bytearray(record.left(len(record.steps))[0][0])
    at = HEADER_OCTETS + 8 * (place - 1) if place else 0
    image[at : at + len(octets)] = octets
    try:
        store = mounted(bytes(image))
    except PsaError as error:
        assert error.status is Status.DATA_CORRUPT  # noqa: PT017
    else:
        store.commit({b"new": b"value"})
        assert store.get(b"new") == b"value"


def test_the_header_says_what_it_is() -> None:
    record, _ = recorded(blank(2), [{b"a": b"1"}])
    (octets,) = record.left(len(record.steps))[0]
    assert octets[:8] == MAGIC + (1).to_bytes(4, "little")


class AnyHistory(RuleBasedStateMachine):
    """A store against a dictionary, with restarts and cuts in between."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[bytes, bytes] = {}
        self.record = Record([blank(4)])
        self.flash: RecordedFlash = self.record.flashes()[0]
        self.store = PageStore(self.flash)

    @rule(
        changes=st.dictionaries(
            st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=600), max_size=3
        )
    )
    def commit(self, changes: Changes) -> None:
        self.store.commit(changes)
        self.model = applied(self.model, changes)

    @rule(fraction=st.floats(0, 1), fate=st.integers(0, 1000))
    def cut(self, fraction: float, fate: int) -> None:
        """Cut while `d` is being written."""
        start = len(self.record.steps)
        value = bytes(300)
        self.store.commit({b"d": value})
        steps = len(self.record.steps) - start
        moment = start + round(fraction * steps)
        ways = self.record.left(moment)
        (octets,) = ways[fate % len(ways)]
        self.record = Record([octets])
        self.flash = self.record.flashes()[0]
        self.store = PageStore(self.flash)
        new = self.model | {b"d": value}
        assert held(self.store) in ([new] if moment == start + steps else [self.model, new])
        self.model = held(self.store)

    @invariant()
    def same(self) -> None:
        assert held(self.store) == self.model == held(PageStore(self.flash))


TestAnyHistory = AnyHistory.TestCase
