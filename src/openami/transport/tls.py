# SPDX-License-Identifier: Apache-2.0
"""TLS with a certificate at both ends: one side's settings, used for every connection.

`certificates` says who is who, `tlspolicy` what is offered, `tlsengine` tells OpenSSL.  Here the
two meet: a peer is admitted after each handshake, and after an abbreviated one its certificate is
looked at again as after a full one, because the session it resumes may be older than the trouble.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from OpenSSL import SSL

from openami.transport import tlsengine
from openami.transport.certificates import (
    REVOKED,
    Expected,
    Role,
    TlsIdentity,
    read_identity,
    untimely,
)
from openami.transport.revocation import RevocationList, utc_now
from openami.transport.tlsengine import Place, Renewed
from openami.transport.tlstrouble import wrong_certificate
from openami.transport.wire import Limits, PeerIdentity, WireError

__all__ = ["Expected", "Role", "Secured", "Tls", "TlsIdentity", "client_tls", "server_tls"]

SESSIONS_KEPT: Final = 1024
"""Of a side that dials, each of another address; one that dials thousands asks each for its own."""
HALF_OPEN_SHARE: Final = 0.5
"""How many of the connections that a listener may have may be in their handshakes."""


@dataclass(slots=True)
class Tally:
    """What came of the handshakes so far.

    Attributes:
        full: Completed, the peer having proved its certificate.
        resumed: Completed by resuming a session.
        refused: Ended by us or by the peer, or never completed.
        half_open: Under way now, over streams; `dtlsport` has a table of its own.
    """

    full: int = 0
    resumed: int = 0
    refused: int = 0
    half_open: int = 0


class Tls:
    """One side's settings, read once and used for every connection.

    Args:
        identity: Files and policy.
        server_side: Whether we answer handshakes.
        now: Real UTC, by which certificates are judged.

    Attributes:
        own: Who our certificate says we are.
        tally: What came of the handshakes.

    Raises:
        ConfigurationError: A file is missing, damaged, or belongs to another key.
    """

    def __init__(
        self,
        identity: TlsIdentity,
        *,
        server_side: bool,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.identity = identity
        self.server_side = server_side
        self.own = identity.own()
        self.tally = Tally()
        self._now = now
        self._sessions: OrderedDict[str, SSL.Session] = OrderedDict()
        authorities = identity.authorities()
        self.revoked = (
            RevocationList(identity.revoked, authorities, now) if identity.revoked else None
        )
        self._contexts: dict[bool, Callable[[], SSL.Context]] = {}
        streams = bool(identity.policy.of_kind(datagrams=False))
        self._context(datagrams=not streams)  # the files are looked at now

    def connection(self, name: str, *, datagrams: bool = False) -> SSL.Connection:
        """Return a connection between memory BIOs, ready for its handshake.

        Args:
            name: Whose it is; where we dial, a session with that name is resumed.
            datagrams: DTLS instead of TLS; a listener has `fresh_context` for that.
        """
        made = self._context(datagrams=datagrams)
        connection = SSL.Connection(made, None)
        connection.set_app_data(Place(name))
        if self.server_side:
            connection.set_accept_state()
            return connection
        if (session := self._sessions.pop(name, None)) is not None:
            connection.set_session(session)  # once: RFC 8446, C.4
        connection.set_connect_state()
        return connection

    def fresh_context(self, *, datagrams: bool) -> SSL.Context:
        """Return OpenSSL's settings, made for the caller alone."""
        return tlsengine.context(
            self.identity, self.revoked, server_side=self.server_side, datagrams=datagrams
        )

    def identify(self, connection: SSL.Connection) -> tuple[PeerIdentity, x509.Certificate]:
        """Return who is at the other end; raises `WireError` where its certificate does not say."""
        shown = connection.get_peer_certificate(as_cryptography=True)
        if shown is None:
            raise WireError("wrong certificate: the peer showed none; give it one of our authority")
        return read_identity(shown), shown

    def admit(self, peer: PeerIdentity, shown: x509.Certificate, expected: Expected) -> None:
        """Let a peer in, or raise `WireError`: by role, title, validity and revocation."""
        expected.verify(peer, self.identity.ca)
        fault = untimely(shown, self._now())
        if not fault and self.revoked is not None and self.revoked.is_revoked(shown):
            fault = REVOKED
        if fault:
            raise WireError(wrong_certificate(fault, self.identity))

    def remember(self, connection: SSL.Connection, name: str) -> None:
        """Keep the session of a connection that ends, for the next one of that name.

        It says close_notify, sent or not: OpenSSL takes a session for broken whose connection is
        freed without one.
        """
        keeps = not self.server_side and self.identity.policy.resumption
        session = connection.get_session() if keeps else None
        try:
            connection.shutdown()
        except SSL.Error:
            return  # it broke: nothing of it is used again
        if session is not None:
            self._sessions[name] = session
            while len(self._sessions) > SESSIONS_KEPT:
                self._sessions.popitem(last=False)

    def count(self, *, resumed: bool) -> None:
        """Count a handshake that let its peer in."""
        if resumed:
            self.tally.resumed += 1
        else:
            self.tally.full += 1

    def has_room(self, limits: Limits) -> bool:
        """Tell whether one more handshake may begin."""
        return self.tally.half_open < max(1, int(limits.max_connections * HALF_OPEN_SHARE))

    def _context(self, *, datagrams: bool) -> SSL.Context:
        if (made := self._contexts.get(datagrams)) is None:
            made = self._contexts[datagrams] = self._settled(datagrams=datagrams)
        return made()

    def _settled(self, *, datagrams: bool) -> Callable[[], SSL.Context]:
        if self.server_side:
            lifetime_s = self.identity.policy.session_lifetime_s
            return Renewed(lambda: self.fresh_context(datagrams=datagrams), lifetime_s)
        made = self.fresh_context(datagrams=datagrams)
        return lambda: made  # sessions belong to it


@dataclass(frozen=True, slots=True)
class Secured:
    """How a `tls://` address is spoken to: our side of TLS and who may be at the other end."""

    tls: Tls
    expected: Expected


def client_tls(identity: TlsIdentity, now: Callable[[], datetime] = utc_now) -> Tls:
    """Return the settings of the side that dials."""
    return Tls(identity, server_side=False, now=now)


def server_tls(identity: TlsIdentity, now: Callable[[], datetime] = utc_now) -> Tls:
    """Return the settings of the side that listens."""
    return Tls(identity, server_side=True, now=now)
