# SPDX-License-Identifier: Apache-2.0
"""What can be read of octets that break a rule: the value so far, and what is wrong by place.

`data.decode` and `apdu.decode` give everything or nothing, and that is right for whoever answers.
Whoever reads a recording wants the rest of it: here each breach is told with the habit of the
field that it is (`habits`), and reading goes on where there is a way to go on.
"""

from dataclasses import dataclass, field
from typing import Final

from openami.dlms import apdu, data
from openami.dlms.apdu.ciphered import (
    BY_DED,
    BY_GLO,
    GeneralDedCiphering,
    GeneralGloCiphering,
    ServiceCiphering,
)
from openami.dlms.apdu.fields import read_date_time
from openami.dlms.apdu.get import GetResponseNormal
from openami.dlms.apdu.invocation import InvokeIdAndPriority, LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.apdu.registry import Apdu
from openami.dlms.axdr import Reader, read_length
from openami.dlms.data import Array, Data, DateTimeOctets, Integer, LongUnsigned, Structure
from openami.dlms.datatypes import OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError

CLAUSE: Final = data.CLAUSE

_DESCRIPTOR_OCTETS: Final = 9
_SWAPPED_OCTETS: Final = 8
_HIGHEST_GROUP_A: Final = 0x0F
_DATE_TIME_OCTETS: Final = 12
_GENERAL: Final = {kind.TAG: kind for kind in (GeneralGloCiphering, GeneralDedCiphering)}


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that is broken.

    Attributes:
        error: What is wrong and where.
        habit: Name of the habit of the field that it is; empty if none is known.
    """

    error: Exception
    habit: str = ""


@dataclass(slots=True)
class _Partial:
    octets: bytes
    breaches: list[Breach] = field(default_factory=list)
    ended: bool = False
    """Nothing behind here can be read."""

    def breach(self, habit: str, problem: str, offset: int, clause: str = CLAUSE) -> None:
        self.breaches.append(Breach(DecodeError(problem, self.octets, offset, clause), habit))

    def value(self, offset: int, levels: int = data.DEEPEST) -> tuple[Data, int]:
        """Return the value at `offset` as far as it goes, and the offset behind it.

        Raises:
            DecodeError: Nothing of it can be read.
        """
        octets = self.octets
        tag = octets[offset] if offset < len(octets) else None
        if tag not in {Array.TAG, Structure.TAG}:
            reader = Reader(octets, offset)
            return data.read(reader), reader.offset
        name = "array" if tag == Array.TAG else "structure"
        count, at = read_length(octets, offset + 1, name)
        if levels == 0:
            problem = f"{name} is nested deeper than {data.DEEPEST} levels"
            raise DecodeError(problem, octets, offset, CLAUSE)
        elements: list[Data] = []
        while len(elements) < count and not self.ended:
            if not elements and tag == Structure.TAG and self._is_descriptor(at):
                elements.append(self._descriptor(at))
                at += _DESCRIPTOR_OCTETS
                continue
            if not elements and tag == Structure.TAG and self._is_swapped(at):
                elements.append(self._swapped(at))
                at += _SWAPPED_OCTETS
                continue
            try:
                element, at = self.value(at, levels - 1)
            except DecodeError as error:
                self._short(error, f"{name} announces {count} elements, {len(elements)} follow")
                break
            elements.append(element)
        return (Array(elements) if tag == Array.TAG else Structure(elements)), at

    def _short(self, error: DecodeError, problem: str) -> None:
        self.ended = True
        if error.offset >= len(self.octets):
            self.breach("short-list", problem, len(self.octets))
        else:
            needs = "needs" in error.problem or "does not fit" in error.problem
            self.breaches.append(Breach(error, "truncated-end" if needs else ""))

    def _is_descriptor(self, at: int) -> bool:
        """Whether class, logical name and attribute stand here without the tags of data.

        No value of data looks so: 00 is null-data, and what follows would have to be a tag.
        """
        row = self.octets[at : at + _DESCRIPTOR_OCTETS]
        return (
            len(row) == _DESCRIPTOR_OCTETS
            and row[0] == 0
            and row[1] != 0
            and row[2] <= _HIGHEST_GROUP_A
            and row[7] == 0xFF
            and 0 < row[8] < 0x80
        )

    def _descriptor(self, at: int) -> Structure:
        if not any(breach.habit == "untyped-descriptor" for breach in self.breaches):
            problem = "an attribute descriptor stands without the tags of data"
            self.breach("untyped-descriptor", problem, at)
        row = self.octets[at : at + _DESCRIPTOR_OCTETS]
        class_id = LongUnsigned(int.from_bytes(row[:2]))
        return Structure((class_id, OctetString(row[2:8]), Integer(row[8])))

    def _is_swapped(self, at: int) -> bool:
        """Whether a logical name stands here with its tag behind its length."""
        row = self.octets[at : at + _SWAPPED_OCTETS]
        return (
            len(row) == _SWAPPED_OCTETS
            and row[:2] == b"\x06\x09"
            and row[2] <= _HIGHEST_GROUP_A
            and row[7] == 0xFF
        )

    def _swapped(self, at: int) -> OctetString:
        problem = "the tag of a logical name stands behind its length"
        self.breach("swapped-tag", problem, at)
        return OctetString(self.octets[at + 2 : at + _SWAPPED_OCTETS])

    def end(self, at: int) -> None:
        if at < len(self.octets) and not self.ended:
            problem = f"{len(self.octets) - at} octets stand behind the end of the value"
            self.breach("trailing-octets", problem, at)


def read_data(octets: bytes, offset: int = 0) -> tuple[Data, list[Breach]]:
    """Return the value from `offset` to the end as far as it can be read, and what is wrong.

    Raises:
        DecodeError: Nothing of it can be read.
    """
    try:
        return data.decode(octets, offset), []
    except DecodeError:
        partial = _Partial(octets)
    value, at = partial.value(offset)
    partial.end(at)
    return value, partial.breaches


def read_apdu(octets: bytes) -> tuple[Apdu, list[Breach]]:
    """Return the APDU as far as it can be read, and what is wrong.

    Raises:
        DecodeError: It can not be read, even with every habit allowed for.
    """
    try:
        message = apdu.decode(octets)
    except DecodeError as error:
        return _read_with_habits(octets, error)
    if isinstance(message, DataNotification) and message.tagged_date_time:
        return message, [_typed_date_time(octets, 5)]
    return message, []


def _typed_date_time(octets: bytes, offset: int) -> Breach:
    problem = f"the date-time carries the tag of a type, {octets[offset]:02X}"
    clause = "DLMS UA 1000-2 Ed. 10, 9.5, Data-Notification"
    return Breach(DecodeError(problem, octets, offset, clause), "typed-date-time")


def _read_with_habits(octets: bytes, error: DecodeError) -> tuple[Apdu, list[Breach]]:
    tag = octets[:1]
    if tag == bytes((DataNotification.TAG,)):
        return _notification(octets, error)
    if octets[:2] == bytes((GetResponseNormal.TAG, GetResponseNormal.CHOICE)) and octets[3:4] == (
        b"\x00"
    ):
        value, breaches = read_data(octets, 4)
        invoke_id = InvokeIdAndPriority(octets[2])
        return GetResponseNormal(invoke_id_and_priority=invoke_id, result=value), breaches
    if (sealed := _sealed_part(octets)) is not None:
        return sealed, [Breach(error, "truncated-end")]
    end = error.offset
    if not error.problem.startswith("octets after the end") or not 2 <= end < len(octets):
        raise error
    message = apdu.decode(octets[:end])
    problem = f"{len(octets) - end} octets stand behind the end of the APDU"
    return message, [Breach(DecodeError(problem, octets, end, error.clause), "trailing-octets")]


def _sealed_part(octets: bytes) -> Apdu | None:
    """Return a ciphered APDU that is cut off, with the part of its service that is there."""
    reader = Reader(octets)
    kind = _GENERAL.get(reader.peek() or 0)
    try:
        tag = reader.unsigned(1, "APDU tag")
        title = reader.octet_string("system-title") if kind is not None else b""
        length = reader.length("ciphered-service")
    except DecodeError:
        return None
    if not 0 < reader.remaining < length:
        return None
    if kind is not None:
        return kind(system_title=title, ciphered_service=reader.rest())
    if tag in BY_GLO or tag in BY_DED:
        return ServiceCiphering(tag=tag, ciphered_service=reader.rest())
    return None


def _notification(octets: bytes, error: DecodeError) -> tuple[Apdu, list[Breach]]:
    reader = Reader(octets, 1)
    invoke_id = LongInvokeIdAndPriority.read(reader)
    breaches = []
    typed = reader.peek() == OctetString.TAG
    if typed:
        breaches.append(_typed_date_time(octets, reader.offset))
        reader.offset += 1
    if reader.peek() == DateTimeOctets.TAG and _is_moment(octets, reader.offset + 1):
        breaches.append(_typed_date_time(octets, reader.offset))
        reader.offset += 1
        date_time = reader.take(_DATE_TIME_OCTETS, "date-time")
    else:
        date_time = read_date_time(reader)
    if not reader.remaining:
        raise error
    body, wrong = read_data(octets, reader.offset)
    message = DataNotification(
        long_invoke_id_and_priority=invoke_id,
        date_time=date_time,
        notification_body=body,
        tagged_date_time=typed,
    )
    return message, breaches + wrong


def _is_moment(octets: bytes, offset: int) -> bool:
    try:
        CosemDateTime.decode(octets[offset : offset + _DATE_TIME_OCTETS])
    except DecodeError:
        return False
    return True
