# SPDX-License-Identifier: Apache-2.0
"""A meter's connections: the one it dials, and the plain one that tools dial.

Both carry wrapper frames to the same server.  The dialled one also carries pushes and their hop
receipts.  An answer that follows a command to the breaker waits until metrology has confirmed it,
so that whoever reads the state next reads the truth; answers never overtake one another.
"""

import asyncio
import logging
import random
import socket
import time
from pathlib import Path
from typing import Final

from openami.cosem.serving.watching import SecurityIncident, SecurityReport
from openami.device.storage import StorageError
from openami.device.throughdoor import dial_through, listen_inside
from openami.dlms.apdu.notification import DataNotificationConfirm
from openami.dlms.errors import SecurityError
from openami.dlms.sap import ALL_STATION, MANAGEMENT_LOGICAL_DEVICE
from openami.exchange.events import EventCode
from openami.exchange.uplink import PUSH_CLIENT
from openami.meter.management import Management
from openami.transport.anywhere import OpenPort, listen_anywhere
from openami.transport.carrier import Awaited, Carrier
from openami.transport.endpoint import dial
from openami.transport.reconnect import Reconnector
from openami.transport.tls import Expected, Role, Secured, Tls, client_tls, server_tls
from openami.transport.url import Url
from openami.transport.wire import Limits, Wire, WireError

log = logging.getLogger(__name__)

LONGEST_WAIT_S: Final = 2.0  # for metrology to confirm a command
PLAIN_LIMITS: Final = Limits(max_connections=32, idle_timeout_s=600.0)


class MeterLine:
    """One connection to a meter."""

    def __init__(self, management: Management, wire: Carrier, *, plain: bool) -> None:
        """Serve a connection.

        Raises:
            WireError: The meter's keys cannot be had now.
        """
        self._management = management
        self._wire = wire
        self._plain = plain
        try:
            self._server = management.connection(plain=plain, watch=self)
        except (StorageError, SecurityError) as error:
            problem = f"{management.config.name} serves nobody: {error}"
            raise WireError(problem) from error
        self._start = management.starts
        self._answers: list[tuple[int, bytes]] = []  # seldom more than one: no deque of 700 octets
        self._timer: asyncio.TimerHandle | None = None

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        """Take one frame; raises `DecodeError` for a receipt that is none.

        In the dark nobody is there: the connection stands, as a dead meter's does until its peer
        gives it up, and nothing comes back.
        """
        if self._management.notices.dark:
            return
        if self._start != self._management.starts:
            self._wire.close("the meter began anew")
            return
        if source == PUSH_CLIENT and apdu[:1] == bytes((DataNotificationConfirm.TAG,)):
            if not self._plain:
                self._receipt(DataNotificationConfirm.decode(apdu))
            return
        if destination not in {MANAGEMENT_LOGICAL_DEVICE, ALL_STATION}:
            return  # no other logical device lives here, and the wrapper has no way to say so
        try:
            answer = self._server.receive(source, apdu)
        except StorageError as error:
            log.error("%s: a request stays unanswered: %s", self._management.config.name, error)  # noqa: TRY400
            return
        if answer is None and isinstance(self._wire, Awaited):
            self._wire.silent(destination, source)
        while answer is not None and destination != ALL_STATION:
            self._answer(source, answer)
            answer = self._server.following()

    def closed(self, reason: str) -> None:  # noqa: ARG002  the wire has said it in the log
        self._server.lost()
        self._answers.clear()
        self._stop_waiting()
        if not self._plain:
            self._management.note_state()

    def push(self, octets: bytes) -> None:
        """Send a sealed push; on a broken connection it is lost, and sent again."""
        try:
            self._wire.send(MANAGEMENT_LOGICAL_DEVICE, PUSH_CLIENT, octets)
        except WireError as error:
            log.debug("%s", error)

    def flush(self) -> None:
        """Send the answers that waited for the breaker."""
        self._stop_waiting()
        while self._answers:
            client, answer = self._answers.pop(0)
            try:
                self._wire.send(MANAGEMENT_LOGICAL_DEVICE, client, answer)
            except WireError as error:
                log.debug("%s", error)
                self._answers.clear()

    def _receipt(self, confirm: DataNotificationConfirm) -> None:
        now_s = time.monotonic()
        self._management.confirm_push(int(confirm.long_invoke_id_and_priority), now_s)
        self._management.tick_pushes(now_s)

    def _answer(self, client: int, answer: bytes) -> None:
        self._answers.append((client, answer))
        if self._management.breaker_settled:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._management.when_settled.append(self.flush)
            self._timer = loop.call_later(LONGEST_WAIT_S, self.flush)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def report(self, report: SecurityReport) -> None:
        """Write into the event log what somebody tried in vain."""
        incident = report.incident
        if incident is SecurityIncident.COUNTER_REFUSED:
            self._management.log_event(EventCode.REPLAY_REFUSED)
        elif report.is_opening:
            self._management.log_event(EventCode.FAILED_LOGIN)


class MeterUplink:
    """Keeps a meter attached to its concentrator."""

    def __init__(
        self, management: Management, tls: Tls | None = None, *, through: Path | None = None
    ) -> None:
        """Prepare to dial.

        Args:
            management: The meter's.
            tls: Its side of TLS, read already; None reads its files.
            through: The door of the partition where TLS ends; None ends it here.

        Raises:
            ConfigurationError: A certificate file is unusable.
        """
        config = management.config
        self._management = management
        self._line: MeterLine | None = None
        self._secured: Secured | None = None
        self._through = through
        if through is not None:
            log.info("%s dials through its TLS partition", config.name)
        elif config.uplink.encrypted:
            expected = Expected(
                roles=frozenset({Role.CONCENTRATOR}), title=config.concentrator_title
            )
            self._secured = Secured(tls or client_tls(config.identity), expected)
        else:
            log.warning(
                "%s dials without TLS: its pushes stay protected, but anybody may receipt them; "
                "write tls:// under [uplink] url in device.toml",
                config.name,
            )
        self._light: asyncio.Event | None = None
        self._reconnector = Reconnector(config.name, self._dial, random.random, config.backoff)
        management.notices.on_light = self.begin_anew

    @property
    def is_attached(self) -> bool:
        return self._reconnector.wire is not None and not self._management.notices.dark

    async def run(self) -> None:
        """Dial for ever; end by cancelling."""
        await self._reconnector.run(self._attached, self._detached)

    def begin_anew(self, why: str = "the supply is back") -> None:
        """Dial again: what a meter had before it knows no more."""
        if self._light is not None:
            self._light.set()
        if self._reconnector.wire is not None:
            self._reconnector.wire.close(f"{why}: the meter begins anew")
        self._reconnector.hurry()

    async def _dial(self) -> Wire:
        while self._management.notices.dark:
            self._light = asyncio.Event()
            await self._light.wait()
        config = self._management.config
        limits = Limits(connect_timeout_s=config.connect_timeout_s)
        if self._through is not None:
            return await dial_through(self._through, self._accept, limits)
        return await dial(config.uplink, self._accept, secured=self._secured, limits=limits)

    def _accept(self, wire: Carrier) -> MeterLine:
        self._line = MeterLine(self._management, wire, plain=False)
        return self._line

    def _attached(self, wire: Wire) -> None:  # noqa: ARG002  its handler is the line
        if self._line is not None:
            now_s = time.monotonic()
            self._management.outbox.attached(self._line.push, now_s)
            self._management.notices.attached(self._line.push, now_s)
            self._management.tick_pushes(now_s)

    def _detached(self, reason: str) -> None:  # noqa: ARG002  the reconnector has said it
        self._management.outbox.detached()
        self._management.notices.detached()


async def listen_protected(management: Management, url: Url) -> OpenPort:
    """Open a listener inside TLS or DTLS, for head-ends and tools that our authority knows.

    It serves what the plain one serves; pushes leave by the uplink alone.

    Raises:
        UserError: The port is taken, or may not be opened; or a certificate file is unusable.
    """

    def accept(wire: Carrier) -> MeterLine:
        log.info("%s: %s connected", management.config.name, wire.name)
        return MeterLine(management, wire, plain=True)

    let_in = Expected(roles=frozenset({Role.CLIENT, Role.HEAD_END}))
    secured = Secured(server_tls(management.config.identity), let_in)
    return await listen_anywhere(url, accept, secured=secured, limits=PLAIN_LIMITS)


async def listen_called(management: Management, door: socket.socket, user: int) -> asyncio.Server:
    """Serve those who call inside TLS that ends in the partition.

    Args:
        management: The meter's.
        door: Where the partition brings them.
        user: The partition's.
    """

    def accept(wire: Carrier) -> MeterLine:
        log.info("%s: %s connected", management.config.name, wire.name)
        return MeterLine(management, wire, plain=True)

    return await listen_inside(door, accept, user, PLAIN_LIMITS)


async def listen_plain(management: Management, url: Url) -> OpenPort:
    """Open the plain listener for tools and peers: no TLS, so loopback unless told.

    Raises:
        UserError: The port is taken, or may not be opened.
    """

    def accept(wire: Carrier) -> MeterLine:
        log.info("%s: %s connected without TLS", management.config.name, wire.name)
        return MeterLine(management, wire, plain=True)

    listener = await listen_anywhere(url, accept, limits=PLAIN_LIMITS)
    log.warning(
        "%s listens on %s without TLS, for tools and peers only; "
        'set [listener] plain = "" in device.toml to close it',
        management.config.name,
        listener.url,
    )
    return listener
