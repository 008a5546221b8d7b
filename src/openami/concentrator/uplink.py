# SPDX-License-Identifier: Apache-2.0
"""The uplink: one connection to the head-end, dialled for ever.

Answers of meters go up as they come.  The journal drains behind them: a window of entries, in order
of arrival, in small portions between which the loop serves commands.  What the head-end has not
confirmed in time, or before the connection broke, is sent again.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Final

from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.journal import Journal, Outcome, Put, Remove
from openami.concentrator.own.device import OwnConnection
from openami.concentrator.relay import Relay
from openami.concentrator.window import Window
from openami.concentrator.words import DEAD_AFTER, Words
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification, DataNotificationConfirm
from openami.dlms.gateway import GatewayResponse
from openami.exchange.uplink import (
    MANAGEMENT_SERVER,
    PUSH_CLIENT,
    Attachment,
    encode_attachments,
)
from openami.runtime.groupcommit import GroupCommit
from openami.transport.endpoint import dial
from openami.transport.reconnect import Backoff, Reconnector
from openami.transport.tls import Expected, Role, Secured, client_tls
from openami.transport.wire import Limits, Wire, WireError

log = logging.getLogger(__name__)

PORTION: Final = 32  # entries between two looks at other work
CHECK_S: Final = 1.0  # how often overdue receipts are looked for

Writer = GroupCommit[Put | Remove, Outcome]


class Uplink:
    """The way up as relay and journal see it, over whichever connection there is."""

    def __init__(  # noqa: PLR0913, PLR0917  what it carries between
        self,
        relay: Relay,
        journal: Journal,
        writer: Writer,
        window: Window,
        words: Words,
        monotonic_s: Callable[[], float],
        own: OwnConnection,
    ) -> None:
        self.forwarded = 0  # entries sent, each time counted
        self.confirmed = 0  # end receipts that emptied the journal
        self._relay = relay
        self._journal = journal
        self._writer = writer
        self._window = window
        self._words = words
        self._monotonic_s = monotonic_s
        self._wire: Wire | None = None
        self._wake = asyncio.Event()
        self._invoke_id = 0
        relay.on_kept = self._wake.set
        relay.on_confirm = self._confirm
        relay.on_change = self._announce
        relay.on_own = self._for_us
        self._own = own
        self.on_order: Callable[[bytes, Callable[[], None]], None] = lambda _apdu, _done: None

    @property
    def receipt_timeout_s(self) -> float:
        """How long an end receipt may take before the entry is sent again."""
        return self._window.receipt_timeout_s

    @receipt_timeout_s.setter
    def receipt_timeout_s(self, seconds: float) -> None:
        self._window.receipt_timeout_s = seconds

    @property
    def is_up(self) -> bool:
        return self._wire is not None

    # The connection ---------------------------------------------------------------------------

    def begin(self, wire: Wire) -> None:
        """Begin on a new connection: tell who is attached, send all that is in the journal."""
        if not wire.is_open:
            return  # it did not outlive its handshake
        self._wire = wire
        self._window.restart()
        self._words.begin()
        self._relay.uplink = self
        log.info("uplink to %s is up, %d entries wait", wire.name, self._journal.depth)
        self._say(self._relay.attachments())
        self._wake.set()

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self._relay.from_head_end(source, destination, apdu)

    def closed(self, reason: str) -> None:
        log.info("uplink is down (%s); the journal keeps what meters push", reason)
        self._wire = None
        self._own.lost()
        self._relay.uplink = None

    def send(self, source: int, destination: int, apdu: bytes) -> bool:
        if self._wire is None:
            return False
        try:
            self._wire.send(source, destination, apdu)
        except WireError:
            return False
        return True

    def supersede(self) -> None:
        if self._wire is not None:
            self._wire.close("replaced")

    async def keep_connected(self, config: ConcentratorConfig) -> None:
        """Dial the head-end again and again until cancelled.

        Raises:
            ConfigurationError: A certificate file is unusable.
        """
        expected = Expected(roles=frozenset({Role.HEAD_END}), title=config.head_end_title)
        secured = Secured(client_tls(config.identity), expected)
        limits = Limits(connect_timeout_s=config.connect_timeout_s)
        backoff = Backoff(first_s=config.backoff_first_s, most_s=config.backoff_most_s)

        async def connect() -> Wire:
            return await dial(config.uplink, lambda _: self, secured=secured, limits=limits)

        await Reconnector("uplink", connect, random.random, backoff).run(self.begin)

    # The journal ------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Forward the journal until cancelled."""
        while True:
            # Not wait_for: until Python 3.12 it may swallow the cancellation that ends us.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._wake.wait()
            self._wake.clear()
            self._speak()
            self._forward_again()
            while await self._forward_portion():
                pass

    async def _forward_portion(self) -> bool:
        """Send some entries; return whether there may be more to send now."""
        if self._wire is None or self._window.room == 0:
            return False
        if not self._wire.writable:
            await self._wire.drain()
            return True
        window, now_s = self._window, self._monotonic_s()
        most = min(PORTION, window.room)
        passed = window.take_passed(most, self._journal.next_of, now_s)
        limit = most - len(passed)
        entries = self._journal.after(window.cursor, limit) if limit else []
        for entry in passed + window.take(entries, now_s):
            self._send_up(entry.title, entry.octets)
        await asyncio.sleep(0)  # commands that came in meanwhile go first
        return len(entries) == limit or window.names_wait

    def _forward_again(self) -> None:
        if self._wire is None:
            return
        overdue = self._window.due(self._monotonic_s())
        if overdue:
            log.warning("%d pushes without a receipt of the head-end: sent again", len(overdue))
        for entry in overdue:
            self._send_up(entry.title, entry.octets)

    def _send_up(self, title: bytes, octets: bytes) -> None:
        apdu = GatewayResponse(physical_address=title, apdu=octets).encode()
        if self.send(MANAGEMENT_SERVER, PUSH_CLIENT, apdu):
            self.forwarded += 1

    def _confirm(self, title: bytes, long_invoke_id: int) -> None:
        entry = self._window.confirmed(title, long_invoke_id)
        self._wake.set()  # there is room, or a held entry may go
        if entry is not None:
            self.confirmed += 1
            self._remove(Remove(entry.sequence))

    def _remove(self, remove: Remove) -> None:
        def removed(outcome: Outcome | None) -> None:
            if outcome is None:
                self._remove(remove)  # after the writer's pause; else it is sent once more

        self._writer.submit(remove, removed)

    # What we say of ourselves ------------------------------------------------------------------

    def _speak(self) -> None:
        if self._wire is None:
            return
        if self._words.is_dead:
            self._wire.close(
                f"the head-end has confirmed nothing for {DEAD_AFTER} heartbeats of "
                f"{self._words.heartbeat_s:g} s"
            )
            return
        for apdu in self._words.due():
            self.send(MANAGEMENT_SERVER, PUSH_CLIENT, apdu)

    def speak_now(self) -> None:
        """Say what there is to say at once, and not at the next look."""
        self._wake.set()

    def _for_us(self, source: int, destination: int, apdu: bytes) -> None:
        """Take a frame for the concentrator itself: a confirm of what it said, or an order."""
        if source == PUSH_CLIENT and apdu[:1] == bytes((DataNotificationConfirm.TAG,)):
            confirm = DataNotificationConfirm.decode(apdu)
            self._words.confirmed(int(confirm.long_invoke_id_and_priority))
            return
        if source == PUSH_CLIENT and apdu[:1] == bytes((DataNotification.TAG,)):
            self.on_order(apdu, lambda: self._obeyed(apdu))
            return
        for answer in self._own.answers(source, apdu):
            self._say_own(destination, source, answer)

    def _obeyed(self, order: bytes) -> None:
        """Confirm an order that is stored."""
        invoke_id = LongInvokeIdAndPriority(int.from_bytes(order[1:5]))
        confirm = DataNotificationConfirm(long_invoke_id_and_priority=invoke_id)
        self._say_own(MANAGEMENT_SERVER, PUSH_CLIENT, confirm.encode())

    def _say_own(self, source: int, destination: int, apdu: bytes) -> None:
        up = GatewayResponse(physical_address=self._relay.own_title, apdu=apdu)
        self.send(source, destination, up.encode())

    # Announcements ------------------------------------------------------------------------------

    def _announce(self, attachment: Attachment) -> None:
        self._say([attachment])

    def _say(self, attachments: list[Attachment]) -> None:
        if self._wire is None:
            return
        for apdu in encode_attachments(attachments, self._invoke_id):
            self._invoke_id += 1
            self.send(MANAGEMENT_SERVER, PUSH_CLIENT, apdu)
