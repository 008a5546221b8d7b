# SPDX-License-Identifier: Apache-2.0
"""The link between two modules of a device: messages in order over a line that may lose anything.

Sans-IO: it is told octets, entropy and monotonic time, and gives octets and events.  Paired modules
open a session with keys of its own at each start (`device.handshake`); every frame in it is sealed
(`device.session`), and frames of other sessions are dropped, so that a module that restarts, or is
unplugged at any octet, never takes an old frame or a stranger's for its peer's.  Nothing that the
peer did not seal ends a session: a new one is opened beside it, and takes its place when it stands.

Numbered messages are delivered in order and once within a session (go back n, window 1 to 7, sent
again on time-out); datagrams may be lost.  What a lost session still had in its window is the
caller's to offer again: that is why intervals carry sequence numbers of their own.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from openami.device.frame import LONGEST_PAYLOAD, Frame, FrameReader
from openami.device.handshake import (
    ANSWER,
    CALL,
    OPEN,
    HandshakeError,
    Hello,
    Opening,
    answer,
    call,
)
from openami.device.pairing import Pair
from openami.device.session import Session
from openami.firmware.keys import Entropy

ALIVE: Final = 4  # acknowledges, and keeps the session alive


@dataclass(frozen=True, slots=True)
class Joined:
    """A new session began: what was sent before may not have arrived."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The peer has been silent for too long, or began anew."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody on the line wants to open a session and is not the module we were paired with.

    Attributes:
        fingerprint: Of whom it says it is: it may claim the right one.
    """

    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the peer."""

    kind: int
    payload: bytes


Event: TypeAlias = Joined | Lost | Stranger | Message


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """Times of a link, in seconds."""

    retransmit_s: float = 0.25
    alive_s: float = 1.0  # an idle end says so as often
    doubt_s: float = 1.5  # silence after which a peer is believed to be in no session any more
    lost_s: float = 4.0  # silence that ends a session
    open_s: float = 0.5  # how often OPEN is sent until it is answered
    judge_s: float = 0.1  # an OPEN costs two agreements: no more often


@dataclass(slots=True, kw_only=True)
class Link:
    """One end of the line.

    Attributes:
        pair: This module's keys.
        opens: Whether this end opens sessions; the other answers.
        entropy: For the keys of a session.
        window: How many numbered messages may wait for acknowledgement.
        times: Time-outs.
        refused_frames: How many frames with a sound CRC were not the peer's, or old.
        stranger: Fingerprint of the last module that was not the peer; None since one joined.
    """

    pair: Pair
    opens: bool
    entropy: Entropy
    window: int = 7
    times: LinkTimes = field(default_factory=LinkTimes)
    refused_frames: int = 0
    stranger: bytes | None = None
    _session: Session | None = None
    _opening: Opening | None = None
    _answered: tuple[bytes, bytes, Session] | None = None  # OPEN, ANSWER, what will stand
    _next: int = 0  # sequence of the next numbered frame
    _expected: int = 0  # sequence that is expected from the peer
    _waiting: deque[tuple[int, int, bytes]] = field(default_factory=deque)
    _reader: FrameReader = field(default_factory=FrameReader)
    _output: bytearray = field(default_factory=bytearray)
    _heard_s: float = 0.0
    _spoke_s: float = -1e9
    _opened_s: float = -1e9
    _judged_s: float = -1e9
    _retransmit_s: float | None = None
    _owes_ack: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 7:
            raise ValueError(f"the window is 1 to 7 messages, not {self.window}")

    @property
    def joined(self) -> bool:
        """Whether a session stands."""
        return self._session is not None

    @property
    def standing(self) -> str:
        """How the link stands, for people."""
        if self.stranger is not None:
            return f"{'attached; ' if self.joined else ''}refused module {self.stranger.hex()}"
        if self.pair.peer is None:
            return "never paired"
        return "attached" if self.joined else "silent"

    @property
    def room(self) -> int:
        """How many numbered messages can be sent now."""
        return self.window - len(self._waiting) if self.joined else 0

    @property
    def spoilt_frames(self) -> int:
        """How many frames arrived broken."""
        return self._reader.spoilt

    def send(self, kind: int, payload: bytes, now_s: float) -> None:
        """Send a numbered message.

        Raises:
            ValueError: There is no room, or the kind or the payload is not for numbered messages.
        """
        if self.room == 0:
            raise ValueError("the window is full or no session stands: ask `room` first")
        if not Frame.NUMBERED_FROM <= kind <= 0xFF or len(payload) > LONGEST_PAYLOAD:
            raise ValueError(f"kind {kind} with {len(payload)} octets is no numbered message")
        self._waiting.append((self._next, kind, payload))
        self._put(kind, payload, self._next, now_s)
        self._next = (self._next + 1) % 256
        if self._retransmit_s is None:
            self._retransmit_s = now_s + self.times.retransmit_s

    def datagram(self, kind: int, payload: bytes, now_s: float) -> None:
        """Send a message that may be lost; without a session it is."""
        if not 8 <= kind < Frame.NUMBERED_FROM or len(payload) > LONGEST_PAYLOAD:
            raise ValueError(f"kind {kind} with {len(payload)} octets is no datagram")
        self._put(kind, payload, 0, now_s)

    def receive(self, octets: bytes, now_s: float) -> list[Event]:
        """Take octets from the line; return what they bring."""
        events: list[Event] = []
        for frame in self._reader.feed(octets):
            if frame.kind in (CALL, OPEN, ANSWER):
                self._on_handshake(frame, now_s, events)
            else:
                self._on_sealed(frame, now_s, events)
        return events

    def tick(self, now_s: float) -> list[Event]:
        """Do what is due at `now_s`: open, say that we are alive, send again, give up."""
        events: list[Event] = []
        if self.joined and now_s - self._heard_s >= self.times.lost_s:
            self._forget()
            events.append(Lost())
        if self.opens and self.pair.peer is not None and (self._opening or not self.joined):
            if now_s - self._opened_s >= self.times.open_s:
                self._open(now_s)
        elif not self.joined and now_s - self._spoke_s >= self.times.alive_s:
            self._put_clear(CALL, call(self.pair), now_s)
        if not self.joined:
            return events
        if self._retransmit_s is not None and now_s >= self._retransmit_s:
            for sequence, kind, payload in self._waiting:
                self._put(kind, payload, sequence, now_s)
            self._retransmit_s = now_s + self.times.retransmit_s
        elif self._owes_ack or now_s - self._spoke_s >= self.times.alive_s:
            self._put(ALIVE, b"", 0, now_s)
        return events

    def take_output(self) -> bytes:
        """Return the octets for the line since the last call."""
        octets = bytes(self._output)
        self._output.clear()
        return octets

    # Sessions ---------------------------------------------------------------------------------

    def _open(self, now_s: float) -> None:
        if self._opening is None:
            self._opening = Opening.begin(self.pair, self.entropy)
        self._opened_s = now_s
        self._put_clear(OPEN, self._opening.octets, now_s)

    def _on_handshake(self, frame: Frame, now_s: float, events: list[Event]) -> None:
        try:
            if frame.kind == CALL:
                self._on_call(frame.payload, now_s)
            elif frame.kind == OPEN and not self.opens:
                self._on_open(frame.payload, now_s)
            elif frame.kind == ANSWER and self.opens and self._opening is not None:
                session = self._opening.answered(frame.payload)
                self._begin(session, now_s, events)
                self._put(ALIVE, b"", 0, now_s)  # for the peer the session stands when this comes
        except HandshakeError as error:
            self.refused_frames += 1
            if error.fingerprint:
                self.stranger = error.fingerprint
                events.append(Stranger(error.fingerprint))

    def _on_call(self, octets: bytes, now_s: float) -> None:
        """Open a session with a peer that says it is in none, unless it speaks in ours."""
        hello = Hello.decode(octets)
        if hello.fingerprint != self.pair.peer_name:
            raise HandshakeError("it is from another module", hello.fingerprint)
        silent = not self.joined or now_s - self._heard_s >= self.times.doubt_s
        if self.opens and silent and now_s - self._opened_s >= self.times.open_s:
            self._open(now_s)

    def _on_open(self, octets: bytes, now_s: float) -> None:
        """Answer; what stands is left standing until the peer speaks in the new session."""
        if self._answered is None or self._answered[0] != octets:
            if now_s - self._judged_s < self.times.judge_s:
                return
            self._judged_s = now_s
            self._answered = (octets, *answer(self.pair, octets, self.entropy))
        self._put_clear(ANSWER, self._answered[1], now_s)

    def _begin(self, session: Session, now_s: float, events: list[Event]) -> None:
        if self.joined:
            events.append(Lost())
        self._forget()
        self._session, self._opening, self._answered = session, None, None
        self._heard_s, self.stranger = now_s, None
        events.append(Joined())

    def _forget(self) -> None:
        """End the session."""
        self._session = None
        self._next = self._expected = 0
        self._waiting.clear()
        self._retransmit_s = None
        self._owes_ack = False
        self._spoke_s = self._opened_s = -1e9

    # Frames -----------------------------------------------------------------------------------

    def _put(self, kind: int, payload: bytes, sequence: int, now_s: float) -> None:
        if self._session is None:
            return
        frame = self._session.seal(kind, payload, sequence=sequence, ack=self._expected)
        self._output += frame.encode()
        self._spoke_s = now_s
        self._owes_ack = False

    def _put_clear(self, kind: int, payload: bytes, now_s: float) -> None:
        frame = Frame(kind=kind, session=0, counter=0, sequence=0, ack=0, payload=payload)
        # The zero in front ends whatever half frame an earlier start left on the line.
        self._output += b"\x00" + frame.encode()
        if not self.joined:
            self._spoke_s = now_s

    def _on_sealed(self, frame: Frame, now_s: float, events: list[Event]) -> None:
        session, fresh = self._session, self._answered[2] if self._answered else None
        if fresh is not None and frame.session == fresh.number:
            session = fresh
        elif session is None or frame.session != session.number:
            return  # of a session that ended
        payload = session.open(frame)
        if payload is None:
            self.refused_frames += 1
            return
        if session is fresh:
            self._begin(session, now_s, events)
        self._heard_s = now_s
        self._on_ack(frame.ack, now_s)
        self._on_message(frame, payload, events)

    def _on_ack(self, ack: int, now_s: float) -> None:
        first = self._waiting[0][0] if self._waiting else self._next
        count = (ack - first) % 256
        if 0 < count <= len(self._waiting):
            for _ in range(count):
                self._waiting.popleft()
            self._retransmit_s = now_s + self.times.retransmit_s if self._waiting else None

    def _on_message(self, frame: Frame, payload: bytes, events: list[Event]) -> None:
        if frame.kind >= Frame.NUMBERED_FROM:
            self._owes_ack = True  # also for one we had: our acknowledgement was lost
            if frame.sequence != self._expected:
                return
            self._expected = (self._expected + 1) % 256
        if frame.kind != ALIVE:
            events.append(Message(frame.kind, payload))
