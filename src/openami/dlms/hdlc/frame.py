# SPDX-License-Identifier: Apache-2.0
"""One frame: format type 3, addresses, control, information, checks (IEC 62056-46, 6.4.2).

======  ============  ==========================================================
octets  field         value
======  ============  ==========================================================
1       flag          7E; may be the closing flag of the frame before
2       format        A, segmentation bit S, length of all but the flags (11 bit)
1 2 4   destination   address
1 2 4   source        address
1       control       what the frame is
2       HCS           check of all from the format on; only before information
n       information   may be absent
2       FCS           check of all from the format on
1       flag          7E
======  ============  ==========================================================

Nothing is stuffed: the length tells where a frame ends, and 7E may stand inside.  `reader` finds
frames in a stream.
"""

from typing import Final, NamedTuple, Self

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address, read_address
from openami.dlms.hdlc.control import CONTROLS, Control
from openami.dlms.hdlc.fcs import OCTETS as CHECK_OCTETS
from openami.dlms.hdlc.fcs import check_sequence

CLAUSE: Final = "IEC 62056-46, 6.4.2"

FLAG: Final = 0x7E
FORMAT_OCTETS: Final = 2
LONGEST_OCTETS: Final = 0x7FF
"""Of a frame without its flags: what 11 bits can say."""
LONGEST_INFORMATION_OCTETS: Final = 2030

_FLAG: Final = bytes((FLAG,))
_FORMAT_TYPE: Final = 0xA000
_FORMAT_TYPE_MASK: Final = 0xF000
_SEGMENTED: Final = 0x0800


class Frame(NamedTuple):
    """One frame.

    Attributes:
        destination: Who it is for.
        source: Who sent it.
        control: What it is.
        information: A part of an APDU, or parameters; empty where there is none.
        segmented: Bit S: more segments of the same APDU follow.
    """

    destination: Address
    source: Address
    control: Control
    information: bytes = b""
    segmented: bool = False

    def __str__(self) -> str:
        more = f" {len(self.information)} octets" if self.information else ""
        return f"{self.source}>{self.destination} {self.control}{more}{' S' * self.segmented}"

    def encode(self) -> bytes:
        """Return the frame with both flags.

        Raises:
            ValueError: The information is longer than a frame can say.
        """
        destination, source, what, information, segmented = self
        addresses = destination.encode() + source.encode()
        header_octets = FORMAT_OCTETS + len(addresses) + 1 + CHECK_OCTETS
        length = header_octets + (len(information) + CHECK_OCTETS if information else 0)
        if length > LONGEST_OCTETS:
            raise ValueError(
                f"{len(information)} octets of information do not fit into an HDLC frame of "
                f"{LONGEST_OCTETS}; segment the APDU"
            )
        format_field = (_FORMAT_TYPE | _SEGMENTED * segmented | length).to_bytes(FORMAT_OCTETS)
        body = format_field + addresses + bytes((what.octet,))
        if information:
            body += check_sequence(body) + information
        return _FLAG + body + check_sequence(body) + _FLAG

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read exactly one frame, flags included.

        Raises:
            DecodeError: What is wrong first, by its place.
        """
        _expect_flag(octets, 0, "opening flag")
        header = read_header(octets, 1)
        if header is None:
            problem = f"the frame ends after {len(octets)} octets, inside its header"
            raise DecodeError(problem, octets, len(octets), CLAUSE)
        end = 1 + header.length
        if end + 1 != len(octets):
            problem = (
                f"the frame has {len(octets) - 2} octets, its format field says {header.length}"
            )
            raise DecodeError(problem, octets, 1, CLAUSE)
        _expect_flag(octets, end, "closing flag")
        return cls(*header.frame(octets))


def _expect_flag(octets: bytes, offset: int, what: str) -> None:
    found = octets[offset : offset + 1]
    if found != _FLAG:
        shown = found.hex().upper() or "missing"
        raise DecodeError(f"{what} is {shown}, not 7E", octets, offset, CLAUSE)


class Header(NamedTuple):
    """All of a frame up to the information, checked.

    Attributes:
        start: Where the format field stands.
        length: From there to the closing flag, in octets.
        information_start: Where information begins; the end of the frame if there is none.
        segmented: Bit S.
        destination: Who it is for.
        source: Who sent it.
        control: What it is.
    """

    start: int
    length: int
    information_start: int
    segmented: bool
    destination: Address
    source: Address
    control: Control

    @property
    def end(self) -> int:
        """Where the closing flag stands."""
        return self.start + self.length

    @property
    def has_information(self) -> bool:
        """Whether information follows, so that the header is known to be right."""
        return self.information_start < self.end

    def frame(self, octets: bytes) -> Frame:
        """Return the frame in `octets`, which hold all of it.

        Raises:
            DecodeError: The FCS is wrong.
        """
        if not self.has_information:
            information = b""
        else:
            end = self.end - CHECK_OCTETS
            if check_sequence(octets[self.start : end]) != octets[end : self.end]:
                raise DecodeError("FCS is wrong", octets, end, CLAUSE)
            information = octets[self.information_start : end]
        return Frame(self.destination, self.source, self.control, information, self.segmented)


def read_header(octets: bytes, start: int) -> Header | None:
    """Return the header whose format field stands at `start`; None if more octets are needed.

    The check behind the control field, HCS or FCS, is verified here, so that a false start is
    known as such after a dozen octets.

    Raises:
        DecodeError: It is no header.
    """
    if len(octets) < start + FORMAT_OCTETS:
        if len(octets) > start and octets[start] & 0xF0 != _FORMAT_TYPE >> 8:
            raise _no_format(octets, start)
        return None
    format_field = octets[start] << 8 | octets[start + 1]
    if format_field & _FORMAT_TYPE_MASK != _FORMAT_TYPE:
        raise _no_format(octets, start)
    length = format_field & LONGEST_OCTETS
    if (found := read_address(octets, start + FORMAT_OCTETS, "destination address")) is None:
        return None
    destination, offset = found
    if (found := read_address(octets, offset, "source address")) is None:
        return None
    source, offset = found
    check = offset + 1
    end = check + CHECK_OCTETS
    if length != end - start and length <= end + CHECK_OCTETS - start:
        problem = f"the length is {length}, which leaves no room for information and its check"
        raise DecodeError(problem, octets, start, CLAUSE)
    if len(octets) < end:
        return None
    if check_sequence(octets[start:check]) != octets[check:end]:
        name = "FCS" if length == end - start else "HCS"
        raise DecodeError(f"{name} is wrong", octets, check, CLAUSE)
    segmented = bool(format_field & _SEGMENTED)
    return Header(start, length, end, segmented, destination, source, CONTROLS[octets[offset]])


def _no_format(octets: bytes, start: int) -> DecodeError:
    problem = f"format type is {octets[start] >> 4:X}, not A (type 3)"
    return DecodeError(problem, octets, start, CLAUSE)
