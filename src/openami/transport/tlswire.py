# SPDX-License-Identifier: Apache-2.0
"""A wire inside TLS.

asyncio's own TLS preallocates 256 KiB a connection.  Here OpenSSL works on two memory BIOs, and
what arrives goes through the one receive buffer of the loop, so that an idle connection costs
OpenSSL's state alone.
"""

import contextlib
import ssl
from typing import Final

from cryptography import x509

from openami.transport.tls import Secured, explain, read_identity
from openami.transport.wire import Accept, Limits, Wire, WireError

DECRYPT_OCTETS: Final = 16 * 1024  # a TLS record holds no more


class TlsWire(Wire):
    """Wrapper frames inside mutually authenticated TLS 1.2."""

    def __init__(self, accept: Accept, limits: Limits, secured: Secured) -> None:
        super().__init__(accept, limits)
        self._tls = tls = secured.tls
        self._expected = secured.expected
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = tls.context.wrap_bio(
            self._incoming, self._outgoing, server_side=tls.server_side
        )
        self._secured = False
        self._spoken = False  # whether the peer has said anything after the handshake

    def buffer_updated(self, nbytes: int, plain: bytes | None = None) -> None:  # noqa: ARG002
        if self._reason is not None:
            return  # lingering until our alert has been read
        self._incoming.write(self._buffer[:nbytes])
        if self._secured:
            self._decrypt()
        else:
            self._handshake()

    def eof_received(self) -> bool:
        if self._reason is None:
            if self._secured:
                self._finish("the peer closed the connection without a TLS farewell")
            else:
                self._finish(
                    "the peer closed the connection during the TLS handshake; "
                    "check that a TLS listener is behind this address"
                )
        return False

    def _start(self) -> None:
        self._write = self._encrypt
        self._schedule(self._limits.handshake_timeout_s, self._late)
        self._handshake()

    def _late(self) -> None:
        self.refuse(f"no TLS handshake within {self._limits.handshake_timeout_s:g} s")

    def _handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._flush()
        self._secured = True
        try:
            self.peer = read_identity(self._peer_certificate())
            self._expected.verify(self.peer, self._tls.identity.ca)
        except WireError as refusal:
            self.refuse(str(refusal))
            return
        self._cancel_timer()
        self._ready()
        if self._incoming.pending and self._reason is None:
            self._decrypt()

    def _peer_certificate(self) -> x509.Certificate:
        octets = self._ssl.getpeercert(binary_form=True)
        if octets is None:
            raise WireError("wrong certificate: the peer showed none; give it one of our authority")
        try:
            return x509.load_der_x509_certificate(octets)
        except ValueError as error:
            raise WireError(f"wrong certificate: it cannot be read ({error})") from error

    def _decrypt(self) -> None:
        """Deliver what has arrived, record by record."""
        incoming, connection = self._incoming, self._ssl
        try:
            while (incoming.pending or connection.pending()) and self._reason is None:
                if not (octets := connection.read(DECRYPT_OCTETS)):
                    self._farewell_received()
                    return
                self._spoken = True
                super().buffer_updated(len(octets), octets)
        except ssl.SSLWantReadError:
            pass  # the rest of a record is on its way
        except ssl.SSLZeroReturnError:
            self._farewell_received()
        except ssl.SSLError as error:
            self._fail(error)
        if self._outgoing.pending and self._reason is None:
            self._flush()

    def _farewell_received(self) -> None:
        """Answer close_notify by our own."""
        reason = "the peer closed the connection"
        if not self._spoken:
            reason += (
                f" before its first frame; if that repeats, it does not accept us as "
                f"{self._tls.own}: its log says why"
            )
        self.close(reason)

    def _fail(self, error: ssl.SSLError) -> None:
        """Send OpenSSL's alert, give the peer time to read it, and close."""
        sentence = explain(error, self._tls)
        self._warn(sentence)
        self._flush()
        self._finish(sentence)
        if self._transport is not None:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._schedule(0.25, self._abort)

    def _encrypt(self, octets: bytes) -> None:
        view = memoryview(octets)
        try:
            while view:
                view = view[self._ssl.write(view) :]
        except ssl.SSLError as error:
            self._fail(error)
            raise WireError(f"nothing can be sent to {self.name}: {self._reason}") from error
        self._flush()

    def _farewell(self) -> None:
        if self._secured:
            with contextlib.suppress(ssl.SSLError):  # we do not wait for the answer
                self._ssl.unwrap()
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())
