# SPDX-License-Identifier: Apache-2.0
"""The control field: what a frame is, and its numbers (IEC 62056-46, 6.4.3).

======  ==============  ===========================================
frame   bits 8 to 1     meaning
======  ==============  ===========================================
I       RRR P SSS 0     information, numbered
RR      RRR P 000 1     receive ready: acknowledges up to N(R) - 1
RNR     RRR P 010 1     receive not ready: the same, and wait
SNRM    100 P 001 1     set normal response mode
DISC    010 P 001 1     disconnect
UA      011 F 001 1     unnumbered acknowledgement
DM      000 F 111 1     disconnected mode
FRMR    100 F 011 1     frame reject
UI      000 P 001 1     unnumbered information
======  ==============  ===========================================

RRR is N(R), the number expected next from the peer, SSS is N(S), the number of the frame itself,
both modulo 8.  P asks the peer to speak (poll), F gives the word back (final).
"""

from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

MODULUS: Final = 8

_POLL_FINAL: Final = 0x10


class Kind(Enum):
    """What a frame is."""

    __hash__ = object.__hash__  # members are single: no need to hash their names at each step

    I = "I"  # noqa: E741  the standard's name
    RR = "RR"
    RNR = "RNR"
    SNRM = "SNRM"
    DISC = "DISC"
    UA = "UA"
    DM = "DM"
    FRMR = "FRMR"
    UI = "UI"
    UNKNOWN = "unknown"
    """None of these: answered with FRMR."""


PATTERNS: Final = MappingProxyType(
    {
        Kind.I: "RRRPSSS0",
        Kind.RR: "RRRP0001",
        Kind.RNR: "RRRP0101",
        Kind.SNRM: "100P0011",
        Kind.DISC: "010P0011",
        Kind.UA: "011P0011",
        Kind.DM: "000P1111",
        Kind.FRMR: "100P0111",
        Kind.UI: "000P0011",
    }
)
"""The bits of each frame, most significant first."""


class Control(NamedTuple):
    """A control field.

    Attributes:
        kind: What the frame is.
        poll_final: Bit P of a command, F of a response.
        receive_number: N(R) of I, RR and RNR.
        send_number: N(S) of I.
        octet: As it is sent.
    """

    kind: Kind
    poll_final: bool
    receive_number: int
    send_number: int
    octet: int

    def __str__(self) -> str:
        said = [self.kind.value]
        if self.kind is Kind.UNKNOWN:
            said = [f"{self.octet:02X}"]
        if self.kind is Kind.I:
            said.append(f"N(S)={self.send_number}")
        if self.kind in _NUMBERED:
            said.append(f"N(R)={self.receive_number}")
        return " ".join([*said, *["P/F"] * self.poll_final])


_NUMBERED: Final = frozenset({Kind.I, Kind.RR, Kind.RNR})


def _matches(octet: int, pattern: str) -> bool:
    return all(
        mark in {bit, "R", "P", "S"} for bit, mark in zip(f"{octet:08b}", pattern, strict=True)
    )


def _decode(octet: int) -> Control:
    kind = next((k for k, bits in PATTERNS.items() if _matches(octet, bits)), Kind.UNKNOWN)
    receive_number = octet >> 5 if kind in _NUMBERED else 0
    send_number = octet >> 1 & 0x07 if kind is Kind.I else 0
    return Control(kind, bool(octet & _POLL_FINAL), receive_number, send_number, octet)


COMMANDS: Final = frozenset({Kind.SNRM, Kind.DISC, Kind.UI, Kind.I, Kind.RR, Kind.RNR})
"""What a primary station sends."""
RESPONSES: Final = frozenset({Kind.UA, Kind.DM, Kind.FRMR, Kind.UI, Kind.I, Kind.RR, Kind.RNR})
"""What a secondary station sends."""

CONTROLS: Final = tuple(_decode(octet) for octet in range(256))
"""Each of the 256 control fields."""

_BY_MEANING: Final = {each[:4]: each for each in CONTROLS if each.kind is not Kind.UNKNOWN}


def control(
    kind: Kind, *, poll_final: bool = True, receive_number: int = 0, send_number: int = 0
) -> Control:
    """Return the control field with this meaning.

    Raises:
        ValueError: There is none: a number is too large, or belongs to another kind of frame.
    """
    try:
        return _BY_MEANING[kind, poll_final, receive_number, send_number]
    except KeyError:
        numbers = f"N(R)={receive_number}, N(S)={send_number}"
        raise ValueError(f"no {kind.value} frame has {numbers}") from None
