# SPDX-License-Identifier: Apache-2.0
"""An event that a meter tells at once: last gasp, restoration, alarm; 28 octets, and its seal.

A DataNotification (DLMS UA 1000-2 Ed. 10, 9.3.10) whose body names the push setup of alarms, the
time as the UNIX clock 0.0.1.1.0.255 has it, and the code of the event log.  A `PushMessage` begins
with a structure of three; this one has four, so the two are told apart before either is decoded.

The last gasp is a notice of POWER_FAILURE and asks for no confirm; a notice of POWER_RETURNED says
for how long there was no supply.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Final, Self

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

CLAUSE: Final = "docs/outages.md, 2"
ALARM_PUSH_SETUP: Final = Obis(0, 4, 25, 9, 0, 255)
BODY: Final = slice(5, 8)  # date-time absent, structure of four


Tags = tuple[int | bytes, ...]


def packed(
    form: struct.Struct, tags: Tags, push_setup: Obis, told: Iterable[int], *, confirmed: bool
) -> bytes:
    """Return a notice: `tags` are of its head, then one before each number that is told."""
    tag, date_time, body, name, *kinds = tags
    numbers = chain.from_iterable(zip(kinds, told, strict=True))
    invoke_id = LongInvokeIdAndPriority.of(0, confirmed=confirmed)
    return form.pack(tag, invoke_id, date_time, body, name, push_setup.encode(), *numbers)


def unpacked(
    form: struct.Struct, tags: Tags, octets: bytes, problem: str, clause: str
) -> tuple[bool, Obis, list[int]]:
    """Return whether a notice is confirmed, its push setup, and the numbers that it tells.

    Raises:
        DecodeError: `problem`, or that it has another length.
    """
    if len(octets) != form.size:
        raise DecodeError(f"{problem}, {form.size} octets, not {len(octets)}", octets, 0, clause)
    tag, invoke_id, date_time, body, name, setup, *rest = form.unpack(octets)
    if (tag, date_time, body, name, *rest[::2]) != tags:
        raise DecodeError(problem, octets, 0, clause)
    return LongInvokeIdAndPriority(invoke_id).confirmed, Obis.decode(setup), rest[1::2]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNotice:
    """One event.

    ======  ===========================  ============================================
    octets  field                        value
    ======  ===========================  ============================================
    1       tag                          0F
    4       long_invoke_id_and_priority  put in by whoever seals; bit 30 confirmed
    1       date_time                    00: absent
    2                                    02 04: the body is a structure of four
    8       push_setup                   09 06, logical name
    5       at_s                         06, seconds UTC
    2       code                         11, `events.EventCode`
    5       seconds                      06, how long what is over took; 0: not told
    ======  ===========================  ============================================
    """

    FORMAT: ClassVar = struct.Struct(">BIB2s2s6sBIBBBI")
    TAGS: ClassVar = (0x0F, 0, b"\x02\x04", b"\x09\x06", 0x06, 0x11, 0x06)

    confirmed: bool
    at_s: int
    code: int
    seconds: int = 0
    push_setup: Obis = ALARM_PUSH_SETUP

    def encode(self) -> bytes:
        told = self.at_s, self.code, self.seconds
        return packed(self.FORMAT, self.TAGS, self.push_setup, told, confirmed=self.confirmed)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a whole notice; raises `DecodeError`."""
        problem = "an event notice is {push setup, UNIX time, code, seconds}"
        confirmed, push_setup, told = unpacked(cls.FORMAT, cls.TAGS, octets, problem, CLAUSE)
        at_s, code, seconds = told
        return cls(
            confirmed=confirmed, at_s=at_s, code=code, seconds=seconds, push_setup=push_setup
        )


def is_notice(apdu: bytes) -> bool:
    """Tell whether an opened notification is one of these, by its first octets."""
    return apdu[BODY] == b"\x00\x02\x04"
