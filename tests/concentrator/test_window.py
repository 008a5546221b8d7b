# SPDX-License-Identifier: Apache-2.0
"""The window: order, room, time-outs, and confirms that cannot mean the wrong entry."""

from collections import deque
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from openami.concentrator.journal import Entry
from openami.concentrator.window import Find, Window

METER = bytes.fromhex("4F414D0000000001")


def entry(sequence: int, invoke_id: int | None = None) -> Entry:
    return Entry(sequence, METER, sequence if invoke_id is None else invoke_id, b"%d" % sequence)


def test_entries_leave_in_order_and_the_cursor_follows() -> None:
    window = Window(most_entries=3)
    entries = [entry(1), entry(2)]
    assert window.take(entries, 0.0) == entries
    assert (window.cursor, window.room, window.under_way) == (2, 1, 2)


def test_a_confirm_makes_room_and_names_the_entry() -> None:
    window = Window(most_entries=1)
    window.take([entry(1)], 0.0)
    assert window.room == 0
    assert window.confirmed(METER, 1) == entry(1)
    assert window.room == 1
    assert window.confirmed(METER, 1) is None


def test_overdue_entries_are_sent_again_oldest_first() -> None:
    window = Window(receipt_timeout_s=10.0)
    window.take([entry(1)], 0.0)
    window.take([entry(2)], 5.0)
    assert window.due(9.9) == []
    assert window.due(10.0) == [entry(1)]
    assert window.due(15.0) == [entry(2)]
    assert window.due(20.0) == [entry(1)]


def finding(journal: Iterable[Entry]) -> Find:
    """Return what finds the next entry of a name, as the journal does."""

    def find(key: tuple[bytes, int], after: int, until: int) -> Entry | None:
        found = (e for e in journal if e.key == key and after < e.sequence <= until)
        return min(found, key=lambda entry: entry.sequence, default=None)

    return find


def test_a_second_entry_of_the_same_name_waits_for_the_first() -> None:
    window = Window()
    first, second = entry(1, invoke_id=7), entry(2, invoke_id=7)
    find = finding([first, second])
    assert window.take([first, second], 0.0) == [first]
    assert window.take_passed(9, find, 0.0) == []
    assert window.confirmed(METER, 7) == first
    assert window.take_passed(9, find, 0.0) == [second]
    assert window.confirmed(METER, 7) == second


def test_a_late_confirm_of_a_sending_again_never_removes_the_next_entry() -> None:
    window = Window(receipt_timeout_s=1.0)
    first, second = entry(1, invoke_id=7), entry(2, invoke_id=7)
    find = finding([first, second])
    window.take([first, second], 0.0)
    assert window.due(1.0) == [first]  # sent twice: two confirms may come
    assert window.confirmed(METER, 7) == first
    assert window.take_passed(9, find, 1.0) == []  # the second confirm of the first is still out
    assert window.confirmed(METER, 7) is None
    assert window.take_passed(9, find, 1.0) == [second]


def test_many_entries_of_one_name_take_no_place_from_others() -> None:
    window = Window(most_entries=8)
    flood = [entry(n, invoke_id=7) for n in range(1, 301)]
    others = [entry(n) for n in range(301, 321)]
    find = finding(flood)
    assert window.take(flood, 0.0) == flood[:1]
    assert window.room == 7
    sent = window.take(others[:7], 0.0)
    assert sent == others[:7]
    rest, done = others[7:], 0
    while rest:  # each receipt of another makes room for another, those of the flood for its next
        assert window.confirmed(METER, 7) is not None
        assert window.confirmed(METER, sent.pop(0).long_invoke_id) is not None
        passed = window.take_passed(2, find, 0.0)
        assert passed == [flood[done := done + 1]]
        sent += window.take([rest.pop(0)], 0.0)


def test_a_single_place_is_given_in_turns() -> None:
    window = Window(most_entries=1)
    journal = [entry(1, 7), *(entry(n, 7) for n in range(2, 6)), *(entry(n) for n in range(6, 10))]
    find = finding(journal)
    order = window.take(journal[:5], 0.0)
    while window.under_way:
        assert window.confirmed(*order[-1].key) is not None
        for _ in range(2):
            if window.room:
                order += window.take_passed(1, find, 0.0)
            if window.room:
                order += window.take([e for e in journal if e.sequence > window.cursor][:1], 0.0)
    assert len(order) == len(journal)
    assert {e.sequence for e in order[:5]} & {6, 7}  # the others did not wait for the flood's end


def test_a_new_connection_begins_anew() -> None:
    window = Window()
    window.take([entry(1), entry(2, invoke_id=1)], 0.0)
    assert window.confirmed(METER, 1) is not None
    assert window.names_wait
    window.restart()
    assert not window.names_wait
    assert (window.cursor, window.under_way, window.room) == (0, 0, window.most_entries)
    assert window.confirmed(METER, 1) is None


@given(st.data())
def test_nothing_leaves_the_journal_unless_the_head_end_has_it(data: st.DataObject) -> None:
    """A head-end that answers in order, late or after a cut; few names, so they collide."""
    journal = {n: entry(n, n % 3) for n in range(1, data.draw(st.integers(1, 12)) + 1)}
    window = Window(most_entries=data.draw(st.integers(1, 4)), receipt_timeout_s=2.0)
    line: deque[Entry] = deque()  # sent, not yet answered
    held: set[bytes] = set()  # what the head-end has
    now_s = 0.0

    def step(action: str) -> None:
        nonlocal now_s
        match action:
            case "send":
                line.extend(window.take_passed(window.room, finding(journal.values()), now_s))
                behind = [journal[n] for n in sorted(journal) if n > window.cursor]
                line.extend(window.take(behind[: window.room], now_s))
            case "wait":
                now_s += 1.0
                line.extend(window.due(now_s))
            case "answer" if line:
                arrived = line.popleft()
                held.add(arrived.octets)
                done = window.confirmed(arrived.title, arrived.long_invoke_id)
                if done is not None:
                    assert done.octets in held
                    del journal[done.sequence]
            case "cut":
                line.clear()
                window.restart()

    for action in data.draw(st.lists(st.sampled_from(["send", "wait", "answer", "cut"]))):
        step(action)
    step("cut")
    for _ in range(200):
        step("send")
        step("answer")
    assert not line
    assert not journal
