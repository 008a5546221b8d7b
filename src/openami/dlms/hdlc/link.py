# SPDX-License-Identifier: Apache-2.0
"""What both stations of a data link share: events, timings, and the line (IEC 62056-46, 6.4.4).

A station is told octets and the time and returns events; what it wants to send is taken from it
with `data_to_send`.  Whoever drives it calls `tick` when `deadline` has come.  Times are seconds
of a clock that only goes forward.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.llc import begins, take_off_if_there
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hdlc.reader import Found, FrameReader
from openami.dlms.hdlc.transfer import LONGEST_MESSAGE_OCTETS


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimings:
    """How long each side waits, in seconds."""

    response_s: float = 3.0  # primary: from the last octet to the answer to P
    retries: int = 3  # primary: how often SNRM, DISC or RR is said again without an answer
    poll_s: float = 0.2  # primary: between polls of a secondary that has nothing to say yet
    keep_alive_s: float | None = None  # primary: a poll after so long a silence; None for none
    answer_s: float = 1.0  # secondary: how long it keeps the word while the answer is made
    octet_s: float = 0.0  # primary: what an octet takes on the line; 10 bits at 9600 baud 0.00104
    inter_octet_s: float = 0.5  # both: within a frame; class 23 allows 0.02 to 6
    inactivity_s: float | None = 120.0  # both: without an octet; None for ever


DEFAULT_TIMINGS: Final = LinkTimings()


class Pair(NamedTuple):
    """Between whom a link is."""

    client: Address
    server: Address


@dataclass(frozen=True, slots=True)
class Connected:
    """A link stands; associations on one that stood before are gone.

    Attributes:
        pair: Between whom.
        parameters: What was settled, seen from this side.
        user_data: What the peer sent beside its SNRM or UA.
    """

    pair: Pair
    parameters: LinkParameters
    user_data: bytes = b""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A link is gone, and the associations on it.

    Attributes:
        pair: Between whom it was.
        reason: Why, as part of a sentence.
        user_data: What the peer sent beside its DISC.
    """

    pair: Pair
    reason: str
    user_data: bytes = b""


@dataclass(frozen=True, slots=True)
class Message:
    """An APDU that came over a link."""

    pair: Pair
    apdu: bytes


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """An APDU that came in UI frames, for which no link is needed.

    Attributes:
        source: Who sent it.
        destination: For whom it is; perhaps for all.
        apdu: Without LLC header.
    """

    source: Address
    destination: Address
    apdu: bytes


Event = Connected | Disconnected | Message | Unnumbered


@dataclass(slots=True)
class Line:
    """The octets of one line, from one station's side.

    Attributes:
        timings: Inter-octet and inactivity time-outs.
        active_s: When the last octet was sent or received.
        dropped: How many faulty frames and runs of noise were dropped.
        last_fault: The last of them.
    """

    timings: LinkTimings
    active_s: float = 0.0
    dropped: int = 0
    last_fault: DecodeError | None = None
    _reader: FrameReader = field(default_factory=FrameReader)
    _outgoing: bytearray = field(default_factory=bytearray)

    def take(self, octets: bytes, now: float) -> Iterator[Frame]:
        """Take what came; give the sound frames in it."""
        self.active_s = now
        yield from self._sound(self._reader.feed(octets))

    def expire(self, now: float) -> Iterator[Frame]:
        """Give up a frame that stopped half-way if its time is over."""
        due_s = self.frame_deadline
        if due_s is not None and now >= due_s:
            yield from self._sound(self._reader.expire())

    @property
    def frame_deadline(self) -> float | None:
        """When the frame that has begun must have gone on."""
        if not self._reader.is_within_frame:
            return None
        return self.active_s + self.timings.inter_octet_s

    @property
    def inactivity_deadline(self) -> float | None:
        """When the line has been silent for too long."""
        limit_s = self.timings.inactivity_s
        return None if limit_s is None else self.active_s + limit_s

    def put(self, frame: Frame, now: float) -> None:
        """Leave a frame to be sent."""
        self._reader.turn()
        self._outgoing += frame.encode()
        self.active_s = now

    @property
    def sending_s(self) -> float:
        """How long the line needs for what is left to be sent."""
        return len(self._outgoing) * self.timings.octet_s

    def data_to_send(self) -> bytes:
        """Return what was left to be sent, once."""
        octets = bytes(self._outgoing)
        self._outgoing.clear()
        return octets

    def _sound(self, found: list[Found]) -> Iterator[Frame]:
        for each in found:
            if isinstance(each, DecodeError):
                self.dropped += 1
                self.last_fault = each
            elif not _is_source_valid(each.source):
                self.dropped += 1
            else:
                yield each


def _is_source_valid(source: Address) -> bool:
    """Tell whether anybody can have sent this: never no station, never all (6.4.2.4)."""
    return not (source.is_nobody or source.all_logical)


@dataclass(slots=True)
class UnnumberedAssembly:
    """Puts together APDUs that came in UI frames with bit S, of one or more senders."""

    _parts: dict[tuple[Address, Address], bytearray] = field(default_factory=dict)

    def accept(self, frame: Frame) -> Unnumbered | None:
        """Take a UI frame; return the APDU that it completes."""
        key = frame.source, frame.destination
        if begins(frame.information):
            self._parts.pop(key, None)  # the end of what went before was lost
        if frame.segmented:
            # Only a few senders are heard at a time: half-done APDUs of many are noise.
            if len(self._parts) > _MOST_SENDERS:
                self._parts.clear()
            part = self._parts.setdefault(key, bytearray())
            part += frame.information
            if len(part) > LONGEST_MESSAGE_OCTETS:
                del self._parts[key]
            return None
        information = bytes(self._parts.pop(key, b"")) + frame.information
        apdu = take_off_if_there(information)
        return Unnumbered(frame.source, frame.destination, apdu) if apdu else None


_MOST_SENDERS: Final = 16


def unnumbered_frames(
    destination: Address, source: Address, information: bytes, size: int, *, poll_final: bool
) -> list[Frame]:
    """Return the UI frames that carry `information`; P or F only in the last."""
    frames = []
    for start in range(0, len(information), size):
        last = start + size >= len(information)
        what = control(Kind.UI, poll_final=poll_final and last)
        part = information[start : start + size]
        frames.append(Frame(destination, source, what, part, not last))
    return frames


def earliest(*times: float | None) -> float | None:
    """Return the first of the times that are there."""
    first: float | None = None
    for time in times:
        if time is not None and (first is None or time < first):
            first = time
    return first
