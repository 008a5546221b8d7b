# SPDX-License-Identifier: Apache-2.0
"""A meter's event log, read since the last time and stored; what is known already is ignored."""

from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.reading import LoggedEvent, read_events
from openami.store import publishing, registry
from openami.store.database import Database, transaction
from openami.store.registry import Event, Meter


async def fetch_events(session: MeterSession, books: Books, now_us: int) -> None:
    """Read what a meter logged until now, and store it.

    Raises:
        DlmsError: The meter refuses, or broke the protocol.
        UserError: It does not answer, or the store cannot be written.
    """
    meter = session.meter
    events = await read_events(session, meter.events_read_us or meter.installed_us, now_us)
    publish = books.publishes_events
    await books.write(
        meter.meter_id,
        lambda connection: store_events(connection, meter, events, now_us, publish=publish),
    )


def store_events(
    database: Database,
    meter: Meter,
    events: list[LoggedEvent],
    now_us: int,
    *,
    publish: bool = False,
) -> None:
    """Store events, and up to where the log was read; with `publish`, new ones for others too."""
    with transaction(database) as connection:
        new = registry.add_new_events(
            connection,
            [
                Event(meter_id=meter.meter_id, at_us=at_us, code=code, received_us=now_us)
                for at_us, code in events
            ],
        )
        if publish and new:
            told = {"events": [[event.at_us, event.code] for event in new]}
            publishing.put(
                connection, [publishing.publication("events", meter.meter_id, dict(told))]
            )
        registry.mark_events_read(connection, meter.meter_id, now_us)
