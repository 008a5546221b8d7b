# SPDX-License-Identifier: Apache-2.0
"""A throw-away authority, and handlers that remember what happened."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from openami.lifecycle.authority import Authority
from openami.transport.endpoint import Listener, dial, listen
from openami.transport.tls import (
    Expected,
    Role,
    Secured,
    TlsIdentity,
    client_tls,
    server_tls,
)
from openami.transport.tlspolicy import DEFAULT_POLICY, Policy
from openami.transport.url import Url
from openami.transport.wire import DEFAULT_LIMITS, Limits, Wire

METER = bytes.fromhex("4F414D0000000001")
CONCENTRATOR = bytes.fromhex("4F414DC000000001")
ANY_PORT = {"tls": Url("tls", "127.0.0.1", 0), "tcp": Url("tcp", "127.0.0.1", 0)}


@dataclass
class Remembering:
    """A handler that keeps everything; `answer` makes it an echo or worse."""

    wire: Wire
    answer: Callable[[Wire, int, int, bytes], None] | None = None
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.frames.append((source, destination, apdu))
        if self.answer is not None:
            self.answer(self.wire, source, destination, apdu)
        self.arrived.set()

    def closed(self, reason: str) -> None:
        self.reasons.append(reason)
        self.ended.set()


def echo(wire: Wire, source: int, destination: int, apdu: bytes) -> None:
    wire.send(destination, source, apdu)


class Party:
    """One end: makes handlers and keeps them."""

    def __init__(self, answer: Callable[[Wire, int, int, bytes], None] | None = None) -> None:
        self.answer = answer
        self.handlers: list[Remembering] = []
        self.met = asyncio.Event()

    def accept(self, wire: Wire) -> Remembering:
        handler = Remembering(wire, self.answer)
        self.handlers.append(handler)
        self.met.set()
        return handler


class Pki:
    """Issues identities as files, each in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder / "ca")
        self.issued = 0

    def identity(
        self,
        title: bytes,
        role: Role,
        *,
        by: Authority | None = None,
        age: timedelta | None = None,
        policy: Policy = DEFAULT_POLICY,
        revoked: Path | None = None,
    ) -> TlsIdentity:
        """Issue; `by` another authority than the trusted one, `age` days ago for a day."""
        self.issued += 1
        home = self.folder / str(self.issued)
        home.mkdir()
        authority = by or self.authority
        if age is None:
            credentials = authority.issue(title, role)
        else:
            then = datetime.now(UTC) - age
            credentials = authority.issue(title, role, now=then, validity=timedelta(days=1))
        (home / "ca.crt").write_bytes(self.authority.pem)
        (home / "tls.crt").write_bytes(credentials.certificate)
        (home / "tls.key").write_bytes(credentials.key)
        files = (home / "ca.crt", home / "tls.crt", home / "tls.key")
        return TlsIdentity(*files, policy, revoked)

    def revoke(
        self, path: Path, *revoked: TlsIdentity, by: Authority | None = None, due_days: int = 30
    ) -> Path:
        """Write the authority's list of what it took back; `by` another one than the trusted."""
        serials = [
            x509.load_pem_x509_certificate(each.certificate.read_bytes()).serial_number
            for each in revoked
        ]
        made = datetime.now(UTC) - timedelta(days=60)
        validity = timedelta(days=60 + due_days)
        listed = (by or self.authority).revocation_list(serials, now=made, validity=validity)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(listed)
        return fresh.replace(path)

    def meter(self, policy: Policy = DEFAULT_POLICY) -> Secured:
        """The dialling side: a meter that wants the concentrator."""
        return dialler(self.identity(METER, Role.METER, policy=policy))

    def concentrator(self, policy: Policy = DEFAULT_POLICY, revoked: Path | None = None) -> Secured:
        """The listening side: a concentrator that lets in meters."""
        identity = self.identity(CONCENTRATOR, Role.CONCENTRATOR, policy=policy, revoked=revoked)
        settings = server_tls(identity)
        return Secured(settings, Expected(roles=frozenset({"meter"})))


def dialler(
    identity: TlsIdentity,
    *,
    role: str = "concentrator",
    title: bytes | None = CONCENTRATOR,
) -> Secured:
    return Secured(client_tls(identity), Expected(roles=frozenset({role}), title=title))


@dataclass
class Pair:
    """A listener and a wire to it."""

    listener: Listener
    there: Party
    wire: Wire
    here: Remembering

    async def close(self) -> None:
        self.wire.close()
        await self.wire.gone()
        await self.listener.close()


async def connect(
    scheme: str,
    pki: Pki,
    *,
    answer: Callable[[Wire, int, int, bytes], None] | None = echo,
    limits: Limits = DEFAULT_LIMITS,
) -> Pair:
    there, here = Party(answer), Party()
    secured = pki.concentrator() if scheme == "tls" else None
    listener = await listen(ANY_PORT[scheme], there.accept, secured=secured, limits=limits)
    wire = await dial(
        listener.url, here.accept, secured=pki.meter() if scheme == "tls" else None, limits=limits
    )
    async with asyncio.timeout(10):
        await there.met.wait()  # with TLS 1.3 the dialling side is ready first
    return Pair(listener, there, wire, here.handlers[0])
