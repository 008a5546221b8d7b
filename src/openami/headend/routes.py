# SPDX-License-Identifier: Apache-2.0
"""Ways to a meter: through its concentrator while it is attached there, else by its own address."""

from collections.abc import Callable
from typing import Final, NamedTuple

from openami.exchange.uplink import MANAGEMENT_SERVER
from openami.headend.config import HeadEndConfig
from openami.headend.directory import Directory
from openami.headend.uplinks import Uplinks
from openami.store.registry import Meter
from openami.transport.endpoint import dial
from openami.transport.session import DlmsSession, SessionHandler
from openami.transport.tls import Expected, Role, Secured, Tls, client_tls
from openami.transport.url import Url
from openami.transport.wire import Limits, Wire, WireError

DIRECT: Final = "direct"


class Route(NamedTuple):
    """An open way to one meter, for one client."""

    session: DlmsSession
    hang_up: Callable[[], None]
    hops: str  # who carries it, as the inbox names it


class Routes:
    """Finds ways to meters.

    Attributes:
        answer_timeout_s: For each request.
    """

    def __init__(self, config: HeadEndConfig, directory: Directory, uplinks: Uplinks) -> None:
        self.answer_timeout_s = config.sessions.answer_timeout_s
        self._config = config
        self._directory = directory
        self._uplinks = uplinks
        self._tls: Tls | None = None

    def reachable(self, meter: Meter) -> bool:
        """Tell whether there is a route to a meter now."""
        return self._uplinks.has_route(meter.title) or meter.address is not None

    async def open(self, meter: Meter, client_sap: int) -> Route:
        """Open the route there is.

        Raises:
            UserError: There is none, or nobody listens at the meter's address.
        """
        if self._uplinks.has_route(meter.title) or meter.address is None:
            return self._by_concentrator(meter, client_sap)
        return await self._by_address(meter, client_sap, meter.address)

    def _by_concentrator(self, meter: Meter, client_sap: int) -> Route:
        title = meter.title
        session = DlmsSession(
            lambda apdu: send(apdu),  # noqa: PLW0108  bound below, once the route answers to it
            f"meter {meter.meter_id}",
            self.answer_timeout_s,
        )
        send = self._uplinks.open_session(title, client_sap, session.feed, session.detach)

        def hang_up() -> None:
            self._uplinks.close_session(title, client_sap)

        return Route(session, hang_up, self._directory.place(meter.concentrator))

    async def _by_address(self, meter: Meter, client_sap: int, address: str) -> Route:
        url = Url.parse(address, f"the address of meter {meter.meter_id}")
        limits = Limits(connect_timeout_s=self._config.sessions.dial_timeout_s)
        handlers: list[SessionHandler] = []

        def accept(wire: Wire) -> SessionHandler:
            handlers.append(
                SessionHandler(wire, client_sap, MANAGEMENT_SERVER, self.answer_timeout_s)
            )
            return handlers[0]

        secured = self._secured(meter) if url.encrypted else None
        wire = await dial(url, accept, secured=secured, limits=limits)
        if not handlers:
            raise WireError(f"{url} closed the connection at once: check what listens there")
        return Route(handlers[0].session, wire.close, DIRECT)

    def _secured(self, meter: Meter) -> Secured:
        if self._tls is None:
            self._tls = client_tls(self._config.identity)
        return Secured(self._tls, Expected(roles=frozenset({Role.METER}), title=meter.title))
