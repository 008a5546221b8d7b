# SPDX-License-Identifier: Apache-2.0
"""Events that meters tell at once, stored as their log would tell them later: each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from openami.exchange.alarms import AlarmNotice
from openami.exchange.supply import Told
from openami.runtime.clock import MICROSECONDS
from openami.store import alarms, inbox, interruptions, live, publishing, registry, supply
from openami.store.accepted import Origin
from openami.store.alarms import Name, Picture
from openami.store.registry import Event

STATE_ALONE: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """One event of a meter.

    Attributes:
        at_us: When, by the meter's clock.
        code: Of the event log; 0: nothing happened, the registers alone are told.
        picture: The alarm registers, where it told them, and what their bits are called.
        seconds: How long what is over took; 0: not told.
        received_us: When the head-end had it, by the calendar.
        received_real_us: ... and in real time.
    """

    meter_id: int
    at_us: int
    code: int
    seconds: int
    received_us: int
    received_real_us: int
    picture: tuple[Picture, Name] | None = None

    @property
    def event(self) -> Event:
        """The entry of the event log."""
        return Event(
            meter_id=self.meter_id, at_us=self.at_us, code=self.code, received_us=self.received_us
        )


def store_noticed(
    connection: Connection,
    noticed: Sequence[tuple[Noticed, Origin | None]],
    *,
    publish: bool = False,
) -> list[bool]:
    """Store events, what they say of supply, and what pages and other systems are told.

    Returns:
        For each whether its notification is new; those known change nothing.
    """
    flags = inbox.accept(connection, [origin for _, origin in noticed])
    new = [each for (each, _), is_new in zip(noticed, flags, strict=True) if is_new]
    if not new:
        return flags
    happened = [each for each in new if each.code != STATE_ALONE]
    unknown = registry.add_new_events(connection, [each.event for each in happened])
    alarms.tell(connection, [each.picture for each in new if each.picture is not None])
    told = [
        Told.of(each.meter_id, each.code, each.at_us, each.seconds, each.received_real_us)
        for each in new
    ]
    over = supply.tell(connection, [each for each in told if each is not None])
    interruptions.keep(connection, over)
    # The last word of a group on an event has how long it took, where an alarm told it first.
    last = {(each.meter_id, each.at_us, each.code): each.seconds for each in happened}
    live.append_feed(
        connection,
        [
            live.Entry(
                kind="event",
                meter_id=event.meter_id,
                at_us=event.at_us,
                body={"code": event.code, "seconds": last[event.meter_id, event.at_us, event.code]},
            )
            for event in unknown  # what is known was told: by its alarm, or under another counter
        ],
    )
    if publish:
        publishing.put(
            connection,
            [
                publishing.publication(
                    "events", event.meter_id, {"events": [[event.at_us, event.code]]}
                )
                for event in unknown
            ],
        )
    return flags


def picture_of(meter_id: int, notice: AlarmNotice, received_us: int) -> Picture:
    """Return what an alarm push tells; our meters have one alarm register."""
    return Picture(
        meter_id=meter_id,
        as_of_us=notice.at_s * MICROSECONDS,
        received_us=received_us,
        words={
            1: {"register": notice.register, "descriptor": notice.descriptor},
            0: {"register": notice.error},
        },
    )
