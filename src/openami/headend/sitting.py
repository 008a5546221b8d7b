# SPDX-License-Identifier: Apache-2.0
"""What one sitting over outages knows, and how it writes down what it finds (`judging`)."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from openami.store import live, outages
from openami.store.outages import Member, Outage

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sitting:
    """What one sitting knows."""

    connection: Connection
    now_us: int
    now_real_us: int
    open: list[Outage]
    members: dict[int, list[Member]]
    told: list[live.Entry] = field(default_factory=list)

    def tell(self, outage_id: int, what: str) -> None:
        """Tell the pages."""
        body: live.Body = {"outage_id": outage_id, "what": what}
        entry = live.Entry(kind="outage", meter_id=None, at_us=self.now_us, body=body)
        self.told.append(entry)

    def note(self, outage_id: int, sentence: str) -> None:
        """Write a line of an outage's history, and tell the pages."""
        outages.note(self.connection, outage_id, self.now_real_us, sentence)
        self.tell(outage_id, sentence)
        log.info("outage %d: %s", outage_id, sentence)

    def begin(self, outage: Outage) -> int:
        """Write a new outage."""
        number = outages.begin(self.connection, outage)
        self.open.append(replace(outage, outage_id=number))
        self.members[number] = []
        self.tell(number, "found")
        log.warning("outage %d of %s: %s", number, outage.place, outage.sentence)
        return number

    def put(self, members: Sequence[Member]) -> None:
        """Write members."""
        outages.put_members(self.connection, members)
        by_outage: dict[int, dict[int, Member]] = {}
        for member in members:
            by_outage.setdefault(member.outage_id, {})[member.meter_id] = member
        for outage_id, new in by_outage.items():
            kept = [each for each in self.members.get(outage_id, []) if each.meter_id not in new]
            self.members[outage_id] = [*kept, *new.values()]

    def end(self, outage: Outage, ended_us: int, sentence: str) -> None:
        """Close an outage."""
        outages.end(self.connection, outage.outage_id, ended_us, self.now_real_us)
        self.open = [each for each in self.open if each.outage_id != outage.outage_id]
        self.note(outage.outage_id, sentence)


def named(numbers: Iterable[int]) -> str:
    """Name meters: each of a few, the first of many."""
    ordered = sorted(numbers)
    shown = ", ".join(str(number) for number in ordered[:6])
    more = f" and {len(ordered) - 6} more" if len(ordered) > 6 else ""
    return f"meter {shown}" if len(ordered) == 1 else f"meters {shown}{more}"
