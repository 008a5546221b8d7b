# SPDX-License-Identifier: Apache-2.0
"""What one sitting over outages knows, and how it writes down what it finds (`judging`)."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from openami.exchange.supply import Evidence, Supply
from openami.headend.config import OutageSettings
from openami.runtime.clock import MICROSECONDS
from openami.store import live, outage_members, outages, supply
from openami.store.outage_members import Member
from openami.store.outages import Outage, Step

log = logging.getLogger(__name__)

LOOK_AGAIN_US = 1_000_000  # real: at what should have settled by itself, and has not
TOLD = frozenset({Evidence.GASP, Evidence.TOLD})


@dataclass(slots=True)
class Sitting:
    """What one sitting knows, and has not written yet.

    Attributes:
        connection: In a transaction.
        rules: What makes an outage.
        now_us: By the calendar.
        now_real_us: In real time.
        supply: What is known of the meters that it takes up, held until the transaction ends.
        steps: Lines of histories.
        told: For the pages.
        looks: When ends of outages are judged next, by number; in this sitting, where that is now.
    """

    connection: Connection
    rules: OutageSettings
    now_us: int
    now_real_us: int
    supply: dict[int, Supply] = field(default_factory=dict)
    steps: list[tuple[int, Step]] = field(default_factory=list)
    told: list[live.Entry] = field(default_factory=list)
    looks: dict[int, int | None] = field(default_factory=dict)

    def hold(self, meter_ids: Iterable[int]) -> None:
        """Learn what is known of meters, and let nobody else change it meanwhile.

        What others change just now is left out where this sitting holds something already.
        """
        new = set(meter_ids) - self.supply.keys()
        self.supply |= supply.hold(self.connection, new, waits=not self.supply)

    def tell(self, outage_id: int, what: str) -> None:
        """Tell the pages."""
        body: live.Body = {"outage_id": outage_id, "what": what}
        entry = live.Entry(kind="outage", meter_id=None, at_us=self.now_us, body=body)
        self.told.append(entry)

    def note(self, outage_id: int, sentence: str) -> None:
        """Add a line to an outage's history, and tell the pages."""
        self.steps.append((outage_id, Step(self.now_real_us, sentence)))
        self.tell(outage_id, sentence)
        log.info("outage %d: %s", outage_id, sentence)

    def begin(self, begun: Sequence[tuple[Outage, Sequence[Supply]]]) -> list[int]:
        """Write new outages and who is in them; return their numbers."""
        numbers = outages.begin_all(self.connection, [outage for outage, _ in begun])
        for number, (outage, _) in zip(numbers, begun, strict=True):
            self.tell(number, "found")
            log.warning("outage %d of %s: %s", number, outage.place, outage.sentence)
        self.put(
            [
                (number, loss)
                for number, (_, losses) in zip(numbers, begun, strict=True)
                for loss in losses
            ]
        )
        return numbers

    def put(self, losses: Sequence[tuple[int, Supply]]) -> None:
        """Write who is in outages, by the outage's number; whose members are back may be over."""
        members = [member_of(number, loss) for number, loss in losses]
        dues = {evidence: self.asked_next(evidence) for evidence in Evidence}
        outage_members.put_members(self.connection, members, dues)
        self.look_at({number for number, loss in losses if not loss.is_lost})

    def asked_next(self, evidence: Evidence) -> int:
        """Return when a dark meter is asked, real time: at once if it only is presumed to be."""
        return self.now_real_us if evidence is Evidence.PRESUMED else self.asked_again(evidence)

    def asked_again(self, evidence: Evidence) -> int:
        """Return when a dark meter that was asked now is asked again, real time."""
        rules = self.rules
        pause_s = rules.gasped_again_s if evidence in TOLD else rules.silent_again_s
        return self.now_real_us + round(pause_s * MICROSECONDS)

    def look_at(self, outage_ids: Iterable[int]) -> None:
        """Judge in this sitting whether outages are over."""
        self.looks |= dict.fromkeys(outage_ids, self.now_real_us)

    def close(self) -> None:
        """Write what was noted and when to look again, and tell the pages."""
        outages.look_at(self.connection, self.looks)
        outages.note_all(self.connection, self.steps)
        live.append_feed(self.connection, self.told)


def member_of(outage_id: int, loss: Supply) -> Member:
    """Return a meter in an outage as what is known of its supply says."""
    return Member(
        outage_id=outage_id,
        meter_id=loss.meter_id,
        lost_us=loss.lost_us,
        returned_us=loss.returned_us,
        evidence=loss.evidence,
    )


def named(numbers: Iterable[int]) -> str:
    """Name meters: each of a few, the first of many."""
    ordered = sorted(numbers)
    shown = ", ".join(str(number) for number in ordered[:6])
    more = f" and {len(ordered) - 6} more" if len(ordered) > 6 else ""
    return f"meter {shown}" if len(ordered) == 1 else f"meters {shown}{more}"
