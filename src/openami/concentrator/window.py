# SPDX-License-Identifier: Apache-2.0
"""What is on its way to the head-end: a window of journal entries without an end receipt.

Entries leave in the order of their arrival.  A confirm names meter and long-invoke-id only, so no
two entries of the same name are under way at once: the second waits until every confirm that the
first can still cause has come in.  The window does no input or output and is told the time.
"""

from collections import Counter
from dataclasses import dataclass, field

from openami.concentrator.journal import Entry


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
    _held: list[Entry] = field(default_factory=list, repr=False)
    _stale: Counter[tuple[bytes, int]] = field(default_factory=Counter, repr=False)

    @property
    def under_way(self) -> int:
        return len(self._sent)

    @property
    def room(self) -> int:
        """How many entries of the journal may be taken now."""
        return max(0, self.most_entries - len(self._sent) - len(self._held))

    def take(self, entries: list[Entry], now_s: float) -> list[Entry]:
        """Take `entries` behind the cursor; return those to be sent now, in order."""
        candidates = self._held + entries
        self._held = []
        send = []
        for entry in candidates:
            if entry.key in self._sent or entry.key in self._stale:
                self._held.append(entry)
            else:
                self._sent[entry.key] = Sent(entry, now_s)
                send.append(entry)
        if entries:
            self.cursor = entries[-1].sequence
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
            return None
        if sent.times > 1:
            self._stale[key] += sent.times - 1
        return sent.entry

    def restart(self) -> None:
        """Begin anew on a new connection: everything that is still in the journal is sent."""
        self.cursor = 0
        self._sent.clear()
        self._held.clear()
        self._stale.clear()
