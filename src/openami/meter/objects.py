# SPDX-License-Identifier: Apache-2.0
"""The meter's COSEM objects: one table, read from top to bottom (docs/architecture.md, 4).

Values are bound to whoever knows them; nothing here remembers anything.  The public client sees
what a stranger needs to find its way: clock, name, logical devices and the frame counter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol

from openami.cosem.classes.access_control import (
    SapAssignment,
    SapName,
    SecuritySetup,
    SecuritySetupV1,
)
from openami.cosem.classes.disconnect import Disconnector, disconnect_control
from openami.cosem.classes.image_transfer import ImageTransfer
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.push import (
    MESSAGE_A_XDR,
    TRANSPORT_TCP,
    PushSetup,
    PushSink,
    SendDestinationAndMethod,
    push_setup,
)
from openami.cosem.classes.tariff import ActivityCalendar, Limiter, SpecialDaysTable
from openami.cosem.classes.time_event import Clock
from openami.cosem.model import InterfaceClass
from openami.cosem.rights import ALL, Grant
from openami.cosem.serving.profile import profile_generic
from openami.cosem.serving.security_setup import (
    CertificatePort,
    KeyStorePort,
    security_setup,
    security_setup_v1,
)
from openami.device.images import IMAGE_TRANSFER
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import Data as CosemData
from openami.dlms.data import (
    DoubleLongUnsigned,
    FixedInteger,
    LongUnsigned,
    OctetString,
    Unsigned,
    VisibleString,
)
from openami.dlms.obis import Obis
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE
from openami.dlms.security.suites import SecuritySuite
from openami.exchange.alarms import (
    ALARM_DESCRIPTOR,
    ALARM_FILTER,
    ALARM_REGISTER,
    ERROR_REGISTER,
    UNIX_CLOCK,
)
from openami.exchange.channels import PROFILE_CHANNELS, Channel
from openami.exchange.uplink import BROADCAST_SETUP
from openami.meter.clock import CLOCK
from openami.meter.config import MeterConfig
from openami.meter.metrology import Momentary
from openami.meter.outbox import PUSH_SETUP
from openami.meter.records import Rows

LDN: Final = Obis(0, 0, 42, 0, 0, 255)
SAP_LIST: Final = Obis(0, 0, 41, 0, 0, 255)
SECURITY_SETUP: Final = Obis(0, 0, 43, 0, 0, 255)
FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)
SERIAL_NUMBER: Final = Obis(0, 0, 96, 1, 0, 255)
MANUFACTURER: Final = Obis(0, 0, 96, 1, 1, 255)
SOURCE: Final = Obis(0, 0, 96, 1, 9, 255)
FIRMWARE: Final = Obis(1, 0, 0, 2, 0, 255)
STATUS: Final = Obis(0, 0, 96, 10, 1, 255)
EVENT_CODE: Final = Obis(0, 0, 96, 11, 0, 255)
LOAD_PROFILE: Final = Obis(1, 0, 99, 1, 0, 255)
EVENT_LOG: Final = Obis(0, 0, 99, 98, 0, 255)
DISCONNECT: Final = Obis(0, 0, 96, 3, 10, 255)
EXPORT_POWER: Final = Obis(1, 0, 2, 7, 0, 255)

PUBLIC_GRANTS: Final = tuple(Grant(at=at, read=ALL) for at in (CLOCK, LDN, SAP_LIST, FRAME_COUNTER))
READER_GRANTS: Final = (Grant(read=ALL),)
SEALED_CLIENT: Final = 65
"""The head-end by requests that it sealed beforehand; the concentrator's port brings them."""
BROADCAST_GRANTS: Final = (Grant(at=IMAGE_TRANSFER, invoke=frozenset({2})),)
"""To all meters of a group under their broadcast key: blocks of an image; its signature proves
them later (docs/campaigns.md)."""
SEALED_GRANTS: Final = (Grant(at=LOAD_PROFILE, read=ALL), Grant(at=EVENT_LOG, read=ALL))
MANAGER_GRANTS: Final = (
    Grant(read=ALL, invoke=ALL),
    *(
        Grant(at=at, write=frozenset({2}))
        for at in (ALARM_REGISTER, ALARM_FILTER, ALARM_DESCRIPTOR, ERROR_REGISTER)
    ),
    Grant(of=PushSetup, write=frozenset({4, 5, 6, 7})),
    Grant(of=ImageTransfer, write=frozenset({5})),
    Grant(of=Clock, write=frozenset({2})),
    Grant(of=Limiter, write=frozenset({4, 5, 6, 7, 8, 9})),
    Grant(of=ActivityCalendar, write=frozenset({6, 7, 8, 9, 10})),
    Grant(of=SpecialDaysTable, write=frozenset({2})),
)

PROFILE_COLUMNS: Final = (
    CaptureObject(class_id=Clock.class_id, instance_id=CLOCK, attribute_id=2),
    CaptureObject(class_id=Data.class_id, instance_id=STATUS, attribute_id=2),
    *(
        CaptureObject(class_id=Register.class_id, instance_id=channel.row.obis, attribute_id=2)
        for channel in PROFILE_CHANNELS
    ),
)
EVENT_COLUMNS: Final = (
    CaptureObject(class_id=Clock.class_id, instance_id=CLOCK, attribute_id=2),
    CaptureObject(class_id=Data.class_id, instance_id=EVENT_CODE, attribute_id=2),
)
PUSHED: Final = (
    CaptureObject(class_id=Data.class_id, instance_id=LDN, attribute_id=2),
    CaptureObject(class_id=PushSetup.class_id, instance_id=PUSH_SETUP, attribute_id=1),
    CaptureObject(class_id=ProfileGeneric.class_id, instance_id=LOAD_PROFILE, attribute_id=2),
)

MADE_BY: Final = Data(MANUFACTURER, value=VisibleString("OpenAMI"))
"""All meters of a process have this one: nobody may write it, as no client may write a state."""
NORMAL: Final = Data(STATUS, value=Unsigned(0))
UNITS: Final = {"Wh": 30, "W": 27, "V": 35, "A": 33}  # DLMS UA 1000-1, table of units
FIRMWARE_VERSION: Final = "openami 0.1.0"


class Instrument(Protocol):
    """Metrology, as management sees it."""

    def momentary(self) -> Momentary | None:
        """Return what the meter shows now; None while metrology does not say."""

    def move_breaker(self, *, closed: bool) -> None:
        """Ask for the breaker to be moved; `Management.breaker_stands` tells that it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Whom the objects ask; `live` refuses while metrology does not say."""

    live: Callable[[], Momentary]
    registers: Callable[[], Momentary]
    profile: Rows
    events: Rows
    disconnector: Disconnector
    push: PushSink
    functions: Sequence[InterfaceClass]  # clock, load limit, tariffs
    replayed: Callable[[], str]
    window_expected: Callable[[], int]
    last_event: Callable[[], int]
    keys: KeyStorePort
    suite: SecuritySuite
    certificates: CertificatePort | None
    alarms: Sequence[InterfaceClass]
    calendar_s: Callable[[], int]
    firmware: str | None = None  # its version, where boot started it


def meter_objects(config: MeterConfig, sources: Sources) -> list[InterfaceClass]:
    """Return every object of the meter."""
    return [
        *sources.functions,
        *_identity(config, sources),
        *_access(config, sources),
        *_registers(sources.live, sources.registers),
        _load_profile(config, sources),
        _event_log(config, sources),
        *_status(sources),
        *sources.alarms,
        _unix_clock(sources),
        push_setup(_push_setup(config), sources.push),
        push_setup(_alarm_push_setup(config), sources.push),
        disconnect_control(DISCONNECT, sources.disconnector),
    ]


def broadcast_setup(config: MeterConfig, group: KeyStorePort) -> SecuritySetup:
    """Return what tells of the keys of blocks that all meters of a group hear."""
    setup = SecuritySetup(
        BROADCAST_SETUP,
        security_suite=0,
        client_system_title=config.head_end_title,
        server_system_title=config.title,
    )
    return security_setup(setup, group)


def _identity(config: MeterConfig, sources: Sources) -> list[InterfaceClass]:
    source = Data(SOURCE)
    source.bind(Data.value, lambda: VisibleString(sources.replayed()))
    version = FIRMWARE_VERSION if sources.firmware is None else sources.firmware
    return [
        Data(LDN, value=OctetString(config.ldn.encode())),
        Data(SERIAL_NUMBER, value=VisibleString(config.ldn[3:])),
        MADE_BY,
        Data(FIRMWARE, value=VisibleString(version)),
        source,
    ]


def _access(config: MeterConfig, sources: Sources) -> list[InterfaceClass]:
    names = (SapName(MANAGEMENT_LOGICAL_DEVICE, config.ldn.encode()),)
    counter = Data(FRAME_COUNTER)
    counter.bind(Data.value, lambda: DoubleLongUnsigned(sources.window_expected()))
    return [
        SapAssignment(SAP_LIST, sap_assignment_list=names),
        _security_setup(config, sources),
        counter,
    ]


def _security_setup(config: MeterConfig, sources: Sources) -> InterfaceClass:
    """Return the setup: of version 1 where there are key pairs and certificates."""
    if sources.certificates is None:
        setup = SecuritySetup(
            SECURITY_SETUP,
            security_suite=int(sources.suite),
            client_system_title=config.head_end_title,
            server_system_title=config.title,
        )
        return security_setup(setup, sources.keys)
    setup_v1 = SecuritySetupV1(
        SECURITY_SETUP,
        security_suite=int(sources.suite),
        client_system_title=config.head_end_title,
        server_system_title=config.title,
    )
    return security_setup_v1(setup_v1, sources.keys, sources.certificates)


@cache
def _scaler_unit(scaler: int, unit: str) -> ScalerUnit:
    return ScalerUnit(scaler, UNITS[unit])


def _register(at: Obis, scaler: int, unit: str, source: Callable[[], FixedInteger]) -> Register:
    register = Register(at, scaler_unit=_scaler_unit(scaler, unit))
    register.bind(Register.value, source)
    return register


def _registers(
    live: Callable[[], Momentary], counted: Callable[[], Momentary]
) -> list[InterfaceClass]:
    sources: dict[Channel, Callable[[], FixedInteger]] = {
        Channel.IMPORT_REGISTER: lambda: DoubleLongUnsigned(counted().import_register_wh),
        Channel.EXPORT_REGISTER: lambda: DoubleLongUnsigned(counted().export_register_wh),
        Channel.IMPORT_WH: lambda: DoubleLongUnsigned(counted().import_wh),
        Channel.EXPORT_WH: lambda: DoubleLongUnsigned(counted().export_wh),
        Channel.POWER: lambda: DoubleLongUnsigned(max(0, live().power_w)),
        Channel.VOLTAGE: lambda: LongUnsigned(live().voltage_dv),
        Channel.CURRENT: lambda: LongUnsigned(live().current_ca),
    }
    export_w = _register(EXPORT_POWER, 0, "W", lambda: DoubleLongUnsigned(max(0, -live().power_w)))
    return [
        *(
            _register(channel.row.obis, channel.row.scaler, channel.row.unit, source)
            for channel, source in sources.items()
        ),
        export_w,
    ]


def _load_profile(config: MeterConfig, sources: Sources) -> ProfileGeneric:
    profile = ProfileGeneric(
        LOAD_PROFILE,
        capture_objects=PROFILE_COLUMNS,
        capture_period=config.capture_period_s,
        profile_entries=config.profile_entries,
    )
    return profile_generic(profile, sources.profile)


def _event_log(config: MeterConfig, sources: Sources) -> ProfileGeneric:
    log = ProfileGeneric(
        EVENT_LOG,
        capture_objects=EVENT_COLUMNS,
        capture_period=0,  # captured when something happens
        profile_entries=config.event_entries,
    )
    return profile_generic(log, sources.events)


def _status(sources: Sources) -> list[InterfaceClass]:
    last_event = Data(EVENT_CODE)

    def code() -> CosemData:
        return Unsigned(sources.last_event())

    last_event.bind(Data.value, code)
    return [NORMAL, last_event]


def _unix_clock(sources: Sources) -> Data:
    clock = Data(UNIX_CLOCK)

    def now_s() -> CosemData:
        return DoubleLongUnsigned(sources.calendar_s())

    clock.bind(Data.value, now_s)
    return clock


def _push_setup(config: MeterConfig) -> PushSetup:
    return _setup(config, PUSH_SETUP, PUSHED)


def _alarm_push_setup(config: MeterConfig) -> PushSetup:
    """Return what names alarm pushes; `AlarmNotice` has its values in this order."""
    at = config.alarms.push_setup
    own = CaptureObject(class_id=PushSetup.class_id, instance_id=at, attribute_id=1)
    values = (UNIX_CLOCK, EVENT_CODE, ALARM_DESCRIPTOR, ALARM_REGISTER, ERROR_REGISTER)
    told = [
        CaptureObject(class_id=Data.class_id, instance_id=each, attribute_id=2) for each in values
    ]
    return _setup(config, at, (own, *told))


def _setup(config: MeterConfig, at: Obis, pushed: Sequence[CaptureObject]) -> PushSetup:
    uplink = config.uplink
    return PushSetup(
        at,
        push_object_list=pushed,
        send_destination_and_method=SendDestinationAndMethod(
            TRANSPORT_TCP, f"{uplink.host}:{uplink.port}".encode(), MESSAGE_A_XDR
        ),
        communication_window=(),
        randomisation_start_interval=0,
        number_of_retries=255,
        repetition_delay=round(config.push_first_s),
    )
