# SPDX-License-Identifier: Apache-2.0
"""The meters' side: a listener for certificates with role `meter`, one connection a title."""

from typing import Final

from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.registry import Seen
from openami.concentrator.relay import Relay
from openami.transport.endpoint import Listener, listen
from openami.transport.tcpinfo import TcpFigures
from openami.transport.tls import Expected, Role, Secured, server_tls
from openami.transport.wire import Limits, Wire, WireError

METERS: Final = Expected(roles=frozenset({Role.METER}))


class MeterLine:
    """One meter's connection, as the relay sees it."""

    __slots__ = ("_counted", "_relay", "_wire", "title")

    def __init__(self, wire: Wire, relay: Relay) -> None:
        if wire.peer is None:
            raise WireError("a meter is known by its certificate only: listen on tls://")
        self._wire = wire
        self._relay = relay
        self.title = wire.peer.title
        self._counted = TcpFigures(0, 0, 0)

    def send(self, source: int, destination: int, apdu: bytes) -> bool:
        try:
            self._wire.send(source, destination, apdu)
        except WireError:
            return False
        return True

    @property
    def address(self) -> str:
        """Where the meter is."""
        return self._wire.address

    @property
    def bearer(self) -> str:
        """As configured: a connection does not tell what is below it."""
        return ""

    def look(self) -> Seen:
        """Return what the link showed since the last look."""
        figures = self._wire.tcp_figures()
        if figures is None:
            return Seen()
        before, self._counted = self._counted, figures
        return Seen(
            figures.round_trip_us or None,
            max(0, figures.sent - before.sent),
            max(0, figures.resent - before.resent),
        )

    def supersede(self) -> None:
        self._wire.close("a newer connection of the same meter took its place")

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self._relay.from_meter(self.title, self, source, destination, apdu)

    def closed(self, reason: str) -> None:  # noqa: ARG002  the wire has said it in the log
        self._relay.detach(self.title, self)


async def listen_for_meters(config: ConcentratorConfig, relay: Relay) -> Listener:
    """Open the port for meters.

    Raises:
        UserError: The port is taken, or a certificate file is unusable.
    """

    def accept(wire: Wire) -> MeterLine:
        line = MeterLine(wire, relay)
        relay.attach(line.title, line)
        return line

    limits = Limits(
        handshake_timeout_s=config.handshake_timeout_s,
        max_connections=config.max_connections,
        half_open_per_address=config.half_open_per_address,
        gateways=config.gateways,
    )
    secured = Secured(server_tls(config.identity), METERS)
    return await listen(config.meters_listen, accept, secured=secured, limits=limits)
