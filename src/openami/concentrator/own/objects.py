# SPDX-License-Identifier: Apache-2.0
"""The concentrator's objects: who it is, how it is, what happened, how good its links are.

Group C = 128 is free for manufacturers (DLMS UA 1000-1, 6.2); docs/concentrator.md lists the names.
Nothing here can be written but the next firmware: what changes a concentrator stands in its
configuration.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from openami.concentrator.own.firmware import OwnFirmware
from openami.cosem.classes.measurement import Data, ProfileGeneric
from openami.cosem.classes.time_event import Clock, ClockBase
from openami.cosem.model import InterfaceClass
from openami.cosem.serving.profile import EncodedRows, profile_generic
from openami.dlms import data as axdr_data
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    Array,
    DoubleLongUnsigned,
    Enum,
    Long64,
    Long64Unsigned,
    OctetString,
    Structure,
    Unsigned,
    Utf8String,
    VisibleString,
)
from openami.dlms.data import Data as CosemData
from openami.dlms.datetimes import ClockStatus, CosemDateTime
from openami.dlms.obis import Obis
from openami.exchange.field import ClockState, Heartbeat, LinkState, Notice
from openami.exchange.timesync import EARLIEST_US
from openami.runtime.clock import to_us

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
LDN: Final = Obis(0, 0, 42, 0, 0, 255)
FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)
FIRMWARE: Final = Obis(1, 0, 0, 2, 0, 255)
EVENT_CODE: Final = Obis(0, 0, 96, 11, 0, 255)
EVENT_LOG: Final = Obis(0, 0, 99, 98, 0, 255)
LINKS: Final = Obis(0, 0, 128, 1, 0, 255)
FIRMWARE_VERSION: Final = "openami 0.1.0"
"""Where nothing was booted, and the installed package runs."""
MOST_NOTICES: Final = 1000
LINK_COLUMNS: Final = (
    "title",
    "bearer",
    "address",
    "attached",
    "first seen",
    "last seen",
    "round trip, microseconds",
    "sent",
    "lost",
)


def state(number: int) -> Obis:
    """Return the name of a row of `STATE`."""
    return Obis(0, 0, 128, 0, number, 255)


def link_column(number: int) -> Obis:
    """Return the name of a column of the table of links, from 1."""
    return Obis(0, 0, 128, 2, number, 255)


def notice_column(number: int) -> Obis:
    """Return the name of a column of the event log: 1 number, 2 meter, 3 text."""
    return Obis(0, 0, 128, 3, number, 255)


def firmware_state(number: int) -> Obis:
    """Return the name of a row of `_firmware`."""
    return Obis(0, 0, 128, 4, number, 255)


STATE: Final[Sequence[tuple[str, Callable[[Heartbeat], CosemData]]]] = (
    ("start of the process", lambda now: _moment(now.started)),
    ("meters known", lambda now: DoubleLongUnsigned(now.meters)),
    ("meters attached", lambda now: DoubleLongUnsigned(now.attached)),
    ("entries in the journal", lambda now: Long64Unsigned(now.entries)),
    ("octets in the journal", lambda now: Long64Unsigned(now.octets)),
    ("room of the journal, octets", lambda now: Long64Unsigned(now.most_octets)),
    ("age of the oldest entry, seconds", lambda now: Long64Unsigned(now.oldest_s)),
    ("meters at their quota", lambda now: DoubleLongUnsigned(now.at_quota)),
    ("pushes without a receipt since the start", lambda now: Long64Unsigned(now.refused)),
    ("alarm, empty for none", lambda now: Utf8String(now.alarm)),
)
"""What `state(n)` holds, n from 0, out of the heartbeat."""
UPLINK_UP: Final = len(STATE)
COLLECTED: Final = UPLINK_UP + 1
CLOCK_OFFSET: Final = UPLINK_UP + 2
CLOCK_UNCERTAINTY: Final = UPLINK_UP + 3


class Sources(NamedTuple):
    """Who knows what the objects show."""

    heartbeat: Callable[[], Heartbeat]
    links: Callable[[], list[LinkState]]
    notices: Callable[[int], list[Notice]]  # the newest so many, oldest first
    is_up: Callable[[], bool]
    collected: Callable[[], int]
    window_expected: Callable[[], int]
    clock: Callable[[], ClockState]


class Rows:
    """A table that is made when it is read (`cosem.serving.profile.ProfileBuffer`)."""

    def __init__(self, rows: Callable[[], list[tuple[int, Structure]]]) -> None:
        """Take what returns rows with their time in microseconds UTC, oldest first."""
        self._rows = rows

    def count(self) -> int:
        return len(self._rows())

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        return _encoded(
            row
            for at_us, row in self._rows()
            if (start_us is None or at_us >= start_us) and (end_us is None or at_us <= end_us)
        )

    def entries(self, first: int, last: int) -> EncodedRows:
        return _encoded(row for _, row in self._rows()[first - 1 : last])


def own_objects(
    name: str, sources: Sources, firmware: OwnFirmware | None = None
) -> list[InterfaceClass]:
    """Return the objects of a concentrator.

    Args:
        name: Its logical device name.
        sources: Who knows the values.
        firmware: What was booted; None where the installed package runs.
    """
    version = FIRMWARE_VERSION if firmware is None else firmware.firmware.version
    return [
        Data(LDN, value=OctetString(name.encode())),
        Data(FIRMWARE, value=VisibleString(version)),
        _clock(sources),
        _live(FRAME_COUNTER, lambda: DoubleLongUnsigned(sources.window_expected())),
        *(
            _live(state(number), lambda show=show: show(sources.heartbeat()))  # type: ignore[misc]
            for number, (_, show) in enumerate(STATE)
        ),
        _live(state(UPLINK_UP), sources.is_up),
        _live(state(COLLECTED), lambda: Long64Unsigned(sources.collected())),
        _live(state(CLOCK_OFFSET), lambda: _or_null(Long64, sources.clock().offset_us)),
        _live(
            state(CLOCK_UNCERTAINTY),
            lambda: _or_null(Long64Unsigned, sources.clock().uncertainty_us),
        ),
        _links(sources),
        _event_log(sources),
        *([] if firmware is None else _firmware(firmware)),
    ]


def _firmware(own: OwnFirmware) -> list[InterfaceClass]:
    """Return what runs, as it was measured, and how an update stands."""
    components = tuple(
        Structure(
            (
                VisibleString(each.kind),
                OctetString(each.measurement),
                OctetString(each.signer),
                VisibleString(each.version),
            )
        )
        for each in own.record.components
    )
    return [
        _live(
            firmware_state(0),
            lambda: DoubleLongUnsigned(own.update.standing().security_counter),
        ),
        Data(firmware_state(1), value=Enum(own.record.bank)),
        _live(firmware_state(2), lambda: own.on_trial),
        _live(firmware_state(3), lambda: Enum(own.update.state)),
        Data(firmware_state(4), value=Utf8String(own.record.problem)),
        Data(firmware_state(5), value=Array(components)),
    ]


def _or_null(kind: Callable[[int], CosemData], number: int | None) -> CosemData:
    return None if number is None else kind(number)


def _live(at: Obis, source: Callable[[], CosemData]) -> Data:
    thing = Data(at)
    thing.bind(Data.value, source)
    return thing


def _clock(sources: Sources) -> Clock:
    clock = Clock(
        CLOCK,
        time_zone=0,
        daylight_savings_enabled=False,
        clock_base=ClockBase.UNDEFINED,
    )

    def status() -> ClockStatus:
        return clock_status(sources.clock(), to_us(sources.heartbeat().at))

    clock.bind(
        Clock.time,
        lambda: CosemDateTime.from_utc(sources.heartbeat().at, clock_status=status()),
    )
    clock.bind(Clock.status, lambda: Unsigned(status()))
    return clock


def clock_status(clock: ClockState, now_us: int) -> ClockStatus:
    """Return how far own time can be trusted (DLMS UA 1000-1, 4.1.6.1).

    Invalid: nobody has told the time, and the host shows one from before this program was made.
    Doubtful: host and head-end differ by more than the limit, so that one of them is wrong; or
    nobody vouches for it, neither the head-end lately nor a time daemon.
    """
    near_us = clock.uncertainty_us
    if near_us is None and now_us < EARLIEST_US:
        return ClockStatus.INVALID_VALUE
    vouched = clock.kept or (near_us is not None and near_us <= clock.limit_us)
    return ClockStatus(0) if vouched and not clock.past_limit else ClockStatus.DOUBTFUL_VALUE


def _links(sources: Sources) -> ProfileGeneric:
    def rows() -> list[tuple[int, Structure]]:
        links = sorted(sources.links(), key=lambda link: link.last_seen)
        return [(to_us(link.last_seen), link.body()) for link in links]

    columns = tuple(_column(link_column(n)) for n in range(1, len(LINK_COLUMNS) + 1))
    table = ProfileGeneric(
        LINKS, capture_objects=columns, capture_period=0, profile_entries=2**32 - 1
    )
    return profile_generic(table, Rows(rows))


def _event_log(sources: Sources) -> ProfileGeneric:
    def rows() -> list[tuple[int, Structure]]:
        return [(to_us(notice.at), _notice(notice)) for notice in sources.notices(MOST_NOTICES)]

    columns = (
        CaptureObject(class_id=Clock.class_id, instance_id=CLOCK, attribute_id=2),
        _column(EVENT_CODE),
        *(_column(notice_column(number)) for number in (1, 2, 3)),
    )
    log = ProfileGeneric(
        EVENT_LOG, capture_objects=columns, capture_period=0, profile_entries=MOST_NOTICES
    )
    return profile_generic(log, Rows(rows))


def _notice(notice: Notice) -> Structure:
    return Structure(
        (
            _moment(notice.at),
            Enum(notice.code),
            Long64Unsigned(notice.number),
            OctetString(notice.title),
            Utf8String(notice.text),
        )
    )


def _column(at: Obis) -> CaptureObject:
    return CaptureObject(class_id=Data.class_id, instance_id=at, attribute_id=2)


def _moment(at: datetime) -> OctetString:
    return OctetString(CosemDateTime.from_utc(at).encode())


def _encoded(rows: Iterator[Structure]) -> EncodedRows:
    octets = [axdr_data.encode(row) for row in rows]
    return EncodedRows(len(octets), b"".join(octets))
