# SPDX-License-Identifier: Apache-2.0
"""A DLMS session: drives the client's generators over whatever carries APDUs.

`cosem.client` yields an APDU to send and is sent the APDU that answers it.  The session steps such
a generator in the very call in which the answer arrives, so a conversation of a thousand requests
costs no task switch between two of them.  One conversation runs at a time; others wait.

A time-out leaves an answer outstanding that nothing later could tell from the next one's: the
session is then over, and whoever wants more opens another (DLMS UA 1000-2 Ed. 10, 7.3.3 leaves
recovery to the layer above).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from openami.dlms.conversation import Conversation, Ended, one_ways
from openami.dlms.gateway import GatewayRoute
from openami.transport.carrier import Carrier, Polled
from openami.transport.wire import WireError

T = TypeVar("T")

__all__ = [
    "TIMEOUT_S",
    "Conversation",
    "DlmsSession",
    "SessionHandler",
    "SessionTimeoutError",
]

TIMEOUT_S: Final = 10.0
LOOKS: Final = 8  # how finely the time for an answer is cut


class SessionTimeoutError(WireError):
    """The peer did not answer in time; the session is over."""


class DlmsSession:
    """One association's requests and answers over a carrier of APDUs.

    Attributes:
        unasked: Takes APDUs that nobody waits for; they are dropped unless it is set.
        expect: Told when an APDU is waited for without being asked for; a carrier where the peer
            speaks only when polled polls then.

    Args:
        send: Puts an APDU on its way; may raise `WireError`.
        name: Whom we speak with, for sentences.
        timeout_s: How long an answer may take.
    """

    def __init__(
        self, send: Callable[[bytes], None], name: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.unasked: Callable[[bytes], None] = lambda _apdu: None
        self.expect: Callable[[], None] = lambda: None
        self._send = send
        self._turn = asyncio.Lock()
        self._conversation: Conversation[Any] | None = None
        self._done: asyncio.Future[Any] | None = None
        self._over: str | None = None  # why nothing can be asked any more
        self._loop = asyncio.get_running_loop()
        self._looks = 0  # how often the timer has looked since the last request
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._over is None

    async def run(self, conversation: Conversation[T], timeout_s: float | None = None) -> T:
        """Hold a conversation and return its result.

        Args:
            conversation: A generator of `cosem.client`.
            timeout_s: For each answer; None takes the session's.

        Raises:
            WireError: The carrier is gone, or `SessionTimeoutError`.
            Exception: What the conversation itself raises, e.g. a peer's refusal.
        """
        async with self._turn:
            if self._over is not None:
                conversation.close()
                raise WireError(f"{self.name} cannot be asked: {self._over}")
            self._answer_s = self.timeout_s if timeout_s is None else timeout_s
            self._done = done = self._loop.create_future()
            self._conversation = conversation
            self._step(None)
            try:
                result: T = await done
            except asyncio.CancelledError:
                self.detach("a request was abandoned half-way")
                raise
            finally:
                self._stop()
            return result

    def feed(self, apdu: bytes) -> None:
        """Take an APDU from the peer; one that nobody waits for goes to `unasked`."""
        if self._conversation is not None:
            self._step(apdu)
        else:
            self.unasked(apdu)

    def detach(self, reason: str) -> None:
        """Learn that the carrier is gone; whoever waits is told."""
        if self._over is None:
            self._over = reason
            self._fail(WireError(f"{self.name} did not answer: {reason}"))

    def _step(self, answer: bytes | None) -> None:
        """Give the conversation an answer and send what it wants to ask next."""
        conversation, done = self._conversation, self._done
        if conversation is None or done is None:
            return
        try:
            request = next(conversation) if answer is None else conversation.send(answer)
            self._looks = 0
            if self._timer is None:
                self._timer = self._loop.call_later(self._answer_s / LOOKS, self._watch)
            if type(request) is bytes and request:
                self._send(request)
            else:
                self._go_on(conversation, request)
        except StopIteration as stop:
            self._end(stop.value)
        except Exception as error:  # noqa: BLE001  it is raised where `run` is awaited
            self._fail(error)

    def _go_on(self, conversation: Conversation[Any], request: bytes) -> None:
        """Send what nothing answers, and what comes behind it."""
        try:
            sent, request = one_ways(conversation, request)
        except Ended as ended:
            for apdu in ended.sent:
                self._send(apdu)
            self._end(ended.value)
            return
        for apdu in sent:
            self._send(apdu)
        if request:
            self._send(request)
        else:
            self.expect()

    def _end(self, result: object) -> None:
        """Give the result to whoever waits for it."""
        self._conversation = None
        if self._done is not None and not self._done.done():
            self._done.set_result(result)

    def _watch(self) -> None:
        """Look whether the answer is late; one timer serves many requests.

        Counting looks costs a request less than asking for the time.  What is asked between two
        looks may take a look longer.
        """
        self._timer = None
        if self._conversation is None:
            return
        self._looks += 1
        if self._looks <= LOOKS:
            self._timer = self._loop.call_later(self._answer_s / LOOKS, self._watch)
            return
        try:
            request = self._conversation.throw(TimeoutError())
            self._looks = 0
            self._timer = self._loop.call_later(self._answer_s / LOOKS, self._watch)
            self._go_on(self._conversation, request)
        except TimeoutError:  # as a rule a conversation cannot go on without the answer
            self._over = f"it did not answer within {self._answer_s:g} s"
            remedy = "check client and server SAP and the connection, or wait longer"
            self._fail(SessionTimeoutError(f"{self.name}: {self._over}: {remedy}"))
        except StopIteration as stop:
            self._end(stop.value)
        except Exception as error:  # noqa: BLE001  it is raised where `run` is awaited
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        conversation, self._conversation = self._conversation, None
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        if conversation is not None:
            conversation.close()

    def _stop(self) -> None:
        self._conversation = self._done = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class SessionHandler:
    """Binds one session to a wire of its own: what `dial` needs as a handler."""

    def __init__(
        self,
        wire: Carrier,
        client: int,
        server: int,
        timeout_s: float = TIMEOUT_S,
        route: GatewayRoute | None = None,
    ) -> None:
        self._server = server
        self._client = client
        self._route = route  # the meter is behind the server at the wire's end
        self.wire = wire
        self.session = DlmsSession(self._transmit, wire.name, timeout_s)
        if isinstance(wire, Polled):
            self.session.expect = wire.expect

    def _transmit(self, apdu: bytes) -> None:
        octets = apdu if self._route is None else self._route.request(apdu)
        self.wire.send(self._client, self._server, octets)

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        """Take an answer of our server; a frame for another client is dropped."""
        if source != self._server or destination != self._client:
            return
        answer = apdu if self._route is None else self._route.response(apdu)
        if answer is not None:
            self.session.feed(answer)

    def closed(self, reason: str) -> None:
        """End the session with the wire."""
        self.session.detach(reason)
