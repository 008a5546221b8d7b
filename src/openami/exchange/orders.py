# SPDX-License-Identifier: Apache-2.0
"""What the head-end tells a concentrator to do by itself: carry out requests, speak to many.

Each order is a DataNotification behind a gateway header (E6) with the concentrator's own title,
from client 64, whose body is a structure that begins with an enum, its kind.  It asks for a
confirm: the concentrator gives one, behind a header (E7) with its title, once a plan is stored
there, or a broadcast has left it.  A time is no order but the answer to a concentrator's question
(`exchange.field`, clock); nothing confirms it.

======  =========  ===============================================================================
kind    value      structure behind it
======  =========  ===============================================================================
65      plan       octet-string title, boolean offline_only, array of {date-time due, octet-string}
66      broadcast  long-unsigned client, octet-string APDU, octet-string titles, 8 octets each
67      time       double-long-unsigned asked, long64-unsigned received, long64-unsigned answered,
                   boolean kept, or null-data
======  =========  ===============================================================================

A sealed request is a request of the head-end in general-ciphering whose transaction-id has four
octets.  The concentrator cannot read it, and the meter's answer carries the same transaction-id.
A broadcast it cannot read either; nobody answers it.

Fields that a later version adds at the end, of an order or of a row, are ignored, as in `field`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import (
    Array,
    Data,
    DoubleLongUnsigned,
    Enum,
    Long64Unsigned,
    LongUnsigned,
    OctetString,
    Structure,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError

CLAUSE: Final = "docs/concentrator.md, 4"
TITLE_OCTETS: Final = 8
TRANSACTION_OCTETS: Final = 4
MOST_REQUESTS: Final = 200  # in one plan
HEAD: Final = b"\xdd\x04"  # general-ciphering, transaction-id of four octets
UNCONFIRMED: Final = 0x3FFF_FFFF
"""Transaction-ids of sealed requests: pushes ask for a confirm and have bit 30 set."""


class Order(IntEnum):
    """What a word of the head-end is."""

    PLAN = 65
    BROADCAST = 66
    TIME = 67


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRequest:
    """A request that only its meter can open."""

    due: datetime  # real UTC
    octets: bytes

    @property
    def transaction(self) -> int | None:
        """The transaction-id that the answer repeats; None where it has not four octets."""
        if self.octets[:2] != HEAD or len(self.octets) < 6:
            return None
        return int.from_bytes(self.octets[2:6])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a concentrator is to ask one meter; it takes the place of the meter's plan before.

    Attributes:
        title: The meter.
        offline_only: Only while the head-end is out of reach, as it asks itself otherwise.
        requests: In the order in which the meter takes them.
    """

    title: bytes
    offline_only: bool
    requests: tuple[SealedRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """What a concentrator is to say once to each line on which one of the meters hangs, and over
    the connection of each of the others.

    Attributes:
        client: SAP of whoever says it.
        apdu: Protected for all of them.
        titles: The meters.
    """

    client: int
    apdu: bytes
    titles: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAnswer:
    """What the head-end's clock showed (RFC 5905, 8: T2 and T3), microseconds UTC since 1970."""

    asked: int  # long-invoke-id-and-priority of the question, four octets as a number
    received_us: int  # when the question was there
    answered_us: int  # when the answer left
    kept: bool | None  # the kernel says that something keeps this clock; None: it does not tell


def is_sealed(transaction_id: bytes) -> bool:
    """Tell whether an answer belongs to a sealed request, by its transaction-id."""
    return len(transaction_id) == TRANSACTION_OCTETS and (
        int.from_bytes(transaction_id) <= UNCONFIRMED
    )


def encode_plan(plan: Plan, long_invoke_id: int) -> bytes:
    """Return the APDU that tells a plan."""
    rows = Array(
        Structure((OctetString(CosemDateTime.from_utc(one.due).encode()), OctetString(one.octets)))
        for one in plan.requests
    )
    return DataNotification(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(long_invoke_id, confirmed=True),
        notification_body=Structure(
            (Enum(Order.PLAN), OctetString(plan.title), plan.offline_only, rows)
        ),
    ).encode()


def encode_broadcast(broadcast: Broadcast, long_invoke_id: int) -> bytes:
    """Return the APDU that tells a broadcast."""
    return DataNotification(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(long_invoke_id, confirmed=True),
        notification_body=Structure(
            (
                Enum(Order.BROADCAST),
                LongUnsigned(broadcast.client),
                OctetString(broadcast.apdu),
                OctetString(b"".join(broadcast.titles)),
            )
        ),
    ).encode()


def encode_time(answer: TimeAnswer) -> bytes:
    """Return the APDU that answers a question for the time; it asks for no confirm."""
    return DataNotification(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(
            answer.asked & LongInvokeIdAndPriority.LARGEST_ID, confirmed=False
        ),
        notification_body=Structure(
            (
                Enum(Order.TIME),
                DoubleLongUnsigned(answer.asked),
                Long64Unsigned(answer.received_us),
                Long64Unsigned(answer.answered_us),
                answer.kept,
            )
        ),
    ).encode()


def decode_order(apdu: bytes) -> tuple[int, Plan | Broadcast | TimeAnswer | None]:
    """Read an order: its long-invoke-id, to be confirmed, and what is to be done.

    None stands for a kind that a later version may send.

    Raises:
        DecodeError: It is something else.
    """
    notification = DataNotification.decode(apdu)
    invoke_id = int(notification.long_invoke_id_and_priority)
    try:
        match notification.notification_body:
            case Structure(
                (Enum() as kind, bytes() as title, bool() as offline, Array() as rows, *_)
            ) if int(kind) == Order.PLAN and len(title) == TITLE_OCTETS:
                requests = _requests(rows)
                return invoke_id, Plan(title=bytes(title), offline_only=offline, requests=requests)
            case Structure(
                (Enum() as kind, LongUnsigned() as client, bytes() as said, bytes() as titles, *_)
            ) if int(kind) == Order.BROADCAST and said and len(titles) % TITLE_OCTETS == 0:
                meters = [bytes(titles[at : at + 8]) for at in range(0, len(titles), TITLE_OCTETS)]
                return invoke_id, Broadcast(
                    client=int(client), apdu=bytes(said), titles=tuple(meters)
                )
            case Structure(
                (
                    Enum() as kind,
                    DoubleLongUnsigned() as asked,
                    Long64Unsigned() as received,
                    Long64Unsigned() as answered,
                    (bool() | None) as kept,
                    *_,
                )
            ) if int(kind) == Order.TIME:
                return invoke_id, TimeAnswer(
                    asked=int(asked),
                    received_us=int(received),
                    answered_us=int(answered),
                    kept=kept,
                )
            case Structure((Enum() as kind, *_)) if int(kind) > max(Order):
                return invoke_id, None
    except (ValueError, OverflowError) as error:
        raise DecodeError(str(error), apdu, 0, CLAUSE) from None
    raise DecodeError("the body is no order", apdu, 0, CLAUSE)


def _requests(rows: Sequence[Data]) -> tuple[SealedRequest, ...]:
    if len(rows) > MOST_REQUESTS:
        raise ValueError(f"a plan has up to {MOST_REQUESTS} requests, not {len(rows)}")
    found = []
    for row in rows:
        match row:
            case Structure((bytes() as due, bytes() as octets, *_)):
                moment = CosemDateTime.decode(bytes(due)).to_utc()
                found.append(SealedRequest(due=moment, octets=bytes(octets)))
            case _:
                raise ValueError("a row of a plan is {date-time, octet-string}")
    if any(one.transaction is None for one in found):
        raise ValueError("a sealed request is general-ciphering with a transaction-id of 4 octets")
    return tuple(found)
