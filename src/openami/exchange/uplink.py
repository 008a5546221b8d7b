# SPDX-License-Identifier: Apache-2.0
"""What a concentrator and the head-end say to each other beside the meters' own APDUs.

Meters' APDUs travel behind a gateway header that holds the meter's system title.  Without a header
a concentrator speaks for itself: what it says of its state is in `field`; here is its list of
meters that came or went, a DataNotification whose body is an array of structure { octet-string
title, boolean attached, octet-string date-time }; what a later version adds behind is ignored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import Array, OctetString, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap

MANAGEMENT_SERVER: Final = Sap(1)
PUSH_CLIENT: Final = Sap(64)  # destination of pushes and of announcements, source of receipts
COLLECTION_CLIENT: Final = Sap(65)  # of sealed requests, which a concentrator carries out
BROADCAST_CLIENT: Final = Sap(102)  # speaks to all meters of a group, who do not answer
BROADCAST_SETUP: Final = Obis(0, 0, 43, 0, 1, 255)  # security setup that has the group's keys

MOST_IN_ONE: Final = 1000  # 29 octets each: well below the 65,535 of a wrapper frame
CLAUSE: Final = "announcement of attachments, docs/architecture.md, 5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A meter that connected to its concentrator, or whose connection ended."""

    title: bytes
    attached: bool
    since: datetime  # real UTC


def encode_attachments(attachments: Sequence[Attachment], first_invoke_id: int) -> Iterator[bytes]:
    """Yield the APDUs that tell `attachments`; none when there is nothing to tell.

    Args:
        attachments: In the order in which they happened.
        first_invoke_id: Long-invoke-id of the first APDU; the next ones count on.
    """
    for number, start in enumerate(range(0, len(attachments), MOST_IN_ONE)):
        body = Array(
            Structure(
                (
                    OctetString(one.title),
                    one.attached,
                    OctetString(CosemDateTime.from_utc(one.since).encode()),
                )
            )
            for one in attachments[start : start + MOST_IN_ONE]
        )
        yield DataNotification(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.of(
                (first_invoke_id + number) & LongInvokeIdAndPriority.LARGEST_ID, confirmed=False
            ),
            notification_body=body,
        ).encode()


def tells_attachments(apdu: bytes) -> bool:
    """Tell whether a concentrator's own word is a list of attachments; else it is a `field.Word`.

    Raises:
        DecodeError: It is no DataNotification.
    """
    return isinstance(DataNotification.decode(apdu).notification_body, Array)


def decode_attachments(apdu: bytes) -> list[Attachment]:
    """Read one APDU of `encode_attachments`.

    Raises:
        DecodeError: It is something else.
    """
    body = DataNotification.decode(apdu).notification_body
    if not isinstance(body, Array):
        raise DecodeError("the body is no array", apdu, 0, CLAUSE)
    found = []
    for row in body:
        match row:
            case Structure((bytes() as title, bool() as attached, bytes() as since, *_)) if (
                len(title) == 8
            ):
                moment = _moment(apdu, bytes(since))
                found.append(Attachment(title=bytes(title), attached=attached, since=moment))
            case _:
                raise DecodeError("a row is not {title, attached, date-time}", apdu, 0, CLAUSE)
    return found


def _moment(apdu: bytes, octets: bytes) -> datetime:
    try:
        return CosemDateTime.decode(octets).to_utc()
    except (ValueError, OverflowError) as error:
        raise DecodeError(str(error), apdu, 0, CLAUSE) from None
