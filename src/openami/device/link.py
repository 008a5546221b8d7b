# SPDX-License-Identifier: Apache-2.0
"""The link between two modules of a device: messages in order over a line that may lose anything.

Sans-IO: it is told octets and monotonic time, and gives octets and events.  Each end opens with a
number of its own; the two numbers together make a session, and frames of another session are
dropped, so that a module that restarts, or is unplugged at any octet, never takes an old frame for
a new one.  Numbered messages are delivered in order and once within a session (go back n, window 1
to 7, sent again on time-out); datagrams may be lost.  What a lost session still had in its window
is the caller's to offer again: that is why intervals carry sequence numbers of their own.
"""

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from openami.device.frame import LONGEST_PAYLOAD, Frame, FrameReader

JOIN: Final = 1  # payload: own number, peer's number or 0, whether the session stands here
JOIN_PAYLOAD: Final = struct.Struct(">HH?")
ALIVE: Final = 2  # acknowledges, and keeps the session alive


@dataclass(frozen=True, slots=True)
class Joined:
    """A new session began: what was sent before may not have arrived."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The peer has been silent for too long."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the peer."""

    kind: int
    payload: bytes


Event: TypeAlias = Joined | Lost | Message


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """Times of a link, in seconds."""

    retransmit_s: float = 0.25
    alive_s: float = 1.0  # an idle end says so as often
    lost_s: float = 4.0  # silence that ends a session


@dataclass(slots=True, kw_only=True)
class Link:
    """One end of the line.

    Attributes:
        number: This end's part of the session, 1 to 65,535: another at each start.
        window: How many numbered messages may wait for acknowledgement.
        times: Time-outs.
        joined: Whether a session stands.
    """

    number: int
    window: int = 7
    times: LinkTimes = field(default_factory=LinkTimes)
    joined: bool = False
    _peer: int = 0
    _next: int = 0  # sequence of the next numbered frame
    _expected: int = 0  # sequence that is expected from the peer
    _waiting: deque[tuple[int, int, bytes]] = field(default_factory=deque)
    _reader: FrameReader = field(default_factory=FrameReader)
    _output: bytearray = field(default_factory=bytearray)
    _heard_s: float = 0.0
    _spoke_s: float = -1e9
    _retransmit_s: float | None = None
    _owes_ack: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.window <= 7:
            raise ValueError(f"the window is 1 to 7 messages, not {self.window}")
        if not 1 <= self.number <= 0xFFFF:
            raise ValueError(f"a link's number is 1 to 65535, not {self.number}")

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
        if self.joined:
            self._put(kind, payload, 0, now_s)

    def receive(self, octets: bytes, now_s: float) -> list[Event]:
        """Take octets from the line; return what they bring."""
        events: list[Event] = []
        for frame in self._reader.feed(octets):
            if frame.kind == JOIN:
                self._on_join(frame, now_s, events)
            elif self.joined and frame.session == self._session:
                self._heard_s = now_s
                self._on_ack(frame.ack, now_s)
                self._on_message(frame, events)
        return events

    def tick(self, now_s: float) -> list[Event]:
        """Do what is due at `now_s`: join, say that we are alive, send again, give up."""
        events: list[Event] = []
        if self.joined and now_s - self._heard_s >= self.times.lost_s:
            self._forget()
            events.append(Lost())
        if not self.joined:
            if now_s - self._spoke_s >= self.times.alive_s:
                self._put_join(now_s)
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

    @property
    def deadline_s(self) -> float:
        """When `tick` is to be called next."""
        due_s = [self._spoke_s + self.times.alive_s]
        if self.joined:
            due_s.append(self._heard_s + self.times.lost_s)
        if self._retransmit_s is not None:
            due_s.append(self._retransmit_s)
        return min(due_s)

    @property
    def _session(self) -> int:
        return (self.number + self._peer) & 0xFFFF

    def _put(self, kind: int, payload: bytes, sequence: int, now_s: float) -> None:
        frame = Frame(
            kind=kind,
            session=self._session,
            sequence=sequence,
            ack=self._expected,
            payload=payload,
        )
        self._output += frame.encode()
        self._spoke_s = now_s
        self._owes_ack = False

    def _put_join(self, now_s: float) -> None:
        payload = JOIN_PAYLOAD.pack(self.number, self._peer, self.joined)
        frame = Frame(kind=JOIN, session=0, sequence=0, ack=0, payload=payload)
        # The zero in front ends whatever half frame an earlier start left on the line.
        self._output += b"\x00" + frame.encode()
        self._spoke_s = now_s

    def _on_join(self, frame: Frame, now_s: float, events: list[Event]) -> None:
        """Open a session: it stands here once the peer has named our number.

        A peer that stands already needs no answer; one that does not know our number while we are
        joined has begun anew, and so do we, under a number that it has not seen.
        """
        if len(frame.payload) != JOIN_PAYLOAD.size:
            return
        peer, known, stands = JOIN_PAYLOAD.unpack(frame.payload)
        if peer == 0:
            return
        if self.joined and (peer != self._peer or (known != self.number and not stands)):
            self._forget()
            events.append(Lost())
        self._peer = peer
        if known == self.number and not self.joined:
            self.joined = True
            self._heard_s = now_s
            events.append(Joined())
        if not stands or not self.joined:
            self._put_join(now_s)

    def _forget(self) -> None:
        """End the session; the next one has another number."""
        self.number = self.number % 0xFFFF + 1
        self.joined = False
        self._peer = 0
        self._next = self._expected = 0
        self._waiting.clear()
        self._retransmit_s = None
        self._owes_ack = False
        self._spoke_s = -1e9

    def _on_ack(self, ack: int, now_s: float) -> None:
        first = self._waiting[0][0] if self._waiting else self._next
        count = (ack - first) % 256
        if 0 < count <= len(self._waiting):
            for _ in range(count):
                self._waiting.popleft()
            self._retransmit_s = now_s + self.times.retransmit_s if self._waiting else None

    def _on_message(self, frame: Frame, events: list[Event]) -> None:
        if frame.kind >= Frame.NUMBERED_FROM:
            self._owes_ack = True  # also for one we had: our acknowledgement was lost
            if frame.sequence != self._expected:
                return
            self._expected = (self._expected + 1) % 256
        if frame.kind != ALIVE:
            events.append(Message(frame.kind, frame.payload))
