# SPDX-License-Identifier: Apache-2.0
"""Addresses: `tls://host:port` and `tcp://host:port`, also `tls://[::1]:4059`."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from openami.runtime.errors import ExitCode, UserError

Scheme = Literal["tls", "tcp"]

REMEDY: Final = "write tls://HOST:PORT or tcp://HOST:PORT, e.g. tls://127.0.0.1:24060"
PATTERN: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>[0-9]+))?/?"
)


@dataclass(frozen=True, slots=True)
class Url:
    """Where to dial or to listen; port 0 lets the system choose one for a listener."""

    scheme: Scheme
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def encrypted(self) -> bool:
        return self.scheme == "tls"

    @classmethod
    def parse(cls, text: str, place: str = "the address") -> "Url":
        """Read an address.

        Args:
            text: What a person or a file says.
            place: Where it stands, for the sentence: `[uplink] url in /…/device.toml`.

        Raises:
            UserError: It is no address of ours; exit code 2.
        """

        def refused(problem: str) -> UserError:
            sentence = f"{place} {text!r} {problem}: {REMEDY}"
            return UserError(sentence, ExitCode.ASKED_WRONGLY)

        if (match := PATTERN.fullmatch(text.strip())) is None:
            raise refused("is not an address")
        scheme, port = match["scheme"].lower(), match["port"]
        if scheme not in ("tls", "tcp"):
            raise refused(f"has the unknown scheme {scheme}")
        if port is None:
            raise refused("names no port")
        if int(port) > 0xFFFF:
            raise refused(f"has port {port}, above 65535")
        return cls("tls" if scheme == "tls" else "tcp", match["v6"] or match["host"], int(port))
