# SPDX-License-Identifier: Apache-2.0
"""Requests and responses with one peer, in blocks where they are long (RFC 7252, 5; RFC 7959).

Both ends may ask and both may answer.  A request that is longer than a block goes out in Block1
blocks, and the response is gathered from Block2 blocks; a request that comes in blocks is handed
over whole, and a long response is kept until its last block was fetched.  A response goes out with
the acknowledgement when it is ready in time, and on its own otherwise.

Our requests go one after the other: blocks of two requests to one resource could not be told apart,
and what is cut into several requests would arrive in any order.  The next one goes when the peer
has the whole of the former, which its acknowledgement says, or has answered it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from openami.coap.block import LARGEST_EXPONENT, Block, block_at
from openami.coap.errors import MessageFormatError
from openami.coap.layer import (
    DEFAULT_TRANSMISSION,
    Acknowledged,
    Arrived,
    Entropy,
    GivenUp,
    LayerEvent,
    MessageLayer,
    Rejected,
    Transmission,
)
from openami.coap.message import Message, Option, uint, without
from openami.coap.numbers import (
    Code,
    OptionNumber,
    Type,
    code_text,
    is_cache_key,
    is_request,
    is_success,
)

TOKEN_OCTETS: Final = 4
MOST_GATHERED: Final = 4
"""Requests that come in blocks at a time, and responses that are kept."""
BLOCK1: Final = int(OptionNumber.BLOCK1)
BLOCK2: Final = int(OptionNumber.BLOCK2)
SIZE1: Final = int(OptionNumber.SIZE1)
SIZE2: Final = int(OptionNumber.SIZE2)
ETAG: Final = int(OptionNumber.ETAG)
CONTENT_FORMAT: Final = int(OptionNumber.CONTENT_FORMAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """How to speak with a peer."""

    transmission: Transmission = DEFAULT_TRANSMISSION
    size_exponent: int = LARGEST_EXPONENT  # blocks of 2**(n + 4) octets
    longest_payload_octets: int = 0x10000 + 64  # of a request or response put together
    ack_delay_s: float = 0.5  # so long may a response take to go with the acknowledgement
    response_s: float = 93.0  # so long is a response waited for (MAX_TRANSMIT_WAIT)


DEFAULT_SETTINGS: Final = PeerSettings()


@dataclass(frozen=True, slots=True)
class Requested:
    """The peer asks; `CoapPeer.respond` answers.

    Attributes:
        handle: Names the request.
        message: It, with the payload put together.
    """

    handle: int
    message: Message


@dataclass(frozen=True, slots=True)
class Answered:
    """The peer has answered a request of ours; the payload is put together."""

    handle: int
    code: int
    options: tuple[Option, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A request of ours gets no answer."""

    handle: int
    reason: str


PeerEvent = Requested | Answered | Failed


@dataclass(slots=True)
class _Asked:
    """A request of ours."""

    handle: int
    code: int
    options: tuple[Option, ...]
    payload: bytes
    confirmable: bool
    exponent: int
    due_s: float
    sent: int = 0  # octets of the payload that the peer has
    token: bytes = b""
    message_id: int = -1
    gathered: bytearray = field(default_factory=bytearray)
    etag: bytes | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the block that was sent last is the end of the payload."""
        return self.sent + (1 << (self.exponent + 4)) >= len(self.payload)


@dataclass(slots=True)
class _Owed:
    """A request of the peer that is not answered."""

    message: Message
    block1: Block | None
    exponent: int
    ack_due_s: float | None  # None where it is acknowledged, or wants no acknowledgement


_Key = tuple[int, tuple[Option, ...]]


class CoapPeer:
    """What one peer and we ask each other."""

    def __init__(self, settings: PeerSettings, entropy: Entropy) -> None:
        """Begin.

        Args:
            settings: How to speak.
            entropy: Gives unpredictable octets, for tokens and message ids.
        """
        self.layer = MessageLayer(settings.transmission, entropy)
        self._settings = settings
        self._entropy = entropy
        self._handles = 0
        self._asked: dict[bytes, _Asked] = {}
        self._queue: deque[_Asked] = deque()
        self._current: _Asked | None = None  # of which the peer does not have the whole yet
        self._owed: dict[int, _Owed] = {}
        self._gathering: dict[_Key, bytearray] = {}
        self._kept: dict[_Key, tuple[int, tuple[Option, ...], bytes]] = {}

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called; None for never."""
        times = [self.layer.deadline]
        times += [each.due_s for each in self._asked.values()]
        times += [each.ack_due_s for each in self._owed.values()]
        return min((each for each in times if each is not None), default=None)

    def data_to_send(self) -> list[bytes]:
        """Return the datagrams that are to be sent now, once."""
        return self.layer.data_to_send()

    def request(
        self,
        code: int,
        options: tuple[Option, ...],
        payload: bytes,
        now: float,
        *,
        confirmable: bool = True,
    ) -> int:
        """Ask; `Answered` or `Failed` follows with the handle that is returned."""
        self._handles += 1
        asked = _Asked(
            handle=self._handles,
            code=code,
            options=options,
            payload=payload,
            confirmable=confirmable,
            exponent=self._settings.size_exponent,
            due_s=now + self._settings.response_s,
        )
        self._queue.append(asked)
        self._ask_next(now)
        return asked.handle

    def respond(
        self,
        handle: int,
        code: int,
        payload: bytes,
        now: float,
        options: tuple[Option, ...] = (),
    ) -> None:
        """Answer a request, once."""
        owed = self._owed.pop(handle, None)
        if owed is None:
            return
        if owed.block1 is not None:
            options += ((BLOCK1, owed.block1._replace(more=False).encode()),)
        if len(payload) > 1 << (owed.exponent + 4):
            key = _key(owed.message)
            while len(self._kept) >= MOST_GATHERED:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = code, options, payload
            block = block_at(payload, 0, owed.exponent)
            options += ((BLOCK2, block.encode()), (SIZE2, uint(len(payload))))
            payload = block.of(payload)
        self._reply(owed, code, options, payload, now)

    def receive(self, datagram: bytes, now: float) -> list[PeerEvent]:
        """Take a datagram; return what it means."""
        events: list[PeerEvent] = []
        for event in self.layer.receive(datagram, now):
            self._event(event, now, events)
        return events

    def tick(self, now: float) -> list[PeerEvent]:
        """Do what is due."""
        events: list[PeerEvent] = []
        for event in self.layer.tick(now):
            self._event(event, now, events)
        for owed in self._owed.values():
            if owed.ack_due_s is not None and now >= owed.ack_due_s:
                owed.ack_due_s = None
                self.layer.reply(owed.message.message_id)
        for asked in list(self._asked.values()):
            if now >= asked.due_s:
                self._fail(
                    asked, f"no response within {self._settings.response_s:g} s", now, events
                )
        return events

    # Our own requests -----------------------------------------------------------------------------

    def _ask_next(self, now: float) -> None:
        """Begin the next request, if the peer has the whole of the one before."""
        while self._current is None and self._queue:
            asked = self._queue.popleft()
            self._ask_block(asked, now)
            if asked.confirmable or not asked.is_whole:  # else nothing will acknowledge it
                self._current = asked

    def _through(self, asked: _Asked, now: float) -> None:
        """Learn that nothing of a request is left to be sent."""
        if self._current is asked:
            self._current = None
            self._ask_next(now)

    def _ask_block(self, asked: _Asked, now: float) -> None:
        """Send the request, or its next block."""
        options, payload = asked.options, asked.payload
        if len(payload) > 1 << (asked.exponent + 4):
            block = block_at(payload, asked.sent, asked.exponent)
            options += ((BLOCK1, block.encode()),)
            if block.number == 0:
                options += ((SIZE1, uint(len(payload))),)
            payload = block.of(payload)
        if asked.exponent < LARGEST_EXPONENT:
            wished = Block(0, more=False, exponent=asked.exponent)
            options += ((BLOCK2, wished.encode()),)  # the response in such blocks, too
        self._send(asked, options, payload, now)

    def _send(self, asked: _Asked, options: tuple[Option, ...], payload: bytes, now: float) -> None:
        self._asked.pop(asked.token, None)
        asked.token = self._entropy(TOKEN_OCTETS)
        asked.due_s = now + self._settings.response_s
        self._asked[asked.token] = asked
        asked.message_id = self.layer.send(
            asked.code, asked.token, options, payload, now, confirmable=asked.confirmable
        )

    def _event(self, event: LayerEvent, now: float, events: list[PeerEvent]) -> None:
        match event:
            case Arrived(message):
                if is_request(message.code):
                    self._requested(message, now, events)
                else:
                    self._answered(message, now, events)
            case Acknowledged(message_id):
                asked = self._current  # the response comes on its own
                if asked is not None and asked.message_id == message_id and asked.is_whole:
                    self._through(asked, now)
            case Rejected(message_id):
                self._fail_id(message_id, "the peer rejected the message (RST)", now, events)
            case GivenUp(message_id):
                times = self._settings.transmission.max_retransmit + 1
                reason = f"not acknowledged, though it was sent {times} times"
                self._fail_id(message_id, reason, now, events)

    def _fail_id(self, message_id: int, reason: str, now: float, events: list[PeerEvent]) -> None:
        for asked in list(self._asked.values()):
            if asked.message_id == message_id:
                self._fail(asked, reason, now, events)

    def _fail(self, asked: _Asked, reason: str, now: float, events: list[PeerEvent]) -> None:
        self._asked.pop(asked.token, None)
        self.layer.abandon(asked.message_id, now)
        events.append(Failed(asked.handle, reason))
        self._through(asked, now)

    def _answered(self, message: Message, now: float, events: list[PeerEvent]) -> None:
        asked = self._asked.get(message.token)
        if asked is None or (message.type is Type.ACK and message.message_id != asked.message_id):
            if message.type is Type.CON:
                self.layer.reject(message.message_id)
            return
        if message.type is Type.CON:
            self.layer.reply(message.message_id)
        if message.type is not Type.ACK:
            self.layer.abandon(asked.message_id, now)  # its acknowledgement was lost
        if (unknown := message.not_understood()) and message.type is not Type.NON:
            reason = f"the response has critical options that are not known: {unknown}"
            self._fail(asked, reason, now, events)
            return
        try:
            block1 = _block(message, BLOCK1)
            block2 = _block(message, BLOCK2)
        except MessageFormatError as error:
            self._fail(asked, f"the response cannot be used: {error}", now, events)
            return
        if self._goes_on(asked, message.code, block1, now):
            return
        if block2 is not None and is_success(message.code):
            self._gather(asked, message, block2, now, events)
            return
        events.append(self._finish(asked, message, message.payload, now))

    def _goes_on(self, asked: _Asked, code: int, block1: Block | None, now: float) -> bool:
        """Send the next block of the request if the peer asks for it."""
        if block1 is None:
            return False
        if code == Code.CONTINUE:
            asked.sent += 1 << (asked.exponent + 4)
            asked.exponent = min(asked.exponent, block1.exponent)
            if asked.sent < len(asked.payload):
                self._ask_block(asked, now)
                return True
            return False
        if code == Code.REQUEST_ENTITY_TOO_LARGE and block1.exponent < asked.exponent:
            asked.exponent, asked.sent = block1.exponent, 0
            self._ask_block(asked, now)
            return True
        return False

    def _gather(
        self, asked: _Asked, message: Message, block: Block, now: float, events: list[PeerEvent]
    ) -> None:
        """Take a block of the response, and ask for the next."""
        etag = message.first(ETAG)
        if block.start != len(asked.gathered):
            reason = f"block {block.number} came where octet {len(asked.gathered)} was expected"
        elif asked.gathered and etag != asked.etag:
            reason = "the response changed while it was fetched"
        elif len(asked.gathered) + len(message.payload) > self._settings.longest_payload_octets:
            reason = f"the response is longer than {self._settings.longest_payload_octets} octets"
        elif block.more and len(message.payload) != block.size_octets:
            reason = f"block {block.number} has {len(message.payload)} octets and is not the last"
        else:
            asked.etag = etag
            asked.gathered += message.payload
            if not block.more:
                events.append(self._finish(asked, message, bytes(asked.gathered), now))
                return
            following = Block(block.number + 1, more=False, exponent=block.exponent)
            self._send(asked, (*asked.options, (BLOCK2, following.encode())), b"", now)
            return
        self._fail(asked, reason, now, events)

    def _finish(self, asked: _Asked, message: Message, payload: bytes, now: float) -> Answered:
        self._asked.pop(asked.token, None)
        options = without(message.options, BLOCK1, BLOCK2, SIZE1, SIZE2)
        self._through(asked, now)
        return Answered(asked.handle, message.code, options, payload)

    # The peer's requests --------------------------------------------------------------------------

    def _requested(self, message: Message, now: float, events: list[PeerEvent]) -> None:
        confirmable = message.type is Type.CON
        ack_due_s = now + self._settings.ack_delay_s if confirmable else None
        owed = _Owed(message, None, self._settings.size_exponent, ack_due_s)
        if unknown := message.not_understood():
            if confirmable:
                said = f"critical options are not known: {unknown}".encode()
                self._reply(owed, Code.BAD_OPTION, (), said, now)
            return
        try:
            block1, block2 = _block(message, BLOCK1), _block(message, BLOCK2)
        except MessageFormatError as error:
            self._reply(owed, Code.BAD_OPTION, (), str(error).encode(), now)
            return
        if block2 is not None:
            owed.exponent = min(owed.exponent, block2.exponent)
            if block2.number:
                self._serve(owed, block2, now)
                return
        payload = message.payload
        if block1 is not None:
            whole = self._assemble(owed, block1, now)
            if whole is None:
                return
            payload = whole
            owed.block1 = block1
        self._kept.pop(_key(message), None)  # a new request makes the old response worthless
        self._handles += 1
        self._owed[self._handles] = owed
        whole_message = Message(
            type=message.type,
            code=message.code,
            message_id=message.message_id,
            token=message.token,
            options=without(message.options, BLOCK1, BLOCK2, SIZE1),
            payload=payload,
        )
        events.append(Requested(self._handles, whole_message))

    def _assemble(self, owed: _Owed, block: Block, now: float) -> bytes | None:
        """Take a block of a request; return the whole that it completes."""
        key, part = _key(owed.message), owed.message.payload
        longest = self._settings.longest_payload_octets
        if block.number == 0:
            while len(self._gathering) >= MOST_GATHERED and key not in self._gathering:
                del self._gathering[next(iter(self._gathering))]
            self._gathering[key] = bytearray()
        gathered = self._gathering.get(key)
        said = (BLOCK1, block.encode())
        if gathered is None or len(gathered) != block.start:
            self._gathering.pop(key, None)
            self._reply(owed, Code.REQUEST_ENTITY_INCOMPLETE, (said,), b"a block is missing", now)
        elif block.more and len(part) != block.size_octets:
            problem = b"a block that is not the last is not full"
            self._reply(owed, Code.BAD_REQUEST, (said,), problem, now)
        elif block.start + len(part) > longest or ((owed.message.uint(SIZE1) or 0) > longest):
            del self._gathering[key]
            size = (SIZE1, uint(longest))
            self._reply(owed, Code.REQUEST_ENTITY_TOO_LARGE, (said, size), b"", now)
        elif block.more:
            gathered += part
            smaller = min(block.exponent, self._settings.size_exponent)
            said = (BLOCK1, block._replace(exponent=smaller).encode())
            self._reply(owed, Code.CONTINUE, (said,), b"", now)
        else:
            del self._gathering[key]
            return bytes(gathered) + part
        return None

    def _serve(self, owed: _Owed, block: Block, now: float) -> None:
        """Send a later block of a response that is kept."""
        key = _key(owed.message)
        kept = self._kept.get(key)
        if kept is None or block.start >= len(kept[2]):
            problem = b"no response is kept that has this block"
            self._reply(owed, Code.REQUEST_ENTITY_INCOMPLETE, (), problem, now)
            return
        code, options, payload = kept
        block = block_at(payload, block.start, owed.exponent)
        if not block.more:
            del self._kept[key]
        options = without(options, BLOCK1)
        self._reply(owed, code, (*options, (BLOCK2, block.encode())), block.of(payload), now)

    def _reply(
        self, owed: _Owed, code: int, options: tuple[Option, ...], payload: bytes, now: float
    ) -> None:
        """Send a response: with the acknowledgement while that is owed, else on its own."""
        message = owed.message
        if message.type is Type.CON and owed.ack_due_s is not None:
            self.layer.reply(message.message_id, code, message.token, options, payload)
        else:
            confirmable = message.type is Type.CON
            self.layer.send(code, message.token, options, payload, now, confirmable=confirmable)


def _block(message: Message, number: int) -> Block | None:
    value = message.first(number)
    return None if value is None else Block.decode(value)


def _key(message: Message) -> _Key:
    """Return what a request asks for, whichever block of it this is (RFC 7959, 2.4)."""
    named = [option for option in message.options if is_cache_key(option[0])]
    # A request for a later block of the response has no payload, and so no format of it.
    return message.code, tuple(sorted(without(named, BLOCK1, BLOCK2, CONTENT_FORMAT)))


def refusal(answered: Answered) -> str:
    """Return a response that is no success in words, with what the peer says of it."""
    said = answered.payload.decode("utf-8", "replace")
    return f"the peer answers {code_text(answered.code)}{f' ({said})' if said else ''}"
