# SPDX-License-Identifier: Apache-2.0
"""What may stand behind an option of the tools for any meter, each by a function that reads it.

What cannot be read is a ValueError whose sentence begins with "must": `read_options` puts the
option and the value before it.
"""

from collections.abc import Callable
from typing import Final

from openami.coap.block import LARGEST_EXPONENT
from openami.dlms.apdu.block import LARGEST_WINDOW
from openami.dlms.gateway import GatewayRoute
from openami.dlms.hdlc.parameters import GENEROUS
from openami.transport.serial import SPEEDS

BLOCKS: Final = tuple(str(16 << exponent) for exponent in range(LARGEST_EXPONENT + 1))
SMALLEST_PDU_OCTETS: Final = 64
"""In fewer octets, protection leaves no room for what is asked."""


def number(text: str) -> int:
    """Read a number that may be written 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        raise ValueError("must be a whole number, such as 32 or 0x20") from None
    if not 0 <= value <= 0xFFFF_FFFF:
        raise ValueError("must be 0 to 4294967295")
    return value


def sap(text: str) -> int:
    """Read a service access point."""
    if (value := number(text)) > 0xFFFF:
        raise ValueError("must be 0 to 65535")
    return value


def server_address(text: str) -> tuple[int, int]:
    """Read the address of a server on HDLC: LOGICAL or LOGICAL/PHYSICAL."""
    logical, slash, physical = text.partition("/")
    try:
        found = number(logical), number(physical) if slash else 0
    except ValueError:
        found = 0x4000, 0
    if max(found) > 0x3FFF:
        raise ValueError("must be LOGICAL/PHYSICAL, each 0 to 16383, such as 1/17")
    return found


def address_size(text: str) -> int:
    """Read the size of a server address on HDLC."""
    if text not in {"1", "2", "4"}:
        raise ValueError("must be 1, 2 or 4 octets")
    return int(text)


def window(text: str) -> int:
    """Read an HDLC window."""
    if text not in set("1234567"):
        raise ValueError("must be 1 to 7 frames")
    return int(text)


def information(text: str) -> int:
    """Read the longest information field of HDLC."""
    if not 32 <= (value := number(text)) <= GENEROUS.max_information_transmit_octets:
        longest = GENEROUS.max_information_transmit_octets
        raise ValueError(f"must be 32 to {longest} octets")
    return value


def speed(text: str) -> int:
    """Read the speed of a serial line."""
    if (value := number(text)) not in SPEEDS:
        raise ValueError(f"must be one of {', '.join(map(str, SPEEDS))} baud")
    return value


def gateway(text: str) -> GatewayRoute:
    """Read where behind a gateway a meter is: NETWORK/ADDRESS."""
    network, _, address = text.partition("/")
    try:
        route = GatewayRoute(number(network), bytes.fromhex(address.removeprefix("0x")))
    except ValueError:
        route = GatewayRoute(0, b"")
    if not 0 <= route.network_id <= 0xFF or not 0 < len(route.physical_address) <= 0xFF:
        raise ValueError("must be NETWORK/ADDRESS, 0 to 255 and hex, such as 0/4F414D0000000001")
    return route


def block_exponent(text: str) -> int:
    """Read how many octets a block of CoAP has."""
    if text not in BLOCKS:
        raise ValueError(f"must be one of {', '.join(BLOCKS)} octets")
    return BLOCKS.index(text)


def block_window(text: str) -> int:
    """Read how many blocks of a general block transfer we take in one go."""
    if not 1 <= (value := number(text)) <= LARGEST_WINDOW:
        raise ValueError(f"must be 1 to {LARGEST_WINDOW} blocks")
    return value


def pdu_octets(text: str) -> int:
    """Read the longest APDU that we take."""
    if not SMALLEST_PDU_OCTETS <= (value := number(text)) <= 0xFFFF:
        raise ValueError(f"must be {SMALLEST_PDU_OCTETS} to 65535 octets")
    return value


def switch(text: str) -> bool:
    """Read yes or no."""
    if text.lower() not in {"true", "yes", "false", "no"}:
        raise ValueError("must be yes or no")
    return text.lower() in {"true", "yes"}


def seconds(text: str) -> float:
    """Read a time-out."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise ValueError("must be a number of seconds, more than 0 and at most 3600")
    return value


def secret(text: str) -> bytes:
    """Read a password: text, or octets in hex after 0x."""
    try:
        return bytes.fromhex(text[2:]) if text[:2].lower() == "0x" else text.encode()
    except ValueError:  # nor is what the shell could not decode
        raise ValueError("must be text in UTF-8, or octets in hex after 0x") from None


def octets(*sizes: int) -> Callable[[str], bytes]:
    """Return what reads octets in hex, as many as one of `sizes`."""

    def read(text: str) -> bytes:
        try:
            value = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            value = b""
        if len(value) not in sizes:
            wanted = " or ".join(f"{2 * size} hex digits ({size} octets)" for size in sizes)
            raise ValueError(f"must be {wanted}")
        return value

    return read


def one_of(*names: str) -> Callable[[str], str]:
    """Return what reads one of some words."""

    def read(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text.lower()

    return read
