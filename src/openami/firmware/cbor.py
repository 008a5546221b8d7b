# SPDX-License-Identifier: Apache-2.0
"""The CBOR that boot records and manifests need (RFC 8949): deterministic heads, definite lengths.

An integer or a length that is not written in its shortest form, a key that comes twice, an
indefinite length and a float are refused: what was signed can be read in one way only.  The order
of a map's keys is kept and not judged.
"""

from dataclasses import dataclass
from typing import Final

from openami.firmware.errors import FirmwareError

DEEPEST: Final = 16
_SIMPLE: Final = {20: False, 21: True, 22: None}


class CborError(FirmwareError):
    """Octets that are no CBOR of this kind; the sentence names the octet."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value with a tag."""

    tag: int
    value: object


def encode(value: object) -> bytes:  # noqa: PLR0911  one for each kind
    """Return a value of int, bytes, str, list, tuple, dict, Tagged, bool and None as CBOR."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            octets = value.encode()
            return _head(3, len(octets)) + octets
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            pairs = (encode(key) + encode(each) for key, each in value.items())
            return _head(5, len(value)) + b"".join(pairs)
        case Tagged():
            return _head(6, value.tag) + encode(value.value)
        case _:
            raise TypeError(f"{type(value).__name__} has no CBOR here")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major << 5 | number,))
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes((major << 5 | extra,)) + number.to_bytes(size)
    raise ValueError(f"{number} needs more than 64 bits")


def decode(octets: bytes) -> object:
    """Return the one value that `octets` hold.

    Raises:
        CborError: Says what is wrong, and at which octet.
    """
    value, end = _value(octets, 0, 0)
    if end != len(octets):
        raise CborError(f"{len(octets) - end} octets follow the value, at octet {end}")
    return value


def _value(octets: bytes, at: int, depth: int) -> tuple[object, int]:  # noqa: PLR0911  as above
    if depth > DEEPEST:
        raise CborError(f"values are nested more than {DEEPEST} deep, at octet {at}")
    major, number, after = _read_head(octets, at)
    match major:
        case 0:
            return number, after
        case 1:
            return -1 - number, after
        case 2 | 3:
            return _string(octets, after, number, major)
        case 4:
            items = []
            for _ in range(_count(octets, after, number)):
                item, after = _value(octets, after, depth + 1)
                items.append(item)
            return items, after
        case 5:
            return _map(octets, after, number, depth)
        case 6:
            value, after = _value(octets, after, depth + 1)
            return Tagged(number, value), after
        case _:
            if number not in _SIMPLE or after != at + 1:
                raise CborError(f"simple value or float {octets[at]:02X}, at octet {at}")
            return _SIMPLE[number], after


def _read_head(octets: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(octets):
        raise CborError(f"a value is missing, at octet {at}")
    major, extra = octets[at] >> 5, octets[at] & 0x1F
    if extra < 24:
        return major, extra, at + 1
    if extra > 27 or major == 7:
        raise CborError(f"head {octets[at]:02X} is not allowed here, at octet {at}")
    size = 1 << (extra - 24)
    end = at + 1 + size
    if end > len(octets):
        raise CborError(f"a head needs {size} more octets, at octet {at + 1}")
    number = int.from_bytes(octets[at + 1 : end])
    if _head(major, number) != octets[at:end]:
        raise CborError(f"{number} is not written in its shortest form, at octet {at}")
    return major, number, end


def _count(octets: bytes, at: int, number: int) -> int:
    if number > len(octets) - at:
        raise CborError(f"{number} items do not fit into {len(octets) - at} octets, at octet {at}")
    return number


def _string(octets: bytes, at: int, size: int, major: int) -> tuple[object, int]:
    end = at + _count(octets, at, size)
    if major == 2:
        return octets[at:end], end
    try:
        return octets[at:end].decode(), end
    except UnicodeDecodeError:
        raise CborError(f"a text is not UTF-8, at octet {at}") from None


def _map(octets: bytes, at: int, size: int, depth: int) -> tuple[object, int]:
    found: dict[object, object] = {}
    for _ in range(_count(octets, at, size)):
        start = at
        key, at = _value(octets, at, depth + 1)
        if not isinstance(key, int | str | bytes) or isinstance(key, bool):
            raise CborError(f"a key is neither a number nor a string, at octet {start}")
        if key in found:
            raise CborError(f"key {key!r} comes twice, at octet {start}")
        found[key], at = _value(octets, at, depth + 1)
    return found, at
