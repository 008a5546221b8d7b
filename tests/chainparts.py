# SPDX-License-Identifier: Apache-2.0
"""Parts of the meters in `chain`."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openami.cosem.classes.access_control import SecuritySetup, SecuritySetupV1
from openami.cosem.classes.disconnect import ControlState, Disconnector, Trigger
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.push import (
    MESSAGE_A_XDR,
    TRANSPORT_TCP,
    PushSetup,
    SendDestinationAndMethod,
)
from openami.cosem.device import AssociationPolicy, Ciphering, PreEstablished
from openami.cosem.model import InterfaceClass
from openami.cosem.rights import ALL, Grant
from openami.cosem.server import ServerConnection
from openami.cosem.serving.security_setup import security_setup, security_setup_v1
from openami.cosem.serving.soft_keys import SoftKeyStore
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import OctetString, VisibleString
from openami.dlms.obis import Obis
from openami.dlms.sap import ALL_STATION
from openami.exchange.alarms import AlarmNotice
from openami.exchange.uplink import BROADCAST_CLIENT, COLLECTION_CLIENT
from openami.meter.alarms import AlarmRecord, Alarms, AlarmSettings
from openami.meter.config import MeterConfig, MeterKeys
from openami.meter.functions import Functions
from openami.meter.keys import OwnSecurity
from openami.meter.settings import Settings
from openami.transport.wire import Wire

if TYPE_CHECKING:
    from chain import TestMeter

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
PUSH_SETUP: Final = Obis(0, 0, 25, 9, 0, 255)


def identity(ldn: str, pushed: Obis) -> Iterator[InterfaceClass]:
    """Return what tells who a meter is, and what it pushes."""
    yield Data(Obis(0, 0, 42, 0, 0, 255), value=OctetString(ldn.encode()))
    yield Data(Obis(0, 0, 96, 1, 0, 255), value=VisibleString(ldn[3:]))
    yield PushSetup(
        PUSH_SETUP,
        push_object_list=(CaptureObject(class_id=7, instance_id=pushed, attribute_id=2),),
        send_destination_and_method=SendDestinationAndMethod(TRANSPORT_TCP, b"", MESSAGE_A_XDR),
        communication_window=(),
        randomisation_start_interval=0,
        number_of_retries=0,
        repetition_delay=0,
    )


def column(class_id: int, at: Obis) -> CaptureObject:
    """Return the value of an object as a column of a profile."""
    return CaptureObject(class_id=class_id, instance_id=at, attribute_id=2)


def own_security(meter: "TestMeter") -> OwnSecurity:
    """Return keys and key pairs of suites 1 and 2, which are kept in the meter's files."""
    config = MeterConfig.load(meter.home)
    keys = MeterKeys.load(config.keys_file, meter.title)
    return OwnSecurity(config, keys, meter.counters, 0, os.urandom)


def setup_of(meter: "TestMeter", at: Obis, client_title: bytes) -> InterfaceClass:
    """Return a security setup: of version 1 where there are key pairs."""
    titles = {"client_system_title": client_title, "server_system_title": meter.title}
    held = meter.security
    if held is not None and held.certificates is not None:
        setup_v1 = SecuritySetupV1(at, security_suite=int(meter.keys.suite), **titles)
        return security_setup_v1(setup_v1, held.keys, held.certificates)
    setup = SecuritySetup(at, security_policy=3, security_suite=0, **titles)
    durable = SoftKeyStore(meter.ciphering, meter.master_key, record=lambda *_: None)
    return security_setup(setup, durable)


class Switch:
    """The breaker of a test meter."""

    def __init__(self) -> None:
        self.closed = True
        self.moves: list[ControlState] = []

    def is_closed(self) -> bool:
        return self.closed

    def move(self, state: ControlState) -> None:
        self.moves.append(state)
        self.closed = state is ControlState.CONNECTED


def functions_of(
    home: Path, meter_id: int, now_us: Callable[[], int], breaker: Disconnector
) -> Functions:
    """Return what our own meters do by their clock, by their own code."""

    def trip() -> None:
        breaker.apply(Trigger.LOCAL_DISCONNECT)

    return Functions(
        Settings(home / "settings.json"),
        calendar_us=now_us,
        period_s=1800,
        turned=lambda: None,
        power_w=lambda: 400 + meter_id,
        trip=trip,
    )


class KeptAlarms:
    """A test meter's alarms, in memory."""

    record: AlarmRecord | None = None

    def load(self) -> AlarmRecord | None:
        return self.record

    def keep(self, record: AlarmRecord, *, durable: bool) -> None:
        del durable
        self.record = record


def alarms_of(now_us: Callable[[], int], tell: Callable[[AlarmNotice], object]) -> Alarms:
    """Return the alarms of our own meters, by their own code."""
    return Alarms(
        AlarmSettings(most=1000),
        KeptAlarms(),
        lambda: now_us() // 1_000_000,
        tell,
        lambda: None,
    )


class Counter:
    """Invocation counters of a test meter, in memory."""

    def __init__(self) -> None:
        self.next = 1

    def reserve(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first


def sealed_client(ciphering: Ciphering, head_end: bytes, profile: Obis) -> AssociationPolicy:
    """Return what lets a meter take requests that its head-end sealed beforehand."""
    return AssociationPolicy(
        client_sap=COLLECTION_CLIENT,
        ciphering=ciphering,
        grants=(Grant(at=profile, read=ALL),),
        pre_established=PreEstablished(client_title=head_end),
    )


class MeterLine:
    """One connection of a test meter."""

    def __init__(self, meter: "TestMeter", wire: Wire) -> None:
        self.meter = meter
        self.wire = wire
        self.server = ServerConnection(meter.device, entropy=os.urandom)

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        assert destination == (ALL_STATION if source == BROADCAST_CLIENT else 1)
        if source == 64:
            invoke_id = int.from_bytes(apdu[1:5])
            self.meter.receipts.append(invoke_id)
            self.meter.outbox.pop(invoke_id, None)
            return
        self.meter.requests += 1
        self.meter.answers(partial(self._answer, source, apdu))

    def _answer(self, source: int, apdu: bytes) -> None:
        lose_request, lose_answer = self.meter.loses(apdu)
        if lose_request:
            return
        reply = self.server.receive(source, apdu)
        while reply is not None:
            if not lose_answer:
                self.wire.send(1, source, reply)
            reply = self.server.following()

    def closed(self, reason: str) -> None:  # noqa: ARG002
        self.server.lost()
