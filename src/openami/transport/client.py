# SPDX-License-Identifier: Apache-2.0
"""One association over a connection of its own: what a tool and a test need.

::

    async with open_session(url, parameters) as meter:
        energy = await meter.run(meter.client.get(Register.value, at=obis))

A head-end, which speaks with many meters over one uplink, uses `session.DlmsSession` itself.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

from openami.cosem.client import Client, ClientParameters
from openami.dlms.association import State
from openami.dlms.errors import DlmsError
from openami.dlms.gateway import GatewayRoute
from openami.dlms.security.counters import CounterBlock
from openami.transport.carrier import AcceptCarrier, Carrier
from openami.transport.coapwire import DEFAULT_COAP, CoapSettings, dial_coap
from openami.transport.dtlsport import secured_for
from openami.transport.endpoint import dial
from openami.transport.hdlc import DEFAULT_SETTINGS, HdlcSettings
from openami.transport.hdlcpoint import dial_hdlc, link_pair
from openami.transport.session import (
    TIMEOUT_S,
    Conversation,
    DlmsSession,
    SessionHandler,
    SessionTimeoutError,
)
from openami.transport.tls import Secured
from openami.transport.udp import DatagramWire, dial_udp, dial_wrapped_dtls
from openami.transport.url import Scheme, Url
from openami.transport.wire import Limits, WireError

log = logging.getLogger(__name__)

T = TypeVar("T")

RELEASE_TIMEOUT_S: Final = 2.0
PROTECTION_ROOM_OCTETS: Final = 512
"""For a gateway header and an envelope around an APDU of the size that was proposed."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """An association that stands.

    Attributes:
        client: Makes the conversations.
        session: Holds them.
        wire: Carries them.
    """

    client: Client
    session: DlmsSession
    wire: Carrier

    async def run(self, conversation: Conversation[T]) -> T:
        """Hold a conversation and return its result; raises as `DlmsSession.run`."""
        return await self.session.run(conversation)


@asynccontextmanager
async def open_session(  # noqa: PLR0913  the meter, who we are, and options
    url: Url,
    parameters: ClientParameters,
    *,
    secured: Secured | None = None,
    counters: CounterBlock | None = None,
    timeout_s: float = TIMEOUT_S,
    hdlc: HdlcSettings = DEFAULT_SETTINGS,
    coap: CoapSettings = DEFAULT_COAP,
    route: GatewayRoute | None = None,
) -> AsyncIterator[OpenSession]:
    """Dial, associate, and at the end release and close.

    Args:
        url: The meter's listener.
        parameters: Who we are there.
        secured: Needed for `tls://`, `dtls://` and `coaps://`.
        counters: Our invocation counters; needed with keys.
        timeout_s: For the connection, and for each answer.
        hdlc: How to speak HDLC, for `hdlc+tcp://` and `hdlc+serial://`.
        coap: How to speak CoAP, for `coap://` and `coaps://`.
        route: The meter is behind a gateway, which is at `url`; None for none.

    Raises:
        WireError: Nobody there, the wrong peer, or no answer in time.
        DlmsError: The meter refuses the association, or breaks the protocol.
    """
    handlers: list[SessionHandler] = []

    saps = parameters.client_sap, parameters.server_sap

    def accept(wire: Carrier) -> SessionHandler:
        handlers.append(SessionHandler(wire, *saps, timeout_s, route))
        return handlers[0]

    wire = await dial_carrier(
        url, accept, saps, secured=secured, timeout_s=timeout_s, hdlc=hdlc, coap=coap
    )
    try:
        session = handlers[0].session
        client = Client(_fitting(parameters, wire), entropy=os.urandom, counters=counters)
        session.unasked = partial(_unasked, client, session.name)
        await _associate(url, session, client)
        yield OpenSession(client, session, wire)
        await _release(client, session)
    finally:
        wire.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await wire.gone()


def _fitting(parameters: ClientParameters, wire: Carrier) -> ClientParameters:
    """Propose no longer answers than the carrier can bring: a datagram holds one whole."""
    if not isinstance(wire, DatagramWire):
        return parameters
    longest = wire.longest_apdu_octets - PROTECTION_ROOM_OCTETS
    if 0 < parameters.max_receive_pdu_octets <= longest:
        return parameters
    return replace(parameters, max_receive_pdu_octets=longest)


async def dial_carrier(  # noqa: PLR0913  the meter, for whom, and options
    url: Url,
    accept: AcceptCarrier,
    saps: tuple[int, int],
    *,
    secured: Secured | None = None,
    timeout_s: float = TIMEOUT_S,
    hdlc: HdlcSettings = DEFAULT_SETTINGS,
    coap: CoapSettings = DEFAULT_COAP,
) -> Carrier:
    """Open what carries APDUs to a meter, whatever its address says that this is.

    Args:
        url: The meter's listener.
        accept: Called with the carrier; returns who takes its APDUs.
        saps: Of the client and of the server; a link of HDLC is between the two.
        secured: Needed for `tls://`, `dtls://` and `coaps://`.
        timeout_s: For the connection.
        hdlc: How to speak HDLC.
        coap: How to speak CoAP.

    Raises:
        WireError: Nobody there, the wrong peer, or no answer in time.
    """
    limits = Limits(connect_timeout_s=timeout_s)
    match url.scheme:
        case "hdlc+tcp" | "hdlc+serial":
            pair = link_pair(*saps, hdlc)
            return await dial_hdlc(url, accept, pair, settings=hdlc, limits=limits)
        case "udp":
            return await dial_udp(url, accept, limits)
        case "dtls":
            return await dial_wrapped_dtls(url, accept, secured_for(url, secured), limits)
        case "coap" | "coaps":
            return await dial_coap(url, accept, settings=coap, secured=secured, limits=limits)
        case _:
            return await dial(url, accept, secured=secured, limits=limits)


_ALIKE: Final[Mapping[Scheme, tuple[Scheme, ...]]] = MappingProxyType(
    {
        "tcp": ("tcp", "tls", "hdlc+tcp"),
        "tls": ("tcp", "tls"),
        "hdlc+tcp": ("hdlc+tcp", "tcp"),
        "hdlc+serial": ("hdlc+serial",),
        "udp": ("udp", "dtls", "coap"),
        "dtls": ("udp", "dtls"),
        "coap": ("coap", "coaps", "udp"),
        "coaps": ("coap", "coaps"),
    }
)
"""What else may be behind an address of a scheme."""


async def _associate(url: Url, session: DlmsSession, client: Client) -> None:
    """Associate; a peer that hangs up before it is known most likely speaks something else."""
    try:
        await session.run(client.associate())
    except SessionTimeoutError:
        raise
    except WireError as error:
        others = " or ".join(f"{each}://" for each in _ALIKE[url.scheme])
        sentence = f"{error}; check that {url} is the address of a meter, and its scheme"
        raise WireError(f"{sentence} ({others})") from error


def _unasked(client: Client, name: str, apdu: bytes) -> None:
    """Open what the meter sends by itself; what is not protected as agreed is dropped."""
    if client.state is not State.ASSOCIATED:
        return
    try:
        client.unasked(apdu)
    except DlmsError as error:
        log.warning("%s: what it sent unasked is dropped: %s", name, error)


async def _release(client: Client, session: DlmsSession) -> None:
    """Say good-bye; a meter that does not answer is left all the same."""
    if session.is_open and client.state is State.ASSOCIATED:
        with contextlib.suppress(WireError, DlmsError):
            await session.run(client.release(), RELEASE_TIMEOUT_S)
