# SPDX-License-Identifier: Apache-2.0
"""Pushes through the head-end's own handler: opened, verified, stored for good, receipted.

Each push is another one, sealed by a meter's outbox.  The clock runs from the first that is handed
to `headend.notifications` until the end receipt of the last was given, which is after the commit
that holds it (SQLite, synchronous=FULL).
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.lake import DAY_ROWS, FIRST_US
from bench.measure import OURS, Goal, Row, Scale, same
from bench.street import CLIENT_TITLE, LAST_COUNTER, PERIOD, START, cipher, title
from openami.access.keystore import KeyStore
from openami.cosem.classes.push import PushMessage
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString, Structure, Unsigned, encode
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.security.agreement import Parties
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.notification import seal_notification
from openami.headend.books import Books
from openami.headend.directory import Directory
from openami.headend.notifications import Notifications
from openami.meter.outbox import PUSH_SETUP
from openami.store import inbox
from openami.store.database import open_database
from openami.store.keys import KeyState
from openami.store.registry import Meter, MeterKey, import_meters, put_keys

CONCENTRATOR: Final = b"OAM\xc0\x00\x00\x00\x01"
PUSHES_A_METER: Final = 4
AT_ONCE: Final = 2000  # pushes under way: what a few concentrators send before they wait
GOAL: Final = Goal(figure=5000)

Push = tuple[bytes, bytes]  # title, APDU


def measure(scale: Scale) -> Iterator[Row]:
    """Measure pushes of one interval, and of a day."""
    for intervals, what in ((1, "one interval"), (DAY_ROWS, "a day")):
        size = f"{scale.messages} pushes; tag, origin, name verified; SQLite FULL; one process"
        name = f"pushes stored and receipted, {what} each"
        goal = GOAL if intervals == 1 else None
        row = Row(name, "1/s", goal=goal, note=size)
        spent = Row(f"{name}, processor time", "1/s CPU", note=size)
        pushes = list(_pushes(scale.messages, intervals))
        for _ in range(min(scale.rounds, 3)):
            with tempfile.TemporaryDirectory() as folder:
                seconds, cpu_s = asyncio.run(_take(Path(folder), pushes))
            row.add({OURS: len(pushes) / seconds})
            spent.add({OURS: len(pushes) / cpu_s})
        yield row
        yield spent


def _pushes(count: int, intervals: int) -> Iterator[Push]:
    """Return sealed pushes in the order of time: all meters' first ones, then the next."""
    meters = count // PUSHES_A_METER
    sealers = {n: (cipher(n), CounterBlock(1, LAST_COUNTER)) for n in range(1, meters + 1)}
    for part in range(PUSHES_A_METER):
        first = part * intervals
        rows = _rows(first, intervals)
        for number, (keys, counters) in sealers.items():
            message = PushMessage(
                long_invoke_id_and_priority=LongInvokeIdAndPriority.of(0, confirmed=True),
                logical_device_name=_name(number).encode(),
                push_setup=PUSH_SETUP,
                rows=rows,
            )
            parties = Parties(u=title(number), v=CLIENT_TITLE)
            octets, _ = seal_notification(keys, counters, parties, message.encode())
            yield title(number), octets


def _rows(first: int, count: int) -> bytes:
    return encode(
        Array(
            Structure(
                (
                    OctetString(CosemDateTime.from_utc(START + row * PERIOD).encode()),
                    Unsigned(0),
                    *(DoubleLongUnsigned(value) for value in (row, 0, 1000 + row, 0)),
                )
            )
            for row in range(first, first + count)
        )
    )


def _name(number: int) -> str:
    return f"OAM{number:013d}"


async def _take(folder: Path, pushes: list[Push]) -> tuple[float, float]:
    """Take pushes; return the seconds until all were receipted, and the processor time of it."""
    engine = open_database(f"sqlite:///{folder / 'openami.db'}", create=True)
    keystore = KeyStore(folder / "keystore")
    numbers = range(1, len(pushes) // PUSHES_A_METER + 1)
    import_meters(engine, map(_meter, numbers))
    put_keys(engine, [key for number in numbers for key in _keys(keystore, number)])
    directory, books = Directory(engine, keystore.unwrap), Books(engine)
    handler = Notifications(directory, CLIENT_TITLE, books.arrivals.submit, lambda: FIRST_US)
    directory.read_keys(numbers)
    turns, receipts = asyncio.Semaphore(AT_ONCE), set[tuple[bytes, int]]()
    over = asyncio.Event()
    began, cpu_s = time.perf_counter(), time.process_time()
    for owner, octets in pushes:
        await turns.acquire()

        def confirm(invoke_id: int, owner: bytes = owner) -> None:
            receipts.add((owner, invoke_id))
            turns.release()
            if len(receipts) == len(pushes):
                over.set()

        handler.receive(CONCENTRATOR, owner, octets, confirm)
    await over.wait()
    spent = time.perf_counter() - began, time.process_time() - cpu_s
    same(handler.accepted, len(pushes), "pushes accepted")
    same(inbox.depth(engine), len(pushes), "messages in the inbox")
    await books.stop()
    return spent


def _meter(number: int) -> Meter:
    return Meter(
        meter_id=number,
        title=title(number),
        ldn=_name(number),
        region="north",
        concentrator=CONCENTRATOR,
        installed_us=FIRST_US,
        capture_period_s=PERIOD.seconds,
    )


def _keys(keystore: KeyStore, number: int) -> Iterator[MeterKey]:
    held = cipher(number).keys
    for name, key in (("guek", held.encryption_key), ("gak", held.authentication_key)):
        yield MeterKey(
            meter_id=number,
            key_name=name,
            epoch=1,
            state=KeyState.ACTIVE.value,
            wrapped=keystore.wrap(key),
        )
