# SPDX-License-Identifier: Apache-2.0
"""OpenSSL's settings of one side of TLS or DTLS, and its verdict on each certificate of a chain.

OpenSSL counts the 64-bit tag of AES128-CCM-8 as weak and offers it at security level 0 only, where
it would admit weak keys and hashes as well: `_verify` refuses those itself, at every level.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from openami.runtime.errors import ConfigurationError
from openami.transport.certificates import REMEDY, REVOKED, TlsIdentity, weakness
from openami.transport.revocation import RevocationList
from openami.transport.tlspolicy import VERSIONS, Version
from openami.transport.tlstrouble import reasons

log = logging.getLogger(__name__)

SESSION_CONTEXT: Final = b"openami"
"""A listener that verifies peers and names no context could resume nothing."""
SIGNATURES: Final = b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA+SHA256"
"""What may be signed with; RSA only so that a peer with an RSA key learns what is wrong with it."""

Verdict = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]


class Place:
    """What a connection carries for its callbacks.

    Attributes:
        name: Whose connection it is.
        fault: X509_V_ERR_… of the certificate that was refused; 0 while none was.
        proven: Whether the peer proved its certificate in this handshake; it does not where a
            session is resumed.
    """

    __slots__ = ("fault", "name", "proven")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault = 0
        self.proven = False


def place(connection: SSL.Connection) -> Place:
    """Return what a connection carries."""
    found: Place = connection.get_app_data()
    return found


def context(
    identity: TlsIdentity, revoked: RevocationList | None, *, server_side: bool, datagrams: bool
) -> SSL.Context:
    """Return OpenSSL's settings of one side.

    Raises:
        ConfigurationError: A file is missing, damaged, or belongs to another key; or the policy has
            no version of this kind.
    """
    policy = identity.policy
    if not (versions := policy.of_kind(datagrams=datagrams)):
        kind = "DTLS" if datagrams else "TLS"
        named = ", ".join(policy.versions)
        raise ConfigurationError(f"{kind} is not among the versions allowed here ({named}): add it")
    made = SSL.Context(SSL.DTLS_METHOD if datagrams else SSL.TLS_METHOD)
    made.set_min_proto_version(VERSIONS[versions[0]].number)
    made.set_max_proto_version(VERSIONS[versions[-1]].number)
    options = SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE
    made.set_options(options | (SSL.OP_NO_QUERY_MTU if datagrams else 0))
    made.set_mode(SSL.MODE_RELEASE_BUFFERS)
    level = ["@SECLEVEL=0"] if policy.needs_level_0 else []
    made.set_cipher_list(":".join((*policy.names, *level)).encode())
    if Version.TLS_1_3 in versions:
        made.set_tls13_ciphersuites(":".join(policy.names_1_3).encode())
    made.set_tmp_ecdh(ec.SECP256R1())
    _allow_signatures(made)
    _resume(made, identity, server_side=server_side)
    _load(made, identity)
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verdict(revoked))
    return made


def _resume(made: SSL.Context, identity: TlsIdentity, *, server_side: bool) -> None:
    """Allow or forbid abbreviated handshakes: tickets, and ids for peers that know no tickets."""
    policy = identity.policy
    if not policy.resumption:
        made.set_options(SSL.OP_NO_TICKET)
        made.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return
    made.set_session_id(SESSION_CONTEXT)
    made.set_timeout(policy.session_lifetime_s)
    made.set_session_cache_mode(SSL.SESS_CACHE_SERVER if server_side else SSL.SESS_CACHE_OFF)


def _allow_signatures(made: SSL.Context) -> None:
    """Forbid SHA-1 in the handshake itself, which security level 0 admits.

    pyOpenSSL has no method for it; its binding is used here alone, and a test holds the effect.
    """
    library: Any = SSL
    library._lib.SSL_CTX_set1_sigalgs_list(made._context, SIGNATURES)  # noqa: SLF001


def _load(made: SSL.Context, identity: TlsIdentity) -> None:
    try:
        made.load_verify_locations(str(identity.ca))
    except SSL.Error as error:
        sentence = f"{identity.ca} is no certificate authority ({reasons(error)[0]}): {REMEDY}"
        raise ConfigurationError(sentence) from error
    # An issuing authority is trusted without its root: many meters send their own certificate only.
    store = made.get_cert_store()
    if store is not None:
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    try:
        made.use_certificate_chain_file(str(identity.certificate))
        made.use_privatekey_file(str(identity.key))
        made.check_privatekey()
    except SSL.Error as error:
        pair = f"{identity.key} is no key for {identity.certificate.name}"
        raise ConfigurationError(f"{pair} ({reasons(error)[0]}): {REMEDY}") from error


def _verdict(revoked: RevocationList | None) -> Verdict:
    """Return what judges each certificate of a chain."""

    def verify(
        connection: SSL.Connection, shown: crypto.X509, fault: int, _depth: int, ok: int
    ) -> bool:
        carried = place(connection)
        carried.proven = True
        if ok:
            certificate = shown.to_cryptography()
            fault = weakness(certificate)
            if not fault and revoked is not None and revoked.is_revoked(certificate):
                fault = REVOKED
        if fault and not carried.fault:
            carried.fault = fault
        return not fault

    return verify


class Renewed:
    """Settings of a listener that are made anew in time, and with them the key of its tickets.

    Whoever learns a key of tickets reads what was said under them: a key lives as long as a
    session.  The files are read again then, so that a renewed certificate is shown.
    """

    def __init__(self, make: Callable[[], SSL.Context], lifetime_s: float) -> None:
        self._make = make
        self._lifetime_s = lifetime_s
        self._made = make()
        self._made_s = time.monotonic()

    def __call__(self) -> SSL.Context:
        """Return the settings; those that were, with a warning, if the files are unusable now."""
        now_s = time.monotonic()
        if now_s - self._made_s > self._lifetime_s:
            self._made_s = now_s
            try:
                self._made = self._make()
            except ConfigurationError as error:
                log.warning("%s; what was read before is used until then", error)
        return self._made
