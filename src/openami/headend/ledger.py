# SPDX-License-Identifier: Apache-2.0
"""What of a command is sent and what came of it: one entry an order, kept in the command's row.

A command of one order has one entry, a bundle one for each of its items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from openami.exchange.commands import CommandKind, CommandState
from openami.headend.conduct import Outcome
from openami.headend.orders import BundleOrder, Order

Json = dict[str, Any]
Item = tuple[CommandKind, Order]

SENT: Final = CommandState.SENT.value
NOT_SENT: Final = "not sent"


def items_of(kind: CommandKind, order: Order) -> Sequence[Item]:
    """Return the orders of a command."""
    return order.items if isinstance(order, BundleOrder) else ((kind, order),)


@dataclass(slots=True)
class Entry:
    """One order: empty state, then sent, then how it ended."""

    kind: CommandKind
    state: str = ""
    note: str = ""
    before: Json | None = None
    result: Json = field(default_factory=dict)

    def as_json(self) -> Json:
        said: Json = {"kind": self.kind.value, "state": self.state, "note": self.note}
        if self.before is not None:
            said["before"] = self.before
        return said | {"result": self.result}


class Ledger:
    """The entries of one command."""

    def __init__(self, kind: CommandKind, order: Order) -> None:
        self.entries = [Entry(each) for each, _ in items_of(kind, order)]
        self._bundle = isinstance(order, BundleOrder)
        self._goes_on = isinstance(order, BundleOrder) and order.goes_on

    @classmethod
    def kept(cls, kind: CommandKind, order: Order, result: Json | None) -> Self:
        """Return the ledger of a command that may have been sent, as its row has kept it."""
        made = cls(kind, order)
        rows = (result or {}).get("items")
        if rows is None:  # it may have been sent, nothing more is known
            made.entries[0].state = SENT
            return made
        for entry, row in zip(made.entries, rows, strict=True):
            entry.state, entry.note = row["state"], row["note"]
            entry.before, entry.result = row.get("before"), row["result"]
        return made

    def sent(self, number: int, before: Json) -> None:
        """Note that an order is about to be sent."""
        self.entries[number].state, self.entries[number].before = SENT, before

    def is_open(self, number: int) -> bool:
        """Tell whether an order may have been sent and nothing is known of it."""
        return self.entries[number].state == SENT

    def end(self, number: int, outcome: Outcome) -> None:
        """Note what came of an order."""
        entry = self.entries[number]
        entry.state, entry.note, entry.result = outcome.state.value, outcome.note, outcome.result

    def stops(self, number: int) -> bool:
        """Tell whether nothing that follows an order is sent."""
        done = self.entries[number].state == CommandState.CONFIRMED.value
        return not (done or self._goes_on)

    def as_json(self) -> Json:
        """Return what the row keeps while the command is sent."""
        return {"items": [entry.as_json() for entry in self.entries]}

    def outcome(self) -> Outcome:
        """Return what came of the whole command."""
        if not self._bundle:
            (entry,) = self.entries
            return Outcome(CommandState(entry.state), entry.note, entry.result)
        for entry in self.entries:
            entry.state = entry.state or NOT_SENT
        done = [each for each in self.entries if each.state == CommandState.CONFIRMED.value]
        note = f"{len(done)} of {len(self.entries)} done"
        problems = [
            f"{number}: {each.kind.value} {each.state}{': ' if each.note else ''}{each.note}"
            for number, each in enumerate(self.entries, 1)
            if each not in done
        ]
        state = CommandState.FAILED if problems else CommandState.CONFIRMED
        return Outcome(state, "; ".join([note, *problems]), self.as_json())
