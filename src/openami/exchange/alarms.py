# SPDX-License-Identifier: Apache-2.0
"""Alarms of our meters: the bits of alarm and error register, and the push that tells of them.

The registers have the logical names that DLMS UA 1000-1 gives them (alarm register 0.x.97.98.0,
filter .10, descriptor .20; error register 0.x.97.97.0).  What a bit means is the companion's
business: the bits here are the manufacturer's, ours, and no companion's.  A bit that names what
ends it goes out by itself; one that names nothing stays until a client clears it.

The push is a DataNotification (DLMS UA 1000-2 Ed. 10, 9.3.10) with the values of the push object
list in their order.  Its body is a structure of six, an `EventNotice` has four, a `PushMessage`
three: they are told apart before any is decoded.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from openami.dlms.obis import Obis
from openami.exchange.events import EventCode
from openami.exchange.notice import ALARM_PUSH_SETUP, BODY, packed, unpacked

CLAUSE: Final = "docs/alarms.md, 2"
BITS: Final = 32
ALL_BITS: Final = 2**BITS - 1

ERROR_REGISTER: Final = Obis(0, 0, 97, 97, 0, 255)
ALARM_REGISTER: Final = Obis(0, 0, 97, 98, 0, 255)
ALARM_FILTER: Final = Obis(0, 0, 97, 98, 10, 255)
ALARM_DESCRIPTOR: Final = Obis(0, 0, 97, 98, 20, 255)
UNIX_CLOCK: Final = Obis(0, 0, 1, 1, 0, 255)


@dataclass(frozen=True, slots=True)
class AlarmBit:
    """One bit of a register.

    Attributes:
        bit: 0 is the least significant.
        kind: One word for it.
        text: For a person.
        raised_by: Events that set it.
        ended_by: Events that let it go out by itself; none: it is latched until it is cleared.
    """

    bit: int
    kind: str
    text: str
    raised_by: frozenset[int]
    ended_by: frozenset[int] = frozenset()

    @property
    def mask(self) -> int:
        return 1 << self.bit


def _bit(bit: int, kind: str, text: str, raised_by: EventCode, *ended_by: EventCode) -> AlarmBit:
    return AlarmBit(bit, kind, text, frozenset({raised_by}), frozenset(ended_by))


_Code = EventCode
ALARM_BITS: Final = (
    _bit(0, "terminal-cover", "terminal cover removed", _Code.TERMINAL_COVER_REMOVED),
    _bit(1, "meter-cover", "meter cover removed", _Code.METER_COVER_REMOVED),
    _bit(2, "magnetic-field", "strong magnetic field", _Code.STRONG_FIELD),
    _bit(3, "failed-login", "association refused", _Code.FAILED_LOGIN),
    _bit(4, "replay-refused", "old invocation counter refused", _Code.REPLAY_REFUSED),
    _bit(5, "module-refused", "strange module refused", _Code.MODULE_REFUSED),
    _bit(6, "metrology-changed", "metrology's program changed", _Code.METROLOGY_CHANGED),
    _bit(7, "measurement-error", "measurement error", _Code.MEASUREMENT_ERROR),
    _bit(8, "modules-apart", "modules apart", _Code.MODULE_REMOVED, _Code.MODULE_INSERTED),
    _bit(9, "neutral-lost", "neutral lost", _Code.NEUTRAL_LOST, _Code.NEUTRAL_RETURNED),
    _bit(10, "current-reversed", "current reversed", _Code.CURRENT_REVERSED, _Code.CURRENT_RIGHT),
    _bit(
        11,
        "phase-sequence",
        "phase sequence reversed",
        _Code.PHASE_SEQUENCE_REVERSED,
        _Code.PHASE_SEQUENCE_RIGHT,
    ),
    _bit(12, "phase-outage-l1", "no voltage on L1", _Code.OUTAGE_L1, _Code.RETURNED_L1),
    _bit(13, "phase-outage-l2", "no voltage on L2", _Code.OUTAGE_L2, _Code.RETURNED_L2),
    _bit(14, "phase-outage-l3", "no voltage on L3", _Code.OUTAGE_L3, _Code.RETURNED_L3),
    _bit(15, "load-limited", "cut by the load limit", _Code.LOAD_LIMITED, _Code.CONNECTED_REMOTELY),
    _bit(16, "state-restored", "damaged state restored", _Code.STATE_RESTORED),
)
ERROR_BITS: Final = (
    _bit(0, "measurement-error", "measurement error", _Code.MEASUREMENT_ERROR),
    _bit(1, "memory-error", "damaged state restored", _Code.STATE_RESTORED),
    _bit(2, "program-changed", "metrology's program changed", _Code.METROLOGY_CHANGED),
    _bit(3, "modules-apart", "modules apart", _Code.MODULE_REMOVED, _Code.MODULE_INSERTED),
)


def raised_by(bits: Iterable[AlarmBit], code: int) -> int:
    """Return the mask of the bits that an event sets."""
    return sum(each.mask for each in bits if code in each.raised_by)


def ended_by(bits: Iterable[AlarmBit], code: int) -> int:
    """Return the mask of the bits that an event lets go out."""
    return sum(each.mask for each in bits if code in each.ended_by)


def bits_in(value: int) -> list[int]:
    """Return the numbers of the bits that are set, the least significant first."""
    return [bit for bit in range(value.bit_length()) if value >> bit & 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmNotice:
    """What an alarm push tells.

    ======  ===========================  ============================================
    octets  field                        value
    ======  ===========================  ============================================
    1       tag                          0F
    4       long_invoke_id_and_priority  put in by whoever seals; bit 30 confirmed
    1       date_time                    00: absent
    2                                    02 06: the body is a structure of six
    8       push_setup                   09 06, logical name
    5       at_s                         06, seconds UTC
    2       code                         11, event; 0: the state alone is told
    5       descriptor                   06, alarm descriptor
    5       register                     06, alarm register
    5       error                        06, error register
    ======  ===========================  ============================================
    """

    FORMAT: ClassVar = struct.Struct(">BIB2s2s6sBIBBBIBIBI")
    TAGS: ClassVar = (0x0F, 0, b"\x02\x06", b"\x09\x06", 0x06, 0x11, 0x06, 0x06, 0x06)

    at_s: int
    code: int
    descriptor: int
    register: int
    error: int
    push_setup: Obis = ALARM_PUSH_SETUP
    confirmed: bool = True

    def encode(self) -> bytes:
        told = self.at_s, self.code, self.descriptor, self.register, self.error
        return packed(self.FORMAT, self.TAGS, self.push_setup, told, confirmed=self.confirmed)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a whole notice; raises `DecodeError`."""
        problem = "an alarm notice is {push setup, UNIX time, code, descriptor, registers}"
        confirmed, push_setup, told = unpacked(cls.FORMAT, cls.TAGS, octets, problem, CLAUSE)
        at_s, code, descriptor, register, error = told
        return cls(
            at_s=at_s,
            code=code,
            descriptor=descriptor,
            register=register,
            error=error,
            push_setup=push_setup,
            confirmed=confirmed,
        )


def is_alarm(apdu: bytes) -> bool:
    """Tell whether an opened notification is one of these, by its first octets."""
    return apdu[BODY] == b"\x00\x02\x06"
