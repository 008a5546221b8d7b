# SPDX-License-Identifier: Apache-2.0
"""Pushes at the head-end: what is stored, what is rejected, and what is confirmed in each case."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from openami.access.keystore import KeyStoreError
from openami.cosem.classes.push import PushMessage
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.envelopes import GeneralTerms, seal_general
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from openami.headend.directory import Directory, Place
from openami.headend.notifications import Arrival, Notifications, store_arrivals
from openami.store import registry
from openami.store.accepted import Origin, is_accepted
from openami.store.database import open_database
from openami.store.tables import inbox as inbox_table
from openami.store.tables import rejected as rejected_table

METER = bytes.fromhex("4F414D0000000001")
OTHER = bytes.fromhex("4F414D0000000002")
UNKNOWN = bytes.fromhex("4F414D0000000099")
HEAD_END = bytes.fromhex("4F414DE000000001")
NORTH = bytes.fromhex("4F414DC000000001")
SOUTH = bytes.fromhex("4F414DC000000002")
ROWS = bytes.fromhex("01 01 02 01 11 2A")
GUEK, GAK, OLD_GUEK = b"e" * 16, b"a" * 16, b"o" * 16


def cipher(guek: bytes = GUEK) -> Cipher:
    return Cipher(KeySet(encryption_key=guek, authentication_key=GAK))


@dataclass(frozen=True)
class Sealed:
    """How a push is made; each test changes one thing."""

    counter: int = 7
    invoke_id: int = 0x40000007
    transaction_id: bytes | None = None
    title: bytes = METER
    recipient: bytes = HEAD_END
    ldn: bytes = b"OAM0000000000001"
    guek: bytes = GUEK
    control: SecurityControl | None = None
    plain: bytes | None = None

    def octets(self) -> bytes:
        invoke_id = LongInvokeIdAndPriority(self.invoke_id)
        message = PushMessage(
            long_invoke_id_and_priority=invoke_id,
            logical_device_name=self.ldn,
            push_setup=Obis(0, 0, 25, 9, 0, 255),
            rows=ROWS,
        ).encode()
        terms = GeneralTerms(
            transaction_id=self.transaction_id or invoke_id.encode(),
            originator=self.title,
            recipient=self.recipient,
            control=self.control,
        )
        plain = message if self.plain is None else self.plain
        return seal_general(cipher(self.guek), self.counter, plain, terms)


@dataclass
class Desk:
    """Notifications over a real store, written at once; confirms are kept."""

    engine: Engine
    unwrap: Callable[[bytes], bytes] = lambda wrapped: wrapped
    writable: bool = True
    confirms: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory = Directory(self.engine, self._unwrap, {NORTH: Place("north", "north")})
        self.notifications = Notifications(self.directory, HEAD_END, self._store, lambda: 1000)

    def _unwrap(self, wrapped: bytes) -> bytes:
        return self.unwrap(wrapped)  # a test may change it

    def _store(self, arrival: Arrival, done: Callable[[bool | None], None]) -> bool:
        done(store_arrivals(self.engine, [arrival])[0] if self.writable else None)
        return True

    def receive(self, octets: bytes, *, carrier: bytes = NORTH, title: bytes = METER) -> None:
        self.notifications.receive(carrier, title, octets, self.confirms.append)

    def rows(self) -> list[tuple[int, bytes]]:
        with self.engine.connect() as connection:
            query = select(inbox_table.c.epoch, inbox_table.c.rows)
            return [(epoch, rows) for epoch, rows in connection.execute(query)]

    def reasons(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(rejected_table.c.reason)).scalars())


def meter(meter_id: int, title: bytes, concentrator: bytes) -> registry.Meter:
    return registry.Meter(
        meter_id=meter_id,
        title=title,
        ldn=f"OAM{meter_id:013d}",
        region="north",
        concentrator=concentrator,
        installed_us=0,
        capture_period_s=1800,
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    registry.import_meters(engine, [meter(1, METER, NORTH), meter(2, OTHER, SOUTH)])
    for epoch, state, guek in ((1, "retired", OLD_GUEK), (2, "active", GUEK)):
        for name, key in (("guek", guek), ("gak", GAK)):
            registry.put_key(
                engine,
                registry.MeterKey(meter_id=1, key_name=name, epoch=epoch, state=state, wrapped=key),
            )
    yield Desk(engine)
    engine.dispose()


def test_a_sound_push_is_stored_and_confirmed(desk: Desk) -> None:
    desk.receive(Sealed().octets())
    assert desk.rows() == [(2, ROWS)]
    assert desk.confirms == [0x40000007]
    assert is_accepted(desk.engine, Origin(METER, 2, 7))


def test_the_same_push_again_is_confirmed_and_not_stored(desk: Desk) -> None:
    for _ in range(3):
        desk.receive(Sealed().octets())
    assert len(desk.rows()) == 1
    assert desk.confirms == [0x40000007] * 3
    assert (desk.notifications.accepted, desk.notifications.repeated) == (1, 2)


def test_pushes_are_accepted_in_any_order(desk: Desk) -> None:
    for counter in (9, 2, 5, 2**32 - 2, 1):
        desk.receive(Sealed(counter=counter).octets())
    assert len(desk.rows()) == 5
    assert desk.reasons() == []


def test_a_retired_key_still_opens_under_its_own_epoch(desk: Desk) -> None:
    desk.receive(Sealed(guek=OLD_GUEK).octets())
    desk.receive(Sealed().octets())  # the same counter under the new key is another message
    assert desk.rows() == [(1, ROWS), (2, ROWS)]


@pytest.mark.parametrize(
    ("sealed", "carrier", "title", "reason"),
    [
        (Sealed(guek=b"x" * 16), NORTH, METER, "the tag does not match"),
        (Sealed(), SOUTH, METER, "which is not the meter's"),
        (Sealed(), NORTH, OTHER, "the gateway header says otherwise"),
        (Sealed(title=UNKNOWN), NORTH, UNKNOWN, "the registry has no such meter"),
        (Sealed(recipient=SOUTH), NORTH, METER, "not for this head-end"),
        (Sealed(ldn=b"OAM0000000000002"), NORTH, METER, "by logical device"),
        (Sealed(transaction_id=b"\1\2\3\4"), NORTH, METER, "transaction-id is not"),
        (Sealed(plain=b"\xc4\x01\xc1\x00\x00"), NORTH, METER, "APDU tag"),
        (
            Sealed(control=SecurityControl.of(SecuritySuite.AES_GCM_128, encrypted=False)),
            NORTH,
            METER,
            "asks for encryption",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_does_not_belong_is_kept_with_its_reason_and_confirmed(
    desk: Desk, sealed: Sealed, carrier: bytes, title: bytes, reason: str
) -> None:
    desk.receive(sealed.octets(), carrier=carrier, title=title)
    assert desk.rows() == []
    (said,) = desk.reasons()
    assert reason in said
    invoke_id = sealed.transaction_id or sealed.invoke_id.to_bytes(4)
    assert desk.confirms == [int.from_bytes(invoke_id)]
    desk.receive(Sealed(counter=8).octets())  # and holds up nobody
    assert len(desk.rows()) == 1


def test_an_altered_octet_anywhere_is_rejected_and_confirmed_if_it_can_be_named(
    desk: Desk,
) -> None:
    octets = Sealed().octets()
    for place in range(len(octets)):
        desk.receive(octets[:place] + bytes((octets[place] ^ 0x01,)) + octets[place + 1 :])
    assert desk.rows() == []
    assert len(desk.reasons()) == len(octets)


def test_a_push_cut_short_is_rejected(desk: Desk) -> None:
    octets = Sealed().octets()
    for length in range(1, len(octets)):
        desk.receive(octets[:length])
    assert desk.rows() == []
    assert len(desk.confirms) == len(octets) - 6  # those whose long-invoke-id is whole


def test_an_unprotected_push_is_rejected(desk: Desk) -> None:
    desk.receive(bytes.fromhex("0F 40000007 00 00"))
    assert "general-ciphering" in desk.reasons()[0]
    assert desk.confirms == [0x40000007]


def test_without_a_disk_nothing_is_confirmed(desk: Desk) -> None:
    desk.writable = False
    desk.receive(Sealed().octets())
    assert desk.confirms == []
    desk.writable = True
    desk.receive(Sealed().octets())
    assert desk.confirms == [0x40000007]


def test_keys_that_do_not_unwrap_leave_the_push_with_its_concentrator(desk: Desk) -> None:
    def refuses(_wrapped: bytes) -> bytes:
        raise KeyStoreError("the wrapped key does not open")

    desk.unwrap = refuses
    desk.receive(Sealed().octets())
    assert desk.confirms == []
    assert desk.reasons() == []
    desk.unwrap = lambda wrapped: wrapped
    desk.receive(Sealed().octets())
    assert desk.confirms == [0x40000007]


def test_a_meter_entered_meanwhile_is_found(desk: Desk) -> None:
    registry.import_meters(desk.engine, [meter(99, UNKNOWN, NORTH)])
    assert desk.directory.by_title(UNKNOWN) == meter(99, UNKNOWN, NORTH)
