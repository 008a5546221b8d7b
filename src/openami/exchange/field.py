# SPDX-License-Identifier: Apache-2.0
"""What a concentrator says of itself and of its links, beside the meters' own APDUs.

Each is a DataNotification of the concentrator's own, without a gateway header, whose body is a
structure that begins with an enum, its kind.  It asks for a confirm: the head-end gives one, behind
a gateway header with the concentrator's own title, once it has stored what was said.

======  ==========  ==================================================================
kind    value       structure behind it
======  ==========  ==================================================================
1       heartbeat   the fields of `Heartbeat`
2       links       array of the fields of `LinkState`
3       notices     array of the fields of `Notice`
4       firmware    the fields of `FirmwareState`
5       clock       the fields of `ClockState`
======  ==========  ==================================================================

A later version adds fields at the end, of a word or of a row, and whoever does not know them
ignores them; it never takes one away nor gives it another meaning: that is another kind
(docs/decisions/0033-fields-are-added-at-the-end.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final, TypeAlias

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import (
    Array,
    Data,
    DoubleLongUnsigned,
    Enum,
    Long64,
    Long64Unsigned,
    OctetString,
    Structure,
    Utf8String,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError

CLAUSE: Final = "docs/concentrator.md, 5"
MOST_LINKS: Final = 300  # in one APDU: below 200 octets each
MOST_NOTICES: Final = 100  # below 600 octets each
HEARTBEAT_FIELDS: Final = 11
LONGEST_TEXT: Final = 400  # characters of a notice or an alarm


class Kind(IntEnum):
    """What a word of a concentrator is."""

    HEARTBEAT = 1
    LINKS = 2
    NOTICES = 3
    FIRMWARE = 4
    CLOCK = 5


class NoticeCode(IntEnum):
    """What a concentrator's notice says happened."""

    STARTED = 1
    STOPPED = 2
    METER_FOUND = 3
    NOTICES_DROPPED = 4
    RESTARTING = 5
    QUOTA_FULL = 10
    QUOTA_FREE = 11
    JOURNAL_FULL = 12
    JOURNAL_FREE = 13
    JOURNAL_FAILING = 14
    JOURNAL_WRITTEN_AGAIN = 15
    JOURNAL_SET_ASIDE = 16
    PLANS_SET_ASIDE = 17
    REGISTRY_SET_ASIDE = 18
    LINE_DOWN = 20
    LINE_UP = 21
    METER_WITHOUT_TITLE = 22
    METER_TWICE = 23
    STRANGERS_REFUSED = 24
    REQUEST_REFUSED = 30
    COUNTERS_FAILING = 34
    COUNTERS_WRITTEN_AGAIN = 35
    FIRMWARE_CONFIRMED = 40
    FIRMWARE_REJECTED = 41
    FIRMWARE_CRASHED = 42
    FIRMWARE_HUNG = 43
    CLOCK_OFF = 50
    CLOCK_WELL = 51
    HEAD_END_CLOCK_SET = 52


NOTICE_TEXT: Final[dict[NoticeCode, str]] = {
    NoticeCode.STARTED: "the concentrator started",
    NoticeCode.STOPPED: "the concentrator was stopped in order",
    NoticeCode.METER_FOUND: "a meter was seen for the first time",
    NoticeCode.RESTARTING: "the concentrator starts anew for its firmware, and comes back",
    NoticeCode.NOTICES_DROPPED: "too many notices waited for the head-end; the oldest are gone",
    NoticeCode.QUOTA_FULL: "the meter's quota in the journal is used up; it keeps its readings",
    NoticeCode.QUOTA_FREE: "the meter's quota has room again",
    NoticeCode.JOURNAL_FULL: "the journal has no room; meters keep their readings",
    NoticeCode.JOURNAL_FREE: "the journal has room again",
    NoticeCode.JOURNAL_FAILING: "the journal cannot be written; nothing is receipted",
    NoticeCode.JOURNAL_WRITTEN_AGAIN: "the journal is written again",
    NoticeCode.JOURNAL_SET_ASIDE: "a damaged journal was set aside; an empty one goes on",
    NoticeCode.PLANS_SET_ASIDE: "damaged plans were set aside; meters are read by new ones only",
    NoticeCode.REGISTRY_SET_ASIDE: "a damaged list of meters was set aside; an empty one goes on",
    NoticeCode.LINE_DOWN: "a line of meters is gone",
    NoticeCode.LINE_UP: "a line of meters is back",
    NoticeCode.METER_WITHOUT_TITLE: "a meter on a line does not say its system title",
    NoticeCode.METER_TWICE: "a meter on a line says a title that is attached elsewhere",
    NoticeCode.STRANGERS_REFUSED: "one address has too many handshakes under way; more are refused",
    NoticeCode.REQUEST_REFUSED: "a meter did not take a sealed request",
    NoticeCode.COUNTERS_FAILING: "counters of its own keys cannot be written; it lets nobody in",
    NoticeCode.COUNTERS_WRITTEN_AGAIN: "counters of its own keys are written again",
    NoticeCode.FIRMWARE_CONFIRMED: "the concentrator's new firmware works and stays",
    NoticeCode.FIRMWARE_REJECTED: "the concentrator's new firmware failed a check and is left",
    NoticeCode.FIRMWARE_CRASHED: "the concentrator's new firmware ended on trial and is left",
    NoticeCode.FIRMWARE_HUNG: "the concentrator's new firmware said nothing on trial and is left",
    NoticeCode.CLOCK_OFF: "the clock of the concentrator's host is not the head-end's",
    NoticeCode.CLOCK_WELL: "the clock of the concentrator's host is the head-end's again",
    NoticeCode.HEAD_END_CLOCK_SET: "the head-end's clock jumped, as the concentrator sees it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """How a concentrator is, said every so often."""

    at: datetime  # real UTC
    started: datetime
    entries: int  # in the journal
    octets: int  # in the journal
    most_octets: int  # room of the journal
    oldest_s: int  # age of the oldest entry; 0 when there is none
    meters: int  # in its registry
    attached: int
    at_quota: int  # meters whose quota is used up
    refused: int  # pushes without a receipt since its start, by quota, room or a failing disk
    alarm: str = ""  # the sentence of what fails now

    @property
    def _numbers(self) -> tuple[int, ...]:
        return (
            self.entries,
            self.octets,
            self.most_octets,
            self.oldest_s,
            self.meters,
            self.attached,
            self.at_quota,
            self.refused,
        )

    def body(self) -> Structure:
        return Structure(
            (
                Enum(Kind.HEARTBEAT),
                _moment(self.at),
                _moment(self.started),
                *(Long64Unsigned(number) for number in self._numbers),
                Utf8String(self.alarm[:LONGEST_TEXT]),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """What a concentrator knows of its way to one meter."""

    title: bytes
    bearer: str  # as configured, or the scheme of the address: tls, hdlc+tcp, hdlc+serial
    address: str  # where the meter is or was last
    attached: bool
    first_seen: datetime  # real UTC
    last_seen: datetime
    round_trip_us: int | None = None  # smoothed; None: not measured
    sent: int = 0  # segments or frames since it was first seen
    lost: int = 0  # of these, sent again

    def body(self) -> Structure:
        round_trip = self.round_trip_us
        return Structure(
            (
                OctetString(self.title),
                Utf8String(self.bearer),
                Utf8String(self.address),
                self.attached,
                _moment(self.first_seen),
                _moment(self.last_seen),
                None if round_trip is None else DoubleLongUnsigned(min(round_trip, 2**32 - 1)),
                Long64Unsigned(self.sent),
                Long64Unsigned(self.lost),
            )
        )

    @property
    def loss(self) -> float | None:
        """Which part had to be sent again; None while nothing was sent."""
        return self.lost / self.sent if self.sent else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened at a concentrator, told once and kept until it is confirmed."""

    number: int  # of this concentrator, counting up
    at: datetime  # real UTC
    code: int  # `NoticeCode`, or one of a later version
    title: bytes = b""  # the meter that it is about; empty: the concentrator itself
    text: str = ""  # what the code does not say

    def body(self) -> Structure:
        return Structure(
            (
                Long64Unsigned(self.number),
                _moment(self.at),
                Enum(self.code),
                OctetString(self.title),
                Utf8String(self.text[:LONGEST_TEXT]),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareState:
    """What a concentrator runs, as whoever started it verified and measured it."""

    version: str
    digest: bytes  # of the image
    signer: bytes  # hash of the key that signed it
    counter: int  # no image with a lower one is taken
    bank: int  # 0 A, 1 B
    trial: bool  # it may still be left
    problem: str = ""  # why another image does not run

    def body(self) -> Structure:
        return Structure(
            (
                Enum(Kind.FIRMWARE),
                Utf8String(self.version[:LONGEST_TEXT]),
                OctetString(self.digest),
                OctetString(self.signer),
                Long64Unsigned(self.counter),
                Enum(self.bank),
                self.trial,
                Utf8String(self.problem[:LONGEST_TEXT]),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """How far the clock of a concentrator's host is off; it asks for the time in the same breath.

    The head-end answers with a `TimeAnswer` (`exchange.orders`) at once, and confirms the word as
    any other when it is stored.  One that does not know the word confirms it and answers nothing.
    """

    offset_us: int | None = None  # to be added to the host's UTC to have the head-end's
    uncertainty_us: int | None = None  # the true offset is so near; None as long as none is known
    round_trip_us: int | None = None  # of the exchange that told it
    limit_us: int  # beyond which the clock is called wrong
    past_limit: bool  # it is beyond, and was not seen to be well again
    kept: bool | None = None  # the host's kernel says that something keeps it; None: does not tell

    def body(self) -> Structure:
        offset = None if self.offset_us is None else Long64(self.offset_us)
        return Structure(
            (
                Enum(Kind.CLOCK),
                offset,
                *(
                    None if number is None else Long64Unsigned(number)
                    for number in (self.uncertainty_us, self.round_trip_us)
                ),
                Long64Unsigned(self.limit_us),
                self.past_limit,
                self.kept,
            )
        )


Word: TypeAlias = Heartbeat | list[LinkState] | list[Notice] | FirmwareState | ClockState


def notice_text(code: int) -> str:
    """Return what a code means, or say that it is unknown."""
    return NOTICE_TEXT[NoticeCode(code)] if code in set(NoticeCode) else f"notice {code}"


def encode_heartbeat(heartbeat: Heartbeat, long_invoke_id: int) -> bytes:
    """Return the APDU that tells a heartbeat."""
    return _notification(heartbeat.body(), long_invoke_id)


def encode_links(links: Sequence[LinkState], long_invoke_id: int) -> bytes:
    """Return the APDU that tells up to `MOST_LINKS` links."""
    body = Structure((Enum(Kind.LINKS), Array(link.body() for link in links)))
    return _notification(body, long_invoke_id)


def encode_notices(notices: Sequence[Notice], long_invoke_id: int) -> bytes:
    """Return the APDU that tells up to `MOST_NOTICES` notices."""
    body = Structure((Enum(Kind.NOTICES), Array(notice.body() for notice in notices)))
    return _notification(body, long_invoke_id)


def encode_firmware(firmware: FirmwareState, long_invoke_id: int) -> bytes:
    """Return the APDU that tells what runs."""
    return _notification(firmware.body(), long_invoke_id)


def encode_clock(clock: ClockState, long_invoke_id: int) -> bytes:
    """Return the APDU that tells how the clock is, and asks for the time."""
    return _notification(clock.body(), long_invoke_id)


def decode_word(apdu: bytes) -> tuple[int, Word | None]:
    """Read what a concentrator said: its long-invoke-id, to be confirmed, and the word.

    None stands for a kind that a later version may say.

    Raises:
        DecodeError: It is something else.
    """
    notification = DataNotification.decode(apdu)
    body = notification.notification_body
    invoke_id = int(notification.long_invoke_id_and_priority)
    try:
        return invoke_id, _word(body)
    except (ValueError, OverflowError) as error:
        raise DecodeError(str(error), apdu, 0, CLAUSE) from None


def _word(body: Data) -> Word | None:
    match body:
        case Structure((Enum() as kind, *rest)) if int(kind) == Kind.HEARTBEAT:
            return _heartbeat(rest)
        case Structure((Enum() as kind, Array() as rows, *_)) if int(kind) == Kind.LINKS:
            return [_link(row) for row in rows]
        case Structure((Enum() as kind, Array() as rows, *_)) if int(kind) == Kind.NOTICES:
            return [_notice(row) for row in rows]
        case Structure((Enum() as kind, *rest)) if int(kind) == Kind.FIRMWARE:
            return _firmware(rest)
        case Structure((Enum() as kind, *rest)) if int(kind) == Kind.CLOCK:
            return _clock(rest)
        case Structure((Enum() as kind, *_)) if int(kind) > max(Kind):
            return None
    raise ValueError("the body is no structure that begins with its kind")


def _heartbeat(fields: Sequence[Data]) -> Heartbeat:
    match fields[:HEARTBEAT_FIELDS]:
        case [bytes() as at, bytes() as started, *numbers, str() as alarm] if len(numbers) == 8:
            counts = [_whole(number) for number in numbers]
            return Heartbeat(
                at=_utc(at),
                started=_utc(started),
                entries=counts[0],
                octets=counts[1],
                most_octets=counts[2],
                oldest_s=counts[3],
                meters=counts[4],
                attached=counts[5],
                at_quota=counts[6],
                refused=counts[7],
                alarm=str(alarm),
            )
    raise ValueError("a heartbeat has two date-times, eight numbers and a text")


def _firmware(fields: Sequence[Data]) -> FirmwareState:
    match fields:
        case [
            str() as version,
            bytes() as digest,
            bytes() as signer,
            counter,
            Enum() as bank,
            bool() as trial,
            str() as problem,
            *_,
        ] if int(bank) in {0, 1} and len(digest) <= 64 and len(signer) <= 64:
            return FirmwareState(
                version=str(version),
                digest=bytes(digest),
                signer=bytes(signer),
                counter=_whole(counter),
                bank=int(bank),
                trial=trial,
                problem=str(problem),
            )
    raise ValueError("firmware is not {version, hash, signer, counter, bank, trial, problem}")


def _clock(fields: Sequence[Data]) -> ClockState:
    match fields:
        case [
            offset,
            uncertainty,
            round_trip,
            limit,
            bool() as past,
            (bool() | None) as kept,
            *_,
        ] if (offset is None) == (uncertainty is None):
            return ClockState(
                offset_us=None if offset is None else _signed(offset),
                uncertainty_us=None if uncertainty is None else _whole(uncertainty),
                round_trip_us=None if round_trip is None else _whole(round_trip),
                limit_us=_whole(limit),
                past_limit=past,
                kept=kept,
            )
    raise ValueError("a clock is not {offset, uncertainty, round trip, limit, past it, kept}")


def _link(row: Data) -> LinkState:
    match row:
        case Structure(
            (
                bytes() as title,
                str() as bearer,
                str() as address,
                bool() as attached,
                bytes() as first_seen,
                bytes() as last_seen,
                round_trip,
                sent,
                lost,
                *_,
            )
        ) if len(title) == 8:
            return LinkState(
                title=bytes(title),
                bearer=str(bearer),
                address=str(address),
                attached=attached,
                first_seen=_utc(first_seen),
                last_seen=_utc(last_seen),
                round_trip_us=None if round_trip is None else _whole(round_trip),
                sent=_whole(sent),
                lost=_whole(lost),
            )
    raise ValueError("a row is not what a link has: title, bearer, address, times and counts")


def _notice(row: Data) -> Notice:
    match row:
        case Structure(
            (number, bytes() as at, Enum() as code, bytes() as title, str() as text, *_)
        ) if len(title) in (0, 8):
            return Notice(
                number=_whole(number),
                at=_utc(at),
                code=int(code),
                title=bytes(title),
                text=str(text),
            )
    raise ValueError("a row is not {number, date-time, code, title, text}")


def _whole(value: Data) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no count")
    return int(value)


def _signed(value: Data) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError(f"{value!r} is no number of microseconds")
    return int(value)


def _moment(at: datetime) -> OctetString:
    return OctetString(CosemDateTime.from_utc(at).encode())


def _utc(octets: bytes) -> datetime:
    return CosemDateTime.decode(bytes(octets)).to_utc()


def _notification(body: Structure, long_invoke_id: int) -> bytes:
    return DataNotification(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(long_invoke_id, confirmed=True),
        notification_body=body,
    ).encode()
