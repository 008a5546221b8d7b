# SPDX-License-Identifier: Apache-2.0
"""DTLS 1.2 with a certificate at both ends (RFC 6347): settings, cookies, one association.

Identities, files and sentences are those of `tls`: the same authority, the same titles and roles.
The three cipher suites are those that metering and the RFC 7925 profile name.  An `Association`
is OpenSSL between two memory BIOs: it is handed datagrams and asked for datagrams; `dtlsport`
has the socket and the timers.

OpenSSL counts the 64-bit tag of AES128-CCM8 as weak and offers that suite at security level 0 only,
where it would admit weak keys and hashes as well: `_verify` refuses those itself.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from openami.runtime.errors import ConfigurationError
from openami.transport.tls import (
    REMEDY,
    TROUBLE,
    UNVERIFIED,
    Tls,
    read_identity,
)
from openami.transport.wire import PeerIdentity, WireError

DTLS_1_2: Final = 0xFEFD
CIPHER_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",  # RFC 5289
    "ECDHE-ECDSA-AES256-GCM-SHA384",  # RFC 5289
    "ECDHE-ECDSA-AES128-CCM8",  # RFC 7251, for constrained meters (RFC 7925)
)
MTU_OCTETS: Final = 1200
"""Of a datagram during the handshake: what passes every network."""
LONGEST_MESSAGE_OCTETS: Final = 16_384
"""Of a record, and so of a message: RFC 6347, 4.1."""
RECORD_HEADER_OCTETS: Final = 13
COOKIE_OCTETS: Final = 32
LONGEST_HELLO_OCTETS: Final = 4096
"""OpenSSL reads no more at once; what it left would stand before the next stranger's hello."""
SECRET_LIFETIME_S: Final = 60.0
"""A cookie is good for one to two of these."""
STRONG_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})
X509_V_ERR_EE_KEY_TOO_SMALL: Final = 66
X509_V_ERR_CA_MD_TOO_WEAK: Final = 68

UNVERIFIED_WEAK: Final = {
    X509_V_ERR_EE_KEY_TOO_SMALL: "a key in its chain is not EC P-256 or P-384",
    X509_V_ERR_CA_MD_TOO_WEAK: "its chain is signed with a hash weaker than SHA-256",
}


class Cookies:
    """What a listener wants to see again before it remembers anything (RFC 6347, 4.2.1)."""

    def __init__(self) -> None:
        self._secrets = [os.urandom(COOKIE_OCTETS)]

    def renew(self) -> None:
        """Take a new secret; cookies of the one before are still good."""
        self._secrets = [os.urandom(COOKIE_OCTETS), self._secrets[0]]

    def of(self, place: str) -> bytes:
        """Return the cookie of an address."""
        return self._cookie(self._secrets[0], place)

    def is_good(self, place: str, cookie: bytes) -> bool:
        """Tell whether we gave `cookie` to that address of late."""
        return any(
            hmac.compare_digest(cookie, self._cookie(secret, place)) for secret in self._secrets
        )

    @staticmethod
    def _cookie(secret: bytes, place: str) -> bytes:
        return hmac.new(secret, place.encode(), hashlib.sha256).digest()


class Place:
    """What a connection carries for its callbacks: whose it is, and what was wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault = 0  # X509_V_ERR_… of the certificate that was refused


def dtls_context(
    tls: Tls, cookies: Cookies | None = None, suites: tuple[str, ...] = CIPHER_SUITES
) -> SSL.Context:
    """Return OpenSSL's settings of one side.

    Args:
        tls: The settings of `client_tls` or `server_tls`: its files are used.
        cookies: Of a listener; None for the side that dials.
        suites: What is offered or accepted, best first.

    Raises:
        ConfigurationError: A file is missing, damaged, or belongs to another key.
    """
    files = tls.identity
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(
        SSL.OP_NO_QUERY_MTU
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_TICKET
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # each proves its certificate anew
    context.set_cipher_list(":".join((*suites, "@SECLEVEL=0")).encode())
    context.set_tmp_ecdh(ec.SECP256R1())
    try:
        context.use_certificate_chain_file(str(files.certificate))
        context.use_privatekey_file(str(files.key))
        context.check_privatekey()
        context.load_verify_locations(str(files.ca))
    except SSL.Error as error:
        sentence = f"{files.certificate}, {files.key.name} and {files.ca.name} do not fit together"
        raise ConfigurationError(f"{sentence} ({_words(error)}): {REMEDY}") from error
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    if cookies is not None:
        context.set_cookie_generate_callback(lambda connection: cookies.of(_place(connection).name))
        context.set_cookie_verify_callback(
            lambda connection, cookie: cookies.is_good(_place(connection).name, cookie)
        )
    return context


def _place(connection: SSL.Connection) -> Place:
    place: Place = connection.get_app_data()
    return place


def _verify(
    connection: SSL.Connection, x509: crypto.X509, fault: int, _depth: int, ok: int
) -> bool:
    """Accept what OpenSSL accepts and level 2 would accept; note what is refused."""
    if ok:
        fault = _weakness(x509.to_cryptography())
    if fault and not _place(connection).fault:
        _place(connection).fault = fault
    return not fault


def _weakness(certificate: x509.Certificate) -> int:
    """Return the X509_V_ERR_… that a higher security level would give; 0 for none."""
    try:
        key, hashed = certificate.public_key(), certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return X509_V_ERR_EE_KEY_TOO_SMALL
    strong = (ec.SECP256R1, ec.SECP384R1)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, strong):
        return X509_V_ERR_EE_KEY_TOO_SMALL
    return 0 if hashed and hashed.name in STRONG_HASHES else X509_V_ERR_CA_MD_TOO_WEAK


def _words(error: SSL.Error) -> str:
    reasons = [str(row[-1]) for row in error.args[0]] if error.args and error.args[0] else []
    return reasons[-1] if reasons else "no reason given"


def explain(error: SSL.Error, tls: Tls, fault: int) -> str:
    """Say in one sentence what stopped DTLS, whose fault it is, and what to do."""
    files = tls.identity
    if fault:
        unnamed = f"it cannot be verified (X509_V_ERR {fault})"
        words = UNVERIFIED_WEAK.get(fault) or UNVERIFIED.get(fault) or unnamed
        return f"wrong certificate: {words}; the peer needs a valid one of the authority {files.ca}"
    words = _words(error)
    if any(part in words for part in _NOTHING_SHARED):
        return f"it shares no cipher suite with us ({words}): {', '.join(CIPHER_SUITES)}"
    _, is_alert, alert = words.upper().replace(" ", "_").rpartition("ALERT_")
    names = [f"{version}_ALERT_{alert}" for version in ("TLSV1", "SSLV3")] if is_alert else [alert]
    for name in names:
        if (sentence := TROUBLE.get(name)) is not None:
            return sentence.format(certificate=files.certificate, key=files.key)
    return f"DTLS failed ({words})"


_NOTHING_SHARED: Final = ("no shared cipher", "alert handshake failure", "no reason given")


def cut(octets: bytes, mtu: int) -> Iterator[bytes]:
    """Cut what OpenSSL wrote into datagrams: whole records, together up to `mtu`."""
    start = position = 0
    while position < len(octets):
        length = int.from_bytes(octets[position + 11 : position + RECORD_HEADER_OCTETS])
        following = position + RECORD_HEADER_OCTETS + length
        if position > start and following - start > mtu:
            yield octets[start:position]
            start = position
        position = following
    if position > start:
        yield octets[start:position]


def client_random(datagram: bytes) -> bytes | None:
    """Return the random of a plain ClientHello; None if the datagram begins with none."""
    is_handshake = datagram[:1] == b"\x16" and datagram[3:5] == b"\x00\x00"
    if not is_handshake or datagram[RECORD_HEADER_OCTETS : RECORD_HEADER_OCTETS + 1] != b"\x01":
        return None
    start = RECORD_HEADER_OCTETS + 12 + 2  # behind the handshake header and the version
    found = datagram[start : start + 32]
    return found if len(found) == 32 else None


class AssociationLostError(WireError):
    """The association failed or ended; the sentence says why."""

    def __init__(self, sentence: str, *, in_order: bool) -> None:
        super().__init__(sentence)
        self.in_order = in_order


class Association:
    """One DTLS association, seen from either side.

    Attributes:
        secured: Whether the handshake is done, so that messages may pass.
        random: Of the ClientHello that began it, on the side that listens.
        lost: Why it is over; None while it is not.
    """

    def __init__(self, connection: SSL.Connection, tls: Tls, mtu: int = MTU_OCTETS) -> None:
        self.secured = False
        self.random: bytes | None = None
        self.lost: AssociationLostError | None = None
        self._connection = connection
        self._tls = tls
        self._mtu = mtu
        connection.set_ciphertext_mtu(mtu)

    def take(self, datagram: bytes | None = None) -> list[bytes]:
        """Go on with the handshake, or take a datagram; return the messages in it.

        What stands before the end of the association is returned first: `lost` tells of the end.
        """
        connection = self._connection
        messages: list[bytes] = []
        try:
            if datagram is not None:
                connection.bio_write(datagram)
            if not self.secured:
                connection.do_handshake()
                self.secured = True
            while True:
                messages.append(connection.recv(LONGEST_MESSAGE_OCTETS))
        except SSL.WantReadError:
            return messages
        except SSL.ZeroReturnError as error:
            self.lost = AssociationLostError("the peer closed the association", in_order=True)
            self.lost.__cause__ = error
        except SSL.Error as error:
            sentence = explain(error, self._tls, _place(connection).fault)
            self.lost = AssociationLostError(sentence, in_order=False)
            self.lost.__cause__ = error
        return messages

    def send(self, message: bytes) -> None:
        """Leave a message to be sent, in a record of its own.

        Raises:
            AssociationLostError: OpenSSL refuses.
        """
        try:
            self._connection.send(message)
        except SSL.Error as error:
            sentence = explain(error, self._tls, 0)
            raise AssociationLostError(sentence, in_order=False) from error

    def farewell(self) -> None:
        """Leave close_notify to be sent."""
        if self.secured:
            try:
                self._connection.shutdown()
            except SSL.Error:
                return  # it is broken already

    @property
    def timeout_s(self) -> float | None:
        """How long the answer to a flight is still awaited; None while none is."""
        return None if self.secured else self._connection.DTLSv1_get_timeout()

    def late(self) -> bool:
        """Leave the last flight to be sent again if its time is over; tell whether it was.

        Raises:
            AssociationLostError: It was sent too often.
        """
        try:
            return bool(self._connection.DTLSv1_handle_timeout())
        except SSL.Error as error:
            problem = "the peer does not answer the DTLS handshake"
            raise AssociationLostError(problem, in_order=False) from error

    def datagrams(self) -> list[bytes]:
        """Return what is to be sent now."""
        try:
            octets = self._connection.bio_read(1 << 20)
        except SSL.WantReadError:
            return []
        return list(cut(octets, self._mtu))

    def peer(self) -> PeerIdentity:
        """Return who is at the other end; raises `WireError` if its certificate does not say."""
        shown = self._connection.get_peer_certificate(as_cryptography=True)
        if shown is None:
            raise WireError("wrong certificate: the peer showed none; give it one of our authority")
        return read_identity(shown)

    @property
    def suite(self) -> str:
        """The cipher suite that was agreed on, by OpenSSL's name."""
        return self._connection.get_cipher_name() or ""


def dialling(context: SSL.Context, tls: Tls, name: str, mtu: int = MTU_OCTETS) -> Association:
    """Return an association whose first flight is ready."""
    connection = SSL.Connection(context, None)
    connection.set_app_data(Place(name))
    connection.set_connect_state()
    return Association(connection, tls, mtu)


class Doorkeeper:
    """Answers ClientHellos by cookies, and remembers nothing of who brings none back.

    One unbound OpenSSL connection serves all strangers; when one of them shows its cookie that
    connection becomes its association.  HelloVerifyRequest is shorter than any ClientHello, so
    nobody can be flooded through us.
    """

    def __init__(
        self, context: SSL.Context, cookies: Cookies, tls: Tls, mtu: int = MTU_OCTETS
    ) -> None:
        self._context = context
        self._cookies = cookies
        self._tls = tls
        self._mtu = mtu
        self._renewed_s = 0.0
        self._connection: SSL.Connection | None = None

    def receive(
        self, datagram: bytes, name: str, now: float
    ) -> tuple[bytes | None, Association | None]:
        """Take a datagram of a stranger; return the answer to it or its association."""
        if client_random(datagram) is None or len(datagram) > LONGEST_HELLO_OCTETS:
            return None, None  # nothing else may begin
        if now - self._renewed_s > SECRET_LIFETIME_S:
            self._renewed_s = now
            self._cookies.renew()
        connection = self._connection
        if connection is None:
            connection = self._connection = SSL.Connection(self._context, None)
            connection.set_accept_state()  # after DTLSv1_listen it would undo what was heard
            connection.set_ciphertext_mtu(self._mtu)
        connection.set_app_data(Place(name))
        connection.bio_write(datagram)
        try:
            connection.DTLSv1_listen()
        except SSL.WantReadError:
            try:
                return connection.bio_read(LONGEST_MESSAGE_OCTETS), None
            except SSL.WantReadError:
                return None, None
        except SSL.Error:
            self._connection = None
            return None, None
        self._connection = None
        association = Association(connection, self._tls, self._mtu)  # the MTU was forgotten
        association.random = client_random(datagram)
        return None, association
