# SPDX-License-Identifier: Apache-2.0
"""Readings and events for other systems, through an outbox and one port.

What is published is written to the outbox in the transaction that makes it true, so neither can be
without the other.  An entry leaves the outbox when the broker has confirmed it.  After a crash
between the two it is published again under the same message id, by which brokers drop it for a
while; who receives must take an id once (at least once, in all).

Entries go by what is there, not by a number up to which all is done: a slow transaction may bring
a lower number after a higher one has left.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Engine, delete, func, select

from openami.runtime.errors import UserError
from openami.store.database import Database, insert_all, reading, transaction
from openami.store.tables import outbox

log = logging.getLogger(__name__)

AT_ONCE: Final = 200
IDLE_S: Final = 0.5
AGAIN_S: Final = 2.0  # after a broker that does not answer
ROOT: Final = "openami"

Body = dict[str, object]


class BrokerError(UserError):
    """The broker does not take what is published: it stays in the outbox."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One message; `publication_id` is 0 until the store has given it a number."""

    subject: str  # openami.readings.17, openami.events.17, openami.findings.17
    body: str  # JSON object
    publication_id: int = 0


class Publisher(Protocol):
    """The port: a broker that keeps what it confirmed."""

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Return when all of them are kept.

        Raises:
            BrokerError: Not all are; they are given again.
        """

    async def close(self) -> None:
        """Hang up."""


def publication(kind: str, meter_id: int, body: Body) -> Publication:
    """Return the message of a meter's readings, events or findings."""
    text = json.dumps({"meter_id": meter_id} | body, separators=(",", ":"))
    return Publication(f"{ROOT}.{kind}.{meter_id}", text)


def put(database: Database, publications: Sequence[Publication]) -> None:
    """Add to the outbox; call with the connection that writes what is published."""
    with transaction(database) as connection:
        rows = [{"subject": each.subject, "body": each.body} for each in publications]
        insert_all(connection, outbox, rows)


def waiting(database: Database, limit: int = AT_ONCE) -> list[Publication]:
    """Return what waits, oldest first."""
    columns = (outbox.c.subject, outbox.c.body, outbox.c.publication_id)
    query = select(*columns).order_by(outbox.c.publication_id).limit(limit)
    with reading(database) as connection:
        return [Publication(*row) for row in connection.execute(query)]


def count_waiting(database: Database) -> int:
    """Return how much waits."""
    with reading(database) as connection:
        return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())


def confirmed(database: Database, publications: Sequence[Publication]) -> None:
    """Take out what the broker keeps."""
    numbers = [each.publication_id for each in publications]
    with transaction(database) as connection:
        connection.execute(delete(outbox).where(outbox.c.publication_id.in_(numbers)))


async def publish_all(engine: Engine, connect: Callable[[], Awaitable[Publisher]]) -> None:
    """Publish what comes into the outbox until cancelled; a broker that is away is waited for."""
    publisher: Publisher | None = None
    try:
        while True:
            try:
                if publisher is None:
                    publisher = await connect()
                group = await asyncio.to_thread(waiting, engine)
                if group:
                    await publisher.publish(group)
                    await asyncio.to_thread(confirmed, engine, group)
                else:
                    await asyncio.sleep(IDLE_S)
            except UserError as error:
                log.warning("published later: %s", error)
                if publisher is not None:
                    await publisher.close()
                    publisher = None
                await asyncio.sleep(AGAIN_S)
    finally:
        if publisher is not None:
            await publisher.close()
