# SPDX-License-Identifier: Apache-2.0
"""What is on its way to the head-end: a window of journal entries without an end receipt.

Entries leave in the order of their arrival.  A confirm names meter and long-invoke-id only, so no
two entries of the same name are under way at once: the second stays in the journal until every
confirm that the first can still cause has come in, and those behind it pass by.  Where such a name
is to go on in the journal is a number and no entry: however many there are of one name, they take
no place from anybody.  The window does no input or output and is told the time.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from openami.concentrator.journal import Entry

Find = Callable[[tuple[bytes, int], int, int], Entry | None]


@dataclass(slots=True)
class Sent:
    """An entry under way."""

    entry: Entry
    sent_s: float
    times: int = 1


@dataclass(slots=True)
class Window:
    """The entries under way on one connection to the head-end.

    Attributes:
        most_entries: How many may be under way.
        receipt_timeout_s: After it an entry is sent again.
        cursor: Sequence number behind which the journal is to be read next.
    """

    most_entries: int = 256
    receipt_timeout_s: float = 30.0
    cursor: int = 0
    _sent: dict[tuple[bytes, int], Sent] = field(default_factory=dict, repr=False)
    _behind: dict[tuple[bytes, int], int] = field(default_factory=dict, repr=False)
    _free: deque[tuple[bytes, int]] = field(default_factory=deque, repr=False)
    _turn: bool = False
    _stale: Counter[tuple[bytes, int]] = field(default_factory=Counter, repr=False)

    @property
    def under_way(self) -> int:
        return len(self._sent)

    @property
    def room(self) -> int:
        """How many entries of the journal may be taken now."""
        return max(0, self.most_entries - len(self._sent))

    @property
    def names_wait(self) -> bool:
        """Whether a name that entries were passed by for may go on."""
        return bool(self._free)

    def take(self, entries: list[Entry], now_s: float) -> list[Entry]:
        """Take `entries` behind the cursor; return those to be sent now, in order."""
        send = []
        for entry in entries:
            key = entry.key
            if key in self._behind:
                continue
            if key in self._sent or key in self._stale:
                self._behind[key] = entry.sequence - 1
            else:
                self._sent[key] = Sent(entry, now_s)
                send.append(entry)
        if entries:
            self.cursor = entries[-1].sequence
        return send

    def take_passed(self, most: int, find: Find, now_s: float) -> list[Entry]:
        """Take the next entry of names that may go on; return those to be sent now.

        Every second time one more than half of `most`, or one less, so that of a single place
        names and the journal behind the cursor have turns.

        Args:
            most: How many entries may be taken in all.
            find: Returns the first entry of a name behind a sequence number and up to another.
            now_s: The time.
        """
        self._turn = not self._turn
        send = []
        for _ in range(min(len(self._free), (most + self._turn) // 2)):
            key = self._free.popleft()
            entry = find(key, self._behind[key], self.cursor)
            if entry is None:
                del self._behind[key]
            else:
                self._behind[key] = entry.sequence
                self._sent[key] = Sent(entry, now_s)
                send.append(entry)
        return send

    def due(self, now_s: float) -> list[Entry]:
        """Return the entries whose receipt is overdue, to be sent again."""
        again = []
        for sent in self._sent.values():
            if now_s - sent.sent_s < self.receipt_timeout_s:
                break  # the oldest come first
            again.append(sent)
        for sent in again:
            sent.sent_s = now_s
            sent.times += 1
            self._sent[sent.entry.key] = self._sent.pop(sent.entry.key)
        return [sent.entry for sent in again]

    def confirmed(self, title: bytes, long_invoke_id: int) -> Entry | None:
        """Take a confirm; return the entry that may leave the journal, if it is the first."""
        key = title, long_invoke_id
        sent = self._sent.pop(key, None)
        if sent is None:
            if key in self._stale:
                self._stale[key] -= 1
                if not self._stale[key]:
                    del self._stale[key]
                    self._let_go_on(key)
            return None
        if sent.times > 1:
            self._stale[key] += sent.times - 1
        else:
            self._let_go_on(key)
        return sent.entry

    def restart(self) -> None:
        """Begin anew on a new connection: everything that is still in the journal is sent."""
        self.cursor = 0
        self._sent.clear()
        self._behind.clear()
        self._free.clear()
        self._stale.clear()

    def _let_go_on(self, key: tuple[bytes, int]) -> None:
        if key in self._behind:
            self._free.append(key)
