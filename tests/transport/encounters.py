# SPDX-License-Identifier: Apache-2.0
"""Meetings over each kind of secured line: TLS 1.2, TLS 1.3, DTLS 1.2; full and resumed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from openami.transport.endpoint import dial, listen
from openami.transport.tls import Secured
from openami.transport.tlspolicy import Policy, Version
from openami.transport.udp import dial_wrapped_dtls, listen_wrapped_dtls
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, WireError
from transport.hdlcmeter import until
from transport.parties import Party, echo


@dataclass(frozen=True)
class Kind:
    """One version, and how it is listened on and dialled."""

    version: Version

    def __str__(self) -> str:
        return self.version

    @property
    def policy(self) -> Policy:
        return Policy(versions=(self.version,))

    @contextlib.asynccontextmanager
    async def listening(
        self, secured: Secured, limits: Limits = DEFAULT_LIMITS
    ) -> AsyncIterator[Url]:
        """Echo on a port of its own."""
        there = Party(echo)
        if self.version is Version.DTLS_1_2:
            port = await listen_wrapped_dtls(
                Url("dtls", "127.0.0.1", 0),
                there.accept,  # type: ignore[arg-type]  # any carrier will do
                secured,
                limits,
            )
            try:
                yield port.url
            finally:
                await port.close()
        else:
            listener = await listen(
                Url("tls", "127.0.0.1", 0), there.accept, secured=secured, limits=limits
            )
            try:
                yield listener.url
            finally:
                await listener.close()
        await asyncio.sleep(0.01)  # sockets are closed by then


STREAMS = [Kind(Version.TLS_1_2), Kind(Version.TLS_1_3)]
DATAGRAMS = Kind(Version.DTLS_1_2)
KINDS = [*STREAMS, DATAGRAMS]


async def meet(kind: Kind, url: Url, secured: Secured) -> bool:
    """Dial, have one frame echoed, close in order; tell whether a session was resumed."""
    here = Party()
    before = secured.tls.tally.resumed
    accept = here.accept
    if kind.version is Version.DTLS_1_2:
        wire = await dial_wrapped_dtls(url, accept, secured, DEFAULT_LIMITS)  # type: ignore[arg-type]
    else:
        wire = await dial(url, accept, secured=secured)  # type: ignore[assignment]
    handler = here.handlers[0]
    wire.send(16, 1, b"here")
    await until(lambda: bool(handler.frames) or bool(handler.reasons))
    if handler.reasons:
        raise WireError(handler.reasons[0])
    assert handler.frames == [(1, 16, b"here")]
    wire.close()
    await wire.gone()
    return secured.tls.tally.resumed > before


async def refused(kind: Kind, url: Url, secured: Secured) -> str:
    """Dial and be turned away; return the sentence."""
    try:
        await meet(kind, url, secured)
    except WireError as refusal:
        return str(refusal)
    raise AssertionError("let in")
