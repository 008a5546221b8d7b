# SPDX-License-Identifier: Apache-2.0
"""Listening for APDUs on any bearer with the same handlers: TCP, TLS, UDP, DTLS, CoAP.

HDLC stands apart: one line carries several clients and links (`hdlcpoint.listen_hdlc`).
"""

from typing import Final, Protocol

from openami.transport.carrier import AcceptCarrier
from openami.transport.coapwire import DEFAULT_COAP, CoapSettings, listen_coap
from openami.transport.endpoint import listen
from openami.transport.tls import Secured
from openami.transport.udp import listen_udp, listen_wrapped_dtls
from openami.transport.url import Scheme, Url
from openami.transport.wire import DEFAULT_LIMITS, Limits

SERVED: Final[frozenset[Scheme]] = frozenset({"tcp", "tls", "udp", "dtls", "coap", "coaps"})


class OpenPort(Protocol):
    """A port that is open."""

    @property
    def url(self) -> Url:
        """Where it listens, with the port that the system chose."""

    async def close(self) -> None:
        """Close it, and all that came in through it."""


async def listen_anywhere(
    url: Url,
    accept: AcceptCarrier,
    *,
    secured: Secured | None = None,
    limits: Limits = DEFAULT_LIMITS,
    coap: CoapSettings = DEFAULT_COAP,
) -> OpenPort:
    """Open a port.

    Args:
        url: Where; its scheme is one of `SERVED`, port 0 lets the system choose.
        accept: Called for each peer that is ready; returns its handler.
        secured: `tls.server_tls` and who is let in; needed for TLS and DTLS.
        limits: What one peer and the port may cost.
        coap: How to speak CoAP.

    Raises:
        UserError: The port is taken or may not be opened, or a certificate is missing.
        ValueError: The scheme is none of `SERVED`.
    """
    match url.scheme:
        case "tcp" | "tls":
            return await listen(url, accept, secured=secured, limits=limits)
        case "udp":
            return await listen_udp(url, accept, limits)
        case "dtls":
            return await listen_wrapped_dtls(url, accept, secured, limits)
        case "coap" | "coaps":
            return await listen_coap(url, accept, settings=coap, secured=secured, limits=limits)
        case _:
            raise ValueError(f"{url} is no bearer that is served here: {', '.join(sorted(SERVED))}")
