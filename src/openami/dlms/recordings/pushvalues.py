# SPDX-License-Identifier: Apache-2.0
"""What stands side by side in a push: logical names, scalers with units, times, and the values.

The standard leaves the body of a push to its maker; these are the pieces that makers put it
together from.  `readings` knows the shapes.
"""

import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from openami.dlms.data import (
    Data,
    DateTimeOctets,
    Enum,
    Integer,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

LOGICAL_NAME_OCTETS: Final = 6
DATE_TIME_OCTETS: Final = 12
_HIGHEST_GROUP_A: Final = 0x1F
_EARLIEST_YEAR: Final = 1970
_NO_ZONE: Final = b"\x80\x00\xff"

_PRINTED: Final = re.compile(
    r"(?:(\d{1,3})-(\d{1,3}):)?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[*.](\d{1,3}))?"
)
_SHORT_NAMES: Final = MappingProxyType({2: "01 00 {} 00 ff", 3: "01 00 {} ff", 5: "{} ff"})
"""Logical names that lack groups, by their octets: those that are told stand at {}."""


class Measured(NamedTuple):
    """What stands beside a name: its value, and what tells about it."""

    value: Data
    scaler: int | None = None
    unit: int | None = None
    time: bytes = b""


def clock_octets(value: Data) -> bytes:
    """Return the 12 octets of a value that is a time; nothing for any other."""
    return bytes(value) if isinstance(value, bytes) and is_time(value) else b""


def is_time(value: Data) -> bool:
    """Whether a value is a date-time by its type, or an octet-string that reads as one."""
    if isinstance(value, DateTimeOctets):
        return True
    return (
        isinstance(value, OctetString) and len(value) == DATE_TIME_OCTETS and is_clock_value(value)
    )


def is_clock_value(octets: bytes) -> bool:
    """Whether 12 octets read as a clock that tells a year of ours."""
    # Makers leave out the day of the week and the deviation in many ways: they are not looked at.
    try:
        clock = CosemDateTime.decode(bytes(octets[:4]) + b"\xff" + bytes(octets[5:9]) + _NO_ZONE)
    except DecodeError:
        return False
    return clock.year is not None and clock.year >= _EARLIEST_YEAR


def logical_name(value: Data) -> Obis | None:
    """Return the logical name that an octet-string is or a text prints; None for anything else."""
    if isinstance(value, OctetString):
        if len(value) == LOGICAL_NAME_OCTETS and (value[5] == 0xFF or value[0] <= _HIGHEST_GROUP_A):
            return Obis.decode(value)
        return _printed_name(value.decode("latin-1"))
    return _printed_name(str(value)) if isinstance(value, VisibleString) else None


def _printed_name(text: str) -> Obis | None:
    """Read ``1-0:1.8.0*255`` and its short forms; `A-B` or `E` must be there."""
    found = _PRINTED.fullmatch(text)
    if found is None or (found[1] is None and found[5] is None):
        return None
    defaults = (1, 0, 0, 0, 0, 0xFF)
    groups = [
        default if group is None else int(group)
        for group, default in zip(found.groups(), defaults, strict=True)
    ]
    return Obis(*groups) if max(groups) <= 0xFF else None


def short_name(value: Data) -> Obis | None:
    """Return the logical name of an octet-string that leaves groups out; None for any other."""
    if not isinstance(value, OctetString) or len(value) not in _SHORT_NAMES:
        return None
    return Obis.decode(bytes.fromhex(_SHORT_NAMES[len(value)].format(value.hex())))


def scaler_unit(value: Data) -> tuple[int, int] | None:
    """Return scaler and unit of a structure that is just that; None for any other value."""
    match value:
        case Structure((Integer() as scaler, Enum() | Unsigned() as unit)):
            return int(scaler), int(unit)
    return None


def measured_of(followers: Sequence[Data]) -> Measured | None:
    """Return what stands beside a name; None if nothing does."""
    values: list[Data] = []
    times: list[Data] = []
    scaler: int | None = None
    unit: int | None = None
    for follower in _opened(followers):
        pair = scaler_unit(follower)
        if pair is not None:
            scaler, unit = pair
        elif is_time(follower):
            times.append(follower)
        else:
            values.append(follower)
    told = [value for value in values if value is not None]
    if told or (values and not times):
        time = times[0] if times else None
        when = bytes(time) if isinstance(time, bytes) else b""
        return Measured(told[0] if told else None, scaler, unit, when)
    return Measured(times[0], scaler, unit) if times else None


def _opened(followers: Sequence[Data]) -> Iterator[Data]:
    """Yield the followers, with structures of {time, value} and the like taken apart."""
    for follower in followers:
        if (
            isinstance(follower, Structure)
            and 2 <= len(follower) <= 5
            and scaler_unit(follower) is None
            and any(is_time(each) or scaler_unit(each) is not None for each in follower)
            and not any(logical_name(each) for each in follower)
        ):
            yield from follower
        else:
            yield follower
