# SPDX-License-Identifier: Apache-2.0
"""Wrapper frames in datagrams (IEC 62056-47), on UDP or inside DTLS: each holds whole frames.

Nothing is repeated here: a lost datagram is a time-out of the session above.  A datagram that
breaks a rule is dropped, since anybody can send one.
"""

import asyncio
import logging
from typing import Final

from openami.dlms.errors import DecodeError, DlmsError
from openami.dlms.sap import Sap
from openami.dlms.wrapper import HEADER_OCTETS, WrapperFrame, WrapperReader
from openami.transport.carrier import AcceptCarrier
from openami.transport.datagrams import (
    LONGEST_DATAGRAM_OCTETS,
    AcceptChannel,
    Channel,
    ChannelWire,
    UdpPort,
    dial_datagrams,
    listen_datagrams,
)
from openami.transport.dtlsport import DtlsPort, dial_dtls, listen_dtls
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, WireError, WireHandler

log = logging.getLogger(__name__)

LONGEST_APDU_OCTETS: Final = LONGEST_DATAGRAM_OCTETS - HEADER_OCTETS
"""On plain UDP and IPv4; a DTLS record holds less."""


class DatagramWire(ChannelWire):
    """Wrapper frames over a channel of datagrams."""

    def __init__(self, channel: Channel, accept: AcceptCarrier) -> None:
        """Bind a handler; raises `WireError` if it refuses the peer."""
        self._channel = channel
        self._handler: WireHandler | None = None
        self._handler = accept(self)

    @property
    def longest_apdu_octets(self) -> int:
        """The longest APDU that fits into a datagram."""
        return self._channel.longest_octets - HEADER_OCTETS

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Send one frame in a datagram of its own.

        Raises:
            WireError: The wire is closed, or the APDU does not fit.
        """
        if not self.is_open:
            raise WireError(f"nothing can be sent to {self.name}: {self.reason or 'not open yet'}")
        if len(apdu) > (longest := self.longest_apdu_octets):
            raise WireError(f"an APDU of {len(apdu)} octets does not fit a datagram of {longest}")
        self._channel.send(WrapperFrame(Sap(source), Sap(destination), apdu).encode())

    def datagram(self, octets: bytes) -> None:
        """Take a datagram of the peer, with one frame or several."""
        reader = WrapperReader()
        try:
            frames = reader.feed(octets)
            reader.end()
            for frame in frames:
                if self._handler is not None and self.reason is None:
                    self._handler.frame(frame.source, frame.destination, frame.apdu)
        except DlmsError as error:
            log.warning("%s: a datagram is dropped: %s", self.name, error)
        except WireError as error:
            log.warning("%s is not answered: %s", self.name, error)

    def closed(self, reason: str) -> None:
        if self._handler is not None:
            self._handler.closed(reason)

    def close(self, reason: str = "closed here") -> None:
        """Say no more."""
        self._channel.close(reason)

    async def gone(self) -> None:
        """Wait until the socket is closed; the peer is not waited for."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def no_frames(octets: bytes) -> str | None:
    """Say why a datagram holds no whole frames; None where it does."""
    reader = WrapperReader()
    try:
        found = reader.feed(octets)
        reader.end()
    except DecodeError as error:
        return str(error)
    return None if found else "it is empty"


def wrapped(accept: AcceptCarrier, made: list[DatagramWire] | None = None) -> AcceptChannel:
    """Return what makes a wire of each channel; `made` remembers them."""

    def take(channel: Channel) -> DatagramWire:
        wire = DatagramWire(channel, accept)
        if made is not None:
            made.append(wire)
        return wire

    return take


async def dial_udp(
    url: Url, accept: AcceptCarrier, limits: Limits = DEFAULT_LIMITS
) -> DatagramWire:
    """Return a wire to a peer; whether it is there shows with its first answer.

    Raises:
        WireError: The address cannot be used.
    """
    made: list[DatagramWire] = []
    await dial_datagrams(url, wrapped(accept, made), limits)
    return made[0]


async def listen_udp(url: Url, accept: AcceptCarrier, limits: Limits = DEFAULT_LIMITS) -> UdpPort:
    """Open a port; each address that sends to it becomes a wire.

    Raises:
        UserError: The port is taken or may not be opened.
    """
    return await listen_datagrams(url, wrapped(accept), limits, no_frames)


async def dial_wrapped_dtls(
    url: Url, accept: AcceptCarrier, secured: Secured, limits: Limits = DEFAULT_LIMITS
) -> DatagramWire:
    """Return a wire inside DTLS; raises as `dial_dtls`."""
    made: list[DatagramWire] = []
    await dial_dtls(url, wrapped(accept, made), secured, limits)
    return made[0]


async def listen_wrapped_dtls(
    url: Url, accept: AcceptCarrier, secured: Secured | None, limits: Limits = DEFAULT_LIMITS
) -> DtlsPort:
    """Open a port for wires inside DTLS; raises as `listen_dtls`."""
    return await listen_dtls(url, wrapped(accept), secured, limits)
