# SPDX-License-Identifier: Apache-2.0
"""The concentrators' side: a listener for role `concentrator`, and which meter hangs where.

A frame behind a gateway header (E7) is a push or an answer of a meter.  A push goes to
`notifications`; an answer goes to the session that asked, and to no other.  A frame without a
header is the concentrator's own word, on who came and went or on how it is; its question for the
time is answered here, at once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification, DataNotificationConfirm
from openami.dlms.errors import DecodeError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.exchange.field import ClockState, Word, decode_word
from openami.exchange.orders import TimeAnswer, encode_time
from openami.exchange.uplink import (
    MANAGEMENT_SERVER,
    PUSH_CLIENT,
    decode_attachments,
    tells_attachments,
)
from openami.headend.config import HeadEndConfig
from openami.headend.notifications import Notifications
from openami.runtime import hostclock
from openami.runtime.clock import real_us
from openami.transport.endpoint import Listener, listen
from openami.transport.tls import Expected, Role, Secured, server_tls
from openami.transport.wire import Limits, Wire, WireError

log = logging.getLogger(__name__)

CONCENTRATORS: Final = Expected(roles=frozenset({Role.CONCENTRATOR}))
CLAUSE: Final = "docs/architecture.md, 5"

Answer = Callable[[bytes], None]
Lost = Callable[[str], None]


class Carrier:
    """One concentrator's connection.

    Attributes:
        title: Of the concentrator, from its certificate.
        attached: Titles of the meters that hang on it now.
    """

    def __init__(self, wire: Wire, uplinks: "Uplinks") -> None:
        if wire.peer is None:
            raise WireError("a concentrator is known by its certificate only: listen on tls://")
        self.title = wire.peer.title
        self.wire = wire
        self.attached: set[bytes] = set()
        self._uplinks = uplinks

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self._uplinks.receive(self, source, destination, apdu)

    def closed(self, reason: str) -> None:
        self._uplinks.lost(self, reason)

    def send(self, title: bytes, source: int, destination: int, apdu: bytes) -> None:
        """Send an APDU to a meter behind this concentrator.

        Raises:
            WireError: The connection is gone.
        """
        request = GatewayRequest(physical_address=title, apdu=apdu)
        self.wire.send(source, destination, request.encode())

    def confirm(self, title: bytes, long_invoke_id: int) -> None:
        """Give an end receipt; on a connection that is gone the push will come again."""
        confirm = DataNotificationConfirm(
            long_invoke_id_and_priority=LongInvokeIdAndPriority(long_invoke_id)
        )
        try:
            self.send(title, PUSH_CLIENT, MANAGEMENT_SERVER, confirm.encode())
        except WireError as error:
            log.debug("end receipt not given: %s", error)


class Uplinks:
    """All concentrators that are connected, and the routes to their meters.

    Attributes:
        on_attachment: Called with a meter's title and whether it is attached now.
        on_carrier: Called with a concentrator's title when its uplink came up or was lost.
        real_us: The clock that answers concentrators which ask for the time.
        on_word: Called with a concentrator's title, what it said of itself, and what confirms it.
    """

    def __init__(
        self, notifications: Notifications, belongs: Callable[[bytes, bytes], bool]
    ) -> None:
        """Bind the ports.

        Args:
            notifications: Takes pushes.
            belongs: Tells whether a meter (by title) is a concentrator's to carry.
        """
        self.on_attachment: Callable[[bytes, bool], None] = lambda _title, _attached: None
        self.on_carrier: Callable[[bytes, bool], None] = lambda _title, _up: None
        self.on_word: Callable[[bytes, Word, Callable[[], None]], None] = (
            lambda _title, _word, _confirm: None
        )
        self.real_us: Callable[[], int] = real_us
        self._orders: dict[tuple[bytes, int], asyncio.Future[None]] = {}
        self._order_id = 0
        self._notifications = notifications
        self._belongs = belongs
        self._carriers: dict[bytes, Carrier] = {}
        self._routes: dict[bytes, Carrier] = {}
        self._sessions: dict[bytes, dict[int, tuple[Answer, Lost]]] = {}

    @property
    def up(self) -> int:
        """How many concentrators are connected."""
        return len(self._carriers)

    @property
    def reachable(self) -> int:
        """How many meters have a route."""
        return len(self._routes)

    def has_route(self, title: bytes) -> bool:
        """Tell whether a meter is attached to a connected concentrator."""
        return title in self._routes

    def stands(self, concentrator: bytes) -> bool:
        """Tell whether a concentrator is connected."""
        return concentrator in self._carriers

    def attached(self, concentrator: bytes) -> set[bytes]:
        """Return the meters that hang on a concentrator; empty when it is not connected."""
        carrier = self._carriers.get(concentrator)
        return carrier.attached if carrier else set()

    def accept(self, wire: Wire) -> Carrier:
        """Take a concentrator's new connection; an older one of the same title is closed."""
        carrier = Carrier(wire, self)
        older = self._carriers.get(carrier.title)
        if older is not None:
            older.wire.close("a newer connection of the same concentrator took its place")
        self._carriers[carrier.title] = carrier
        log.info("uplink of %s is up", wire.name)
        self.on_carrier(carrier.title, True)  # noqa: FBT003  a callback of two words
        return carrier

    def lost(self, carrier: Carrier, reason: str) -> None:
        """Forget a connection and the routes over it."""
        if self._carriers.get(carrier.title) is carrier:
            log.warning("uplink of %s is down: %s", carrier.wire.name, reason)
            del self._carriers[carrier.title]
            self.on_carrier(carrier.title, False)  # noqa: FBT003
            self._end_sessions(carrier.title, reason)
            for (title, _), done in self._orders.items():
                if title == carrier.title and not done.done():
                    done.set_exception(WireError(f"{carrier.wire.name} is gone: {reason}"))
        for title in list(carrier.attached):
            self._detach(carrier, title, reason)

    def receive(self, carrier: Carrier, source: int, destination: int, apdu: bytes) -> None:
        """Take a frame from a concentrator.

        Raises:
            DecodeError: Neither a gateway response nor an announcement.
        """
        match apdu[:1]:
            case b"\xe7":
                response = GatewayResponse.decode(apdu)
                self._from_meter(carrier, source, destination, response)
            case b"\x0f" if destination == PUSH_CLIENT:
                self._announced(carrier, apdu)
            case _:
                tags = f"{GatewayResponse.TAG:02X} or {DataNotification.TAG:02X}"
                raise DecodeError(f"a concentrator sends {tags}", apdu, 0, CLAUSE)

    def open_session(
        self, title: bytes, client_sap: int, answer: Answer, lost: Lost
    ) -> Callable[[bytes], None]:
        """Let a session speak with a meter, or a concentrator; return what sends its requests.

        Args:
            title: The meter.
            client_sap: Ours; one session for each.
            answer: Given every APDU of the meter for this client.
            lost: Told why the route is gone.

        Raises:
            WireError: The meter has no route now.
        """
        carrier = self._routes.get(title) or self._carriers.get(title)
        if carrier is None:
            raise WireError(f"meter {title.hex().upper()} is not attached to any concentrator")
        self._sessions.setdefault(title, {})[client_sap] = answer, lost

        def send(apdu: bytes) -> None:
            carrier.send(title, client_sap, MANAGEMENT_SERVER, apdu)

        return send

    async def order(
        self, concentrator: bytes, encode: Callable[[int], bytes], most_s: float
    ) -> None:
        """Give a concentrator an order and wait until it is stored there.

        Args:
            concentrator: Its title.
            encode: Returns the APDU for a long-invoke-id.
            most_s: How long to wait.

        Raises:
            WireError: It is not connected, or did not confirm in time.
        """
        carrier = self._carriers.get(concentrator)
        if carrier is None:
            raise WireError(f"concentrator {concentrator.hex().upper()} is not connected")
        self._order_id = (self._order_id + 1) & LongInvokeIdAndPriority.LARGEST_ID
        told = encode(self._order_id)
        key = concentrator, int.from_bytes(told[1:5])
        done = self._orders[key] = asyncio.get_running_loop().create_future()
        try:
            carrier.send(concentrator, PUSH_CLIENT, MANAGEMENT_SERVER, told)
            async with asyncio.timeout(most_s):
                await done
        except TimeoutError:
            said = f"{carrier.wire.name} did not confirm an order within {most_s:g} s"
            raise WireError(said) from None
        finally:
            del self._orders[key]

    def close_session(self, title: bytes, client_sap: int) -> None:
        """Deliver no more answers to a session."""
        sessions = self._sessions.get(title, {})
        sessions.pop(client_sap, None)
        if not sessions:
            self._sessions.pop(title, None)

    def _from_meter(
        self, carrier: Carrier, source: int, destination: int, response: GatewayResponse
    ) -> None:
        title = response.physical_address
        if title == carrier.title and destination == PUSH_CLIENT:
            self._obeyed(carrier, response.apdu)
            return
        if destination == PUSH_CLIENT:
            self._notifications.receive(
                carrier.title,
                title,
                response.apdu,
                lambda invoke_id: carrier.confirm(title, invoke_id),
            )
            return
        session = self._sessions.get(title, {}).get(destination)
        way = carrier if title == carrier.title else self._routes.get(title)
        if source == MANAGEMENT_SERVER and session and way is carrier:
            session[0](response.apdu)

    def _obeyed(self, carrier: Carrier, apdu: bytes) -> None:
        """Take a concentrator's confirm of an order."""
        if apdu[:1] == bytes((DataNotificationConfirm.TAG,)):
            confirm = DataNotificationConfirm.decode(apdu)
            done = self._orders.get((carrier.title, int(confirm.long_invoke_id_and_priority)))
            if done is not None and not done.done():
                done.set_result(None)

    def _announced(self, carrier: Carrier, apdu: bytes) -> None:
        if not tells_attachments(apdu):
            received_us, since_ns = self.real_us(), time.monotonic_ns()
            invoke_id, word = decode_word(apdu)
            if isinstance(word, ClockState):
                self._tell_time(carrier, invoke_id, received_us, since_ns)
            if word is None:  # of a later version: there is nothing to wait for
                carrier.confirm(carrier.title, invoke_id)
                return
            self.on_word(carrier.title, word, lambda: carrier.confirm(carrier.title, invoke_id))
            return
        for attachment in decode_attachments(apdu):
            if attachment.attached:
                self._attach(carrier, attachment.title)
            else:
                self._detach(carrier, attachment.title, "the meter left its concentrator")

    def _tell_time(self, carrier: Carrier, asked: int, received_us: int, since_ns: int) -> None:
        """Answer a question for the time; the clock is read once, lest it be set meanwhile."""
        kept = hostclock.is_kept()
        answer = TimeAnswer(
            asked=asked,
            received_us=received_us,
            answered_us=received_us + (time.monotonic_ns() - since_ns) // 1000,
            kept=kept,
        )
        try:
            carrier.send(carrier.title, PUSH_CLIENT, MANAGEMENT_SERVER, encode_time(answer))
        except WireError as error:
            log.debug("a question for the time is not answered: %s", error)

    def _attach(self, carrier: Carrier, title: bytes) -> None:
        if self._carriers.get(carrier.title) is not carrier:
            return  # the last words of a connection that was replaced
        if not self._belongs(title, carrier.title):
            log.warning(
                "%s announces meter %s, which is not its own: ignored",
                carrier.wire.name,
                title.hex().upper(),
            )
            return
        before = self._routes.get(title)
        if before is not None and before is not carrier:
            before.attached.discard(title)
            self._end_sessions(title, f"the meter has come over to {carrier.wire.name}")
        carrier.attached.add(title)
        self._routes[title] = carrier
        self.on_attachment(title, True)  # noqa: FBT003

    def _end_sessions(self, title: bytes, reason: str) -> None:
        for _, lost in self._sessions.pop(title, {}).values():
            lost(reason)

    def _detach(self, carrier: Carrier, title: bytes, reason: str) -> None:
        carrier.attached.discard(title)
        if self._routes.get(title) is not carrier:
            return
        del self._routes[title]
        self._end_sessions(title, reason)
        self.on_attachment(title, False)  # noqa: FBT003


async def listen_for_concentrators(config: HeadEndConfig, uplinks: Uplinks) -> Listener:
    """Open the port for concentrators.

    Raises:
        UserError: The port is taken, or a certificate file is unusable.
    """
    limits = Limits(
        handshake_timeout_s=config.handshake_timeout_s,
        idle_timeout_s=config.silence_s,
        max_connections=config.max_connections,
        half_open_per_address=config.half_open_per_address,
        gateways=config.gateways,
    )
    secured = Secured(server_tls(config.identity), CONCENTRATORS)
    return await listen(config.listen, uplinks.accept, secured=secured, limits=limits)
