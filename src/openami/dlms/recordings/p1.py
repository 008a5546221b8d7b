# SPDX-License-Identifier: Apache-2.0
"""Telegrams of consumer ports (P1): lines of text that name values by their OBIS codes.

::

    /XXX5 identification
    1-0:1.8.0(000123.456*kWh)
    0-1:24.2.1(260101120000W)(00012.345*m3)
    !CRC

IEC 62056-21, mode D, as the Dutch companion standard P1 uses it.  In some countries the telegram
travels sealed in general-glo-ciphering, as an APDU would.
"""

import re
from types import MappingProxyType
from typing import Final

from openami.dlms.data import DoubleLong, Long64, Long64Unsigned, VisibleString
from openami.dlms.datatypes import FixedInteger
from openami.dlms.datetimes import ClockStatus, CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.dlms.recordings.partial import Breach
from openami.dlms.recordings.readings import Reading
from openami.dlms.units import UNITS

CLAUSE: Final = "IEC 62056-21, mode D"

_LINE: Final = re.compile(
    r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?(.*)"
)
_GROUP: Final = re.compile(r"\(([^()]*)\)")
_NUMBER: Final = re.compile(r"(-?)(\d+)(?:\.(\d+))?\*([A-Za-z0-9³]+)")
_TIME: Final = re.compile(r"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})([SW])?")
_SPELLINGS: Final = MappingProxyType({"m3": "m³", "VAr": "var", "VArh": "varh"})
_PREFIXES: Final = MappingProxyType({"k": 3, "M": 6})
_POLYNOMIAL: Final = 0xA001


def is_telegram(octets: bytes) -> bool:
    """Whether a telegram of text stands here."""
    head = octets[:64]
    return octets[:1] == b"/" and head.isascii() and b"\n" in octets


def read(octets: bytes) -> tuple[str, tuple[Reading, ...], bytes, list[Breach]]:
    """Return the text, what it names, the 12 octets of its time, and what is wrong."""
    text = octets.decode("ascii", errors="replace")
    found: list[Reading] = []
    when = b""
    for line in text.splitlines():
        matched = _LINE.fullmatch(line.strip())
        if matched is None:
            continue
        groups = [0xFF if each is None else int(each) for each in matched.groups()[:6]]
        if max(groups) > 0xFF:
            continue
        reading = _reading(Obis(*groups), _GROUP.findall(matched[7]))
        if reading is None:
            continue
        found.append(reading)
        if reading.obis == _CLOCK and reading.date_time:
            when = reading.date_time
    readings = tuple(each if each.date_time else _at(each, when) for each in found)
    return text, readings, when, _check(octets)


_CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)


def _at(reading: Reading, when: bytes) -> Reading:
    return Reading(
        obis=reading.obis,
        value=reading.value,
        scaler=reading.scaler,
        unit=reading.unit,
        date_time=when,
    )


def _reading(obis: Obis, cells: list[str]) -> Reading | None:
    if not cells:
        return None
    time = _time(cells[0])
    cell = cells[-1]
    number = _NUMBER.fullmatch(cell)
    if number is None:
        text = "".join(f"({each})" for each in cells) if len(cells) > 1 else cell
        return Reading(obis=obis, value=VisibleString(text), date_time=time)
    sign, whole, decimals, unit_text = number.groups()
    unit, prefix = _unit(unit_text)
    if unit is None:
        return Reading(obis=obis, value=VisibleString(cell), date_time=time)
    value = _sized(int(sign + whole + (decimals or "")))
    scaler = prefix - len(decimals or "")
    return Reading(obis=obis, value=value, scaler=scaler, unit=unit, date_time=time)


def _sized(number: int) -> FixedInteger:
    """Return the number as the smallest type that the text could have come from."""
    for kind in (DoubleLong, Long64, Long64Unsigned):
        if kind.LOW <= number <= kind.HIGH:
            return kind(number)
    return Long64(0)


def _unit(text: str) -> tuple[int | None, int]:
    """Return the code of a unit as it is printed, and its power of ten."""
    for prefix, rest in ((0, text), (_PREFIXES.get(text[:1]), text[1:])):
        name = _SPELLINGS.get(rest, rest)
        codes = [code for code, symbol in UNITS.items() if symbol == name]
        if prefix is not None and codes:
            return codes[0], prefix
    return None, 0


def _time(cell: str) -> bytes:
    matched = _TIME.fullmatch(cell)
    if matched is None:
        return b""
    year, month, day, hour, minute, second = (int(each) for each in matched.groups()[:6])
    # The letter tells summer or winter of a zone that the telegram does not name.
    summer = ClockStatus.DAYLIGHT_SAVING_ACTIVE if matched[7] == "S" else ClockStatus(0)
    try:
        clock = CosemDateTime(
            year=2000 + year,
            month=month,
            day=day,
            hour=hour,
            minute=minute,
            second=second,
            clock_status=summer,
        )
    except ValueError:
        return b""
    return clock.encode()


def _check(octets: bytes) -> list[Breach]:
    """Return what is wrong with the check behind the exclamation mark, if there is one."""
    end = octets.rfind(b"!")
    if end < 0:
        problem = "the telegram does not end: no exclamation mark closes it"
        return [Breach(DecodeError(problem, octets, len(octets), CLAUSE), "truncated-end")]
    told = octets[end + 1 :].strip().decode("ascii", errors="replace")
    if not told:
        return []
    check = 0
    for octet in octets[: end + 1]:
        check ^= octet
        for _ in range(8):
            check = check >> 1 ^ _POLYNOMIAL if check & 1 else check >> 1
    if told.upper() == f"{check:04X}":
        return []
    problem = f"the check is {told[:8]}, not {check:04X}"
    return [Breach(DecodeError(problem, octets, end + 1, CLAUSE), "bad-checksum")]
