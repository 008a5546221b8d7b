# SPDX-License-Identifier: Apache-2.0
"""An event that a meter tells at once: last gasp, restoration, alarm; 28 octets, and its seal.

A DataNotification (DLMS UA 1000-2 Ed. 10, 9.3.10) whose body names the push setup of alarms, the
time as the UNIX clock 0.0.1.1.0.255 has it, and the code of the event log.  A `PushMessage` begins
with a structure of three; this one has four, so the two are told apart before either is decoded.

The last gasp is a notice of POWER_FAILURE and asks for no confirm; a notice of POWER_RETURNED says
for how long there was no supply.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

CLAUSE: Final = "docs/outages.md, 2"
ALARM_PUSH_SETUP: Final = Obis(0, 4, 25, 9, 0, 255)
BODY: Final = slice(5, 8)  # date-time absent, structure of four


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
        return self.FORMAT.pack(
            0x0F,
            LongInvokeIdAndPriority.of(0, confirmed=self.confirmed),
            0,
            b"\x02\x04",
            b"\x09\x06",
            self.push_setup.encode(),
            0x06,
            self.at_s,
            0x11,
            self.code,
            0x06,
            self.seconds,
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a whole notice; raises `DecodeError`."""
        if len(octets) != cls.FORMAT.size:
            problem = f"an event notice has {cls.FORMAT.size} octets, not {len(octets)}"
            raise DecodeError(problem, octets, 0, CLAUSE)
        tag, invoke_id, date_time, body, name, setup, *rest = cls.FORMAT.unpack(octets)
        at_tag, at_s, code_tag, code, seconds_tag, seconds = rest
        if (tag, date_time, body, name, at_tag, code_tag, seconds_tag) != cls.TAGS:
            problem = "an event notice is {push setup, UNIX time, code, seconds}"
            raise DecodeError(problem, octets, 0, CLAUSE)
        return cls(
            confirmed=LongInvokeIdAndPriority(invoke_id).confirmed,
            at_s=at_s,
            code=code,
            seconds=seconds,
            push_setup=Obis.decode(setup),
        )


def is_notice(apdu: bytes) -> bool:
    """Tell whether an opened notification is one of these, by its first octets."""
    return apdu[BODY] == b"\x00\x02\x04"
