# SPDX-License-Identifier: Apache-2.0
"""The LLC header: three octets in front of each APDU (IEC 62056-46, 5).

Destination LSAP E6 (FF to all), source LSAP E6 from a client and E7 from a server, quality 00.
It stands in the first segment only.  Some meters leave it out in UI frames after the first.
"""

from typing import Final

from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-46, 5.3"

OCTETS: Final = 3
FROM_CLIENT: Final = b"\xe6\xe6\x00"
FROM_SERVER: Final = b"\xe6\xe7\x00"
FROM_CLIENT_TO_ALL: Final = b"\xff\xe6\x00"

_HEADERS: Final = (FROM_CLIENT, FROM_SERVER, FROM_CLIENT_TO_ALL)


def take_off(information: bytes) -> bytes:
    """Return the APDU behind the header.

    Raises:
        DecodeError: There is no header.
    """
    if information[:OCTETS] not in _HEADERS:
        raise DecodeError("no LLC header stands before the APDU", information, 0, CLAUSE)
    return information[OCTETS:]


def begins(information: bytes) -> bool:
    """Tell whether a segment in a UI frame is the first, by the header that only that one has."""
    return information[:OCTETS] in _HEADERS


def take_off_if_there(information: bytes) -> bytes:
    """Return the APDU of a UI frame, whose sender may have left the header out."""
    return information[OCTETS:] if information[:OCTETS] in _HEADERS else information
