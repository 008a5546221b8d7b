# SPDX-License-Identifier: Apache-2.0
"""What SNRM proposes and UA settles: longest information and window (IEC 62056-46, 6.4.4.4.3).

======  ==================  =======================================================
octets  field               value
======  ==================  =======================================================
1       format identifier   81
1       group identifier    80 parameters; F0 user data, to the end
1       group length        of the parameters
1       parameter           05 06 longest information, 07 08 window; transmit, receive
1       parameter length    1 or 2; 4 for a window
n       value               unsigned; 0 is the default
======  ==================  =======================================================

Each side speaks of itself: what the client may transmit meets what the server can receive.  An
absent field, and an absent parameter, is the default: 128 octets, window 1.
"""

from dataclasses import dataclass
from typing import Final, Self

from openami.dlms.axdr import Reader
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.control import MODULUS
from openami.dlms.hdlc.frame import LONGEST_INFORMATION_OCTETS

CLAUSE: Final = "IEC 62056-46, 6.4.4.4.3"

DEFAULT_INFORMATION_OCTETS: Final = 128
DEFAULT_WINDOW: Final = 1
LARGEST_WINDOW: Final = MODULUS - 1

FORMAT_IDENTIFIER: Final = 0x81
PARAMETER_GROUP: Final = 0x80
USER_DATA_GROUP: Final = 0xF0
WINDOW_VALUE_OCTETS: Final = 4

_NAMES: Final = {
    0x05: "max_information_transmit_octets",
    0x06: "max_information_receive_octets",
    0x07: "window_transmit",
    0x08: "window_receive",
}
_DEFAULTS: Final = {
    "max_information_transmit_octets": DEFAULT_INFORMATION_OCTETS,
    "max_information_receive_octets": DEFAULT_INFORMATION_OCTETS,
    "window_transmit": DEFAULT_WINDOW,
    "window_receive": DEFAULT_WINDOW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkParameters:
    """What one side of a link can do, or what both settled on, seen from one side.

    Attributes:
        max_information_transmit_octets: The longest information field that it sends.
        max_information_receive_octets: The longest that it takes.
        window_transmit: How many I frames it sends before it waits, 1 to 7.
        window_receive: How many it takes.
        user_data: What travels beside the parameters.
    """

    max_information_transmit_octets: int = DEFAULT_INFORMATION_OCTETS
    max_information_receive_octets: int = DEFAULT_INFORMATION_OCTETS
    window_transmit: int = DEFAULT_WINDOW
    window_receive: int = DEFAULT_WINDOW
    user_data: bytes = b""

    @classmethod
    def symmetric(cls, max_information_octets: int, window: int) -> Self:
        """Return the same in both directions.

        Raises:
            ValueError: No link can do that.
        """
        if not 1 <= max_information_octets <= LONGEST_INFORMATION_OCTETS:
            longest = LONGEST_INFORMATION_OCTETS
            raise ValueError(f"longest information is 1 to {longest}, not {max_information_octets}")
        if not 1 <= window <= LARGEST_WINDOW:
            raise ValueError(f"an HDLC window is 1 to {LARGEST_WINDOW} frames, not {window}")
        return cls(
            max_information_transmit_octets=max_information_octets,
            max_information_receive_octets=max_information_octets,
            window_transmit=window,
            window_receive=window,
        )

    def encode(self) -> bytes:
        """Return the information field with all four parameters."""
        parameters = b""
        for identifier, name in _NAMES.items():
            value: int = getattr(self, name)
            octets = max(1, (value.bit_length() + 7) // 8)
            if identifier in {0x07, 0x08}:
                octets = WINDOW_VALUE_OCTETS
            parameters += bytes((identifier, octets)) + value.to_bytes(octets)
        field = bytes((FORMAT_IDENTIFIER, PARAMETER_GROUP, len(parameters))) + parameters
        return field + bytes((USER_DATA_GROUP,)) + self.user_data if self.user_data else field

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the information field of SNRM or UA, which may be empty.

        Raises:
            DecodeError: A parameter or group that does not exist, or a value cut off; a server
                answers it with DM.
        """
        if not octets:
            return cls()
        reader = Reader(octets).expect(FORMAT_IDENTIFIER, "format identifier")
        values: dict[str, int] = {}
        if reader.peek() == PARAMETER_GROUP:
            reader.expect(PARAMETER_GROUP, "group identifier")
            values = _values(reader)
        user_data = b""
        if reader.remaining:
            reader.expect(USER_DATA_GROUP, "group identifier")
            user_data = reader.rest()
        return cls(**values, user_data=user_data)

    def settled_with(self, peer: Self) -> Self:
        """Return what both can do: the smaller of each pair, seen from this side."""
        return type(self)(
            max_information_transmit_octets=min(
                self.max_information_transmit_octets, peer.max_information_receive_octets
            ),
            max_information_receive_octets=min(
                self.max_information_receive_octets, peer.max_information_transmit_octets
            ),
            window_transmit=min(self.window_transmit, peer.window_receive),
            window_receive=min(self.window_receive, peer.window_transmit),
        )

    @property
    def is_default(self) -> bool:
        """Whether nothing needs to be said."""
        return self == type(self)()


DEFAULTS: Final = LinkParameters()
GENEROUS: Final = LinkParameters.symmetric(LONGEST_INFORMATION_OCTETS, LARGEST_WINDOW)
"""The most that a link can do."""


def _values(reader: Reader) -> dict[str, int]:
    """Return the parameters of a group by name; 0 is said for the default."""
    group_octets = reader.unsigned(1, "group length")
    offset = reader.offset
    group = Reader(reader.take(group_octets, "parameters"))
    values: dict[str, int] = {}
    while group.remaining:
        identifier = group.unsigned(1, "parameter identifier")
        name = _NAMES.get(identifier)
        if name is None:
            problem = f"parameter {identifier:02X} does not exist"
            raise DecodeError(problem, reader.octets, offset + group.offset - 1, CLAUSE)
        size = group.unsigned(1, "parameter length")
        if size > WINDOW_VALUE_OCTETS:
            problem = f"parameter {identifier:02X} has {size} octets, not 4 or fewer"
            raise DecodeError(problem, reader.octets, offset + group.offset - 1, CLAUSE)
        values[name] = group.unsigned(size, f"parameter {identifier:02X}") or _DEFAULTS[name]
    return values


def user_data_field(user_data: bytes) -> bytes:
    """Return the information field of DISC, or of an UA that answers it; empty without data."""
    head = bytes((FORMAT_IDENTIFIER, USER_DATA_GROUP))
    return head + user_data if user_data else b""


def read_user_data(information: bytes) -> bytes:
    """Return the user data of DISC; what cannot be read says nothing."""
    try:
        return LinkParameters.decode(information).user_data
    except DecodeError:
        return b""
