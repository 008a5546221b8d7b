# SPDX-License-Identifier: Apache-2.0
"""What the head-end reads from a meter, object by object (docs/architecture.md, 4)."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.classes.time_event import Clock
from openami.cosem.kinds import KindError
from openami.cosem.model import Attribute
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.get import GetDataResult
from openami.dlms.axdr import read_length
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.exchange.channels import Channel
from openami.headend.associations import MeterSession
from openami.headend.deviation import Deviation, Timeless, deviation_of
from openami.runtime.clock import from_us

log = logging.getLogger(__name__)

T = TypeVar("T")

LOAD_PROFILE: Final = Obis(1, 0, 99, 1, 0, 255)
EVENT_LOG: Final = Obis(0, 0, 99, 98, 0, 255)
SOURCE: Final = Obis(0, 0, 96, 1, 9, 255)
DISCONNECT: Final = Obis(0, 0, 96, 3, 10, 255)

LIVE: Final = (Channel.POWER, Channel.VOLTAGE, Channel.CURRENT, Channel.IMPORT_REGISTER)
REGISTERS: Final = (*LIVE, Channel.EXPORT_REGISTER)
EMPTY_ARRAY: Final = b"\x01\x00"
ARRAY: Final = b"\x01"
CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.3.6.2"


class LoggedEvent(NamedTuple):
    """A row of the event log."""

    at_us: int
    code: int


async def read_registers(
    session: MeterSession, channels: tuple[Channel, ...] = LIVE
) -> Mapping[Channel, int]:
    """Read registers in one request; one that the meter refuses is left out."""
    rows = [(Register.value, channel.row.obis) for channel in channels]
    results = await session.run(session.client.get_list(rows))
    return {
        channel: int(value)
        for channel, value in zip(channels, results, strict=True)
        if isinstance(value, int) and not isinstance(value, bool)
    }


async def read_profile(session: MeterSession, since_us: int, to_us: int) -> bytes:
    """Read load-profile rows whose clock lies in a range, both ends included, as A-XDR array."""
    steps = session.client.profile(LOAD_PROFILE, from_us(since_us), from_us(to_us))
    return await session.run(steps)


async def read_events(session: MeterSession, since_us: int, to_us: int) -> list[LoggedEvent]:
    """Read rows of the event log in a range, both ends included."""
    steps = session.client.profile(EVENT_LOG, from_us(since_us), from_us(to_us))
    octets = await session.run(steps)
    if octets == EMPTY_ARRAY:
        return []
    columns = decode_profile(octets)
    if columns.times_us is None or len(columns.values) < 2:
        return []
    codes = columns.values[-1]
    return [
        LoggedEvent(int(at_us), int(code))
        for at_us, code in zip(columns.times_us, codes, strict=True)
    ]


async def read_source(session: MeterSession) -> str:
    """Read which home and week the meter replays, as text."""
    value = await session.run(session.client.get(Data.value, at=SOURCE))
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", errors="replace")
    return str(value)


class Along(NamedTuple):
    """What is read along with a profile; None: the meter refuses.

    Attributes:
        state: Of the disconnect unit.
        source: What it replays.
        clock: How its clock was; None also where that was not asked.
    """

    state: ControlState | None
    source: str | None
    clock: Deviation | Timeless | None


async def read_along(session: MeterSession, clock: Obis | None, now_us: Callable[[], int]) -> Along:
    """Read state, source and, where it is named, the clock: one question for all, if it can be."""
    rows: list[tuple[Attribute[Any], Obis]] = [
        (DisconnectControl.control_state, DISCONNECT),
        (Data.value, SOURCE),
    ]
    if clock is not None:
        rows.append((Clock.time, clock))
    asked_us = now_us()
    try:
        state, source, *time = await session.run(session.client.get_list(rows))
    except AccessError as refusal:
        log.info("meter %d: %s", session.meter.meter_id, refusal)
        return Along(None, None, None)
    answered_us = now_us()
    told = _declared(Clock.time, time[0]) if time else None
    said = None if isinstance(source, DataAccessResult) else _text(source)
    found = None if told is None else deviation_of(told, asked_us, answered_us)
    return Along(_declared(DisconnectControl.control_state, state), said, found)


def _declared(attribute: Attribute[T], value: GetDataResult) -> T | None:
    """Return a value as its class declares it; None where it is refused, or is another."""
    if isinstance(value, DataAccessResult):
        return None
    try:
        return attribute.kind.from_data(value)
    except KindError:
        return None


async def read_control_state(session: MeterSession) -> ControlState:
    """Read the state of the disconnect unit."""
    return await session.run(session.client.get(DisconnectControl.control_state, at=DISCONNECT))


def rows_in(array: bytes) -> int:
    """Return how many rows an A-XDR array of profile rows has, by its head.

    Meter data management decodes them, and says of a message what is wrong with it.

    Raises:
        DecodeError: It is no array.
    """
    if array[:1] != ARRAY:
        raise DecodeError("a profile's buffer is an array", array, 0, CLAUSE)
    return read_length(array, 1, "the buffer")[0]
