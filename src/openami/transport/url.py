# SPDX-License-Identifier: Apache-2.0
"""Addresses: `tls://host:port` and `tcp://host:port`, also `tls://[::1]:4059`.

Tools know more: `hdlc+tcp://host:port`, `hdlc+serial:///dev/ttyUSB0`, `udp://host:port` and
`dtls://host:port`, and `coap://host/path` and `coaps://host/path`, which have ports of their own.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, cast

from openami.runtime.config import Table
from openami.runtime.errors import ExitCode, UserError

Scheme = Literal["tls", "tcp", "hdlc+tcp", "hdlc+serial", "udp", "dtls", "coap", "coaps"]

STREAMS: Final[frozenset[Scheme]] = frozenset({"tls", "tcp"})
"""What carries wrapper frames: all that the systems listen on and dial."""
ALL_SCHEMES: Final[frozenset[Scheme]] = STREAMS | {
    "hdlc+tcp",
    "hdlc+serial",
    "udp",
    "dtls",
    "coap",
    "coaps",
}
ENCRYPTED: Final[frozenset[Scheme]] = frozenset({"tls", "dtls", "coaps"})
COAP_PORTS: Final[dict[str, int]] = {"coap": 5683, "coaps": 5684}
"""RFC 7252, 6.1 and 6.2."""

REMEDY: Final = "write tls://HOST:PORT or tcp://HOST:PORT, e.g. tls://127.0.0.1:24060"
PATTERN: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]+))?(?P<path>/[^\s?#]*)?"
)
SERIAL: Final = re.compile(r"(?i:hdlc\+serial)://(?P<path>/[^\s?#]*[^\s?#/])")
SERIAL_REMEDY: Final = "write hdlc+serial:///dev/ttyUSB0"


def _remedy(schemes: Collection[Scheme]) -> str:
    """Return what to write where these schemes are of use."""
    if set(schemes) <= STREAMS:
        return REMEDY
    known = ", ".join(sorted(set(schemes) - {"hdlc+serial"}))
    serial = ", or hdlc+serial:///dev/ttyUSB0" if "hdlc+serial" in schemes else ""
    return f"write SCHEME://HOST:PORT with one of {known}, e.g. tcp://127.0.0.1:4059{serial}"


@dataclass(frozen=True, slots=True)
class Url:
    """Where to dial or to listen; port 0 lets the system choose one for a listener.

    Attributes:
        path: The device of a serial line, which has neither host nor port; of CoAP the path of the
            resource, empty for the usual one.
    """

    scheme: Scheme
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if not self.host:
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def encrypted(self) -> bool:
        return self.scheme in ENCRYPTED

    @classmethod
    def serial(cls, path: str) -> "Url":
        """Return the address of a serial line."""
        return cls("hdlc+serial", "", 0, path)

    @classmethod
    def parse(
        cls, text: str, place: str = "the address", schemes: Collection[Scheme] = STREAMS
    ) -> "Url":
        """Read an address.

        Args:
            text: What a person or a file says.
            place: Where it stands, for the sentence: `[uplink] url in /…/device.toml`.
            schemes: Which are of use there.

        Raises:
            UserError: It is no address of ours; exit code 2.
        """

        def refused(problem: str, remedy: str = _remedy(schemes)) -> UserError:
            sentence = f"{place} {text!r} {problem}: {remedy}"
            return UserError(sentence, ExitCode.ASKED_WRONGLY)

        if "hdlc+serial" in schemes and text.strip().lower().startswith("hdlc+serial:"):
            if (serial := SERIAL.fullmatch(text.strip())) is None:
                raise refused("names no device", SERIAL_REMEDY)
            return cls.serial(serial["path"])

        if (match := PATTERN.fullmatch(text.strip())) is None:
            raise refused("is not an address")
        scheme, port = match["scheme"].lower(), match["port"]
        if scheme not in schemes:
            raise refused(f"has the unknown scheme {scheme}")
        path = (match["path"] or "").rstrip("/")
        if path and scheme not in COAP_PORTS:
            raise refused("is not an address")
        port = port or _port_of(scheme)
        if port is None:
            raise refused("names no port")
        if int(port) > 0xFFFF:
            raise refused(f"has port {port}, above 65535")
        host = match["v6"] or match["host"]
        if not _is_host(host):
            raise refused("has a host that is no name")
        return cls(cast("Scheme", scheme), host, int(port), path)

    @classmethod
    def of(cls, table: Table, key: str, schemes: Collection[Scheme] = STREAMS) -> "Url":
        """Read an address from a configuration file.

        Raises:
            UserError: It is no address of ours; exit code 2.
        """
        return cls.parse(table.text(key), table.place(key), schemes)


def _is_host(name: str) -> bool:
    try:
        name.encode("idna")  # as the resolver will
    except UnicodeError:
        return False
    return True


def _port_of(scheme: str) -> str | None:
    return str(COAP_PORTS[scheme]) if scheme in COAP_PORTS else None
