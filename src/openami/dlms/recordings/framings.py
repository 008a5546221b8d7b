# SPDX-License-Identifier: Apache-2.0
"""Recorded octets to frames and the APDUs in them, whatever the framing.

Wrapper frames begin with 0001, HDLC frames with 7E, wired M-Bus frames with 68; no APDU begins with
any of these.  Where a recording begins in the middle of something, frames are looked for inside.
This is for reading what was recorded: states, windows and who may say what are not judged.
"""

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final

from openami.dlms import apdu, data
from openami.dlms.apdu.registry import known_tags
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.frame import FLAG, read_header
from openami.dlms.hdlc.llc import OCTETS as LLC_OCTETS
from openami.dlms.hdlc.llc import take_off_if_there
from openami.dlms.mbus import FRAME_OCTETS, HEADER_OCTETS, START, STOP
from openami.dlms.recordings.partial import read_apdu
from openami.dlms.recordings.recorded import Found, Framed, hdlc, mbus, outside, wrapper
from openami.dlms.wrapper import HEADER_OCTETS as WRAPPER_OCTETS
from openami.dlms.wrapper import VERSION

__all__ = ["FRAMINGS", "Found", "Framed", "detect", "frames"]

_FLAG: Final = bytes((FLAG,))
_START: Final = bytes((START,))
_VERSION: Final = VERSION.to_bytes(2)

WIRELESS_HEADERS: Final = MappingProxyType({0x60: 12, 0x61: 4, 0x7C: 12, 0x7D: 4})
"""CI of an APDU on wireless M-Bus: octets of the transport header behind it (unsure).

One source tells of 60 and 61; that the others carry DLMS/COSEM too, and the two sizes, are from
memory.  A frame is taken for one only if an APDU stands where it should.
"""
_WIRELESS_CI: Final = 10
"""Behind length, control, maker, address."""


def frames(octets: bytes, framing: str | None = None) -> Iterator[Found] | None:
    """Return the frames in `octets`, and what is wrong between them; None for a bare APDU.

    Args:
        octets: As recorded.
        framing: One of `FRAMINGS`; None finds it out.
    """
    reader = FRAMINGS[detect(octets) if framing is None else framing]
    return None if reader is None else reader(octets)


def detect(octets: bytes) -> str:
    """Return which of `FRAMINGS` it is."""
    for name, is_it in _BEGINNINGS:
        if is_it(octets):
            return name
    if _is_bare(octets):
        return "none"
    for name, is_it in _INSIDE:
        if is_it(octets):
            return name
    return "none"


def _begins_wrapper(octets: bytes) -> bool:
    return len(octets) >= WRAPPER_OCTETS and octets.startswith(_VERSION)


def _begins_mbus(octets: bytes) -> bool:
    return octets[:1] == octets[3:4] == _START and (
        octets[1:2] == octets[2:3] or octets[-1:] == bytes((STOP,))
    )


def _is_bare(octets: bytes) -> bool:
    """Whether an APDU stands here, or a value, that breaks no rule; or a tag that leads one."""
    for decode in (apdu.decode, data.decode):
        try:
            decode(octets)
        except DecodeError:
            continue
        return True
    return False


def _holds_hdlc(octets: bytes) -> bool:
    """Whether a whole frame stands somewhere, or one without its flag at the beginning."""
    start = 0
    while True:
        try:
            header = read_header(octets, start)
        except DecodeError:
            header = None
        if header is not None and header.end <= len(octets):
            return True
        flag = octets.find(_FLAG, start)
        if flag < 0:
            return False
        start = flag + 1


def _holds_mbus(octets: bytes) -> bool:
    start = octets.find(_START)
    while 0 <= start < len(octets) - FRAME_OCTETS - HEADER_OCTETS:
        first, second, again = octets[start + 1 : start + 4]
        end = start + first + FRAME_OCTETS
        if first == second and again == START and octets[end - 1 : end] == bytes((STOP,)):
            return True
        start = octets.find(_START, start + 1)
    return False


def _wrapper_start(octets: bytes) -> int:
    """Return where wrapper frames begin that fill the rest of `octets`; -1 if none do."""
    start = octets.find(_VERSION)
    while start >= 0:
        at = start
        while octets[at : at + 2] == _VERSION and at + WRAPPER_OCTETS < len(octets):
            at += WRAPPER_OCTETS + int.from_bytes(octets[at + 6 : at + 8])
        if at == len(octets) and octets[start + WRAPPER_OCTETS] in known_tags():
            return start
        start = octets.find(_VERSION, start + 1)
    return -1


def _holds_wrapper(octets: bytes) -> bool:
    return _wrapper_start(octets) > 0


def _begins_llc(octets: bytes) -> bool:
    return len(octets) > LLC_OCTETS and len(take_off_if_there(octets)) < len(octets)


def _wireless_apdu(octets: bytes) -> bytes | None:
    """Return the APDU of a wireless M-Bus frame without its block checks; None if it is none."""
    if len(octets) <= _WIRELESS_CI or octets[0] != len(octets) - 1:
        return None
    size = WIRELESS_HEADERS.get(octets[_WIRELESS_CI])
    if size is None:
        return None
    found = octets[_WIRELESS_CI + 1 + size :]
    try:
        read_apdu(found)
    except DecodeError:
        return None
    return found


def _is_wireless(octets: bytes) -> bool:
    return _wireless_apdu(octets) is not None


def _wireless(octets: bytes) -> Iterator[Found]:
    found = _wireless_apdu(octets)
    rows = (
        ("control", octets[1:2].hex()),
        ("manufacturer", octets[2:4].hex(" ")),
        ("address", octets[4:_WIRELESS_CI].hex(" ")),
        ("ci", octets[_WIRELESS_CI : _WIRELESS_CI + 1].hex()),
    )
    yield Framed("wireless m-bus", f"{len(octets)} octets", rows, found)


def _llc(octets: bytes) -> Iterator[Found]:
    yield Framed("llc", octets[:LLC_OCTETS].hex(" "), (), take_off_if_there(octets))


def _wrapper(octets: bytes) -> Iterator[Found]:
    start = 0 if _begins_wrapper(octets) else max(0, _wrapper_start(octets))
    if start:
        yield outside(octets, 0, start)
    yield from wrapper(octets[start:])


_BEGINNINGS: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("wrapper", _begins_wrapper),
    ("hdlc", lambda octets: octets[:1] == _FLAG),
    ("mbus", _begins_mbus),
    ("wmbus", _is_wireless),
    ("llc", _begins_llc),
)
_INSIDE: Final[tuple[tuple[str, Callable[[bytes], bool]], ...]] = (
    ("hdlc", _holds_hdlc),
    ("mbus", _holds_mbus),
    ("wrapper", _holds_wrapper),
)

FRAMINGS: Final[dict[str, Callable[[bytes], Iterator[Found]] | None]] = {
    "wrapper": _wrapper,
    "hdlc": hdlc,
    "mbus": mbus,
    "wmbus": _wireless,
    "llc": _llc,
    "none": None,
}
"""What takes frames apart, by the name of the framing; nothing for a bare APDU or value."""
