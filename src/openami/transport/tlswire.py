# SPDX-License-Identifier: Apache-2.0
"""A wire inside TLS.

asyncio's own TLS preallocates 256 KiB a connection.  Here OpenSSL works on two memory BIOs, and
what arrives goes through the one receive buffer of the loop, so that an idle connection costs
OpenSSL's state alone.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from OpenSSL import SSL

from openami.transport.tls import Secured
from openami.transport.tlsengine import place
from openami.transport.tlstrouble import explain
from openami.transport.wire import Accept, Limits, Wire, WireError

RECORD_OCTETS: Final = 16 * 1024
"""A TLS record holds no more; OpenSSL is fed so much at once, or its buffers would stay large."""
FLIGHT_OCTETS: Final = 64 * 1024
FAREWELL_S: Final = 0.25
"""How long our alert may take to be read."""


class TlsWire(Wire):
    """Wrapper frames inside mutually authenticated TLS."""

    def __init__(self, accept: Accept, limits: Limits, secured: Secured) -> None:
        super().__init__(accept, limits)
        self._tls = secured.tls
        self._expected = secured.expected
        self._connection: SSL.Connection
        self._host = ""  # whose place at the doors is ours
        self._half_open = False  # whether the tally counts us among the handshakes under way
        self._secured = False
        self._spoken = False  # whether the peer has said anything after the handshake
        self._farewelled = False  # whether it closed before we did

    def buffer_updated(self, nbytes: int, plain: bytes | None = None) -> None:  # noqa: ARG002
        octets = self._buffer
        for start in range(0, nbytes, RECORD_OCTETS):
            if self._reason is not None:
                return  # lingering until our alert has been read
            self._connection.bio_write(octets[start : min(start + RECORD_OCTETS, nbytes)])
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

    @property
    def suite(self) -> str:
        """The cipher suite that was agreed on, by OpenSSL's name."""
        return self._connection.get_cipher_name() or ""

    @property
    def version(self) -> str:
        """The version that was agreed on, by OpenSSL's name: `TLSv1.2`, `TLSv1.3`."""
        return self._connection.get_protocol_version_name()

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed a session."""
        return self._secured and not place(self._connection).proven

    def _start(self) -> None:
        if self._tls.server_side and not self._tls.has_room(self._limits):
            self.refuse(f"{self._tls.tally.half_open} TLS handshakes are under way already")
            return
        self._host = self.address.rpartition(":")[0].strip("[]")
        if self.doors is not None and not self.doors.enter(self._host):
            # Not a line each: the doors tell of a flood once.
            self.close(f"{self.doors.most} TLS handshakes of its address are under way already")
            return
        self._tls.tally.half_open += 1
        self._half_open = True
        self._connection = self._tls.connection(self.address)
        self._write = self._encrypt
        self._schedule(self._limits.handshake_timeout_s, self._late)
        self._handshake()

    def _late(self) -> None:
        self.refuse(f"no TLS handshake within {self._limits.handshake_timeout_s:g} s")

    def _handshake(self) -> None:
        connection, tls = self._connection, self._tls
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return
        except SSL.Error as error:
            self._fail(error)
            return
        self._flush()
        self._secured = True
        try:
            self.peer, shown = tls.identify(connection)
            tls.admit(self.peer, shown, self._expected)
        except WireError as refusal:
            self.refuse(str(refusal))
            return
        tls.count(resumed=not place(connection).proven)
        self._no_longer_half_open()
        self._cancel_timer()
        self._ready()
        if self._reason is None:
            self._decrypt()

    def _decrypt(self) -> None:
        """Deliver what has arrived, record by record."""
        connection = self._connection
        try:
            while self._reason is None:
                octets = connection.recv(RECORD_OCTETS)
                self._spoken = True
                super().buffer_updated(len(octets), octets)
        except SSL.WantReadError:
            pass  # the rest of a record is on its way
        except SSL.ZeroReturnError:
            self._farewell_received()
        except SSL.Error as error:
            self._fail(error)
        if self._reason is None:
            self._flush()

    def _farewell_received(self) -> None:
        """Answer close_notify by our own."""
        reason = "the peer closed the connection"
        self._farewelled = True
        if not self._spoken:
            reason += (
                f" before its first frame; if that repeats, it does not accept us as "
                f"{self._tls.own}: its log says why"
            )
        self.close(reason)

    def _fail(self, error: SSL.Error) -> None:
        """Send OpenSSL's alert, give the peer time to read it, and close."""
        sentence = explain(error, self._tls.identity, place(self._connection).fault)
        self._secured = False  # there is no session worth keeping, and no farewell
        self._warn(sentence)
        self._flush()
        self._finish(sentence)
        if self._transport is not None:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._schedule(FAREWELL_S, self._abort)

    def _encrypt(self, octets: bytes) -> None:
        for start in range(0, len(octets), RECORD_OCTETS):
            try:
                self._connection.send(octets[start : start + RECORD_OCTETS])
            except SSL.Error as error:
                self._fail(error)
                sentence = f"nothing can be sent to {self.name}: {self._reason}"
                raise WireError(sentence) from error
            self._flush()

    def _finish(self, reason: str) -> None:
        """Keep the session for the next connection, unless the peer turned away from us.

        Who is refused by title, role or revocation shall prove its certificate the next time.
        """
        if self._half_open:
            self._tls.tally.refused += 1
            self._no_longer_half_open()
        if self._secured:
            turned_away = self._farewelled and not self._spoken
            if self._handler is None or turned_away:
                self._shut()
            else:
                self._tls.remember(self._connection, self.address)
        super()._finish(reason)

    def _no_longer_half_open(self) -> None:
        if self._half_open:
            self._half_open = False
            self._tls.tally.half_open -= 1
            if self.doors is not None:
                self.doors.leave(self._host)

    def _shut(self) -> None:
        try:
            self._connection.shutdown()
        except SSL.Error:
            self._secured = False

    def _hang_up(self, transport: asyncio.Transport) -> None:
        """Send close_notify, which `_finish` has said, and read on until the peer's end.

        A socket that is closed over octets it has not read is reset, and what was sent last is
        lost: a listener's tickets (RFC 8446, 4.6.1) may be on their way to us.
        """
        if not self._secured or transport.is_closing():
            transport.close()
            return
        self._flush()
        self.resume_reading()
        transport.write_eof()

    def _flush(self) -> None:
        if self._transport is not None:
            for flight in self._flights():
                self._transport.write(flight)

    def _flights(self) -> Iterator[bytes]:
        """Take what OpenSSL wants sent."""
        try:
            while True:
                flight = self._connection.bio_read(FLIGHT_OCTETS)
                yield flight
                if len(flight) < FLIGHT_OCTETS:
                    return
        except SSL.WantReadError:
            return
