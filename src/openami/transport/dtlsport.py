# SPDX-License-Identifier: Apache-2.0
"""Datagrams inside DTLS 1.2: the socket, the timers and the channels of `dtls` (RFC 6347).

A channel stands when the handshake is done and the certificate names a peer that is let in.  The
same address may begin anew, because a device was restarted: its old channel lives until the new
handshake is complete (RFC 6347, 4.2.8), so that nobody can end it with a forged or repeated
ClientHello.
"""

import asyncio
import logging
from typing import Final, cast

from openami.runtime.errors import ExitCode, UserError
from openami.transport.datagrams import LISTENER_IDLE_S, AcceptChannel, Address, ChannelUser
from openami.transport.dtls import (
    LONGEST_MESSAGE_OCTETS,
    MTU_OCTETS,
    Association,
    AssociationLostError,
    Doorkeeper,
    client_random,
    dialling,
)
from openami.transport.endpoint import cannot_dial, cannot_listen
from openami.transport.tls import HALF_OPEN_SHARE, Secured
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, PeerIdentity, WireError

log = logging.getLogger(__name__)

APPLICATION_DATA: Final = 23
ALERT: Final = 21


class DtlsChannel:
    """A peer inside DTLS.

    Attributes:
        opened: Done when the peer is known and bound, or has failed with `WireError`.
    """

    def __init__(self, port: "DtlsPort", address: Address | None, association: Association) -> None:
        self.peer: PeerIdentity | None = None
        self.longest_octets = LONGEST_MESSAGE_OCTETS
        self.reason: str | None = None
        self.opened: asyncio.Future[None] = port.loop.create_future()
        self.association = association
        self.heard_s = port.loop.time()
        self._begun_s = self.heard_s
        self._port = port
        self._address = address
        self._user: ChannelUser | None = None
        self._spoken = False  # whether the peer has said anything after the handshake
        self._timer: asyncio.TimerHandle | None = None

    @property
    def place(self) -> str:
        """Where the peer is."""
        host, port = self._address or (self._port.url.host, self._port.url.port)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def name(self) -> str:
        """Who and where the peer is."""
        return f"{self.peer} at {self.place}" if self.peer else self.place

    def send(self, octets: bytes) -> None:
        """Send one message in a record, and a datagram, of its own.

        Raises:
            WireError: The channel is closed, or the message is too long.
        """
        if self.reason is not None:
            raise WireError(f"nothing can be sent to {self.name}: {self.reason}")
        if len(octets) > LONGEST_MESSAGE_OCTETS:
            longest = LONGEST_MESSAGE_OCTETS
            raise WireError(f"{len(octets)} octets do not fit into a DTLS record of {longest}")
        self.association.send(octets)
        self._flush()

    def close(self, reason: str = "closed here") -> None:
        """Say close_notify and no more."""
        if self.reason is None:
            self.association.farewell(resumable=self._user is not None)
            self._flush()
            self._end(reason)

    def take(self, datagram: bytes | None) -> None:
        """Take a datagram of the peer; None begins the handshake."""
        if self.reason is not None:
            return
        self.heard_s = self._port.loop.time()
        messages = self.association.take(datagram)
        self._flush()  # our last flight goes out before anything that we say ourselves
        if self._user is None and self.association.secured:
            try:
                self._bind()
            except WireError as refusal:
                self._refuse(str(refusal))
                return
        self._spoken = self._spoken or bool(messages)
        for message in messages:
            if self._user is not None and self.reason is None:
                self._user.datagram(message)
        if self.reason is None and self.association.lost is not None:
            self._lost(self.association.lost)
        elif self.reason is None:
            self._arm()

    def _bind(self) -> None:
        """Learn who the peer is, and hand it to whoever uses it."""
        port = self._port
        self.peer = self.association.admitted(port.secured.expected)
        port.established(self, self._address)
        self._user = port.accept(self)
        port.secured.tls.count(resumed=self.association.resumed)
        if not self.opened.done():
            self.opened.set_result(None)

    def _lost(self, lost: AssociationLostError) -> None:
        if lost.in_order:
            # Who turns away without a word refuses us: next time we prove our certificate anew.
            self.association.farewell(resumable=self._user is not None and self._spoken)
            self._flush()
            self._end(str(lost))
        else:
            self._refuse(str(lost))

    def _refuse(self, sentence: str) -> None:
        """Close because of the peer's fault, with one warning."""
        level = logging.DEBUG if self._port.dialled else logging.WARNING
        log.log(level, "%s refused: %s", self.name, sentence)
        self.close(sentence)

    def _end(self, reason: str) -> None:
        self.reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        log.debug("%s closed: %s", self.name, reason)
        if not self.opened.done():
            self.opened.set_exception(WireError(reason))
            self.opened.exception()  # seen; whoever dials sees it again
        if self._user is not None:
            self._user.closed(reason)
        else:
            self._port.secured.tls.tally.refused += 1
        self._port.closed(self, self._address)

    def _flush(self) -> None:
        for datagram in self.association.datagrams():
            self._port.transmit(datagram, self._address)

    def _arm(self) -> None:
        """Wait for what is due first: the next flight, the end of patience, or idleness."""
        loop, limits = self._port.loop, self._port.limits
        if self._timer is not None:
            if self.association.secured and self._user is not None:
                return  # it looks again when it comes
            self._timer.cancel()
        if not self.association.secured:
            due_s = self._begun_s + limits.handshake_timeout_s
            if (wait_s := self.association.timeout_s) is not None:
                due_s = min(due_s, loop.time() + wait_s + 0.001)
        else:
            due_s = self.heard_s + self._port.idle_s
        self._timer = loop.call_at(due_s, self._due)

    def _due(self) -> None:
        self._timer = None
        now_s, limits = self._port.loop.time(), self._port.limits
        if self.association.secured:
            if now_s >= self.heard_s + self._port.idle_s:
                self.close(f"nothing was heard for {self._port.idle_s:g} s")
                return
        elif now_s >= self._begun_s + limits.handshake_timeout_s:
            self._refuse(f"no DTLS handshake within {limits.handshake_timeout_s:g} s")
            return
        else:
            try:
                self._port.repeated += self.association.late()
            except AssociationLostError as lost:
                self._refuse(str(lost))
                return
            self._flush()
        self._arm()


class DtlsPort(asyncio.DatagramProtocol):
    """A socket with DTLS: of one peer where we dialled, of many where we listen.

    Attributes:
        url: Where it listens, with the port that the system chose; or whom it dials.
        channels: By the address of the peer; None for the one that was dialled.
        beginning: Handshakes that are not complete, likewise.
        repeated: How many flights were sent again.
    """

    def __init__(  # noqa: PLR0913  where, for whom, as whom, and three options
        self,
        url: Url,
        accept: AcceptChannel,
        secured: Secured,
        limits: Limits,
        *,
        dialled: bool,
        mtu: int = MTU_OCTETS,
    ) -> None:
        self.url = url
        self.accept = accept
        self.secured = secured
        self.limits = limits
        self.dialled = dialled
        self.loop = asyncio.get_running_loop()
        self.channels: dict[Address | None, DtlsChannel] = {}
        self.beginning: dict[Address | None, DtlsChannel] = {}
        self.repeated = 0
        self.idle_s = limits.idle_timeout_s or LISTENER_IDLE_S
        self._mtu = mtu
        self._transport: asyncio.DatagramTransport | None = None
        self._door = None if dialled else Doorkeeper(secured.tls, mtu)

    # What asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        if not self.dialled:
            self.url = Url(self.url.scheme, host, port)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        address = None if self.dialled else addr[:2]
        channel, beginning = self.channels.get(address), self.beginning.get(address)
        random = client_random(data)
        if random is not None and self._door is not None:
            known = [each for each in (channel, beginning) if each is not None]
            if not any(each.association.random == random for each in known):
                self._knock(data, addr[:2])
                return
            if beginning is None or beginning.association.random != random:
                return  # a late copy of what began a channel that stands
        if beginning is not None and (channel is None or _is_handshake(data)):
            beginning.take(data)
        elif channel is not None:
            channel.take(data)

    def error_received(self, exc: Exception) -> None:
        """Take note that the peer's system refused a datagram: nobody listens there."""
        for channel in self._all() if self.dialled else ():
            channel.close(f"nobody listens there ({exc})")

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the socket is closed" if exc is None else f"the socket broke ({exc})"
        for channel in self._all():
            channel.close(reason)

    # What channels call -----------------------------------------------------------------------

    def transmit(self, octets: bytes, address: Address | None) -> None:
        """Send one datagram."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(octets, address)

    def established(self, channel: DtlsChannel, address: Address | None) -> None:
        """Let a channel take the place of the one that stood."""
        if self.beginning.get(address) is channel:
            del self.beginning[address]
        before = self.channels.get(address)
        self.channels[address] = channel
        if before is not None and before is not channel:
            before.close("the peer began anew")

    def closed(self, channel: DtlsChannel, address: Address | None) -> None:
        """Forget a channel."""
        for table in (self.channels, self.beginning):
            if table.get(address) is channel:
                del table[address]
        if self.dialled and self._transport is not None:
            self._transport.close()

    # What users call ----------------------------------------------------------------------------

    def begin(self, association: Association) -> DtlsChannel:
        """Begin the handshake with the peer that was dialled."""
        channel = self.beginning[None] = DtlsChannel(self, None, association)
        channel.take(None)
        return channel

    async def close(self) -> None:
        """Close every channel and the socket."""
        for channel in self._all():
            channel.close("the service stops")
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)

    # Inside -------------------------------------------------------------------------------------

    def _all(self) -> list[DtlsChannel]:
        return [*self.channels.values(), *self.beginning.values()]

    def _knock(self, data: bytes, address: Address) -> None:
        """Answer a ClientHello of somebody new, or of somebody who begins anew."""
        if self._door is None:
            return
        answer, association = self._door.receive(data, repr(address), self.loop.time())
        if answer is not None:
            self.transmit(answer, address)
        if association is None:
            return
        if not self._has_room(address):
            log.warning("%s:%d is not heard: %d peers speak already", *address, len(self._all()))
            return
        if (before := self.beginning.get(address)) is not None:
            before.close("the peer began anew")
        channel = self.beginning[address] = DtlsChannel(self, address, association)
        channel.take(None)

    def _has_room(self, address: Address) -> bool:
        most = self.limits.max_connections
        if address in self.channels or address in self.beginning:
            return True
        half_open = max(1, int(most * HALF_OPEN_SHARE))
        return len(self.beginning) < half_open and len(self._all()) < most


def _is_handshake(data: bytes) -> bool:
    """Tell whether a datagram belongs to a handshake where a channel stands already."""
    epoch = int.from_bytes(data[3:5])
    return data[:1] not in {bytes((APPLICATION_DATA,)), bytes((ALERT,))} or epoch == 0


async def dial_dtls(
    url: Url,
    accept: AcceptChannel,
    secured: Secured,
    limits: Limits = DEFAULT_LIMITS,
    *,
    mtu: int = MTU_OCTETS,
) -> DtlsChannel:
    """Open a socket, shake hands, and return the channel; its user is what `accept` returned.

    Args:
        url: Where to.
        accept: Called once the peer is known; returns the channel's user.
        secured: `tls.client_tls` and whom we want there.
        limits: `connect_timeout_s` bounds this call.
        mtu: Of datagrams during the handshake, in octets.

    Raises:
        WireError: Nobody there, no answer, or the wrong peer.
        ConfigurationError: A file of our side cannot be used.
    """
    association = dialling(secured.tls, str(url), mtu)  # before the socket: files may be unusable
    port = DtlsPort(url, accept, secured, limits, dialled=True, mtu=mtu)
    loop = asyncio.get_running_loop()
    try:
        await loop.create_datagram_endpoint(lambda: port, remote_addr=(url.host, url.port))
    except OSError as error:
        raise WireError(cannot_dial(url, error)) from error
    channel = port.begin(association)
    try:
        async with asyncio.timeout(limits.connect_timeout_s):
            await asyncio.shield(channel.opened)
    except TimeoutError as error:
        channel.close("no answer in time")
        late = f"{url} did not complete the DTLS handshake within {limits.connect_timeout_s:g} s"
        remedy = "check address, port and network, and that DTLS is spoken there"
        raise WireError(f"{late}: {remedy}") from error
    except WireError as error:
        raise WireError(f"{url}: {error}") from error
    except asyncio.CancelledError:
        channel.close("no longer wanted")
        raise
    return channel


async def listen_dtls(
    url: Url,
    accept: AcceptChannel,
    secured: Secured | None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    mtu: int = MTU_OCTETS,
) -> DtlsPort:
    """Open a port; each peer that completes a handshake becomes a channel.

    Raises:
        UserError: The port is taken or may not be opened, or no certificate is given.
    """
    checked = secured_for(url, secured)
    port = DtlsPort(url, accept, checked, limits, dialled=False, mtu=mtu)
    loop = asyncio.get_running_loop()
    try:
        await loop.create_datagram_endpoint(lambda: port, local_addr=(url.host, url.port))
    except OSError as error:
        raise UserError(cannot_listen(url, error)) from error
    return port


def secured_for(url: Url, secured: Secured | None) -> Secured:
    """Return `secured`, which `url` needs; raises `UserError` where it is missing."""
    if secured is None:
        sentence = f"{url} needs a certificate: give ca, certificate and key"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return secured
