# SPDX-License-Identifier: Apache-2.0
"""Peers that no service wants: they send garbage, dawdle, or show a wrong certificate."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from openami.lifecycle.authority import Authority
from openami.transport.tls import Role, TlsIdentity

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
HELLO: Final = bytes.fromhex("16 0301 00f1 01 0000ed 0303") + bytes(60)  # ends half-way
GARBAGE: Final = {
    "random octets": Random(1).randbytes(5000),
    "half a TLS hello": HELLO,
    "a TLS alert": bytes.fromhex("15 0303 0002 02 28"),
    "HTTP": b"GET /console HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP with an endless header": b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000,
    "a wrapper frame that never ends": bytes.fromhex("0001 0010 0001 ffff c001c1"),
    "an empty wrapper frame": bytes.fromhex("0001 0010 0001 0000"),
    "an AARQ of 4 GB": bytes.fromhex("0001 0010 0001 0008 60 84 ffffffff 80 00"),
    "zeros": bytes(10_000),
    "nothing": b"",
}


def dial(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), 10)
    line.settimeout(10)
    return line


def send_garbage(port: int) -> None:
    """Send each kind of garbage on connections of its own: closed, reset, and left open."""
    left_open = []
    for octets in GARBAGE.values():
        for end in ("close", "reset", "leave"):
            line = dial(port)
            with contextlib.suppress(OSError):  # refused before all was sent: that is the point
                line.sendall(octets)
            if end == "reset":
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if end == "leave":
                left_open.append(line)
            else:
                line.close()
    for line in left_open:
        line.close()


@contextlib.contextmanager
def crowd(port: int, size: int) -> Iterator[list[socket.socket]]:
    """Hold `size` connections open, each with the first octet of a frame sent."""
    lines: list[socket.socket] = []
    try:
        for _ in range(size):
            line = dial(port)
            lines.append(line)
            with contextlib.suppress(OSError):
                line.sendall(b"\x00")
        yield lines
    finally:
        for line in lines:
            line.close()


class Impostor:
    """Makes certificates that are not what they should be, and dials with them."""

    def __init__(self, authority: Authority, folder: Path) -> None:
        self._authority = authority
        self._folder = folder
        self._count = 0

    def certificate(self, title: bytes, role: Role) -> TlsIdentity:
        """Issue a certificate; return its files."""
        self._count += 1
        home = self._folder / f"impostor-{self._count}"
        home.mkdir(parents=True)
        issued = self._authority.issue(title, role)
        (home / "ca.crt").write_bytes(self._authority.pem)
        (home / "tls.crt").write_bytes(issued.certificate)
        (home / "tls.key").write_bytes(issued.key)
        return TlsIdentity(home / "ca.crt", home / "tls.crt", home / "tls.key")

    @contextlib.contextmanager
    def connected(self, port: int, title: bytes, role: Role) -> Iterator[ssl.SSLSocket]:
        """Dial with a certificate of this title and role; whoever answers is believed."""
        files = self.certificate(title, role)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(files.certificate, files.key)
        with dial(port) as line, context.wrap_socket(line) as secured:
            yield secured


def is_hung_up_on(attempt: Callable[[], bytes]) -> bool:
    """Tell whether the peer closes or resets instead of answering."""
    try:
        return attempt() == b""
    except (ssl.SSLError, ConnectionError):
        return True
