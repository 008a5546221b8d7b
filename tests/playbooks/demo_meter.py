# SPDX-License-Identifier: Apache-2.0
"""A small meter for conversations in memory: a few objects, three clients."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from openami.cosem.classes.access_control import SapAssignment, SapName
from openami.cosem.classes.disconnect import ControlState, Disconnector, disconnect_control
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import Client, ClientParameters, Steps
from openami.cosem.device import AssociationPolicy, Ciphering, LogicalDevice
from openami.cosem.model import InterfaceClass
from openami.cosem.rights import ALL, FULL_ACCESS, Grant
from openami.cosem.server import ServerConnection
from openami.cosem.serving.profile import MemoryBuffer, profile_generic
from openami.dlms.apdu.acse import AUTHENTICATION, Aarq
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.association import ApplicationContext
from openami.dlms.conversation import OneWay, drive
from openami.dlms.data import DoubleLongUnsigned, OctetString, Structure, Unsigned
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet

T = TypeVar("T")

METER_TITLE = b"OAM\x00\x00\x00\x00\x07"
CLIENT_TITLE = b"OAM\xe0\x00\x00\x00\x01"
KEYS = KeySet(encryption_key=bytes(range(16)), authentication_key=bytes(range(0xD0, 0xE0)))
PASSWORD = b"12345678"
NAME = b"OAM0000000000007"

LDN = Obis.parse("0.0.42.0.0.255")
SAPS = Obis.parse("0.0.41.0.0.255")
CLOCK = Obis.parse("0.0.1.0.0.255")
ENERGY = Obis.parse("1.0.1.8.0.255")
NOTE = Obis.parse("0.0.96.1.9.255")
STATUS = Obis.parse("0.0.96.10.1.255")
LOAD_PROFILE = Obis.parse("1.0.99.1.0.255")
DISCONNECT = Obis.parse("0.0.96.3.10.255")

PUBLIC, READER, MANAGER = Sap(16), Sap(32), Sap(1)

START = datetime(2013, 3, 1, 0, 30, tzinfo=UTC)
PERIOD = timedelta(minutes=30)
COLUMNS = (
    CaptureObject(class_id=8, instance_id=CLOCK, attribute_id=2),
    CaptureObject(class_id=1, instance_id=STATUS, attribute_id=2),
    CaptureObject(class_id=3, instance_id=ENERGY, attribute_id=2),
)


def row(index: int) -> Structure:
    """Row `index` of the load profile, from 0."""
    end = CosemDateTime.from_utc(START + index * PERIOD).encode()
    return Structure((OctetString(end), Unsigned(0), DoubleLongUnsigned(1000 + index)))


@dataclass
class Switch:
    """A breaker that remembers what it was told."""

    moves: list[ControlState] = field(default_factory=list)

    def is_closed(self) -> bool:
        return not self.moves or self.moves[-1] is ControlState.CONNECTED

    def move(self, state: ControlState) -> None:
        self.moves.append(state)


class DemoMeter(LogicalDevice):
    """The device with handles on what a test looks at."""

    def __init__(self, rows: int = 100) -> None:
        self.switch = Switch()
        self.disconnector = Disconnector(self.switch, mode=2)
        self.buffer = MemoryBuffer(capacity=4320)
        for index in range(rows):
            time_us = int((START + index * PERIOD).timestamp()) * 1_000_000
            self.buffer.append(time_us, row(index))
        self.ciphering = Ciphering(cipher=Cipher(KEYS), counters=CounterBlock(100, 2**32 - 1))
        super().__init__(
            system_title=METER_TITLE, objects=self._objects_table(), associations=self._policies()
        )

    def _objects_table(self) -> Iterator[InterfaceClass]:
        yield Data(LDN, value=OctetString(NAME))
        yield SapAssignment(SAPS, sap_assignment_list=(SapName(1, NAME),))
        yield Data(NOTE, value=OctetString(b"home 1, week 1"))
        yield Register(ENERGY, value=DoubleLongUnsigned(123_456), scaler_unit=ScalerUnit(0, 30))
        clock = Clock(CLOCK, time_zone=0, status=0)
        clock.bind(Clock.time, lambda: CosemDateTime.from_utc(START))
        yield clock
        profile = ProfileGeneric(
            LOAD_PROFILE, capture_objects=COLUMNS, capture_period=1800, profile_entries=4320
        )
        yield profile_generic(profile, self.buffer)
        yield disconnect_control(DISCONNECT, self.disconnector)

    def _policies(self) -> Iterator[AssociationPolicy]:
        yield AssociationPolicy(
            client_sap=PUBLIC,
            grants=tuple(Grant(at=name, read=ALL) for name in (LDN, SAPS, CLOCK)),
        )
        yield AssociationPolicy(
            client_sap=READER,
            mechanism=Mechanism.LLS,
            secret=PASSWORD,
            grants=(Grant(read=ALL),),
        )
        yield AssociationPolicy(
            client_sap=MANAGER,
            mechanism=Mechanism.HLS_GMAC,
            ciphering=self.ciphering,
            grants=FULL_ACCESS,
        )


def entropy() -> Callable[[int], bytes]:
    """Octets that differ from call to call and not from run to run."""
    calls = iter(range(1, 2**16))
    return lambda count: (next(calls).to_bytes(2) * count)[:count]


def parameters(client_sap: Sap = MANAGER, **changes: Any) -> ClientParameters:
    """How each client of the demo meter associates."""
    table: dict[int, dict[str, Any]] = {
        PUBLIC: {},
        READER: {"mechanism": Mechanism.LLS, "secret": PASSWORD},
        MANAGER: {
            "mechanism": Mechanism.HLS_GMAC,
            "cipher": Cipher(KEYS),
            "system_title": CLIENT_TITLE,
            "server_title": METER_TITLE,
        },
    }
    return ClientParameters(client_sap=client_sap, **(table.get(client_sap, {}) | changes))


class Link:
    """Client and server joined in memory; remembers what crossed."""

    def __init__(
        self,
        meter: DemoMeter | None = None,
        client_sap: Sap = MANAGER,
        *,
        first_counter: int = 0,
        **changes: Any,
    ) -> None:
        self.meter = meter or DemoMeter()
        self.server = ServerConnection(self.meter, entropy=entropy())
        self.client_sap = client_sap
        self.client = Client(
            parameters(client_sap, **changes),
            entropy=lambda count: b"\xa5" * count,
            counters=CounterBlock(first_counter, 2**32 - 1),
        )
        self.wire: list[bytes] = []

    def send(self, apdu: bytes) -> bytes:
        """Let the server answer one APDU."""
        answer = self.server.receive(self.client_sap, apdu)
        assert answer is not None
        return answer

    def run(self, steps: Steps[T]) -> T:
        """Drive one conversation to its end."""
        incoming: deque[bytes] = deque()

        def send(apdu: bytes) -> None:
            self.wire.append(apdu)
            answer: bytes | None
            if isinstance(apdu, OneWay):
                answer = self.server.receive(self.client_sap, apdu)
            else:
                answer = self.send(apdu)
            while answer is not None:
                incoming.append(answer)
                answer = self.server.following()

        def receive() -> bytes | None:
            if not incoming:
                return None
            self.wire.append(incoming[0])
            return incoming.popleft()

        return drive(steps, send, receive)


def associated(client_sap: Sap = MANAGER, rows: int = 100, **changes: Any) -> Link:
    """A link whose association is open."""
    link = Link(DemoMeter(rows), client_sap, **changes)
    link.run(link.client.associate())
    return link


INITIATE = InitiateRequest(
    proposed_conformance=Conformance.GET | Conformance.ACTION, client_max_receive_pdu_size=1024
)


def aarq(**changes: Any) -> Aarq:
    fields: dict[str, Any] = {
        "application_context_name": ApplicationContext.LN.oid,
        "sender_acse_requirements": AUTHENTICATION,
        "mechanism_name": Mechanism.LLS.oid,
        "calling_authentication_value": PASSWORD,
        "user_information": INITIATE.encode(),
    }
    return Aarq(**(fields | changes))
