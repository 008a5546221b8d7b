# SPDX-License-Identifier: Apache-2.0
"""The message layer: acknowledgement, repetition, duplicates (RFC 7252, 4).

A `MessageLayer` speaks with one peer.  It is told datagrams and the time; what it wants to send is
taken from it, and `tick` is called when `deadline` has come.  Confirmable messages are said again
after 2 s, 4 s, 8 s, … until they are acknowledged or given up; a message that comes twice is
answered twice and delivered once.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.coap.errors import MessageFormatError
from openami.coap.message import Message, Option
from openami.coap.numbers import Type, is_request, is_response

MOST_REMEMBERED: Final = 2048
"""Message ids of the peer; the oldest is forgotten first."""

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """Transmission parameters of RFC 7252, 4.8, in seconds."""

    ack_timeout_s: float = 2.0  # NB-IoT wants 10 and more
    ack_random_factor: float = 1.5
    max_retransmit: int = 4
    nstart: int = 1  # confirmable messages at a time that wait for an acknowledgement
    max_latency_s: float = 100.0

    @property
    def max_transmit_span_s(self) -> float:
        """From the first to the last time that a message is said."""
        return self.ack_timeout_s * ((1 << self.max_retransmit) - 1) * self.ack_random_factor

    @property
    def max_transmit_wait_s(self) -> float:
        """From the first time that a message is said to giving it up."""
        return self.ack_timeout_s * ((2 << self.max_retransmit) - 1) * self.ack_random_factor

    @property
    def exchange_lifetime_s(self) -> float:
        """How long a message id of a confirmable message may not be used again."""
        return self.max_transmit_span_s + 2 * self.max_latency_s + self.ack_timeout_s

    @property
    def non_lifetime_s(self) -> float:
        """The same of a non-confirmable one."""
        return self.max_transmit_span_s + self.max_latency_s


DEFAULT_TRANSMISSION: Final = Transmission()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request or response came, for the first time."""

    message: Message


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer has our message; its response is still to come."""

    message_id: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The peer can do nothing with our message."""

    message_id: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Nobody acknowledged our message."""

    message_id: int


LayerEvent = Arrived | Acknowledged | Rejected | GivenUp


@dataclass(slots=True)
class _Outstanding:
    octets: bytes
    timeout_s: float
    due_s: float
    repeated: int = 0


@dataclass(slots=True)
class _Remembered:
    until_s: float
    reply: bytes | None = None


class MessageLayer:
    """The messages between us and one peer.

    Attributes:
        repeated: How many messages were said again.
        duplicates: How many came again.
        dropped: How many datagrams were no messages.
    """

    def __init__(self, transmission: Transmission, entropy: Entropy) -> None:
        self.transmission = transmission
        self.repeated = self.duplicates = self.dropped = 0
        self.last_fault: MessageFormatError | None = None
        self._entropy = entropy
        self._next_id = int.from_bytes(entropy(2))
        self._outstanding: dict[int, _Outstanding] = {}
        self._waiting: deque[Message] = deque()
        self._remembered: dict[int, _Remembered] = {}
        self._outgoing: list[bytes] = []

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called; None for never."""
        return min((each.due_s for each in self._outstanding.values()), default=None)

    def data_to_send(self) -> list[bytes]:
        """Return the datagrams that are to be sent now, once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def send(  # noqa: PLR0913  the fields of a message
        self,
        code: int,
        token: bytes,
        options: tuple[Option, ...],
        payload: bytes,
        now: float,
        *,
        confirmable: bool,
    ) -> int:
        """Send a message of our own, now or when NSTART allows it; return its message id."""
        message = Message(
            type=Type.CON if confirmable else Type.NON,
            code=code,
            message_id=self._next_id,
            token=token,
            options=options,
            payload=payload,
        )
        self._next_id = (self._next_id + 1) & 0xFFFF
        if not confirmable:
            self._outgoing.append(message.encode())
        elif len(self._outstanding) < self.transmission.nstart:
            self._begin(message, now)
        else:
            self._waiting.append(message)
        return message.message_id

    def reply(
        self,
        message_id: int,
        code: int = 0,
        token: bytes = b"",
        options: tuple[Option, ...] = (),
        payload: bytes = b"",
    ) -> None:
        """Acknowledge a confirmable message, with the response where `code` is one."""
        self._answer(
            Message(
                type=Type.ACK,
                code=code,
                message_id=message_id,
                token=token,
                options=options,
                payload=payload,
            )
        )

    def reject(self, message_id: int) -> None:
        """Say that a message has no meaning here."""
        self._answer(Message(type=Type.RST, code=0, message_id=message_id))

    def abandon(self, message_id: int, now: float) -> None:
        """Say a message no more: its response has come, or nobody waits for it."""
        if self._outstanding.pop(message_id, None) is not None:
            self._begin_waiting(now)
            return
        self._waiting = deque(each for each in self._waiting if each.message_id != message_id)

    def receive(self, datagram: bytes, now: float) -> list[LayerEvent]:
        """Take a datagram; return what it means."""
        self._forget(now)
        try:
            message = Message.decode(datagram)
        except MessageFormatError as error:
            self._dropped(datagram, error)
            return []
        match message.type:
            case Type.ACK:
                return self._acknowledged(message, now)
            case Type.RST:
                if self._outstanding.pop(message.message_id, None) is not None:
                    self._begin_waiting(now)
                return [Rejected(message.message_id)]
            case _:
                return self._new(message, now)

    def tick(self, now: float) -> list[LayerEvent]:
        """Say again what is due; give up what was said often enough."""
        events: list[LayerEvent] = []
        for message_id, each in list(self._outstanding.items()):
            if now < each.due_s:
                continue
            if each.repeated >= self.transmission.max_retransmit:
                del self._outstanding[message_id]
                events.append(GivenUp(message_id))
                self._begin_waiting(now)
                continue
            each.repeated += 1
            each.timeout_s *= 2
            each.due_s = now + each.timeout_s
            self.repeated += 1
            self._outgoing.append(each.octets)
        return events

    # Inside ---------------------------------------------------------------------------------------

    def _begin(self, message: Message, now: float) -> None:
        """Say a confirmable message for the first time."""
        spread = self.transmission.ack_random_factor - 1
        chance = int.from_bytes(self._entropy(2)) / 0xFFFF
        timeout_s = self.transmission.ack_timeout_s * (1 + spread * chance)
        octets = message.encode()
        self._outstanding[message.message_id] = _Outstanding(octets, timeout_s, now + timeout_s)
        self._outgoing.append(octets)

    def _begin_waiting(self, now: float) -> None:
        while self._waiting and len(self._outstanding) < self.transmission.nstart:
            self._begin(self._waiting.popleft(), now)

    def _acknowledged(self, message: Message, now: float) -> list[LayerEvent]:
        if self._outstanding.pop(message.message_id, None) is None:
            return []  # a late copy
        self._begin_waiting(now)
        if message.is_empty:
            return [Acknowledged(message.message_id)]
        return [Arrived(message)] if is_response(message.code) else []

    def _new(self, message: Message, now: float) -> list[LayerEvent]:
        """Take a message of the peer's own."""
        known = self._remembered.get(message.message_id)
        if known is not None:
            self.duplicates += 1
            if known.reply is not None:
                self._outgoing.append(known.reply)
            return []
        confirmable = message.type is Type.CON
        transmission = self.transmission
        lifetime_s = (
            transmission.exchange_lifetime_s if confirmable else transmission.non_lifetime_s
        )
        while len(self._remembered) >= MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[message.message_id] = _Remembered(now + lifetime_s)
        if is_request(message.code) or is_response(message.code):
            return [Arrived(message)]
        if confirmable:
            self.reject(message.message_id)  # an empty one is a ping: RFC 7252, 4.3
        return []

    def _answer(self, message: Message) -> None:
        octets = message.encode()
        if (known := self._remembered.get(message.message_id)) is not None:
            known.reply = octets
        self._outgoing.append(octets)

    def _dropped(self, datagram: bytes, error: MessageFormatError) -> None:
        self.dropped += 1
        self.last_fault = error
        if len(datagram) >= 4 and datagram[0] >> 4 == 0x4:  # version 1, confirmable
            self._outgoing.append(
                Message(type=Type.RST, code=0, message_id=int.from_bytes(datagram[2:4])).encode()
            )

    def _forget(self, now: float) -> None:
        for message_id, each in list(self._remembered.items()):
            if each.until_s > now:
                break  # they stand in the order in which they came; lifetimes hardly differ
            del self._remembered[message_id]
