# SPDX-License-Identifier: Apache-2.0
"""HDLC links over TCP and serial lines: the octets, the clock and the timers of `dlms.hdlc`.

A wire drives one station over one line.  `HdlcClientWire` has a link to one server and is a
`Carrier` once the link stands; `HdlcServerWire` serves all clients on its line.  `hdlcpoint`
opens both.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from openami.dlms.conversation import OneWay
from openami.dlms.errors import DlmsError
from openami.dlms.hdlc.address import Address, Station
from openami.dlms.hdlc.link import (
    DEFAULT_TIMINGS,
    Connected,
    Disconnected,
    Event,
    LinkTimings,
    Message,
    Pair,
    Unnumbered,
)
from openami.dlms.hdlc.parameters import GENEROUS, LinkParameters
from openami.dlms.hdlc.primary import PrimaryLink
from openami.dlms.hdlc.secondary import SecondaryStation
from openami.dlms.hdlc.states import State
from openami.dlms.sap import ALL_STATION
from openami.transport.carrier import AcceptCarrier
from openami.transport.wire import WireError, WireHandler

log = logging.getLogger(__name__)

LINGER_S: Final = 1.0  # for the answer to DISC


@dataclass(frozen=True, slots=True, kw_only=True)
class HdlcSettings:
    """How to speak HDLC on a line."""

    physical: int = 0  # physical address of the server; 0 where it has none
    address_octets: int | None = None  # of server addresses: 1, 2 or 4; None takes the smallest
    parameters: LinkParameters = GENEROUS  # the most that we propose or accept
    timings: LinkTimings = DEFAULT_TIMINGS
    baud: int = 9600  # serial lines
    mode_e: bool = False  # serial lines: open at 300 baud, as optical ports are
    link_s: float | None = None  # how long a link is waited for once the line is open


DEFAULT_SETTINGS: Final = HdlcSettings()


class Line(Protocol):
    """A line that a wire has opened."""

    def send(self, octets: bytes) -> None:
        """Put octets on the line."""

    def close(self) -> None:
        """Close it; `HdlcWire.line_lost` follows."""


class LinkHandler(WireHandler, Protocol):
    """Who serves the clients of a line; told of the end of each link."""

    def disconnected(self, client: int) -> None:
        """Learn that a client's link is gone, and with it its association."""


AcceptLine = Callable[["HdlcServerWire"], LinkHandler]


class _Driven(Protocol):
    """What both stations have in common."""

    @property
    def deadline(self) -> float | None: ...
    def receive(self, octets: bytes, now: float) -> list[Event]: ...
    def tick(self, now: float) -> list[Event]: ...
    def data_to_send(self) -> bytes: ...


class HdlcWire:
    """Drives a station over a line; made to be inherited from by the two ends.

    Attributes:
        name: Where the peer is, for sentences.
        line: Set by whoever opens it.
    """

    def __init__(self, station: _Driven, name: str) -> None:
        self.name = name
        self.line: Line | None = None
        self._driven = station
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._reason: str | None = None
        self._lost = False
        self._gone: list[asyncio.Future[None]] = []

    @property
    def reason(self) -> str | None:
        """Why the wire is closed; None while it is not."""
        return self._reason

    async def gone(self) -> None:
        """Wait until the line is closed."""
        if not self._lost:
            waiter = self._loop.create_future()
            self._gone.append(waiter)
            await waiter

    def octets(self, octets: bytes) -> None:
        """Take what the line brought."""
        if not self._lost:
            self._after(self._driven.receive(octets, self._loop.time()))

    def line_lost(self, reason: str) -> None:
        """Learn that the line is gone."""
        if self._lost:
            return
        self._lost = True
        self._cancel_timer()
        self._finish(reason)
        waiters, self._gone = self._gone, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _after(self, events: list[Event]) -> None:
        for event in events:
            self._event(event)
        self._flush()

    def _flush(self) -> None:
        """Put on the line what the station wants to say, and wait for its deadline."""
        octets = self._driven.data_to_send()
        if octets and self.line is not None and not self._lost:
            self.line.send(octets)
        deadline_s = self._driven.deadline
        if self._lost or deadline_s is None:
            self._cancel_timer()
        elif self._timer is None or deadline_s < self._timer.when():
            # A timer that is too early finds nothing due: one serves many frames.
            self._cancel_timer()
            self._timer = self._loop.call_at(deadline_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        # Loops call timers up to their clock's resolution early.
        deadline_s = self._driven.deadline
        now_s = self._loop.time()
        if deadline_s is not None and now_s < deadline_s <= now_s + 0.001:
            now_s = deadline_s
        self._after(self._driven.tick(now_s))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_line(self) -> None:
        if self.line is not None:
            self.line.close()

    def _event(self, event: Event) -> None:
        raise NotImplementedError

    def _finish(self, reason: str) -> None:
        raise NotImplementedError


class HdlcClientWire(HdlcWire):
    """A link to one server.

    Attributes:
        opened: Set when the link stands, or fails with `WireError`.
    """

    def __init__(
        self,
        pair: Pair,
        settings: HdlcSettings,
        name: str,
        accept: AcceptCarrier,
        notified: Callable[[Unnumbered], None] | None = None,
    ) -> None:
        """Prepare a link.

        Args:
            pair: Our address and the server's.
            settings: What to propose, and how long to wait.
            name: Where the server is.
            accept: Called when the link stands.
            notified: Called with what the server sends in UI frames; None gives it to the handler,
                as wrapper frames give what comes unasked.
        """
        self._link = PrimaryLink(*pair, settings.parameters, settings.timings)
        super().__init__(self._link, f"{name} ({pair.server})")
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._accept = accept
        self._notified = notified
        self._handler: WireHandler | None = None
        self._linger: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._handler is not None and self._reason is None

    @property
    def parameters(self) -> LinkParameters:
        """What was settled with the server."""
        return self._link.parameters

    def connect(self) -> None:
        """Ask for the link; `opened` tells the outcome."""
        self._link.connect(self._loop.time())
        self._flush()

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Send an APDU; a link has only one source and one destination.

        Raises:
            WireError: The link is gone, or is not between these two.
        """
        if not self.is_open:
            raise WireError(f"nothing can be sent to {self.name}: {self._reason or 'not open yet'}")
        pair = self._link.pair
        if (source, destination) != (pair.client.upper, pair.server.upper):
            between = f"from client {pair.client.upper} to server {pair.server.upper}"
            raise WireError(f"the link to {self.name} is {between} only: dial another one")
        self._link.send(apdu, self._loop.time(), answered=not isinstance(apdu, OneWay))
        self._flush()

    def expect(self) -> None:
        """Poll for an APDU that is to come without being asked for, as of a stream."""
        if self.is_open:
            self._link.expect(self._loop.time())
            self._flush()

    def send_unnumbered(self, apdu: bytes, destination: Address | None = None) -> None:
        """Send an unconfirmed APDU in UI frames, to the server or to all; nobody answers.

        Raises:
            WireError: The line is gone.
        """
        if self._reason is not None:
            raise WireError(f"nothing can be sent to {self.name}: {self._reason}")
        self._link.send_unnumbered(apdu, self._loop.time(), destination=destination)
        self._flush()

    def poll_events(self) -> None:
        """Ask the server for a notification; it comes to `notified`."""
        self._link.poll_events(self._loop.time())
        self._flush()

    def line_lost(self, reason: str) -> None:
        if self._linger is not None:
            self._linger.cancel()
        super().line_lost(reason)

    def close(self, reason: str = "closed here") -> None:
        """Leave the link in order, then close the line."""
        if self._reason is not None:
            return
        self._finish(reason)
        if self.line is None:
            self.line_lost(reason)
            return
        stood = self._link.state is State.NRM
        self._link.disconnect(self._loop.time())
        self._flush()
        if stood:
            self._linger = self._loop.call_later(LINGER_S, self._close_line)
        else:
            self._close_line()  # nobody has answered so far, nobody will now

    def _event(self, event: Event) -> None:
        match event:
            case Connected():
                self._connected()
            case Message(pair, apdu):
                self._deliver(pair.server.upper, pair.client.upper, apdu)
            case Unnumbered(source, destination, apdu):
                if self._notified is not None:
                    self._notified(event)
                else:
                    self._deliver(source.upper, destination.upper, apdu)
            case Disconnected(_, reason):
                self._finish(reason)
                self._close_line()

    def _connected(self) -> None:
        if self._reason is not None:
            return
        try:
            self._handler = self._accept(self)
        except WireError as refusal:
            self.close(str(refusal))
        else:
            if not self.opened.done():
                self.opened.set_result(None)

    def _deliver(self, source: int, destination: int, apdu: bytes) -> None:
        if self._handler is None or self._reason is not None:
            return
        try:
            self._handler.frame(source, destination, apdu)
        except DlmsError as error:
            log.warning("%s refused: %s", self.name, error)
            self.close(str(error))

    def _finish(self, reason: str) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        log.debug("%s closed: %s", self.name, reason)
        if not self.opened.done():
            self.opened.set_exception(WireError(reason))
        if self._handler is not None:
            self._handler.closed(reason)


class HdlcServerWire(HdlcWire):
    """All clients on one line."""

    def __init__(
        self,
        station: Station,
        settings: HdlcSettings,
        name: str,
        accept: AcceptLine,
        idle_timeout_s: float | None = None,
    ) -> None:
        """Serve a line.

        Args:
            station: Our addresses.
            settings: The most that we accept, and how long to wait.
            name: Where the clients are.
            accept: Called at once; returns who serves.
            idle_timeout_s: A line without an octet for so long is closed; None for never, which
                suits a line that has no connection.
        """
        self._station = SecondaryStation(station, settings.parameters, settings.timings)
        super().__init__(self._station, name)
        self._pairs: dict[tuple[int, int], Pair] = {}
        self.settled: LinkParameters | None = None  # with the client that came last
        self._unanswered = False  # what is taken now wants no answer
        self._answering: Pair | None = None  # whose message our handler has in its hands
        self._answers: list[bytes] = []
        self._handler = accept(self)
        self._idle_s = idle_timeout_s
        self._station.line.active_s = self._loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._watch()

    @property
    def is_open(self) -> bool:
        return self._reason is None

    @property
    def has_links(self) -> bool:
        """Whether a client has a link."""
        return bool(self._pairs)

    def _watch(self) -> None:
        """Close a line on which nobody speaks."""
        if self._idle_s is None or self._reason is not None:
            return
        due_s = self._station.line.active_s + self._idle_s
        if due_s <= self._loop.time():
            self.close(f"no octet for {self._idle_s:g} s")
        else:
            self._idle_timer = self._loop.call_at(due_s, self._watch)

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Answer a client; to one that has no link the APDU goes as a notification.

        Raises:
            WireError: The line is gone.
        """
        if self._reason is not None:
            raise WireError(f"nothing can be sent to {self.name}: {self._reason}")
        if self._unanswered:
            return
        now_s = self._loop.time()
        pair = self._pairs.get((destination, source))
        if pair is not None and pair == self._answering:
            self._answers.append(apdu)  # all that answers one message goes out together
            return
        if pair is not None:
            self._station.answer(pair, apdu, now_s)
        else:
            self._station.notify(source, Address.client(destination), apdu, now_s)
        self._flush()

    def silent(self, source: int, destination: int) -> None:
        """Answer a client's message with nothing: the word goes back to it at once."""
        pair = self._pairs.get((destination, source))
        if pair is not None and self._reason is None:
            self._station.answer(pair, None, self._loop.time())
            self._flush()

    @property
    def busy(self) -> bool:
        """Whether clients are asked to wait (RNR)."""
        return self._station.busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._station.busy = busy

    def notify(self, source: int, destination: int, apdu: bytes) -> None:
        """Keep a notification until the client polls for it (EventNotification on a shared line).

        Raises:
            WireError: The line is gone, or the APDU does not fit into one frame.
        """
        if self._reason is not None:
            raise WireError(f"nothing can be sent to {self.name}: {self._reason}")
        client, now_s = Address.client(destination), self._loop.time()
        try:
            self._station.notify(source, client, apdu, now_s, when_polled=True)
        except ValueError as error:
            raise WireError(str(error)) from error
        self._flush()

    @property
    def dropped(self) -> int:
        """How many faulty frames and runs of noise were dropped."""
        return self._station.line.dropped

    def close(self, reason: str = "closed here") -> None:
        """Close the line; a server says no farewell."""
        if self._reason is None:
            self._finish(reason)
            if self.line is None:
                self.line_lost(reason)
            else:
                self._close_line()

    def _event(self, event: Event) -> None:
        match event:
            case Connected(pair, parameters):
                self.settled = parameters
                self._pairs[pair.client.upper, pair.server.upper] = pair
                log.debug("%s: client %s has a link", self.name, pair.client)
            case Disconnected(pair, reason):
                self._pairs.pop((pair.client.upper, pair.server.upper), None)
                log.debug("%s: client %s has no link: %s", self.name, pair.client, reason)
                self._handler.disconnected(pair.client.upper)
            case Message(pair, apdu):
                self._message(pair, apdu)
            case Unnumbered(source, destination, apdu):
                # In UI all services are unconfirmed, whatever the APDU says (IEC 62056-7-6, 9.1).
                self._unanswered = True
                server = ALL_STATION if destination.all_logical else destination.upper
                try:
                    self._deliver(source.upper, server, apdu)
                finally:
                    self._unanswered = False

    def _message(self, pair: Pair, apdu: bytes) -> None:
        """Hand a message on, and send what answers it at once, in one go."""
        self._answering = pair
        try:
            self._deliver(pair.client.upper, pair.server.upper, apdu)
        finally:
            self._answering = None
            answers, self._answers = self._answers, []
        if answers and self._reason is None:
            self._station.answer(pair, answers[0], self._loop.time(), *answers[1:])
            self._flush()

    def _deliver(self, source: int, destination: int, apdu: bytes) -> None:
        if self._reason is not None:
            return
        try:
            self._handler.frame(source, destination, apdu)
        except DlmsError as error:
            log.warning("%s refused: %s", self.name, error)
            self.close(str(error))

    def _finish(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            log.debug("%s closed: %s", self.name, reason)
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._station.lost(reason)
            self._handler.closed(reason)
