# SPDX-License-Identifier: Apache-2.0
"""DTLS with a certificate at both ends (RFC 6347): cookies, and one association.

Identities, policy, files and sentences are those of `tls`: the same authority, the same titles and
roles.  An `Association` is OpenSSL between two memory BIOs: it is handed datagrams and asked for
datagrams; `dtlsport` has the socket and the timers.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import Final

from OpenSSL import SSL

from openami.transport.tls import Expected, Tls
from openami.transport.tlsengine import Place, Renewed, place
from openami.transport.tlstrouble import explain
from openami.transport.wire import PeerIdentity, WireError

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


def listening(tls: Tls, cookies: Cookies) -> SSL.Context:
    """Return OpenSSL's settings of a listener with its cookies."""
    context = tls.fresh_context(datagrams=True)
    context.set_cookie_generate_callback(lambda connection: cookies.of(place(connection).name))
    context.set_cookie_verify_callback(
        lambda connection, cookie: cookies.is_good(place(connection).name, cookie)
    )
    return context


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
            sentence = explain(error, self._tls.identity, place(connection).fault, "DTLS")
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
            sentence = explain(error, self._tls.identity, 0, "DTLS")
            raise AssociationLostError(sentence, in_order=False) from error

    def farewell(self, *, resumable: bool) -> None:
        """Leave close_notify to be sent.

        Args:
            resumable: Whether the session may be resumed by the next association of our name.
        """
        if not self.secured:
            return
        if resumable:
            self._tls.remember(self._connection, place(self._connection).name)
            return
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

    def admitted(self, expected: Expected) -> PeerIdentity:
        """Return who is at the other end; raises `WireError` if it is not let in."""
        peer, shown = self._tls.identify(self._connection)
        self._tls.admit(peer, shown, expected)
        return peer

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed a session."""
        return self.secured and not place(self._connection).proven

    @property
    def suite(self) -> str:
        """The cipher suite that was agreed on, by OpenSSL's name."""
        return self._connection.get_cipher_name() or ""


def dialling(tls: Tls, name: str, mtu: int = MTU_OCTETS) -> Association:
    """Return an association whose first flight is ready; it resumes the last one of that name."""
    return Association(tls.connection(name, datagrams=True), tls, mtu)


class Doorkeeper:
    """Answers ClientHellos by cookies, and remembers nothing of who brings none back.

    One unbound OpenSSL connection serves all strangers; when one of them shows its cookie that
    connection becomes its association.  HelloVerifyRequest is shorter than any ClientHello, so
    nobody can be flooded through us.
    """

    def __init__(self, tls: Tls, mtu: int = MTU_OCTETS) -> None:
        self._cookies = cookies = Cookies()
        lifetime_s = tls.identity.policy.session_lifetime_s
        self._context = Renewed(lambda: listening(tls, cookies), lifetime_s)
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
            connection = self._connection = SSL.Connection(self._context(), None)
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
