# SPDX-License-Identifier: Apache-2.0
"""Calls of a meter's secure world a second: over its wall from another process, and inside one.

Over the wall each call is a message on a socket, a look at who calls, and a message back; caller
and secure world have a core each.  Inside, the same octets are served without socket or process.

Then a whole meter: GET round trips where its keys are behind the wall (client, meter and secure
world are a process each), and in the same rounds where they are in the meter's own process.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.measure import OURS, Row, Scale, Server, awake, per_second, same
from bench.round_trips import ours
from bench.street import cipher, title
from openami.device import sealed
from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.handover import SEED_OCTETS, Handover
from openami.device.otp import Otp
from openami.device.secure.access import Caller
from openami.device.secure.calls import BY_NAME
from openami.device.secure.channels import Secrets
from openami.device.secure.client import SecureClient
from openami.device.secure.codec import Reply, Request, Value, write
from openami.device.secure.door import open_door
from openami.device.secure.personal import Personality, personalise
from openami.device.secure.service import Service
from openami.device.secure.world import World
from openami.firmware.bank import M2351_FLASH_OCTETS, Bank
from openami.psa.attributes import KeyAttributes, KeyType, Usage

GCM: Final = 0x05500200
KEY: Final = KeyAttributes(type=KeyType.AES, usage=Usage.ENCRYPT | Usage.CACHE, alg=GCM)
NOTIFICATION: Final = bytes.fromhex("0F00000000") + bytes(195)
ECDSA: Final = 0x06000609
PAIR: Final = KeyAttributes(
    type=KeyType.ECC_KEY_PAIR_SECP_R1, usage=Usage.SIGN_HASH | Usage.CACHE, alg=ECDSA
)
RECORD_OCTETS: Final = 1024
METER: Final = 1
SECRETS: Final = Secrets(
    title=title(METER),
    epoch=1,
    encryption=cipher(METER).keys.encryption_key,
    authentication=cipher(METER).keys.authentication_key,
    master=bytes(16),
    password=bytes(16),
)
COUNTERS_A_ROUND: Final = 1_000_000
RECORD: Final = Handover(
    bank=Bank.A, trial=False, seed=bytes(SEED_OCTETS), life_cycle=0, from_source=True
)

WALL: Final = "over the wall"
DOOR: Final = "door"
Call = Callable[..., tuple[Value, ...]]


def measure(scale: Scale) -> Iterator[Row]:
    """Measure each call over the wall, then inside."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        personalise(folder, lambda: Personality(secrets=SECRETS), os.urandom)
        for where, opened in ((WALL, over_the_wall), ("inside", inside)):
            with opened(folder) as call:
                yield from _rows(where, call, scale)
                if where == WALL:
                    yield from _round_trips(folder / DOOR, scale)


def _round_trips(door: Path, scale: Scale) -> Iterator[Row]:
    """Measure the same meter with its keys behind the wall, and in its process."""
    name, note = "GET round trip with protection, ", "one connection; cores are kept awake"
    rows = (
        Row(f"{name}keys behind the wall", "1/s", note=note),
        Row(f"{name}keys in process", "1/s", note=note),
    )
    with Server() as walled, Server() as own, awake():
        ports = (
            *walled.serve("walled", door=str(door), number=METER),
            *own.serve("meters", numbers=[METER]),
        )
        for number in range(scale.rounds):
            for row, port in zip(rows, ports, strict=True):
                first = 1 + number * COUNTERS_A_ROUND
                row.add({OURS: asyncio.run(ours(port, first, scale.seconds, protected=True))})
    yield from rows


def _rows(where: str, call: Call, scale: Scale) -> Iterator[Row]:
    (key,) = call("import_key", KEY, bytes(16))
    (pair,) = call("import_key", PAIR, bytes(31) + b"\x07")
    calls: tuple[tuple[str, str, tuple[Value, ...]], ...] = (
        ("an empty call", "client_id", ()),
        ("AES-GCM of 64 octets", "aead_encrypt", (key, GCM, bytes(12), b"", bytes(64))),
        (
            f"a record of {RECORD_OCTETS:,} octets sealed",
            "aead_encrypt",
            (key, GCM, bytes(12), bytes(13), bytes(RECORD_OCTETS)),
        ),
        ("a hash signed, ECDSA on P-256", "sign_hash", (pair, ECDSA, bytes(32))),
        ("a push of 200 octets sealed", "dlms_notify", (bytes(8), NOTIFICATION)),
    )
    for said, name, arguments in calls:
        row = Row(f"secure world, {said}, {where}", "calls/s")
        results = len(call(name, *arguments))

        def work(
            _: int, name: str = name, arguments: tuple[Value, ...] = arguments, due: int = results
        ) -> None:
            same(len(call(name, *arguments)), due, "the results of a call")

        for _ in range(scale.rounds):
            row.add({OURS: per_second(work, scale.seconds)})
        yield row


@contextmanager
def over_the_wall(folder: Path) -> Iterator[Call]:
    """Lend calls to a secure world in a process of its own."""
    path = folder / DOOR
    door, record = open_door(path), sealed.seal("record", RECORD.encode())
    words = map(str, (folder, door.fileno(), record, f"{os.geteuid()}:{Caller.NON_SECURE:d}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "openami.device.secure", *words], pass_fds=(door.fileno(), record)
    )
    door.close()
    os.close(record)
    client = SecureClient.connect(path)
    try:
        yield client.call
    finally:
        client.close()
        process.terminate()
        process.wait()


@contextmanager
def inside(folder: Path) -> Iterator[Call]:
    """Lend calls to a secure world in this process."""
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    session = Service(World(flash, otp, RECORD, os.urandom)).connect(Caller.NON_SECURE)

    def call(name: str, *arguments: Value) -> tuple[Value, ...]:
        function = BY_NAME[name]
        request = Request(function.number, 1, write(function.arguments, arguments))
        return Reply.decode(session.serve(request.encode())).results(function.results)

    try:
        yield call
    finally:
        flash.close()
        otp.close()
