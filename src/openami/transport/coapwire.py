# SPDX-License-Identifier: Apache-2.0
"""APDUs in CoAP messages, on UDP or inside DTLS (IEC 62056-8-12; interface class 152).

A client POSTs a request to the resource of the server, and the response to the POST holds the
answer; a server POSTs its notifications to the client in the same way.  The payload is a wrapper
frame, which names client and server SAP, or the bare APDU where both sides know them.

unsure: the path ``/d``, the payload as wrapper frame, and the response code 2.04 are known from one
source each, so all three are settings or accepted widely: any 2.xx with a payload is an answer.
"""

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from typing import Final

from openami.coap.errors import MessageFormatError
from openami.coap.message import Message, Option, path_options, uint
from openami.coap.numbers import Code, OptionNumber, is_request, is_success
from openami.coap.peer import (
    DEFAULT_SETTINGS,
    Answered,
    CoapPeer,
    Failed,
    PeerEvent,
    PeerSettings,
    Requested,
    refusal,
)
from openami.dlms.errors import DecodeError, DlmsError
from openami.dlms.sap import ALL_STATION, MANAGEMENT_LOGICAL_DEVICE, PUBLIC_CLIENT, Sap
from openami.dlms.wrapper import WrapperFrame
from openami.transport.carrier import AcceptCarrier
from openami.transport.datagrams import (
    AcceptChannel,
    Channel,
    ChannelWire,
    UdpPort,
    dial_datagrams,
    listen_datagrams,
)
from openami.transport.dtlsport import DtlsPort, dial_dtls, listen_dtls, secured_for
from openami.transport.tls import Secured
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, WireError, WireHandler

log = logging.getLogger(__name__)

DEFAULT_PATH: Final = "/d"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoapSettings:
    """How APDUs stand in CoAP."""

    path: str = DEFAULT_PATH  # unsure: of the resource, at both ends
    bare: bool = False  # unsure: the payload is the APDU itself, not a wrapper frame
    confirmable: bool = True  # requests and notifications are repeated until acknowledged
    content_format: int | None = None  # None leaves the option out; 42 is octet-stream
    client_sap: int = PUBLIC_CLIENT  # of a bare APDU
    server_sap: int = MANAGEMENT_LOGICAL_DEVICE  # of a bare APDU
    answer_s: float = 5.0  # a request that is not answered by then gets an empty response
    peer: PeerSettings = DEFAULT_SETTINGS


DEFAULT_COAP: Final = CoapSettings()


@dataclass(slots=True)
class _Waiting:
    """A request of the peer whose APDU is not answered yet."""

    handle: int
    client: int
    due_s: float


class CoapWire(ChannelWire):
    """APDUs with one peer over CoAP.

    Attributes:
        coap: The peer, with its counts of repetitions and duplicates.
    """

    def __init__(
        self, channel: Channel, accept: AcceptCarrier, settings: CoapSettings, *, dialled: bool
    ) -> None:
        """Bind a handler; raises `WireError` if it refuses the peer."""
        self.coap = CoapPeer(settings.peer, os.urandom)
        self._channel = channel
        self._settings = settings
        self._dialled = dialled
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._handler: WireHandler | None = None
        self._handler = accept(self)

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        """Answer the request of `destination` that waits for it; else POST to the peer.

        Raises:
            WireError: The wire is closed, or the APDU cannot be carried.
        """
        if not self.is_open:
            raise WireError(f"nothing can be sent to {self.name}: {self.reason or 'not open yet'}")
        if len(apdu) > 0xFFFF:
            raise WireError(f"an APDU of {len(apdu)} octets does not fit a frame of 65535")
        payload = apdu
        if not self._settings.bare:
            payload = WrapperFrame(Sap(source), Sap(destination), apdu).encode()
        now_s = self._loop.time()
        waiting = next((each for each in self._waiting if each.client == destination), None)
        if waiting is not None:
            self._waiting.remove(waiting)
            self.coap.respond(waiting.handle, Code.CHANGED, payload, now_s, self._format())
        else:
            options = (*path_options(self._settings.path), *self._format())
            confirmable = self._settings.confirmable
            self.coap.request(Code.POST, options, payload, now_s, confirmable=confirmable)
        self._flush()

    def silent(self, source: int, destination: int) -> None:
        """Answer the request of `destination` with nothing, at once: no APDU will."""
        del source
        waiting = next((each for each in self._waiting if each.client == destination), None)
        if waiting is not None:
            self._waiting.remove(waiting)
            self.coap.respond(waiting.handle, Code.CHANGED, b"", self._loop.time())
            self._flush()

    def datagram(self, octets: bytes) -> None:
        """Take a datagram of the peer."""
        for event in self.coap.receive(octets, self._loop.time()):
            self._event(event)
        self._flush()

    def closed(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._handler is not None:
            self._handler.closed(reason)

    def close(self, reason: str = "closed here") -> None:
        """Say no more; CoAP knows no farewell."""
        self._channel.close(reason)

    async def gone(self) -> None:
        """Wait until the socket is closed; the peer is not waited for."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    # Inside ---------------------------------------------------------------------------------------

    def _format(self) -> tuple[Option, ...]:
        number = self._settings.content_format
        if number is None:
            return ()
        return ((int(OptionNumber.CONTENT_FORMAT), uint(number)),)

    def _event(self, event: PeerEvent) -> None:
        match event:
            case Requested():
                self._requested(event)
            case Answered():
                self._answered(event)
            case Failed(_, reason):
                self._trouble(reason)

    def _requested(self, event: Requested) -> None:
        message, now_s = event.message, self._loop.time()
        if message.path != self._settings.path:
            self.coap.respond(event.handle, Code.NOT_FOUND, b"", now_s)
            return
        if message.code != Code.POST:
            self.coap.respond(event.handle, Code.METHOD_NOT_ALLOWED, b"", now_s)
            return
        try:
            source, destination, apdu = self._frame(message.payload, from_client=not self._dialled)
        except DecodeError as error:
            log.warning("%s: a request is refused: %s", self.name, error)
            self.coap.respond(event.handle, Code.BAD_REQUEST, str(error).encode(), now_s)
            return
        if self._dialled or destination == ALL_STATION:
            # A notification, or said to everybody: that we have it is all that there is to answer.
            self.coap.respond(event.handle, Code.CHANGED, b"", now_s)
        else:
            due_s = now_s + self._settings.answer_s
            self._waiting.append(_Waiting(event.handle, source, due_s))
        self._deliver(source, destination, apdu)

    def _answered(self, event: Answered) -> None:
        if not is_success(event.code):
            self._trouble(refusal(event))
            return
        if not event.payload:
            return  # a notification was taken, or a request wants no answer
        try:
            frame = self._frame(event.payload, from_client=not self._dialled)
        except DecodeError as error:
            log.warning("%s: an answer is dropped: %s", self.name, error)
            return
        self._deliver(*frame)

    def _frame(self, payload: bytes, *, from_client: bool) -> tuple[int, int, bytes]:
        """Return source, destination and APDU of a payload."""
        if not self._settings.bare:
            return WrapperFrame.decode(payload)
        if not payload:
            raise DecodeError("no APDU stands in the payload", payload, 0, "IEC 62056-8-12")
        saps = self._settings.client_sap, self._settings.server_sap
        source, destination = saps if from_client else saps[::-1]
        return source, destination, payload

    def _deliver(self, source: int, destination: int, apdu: bytes) -> None:
        if self._handler is None or self.reason is not None:
            return
        try:
            self._handler.frame(source, destination, apdu)
        except DlmsError as error:
            log.warning("%s refused: %s", self.name, error)
            self.close(str(error))
        except WireError as error:
            log.warning("%s is not answered: %s", self.name, error)

    def _trouble(self, reason: str) -> None:
        """A request of ours came to nothing: a client's session is over, a server goes on."""
        if self._dialled:
            self.close(reason)
        else:
            log.warning("%s: a notification was not taken: %s", self.name, reason)

    def _flush(self) -> None:
        """Send what is to be sent, and wait for what is due first."""
        for datagram in self.coap.data_to_send():
            if self.reason is None:
                self._channel.send(datagram)
        times = [each.due_s for each in self._waiting]
        if (deadline_s := self.coap.deadline) is not None:
            times.append(deadline_s)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if times and self.reason is None:
            self._timer = self._loop.call_at(min(times), self._due)

    def _due(self) -> None:
        self._timer = None
        now_s = self._loop.time() + 0.001  # loops call timers up to their clock's resolution early
        for waiting in [each for each in self._waiting if each.due_s <= now_s]:
            self._waiting.remove(waiting)
            self.coap.respond(waiting.handle, Code.CHANGED, b"", now_s)
        for event in self.coap.tick(now_s):
            self._event(event)
        self._flush()


def _made(
    accept: AcceptCarrier,
    settings: CoapSettings,
    made: list[CoapWire] | None = None,
) -> AcceptChannel:
    """Return what makes a wire of each channel; `made` remembers those that we dialled."""

    def take(channel: Channel) -> CoapWire:
        wire = CoapWire(channel, accept, settings, dialled=made is not None)
        if made is not None:
            made.append(wire)
        return wire

    return take


def no_request(octets: bytes) -> str | None:
    """Say why a datagram is no CoAP request; None where it is one."""
    try:
        message = Message.decode(octets)
    except MessageFormatError as error:
        return str(error)
    return None if is_request(message.code) else f"{message} is no request"


def of_url(url: Url, settings: CoapSettings) -> CoapSettings:
    """Return settings with the path that the address names."""
    if not url.path:
        return settings
    return replace(settings, path=url.path)


async def dial_coap(
    url: Url,
    accept: AcceptCarrier,
    *,
    settings: CoapSettings = DEFAULT_COAP,
    secured: Secured | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> CoapWire:
    """Return a wire to a peer; without DTLS it shows with the first answer whether it is there.

    Raises:
        WireError: The address cannot be used, or the DTLS handshake failed.
        UserError: `coaps://` without a certificate.
    """
    made: list[CoapWire] = []
    take = _made(accept, of_url(url, settings), made)
    if url.encrypted:
        await dial_dtls(url, take, secured_for(url, secured), limits)
    else:
        await dial_datagrams(url, take, limits)
    return made[0]


async def listen_coap(
    url: Url,
    accept: AcceptCarrier,
    *,
    settings: CoapSettings = DEFAULT_COAP,
    secured: Secured | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> UdpPort | DtlsPort:
    """Open a port; each peer that sends to it becomes a wire.

    Raises:
        UserError: The port cannot be opened, or `coaps://` without a certificate.
    """
    take = _made(accept, of_url(url, settings))
    if url.encrypted:
        return await listen_dtls(url, take, secured, limits)
    return await listen_datagrams(url, take, limits, no_request)
