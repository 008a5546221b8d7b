# SPDX-License-Identifier: Apache-2.0
"""What the pages are told at start: `web/config.toml` (docs/provisioning.md, 2.7)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml

REMEDY: Final = "run `openami up`, which writes it, or correct the value"
MINIMUM_KEY_OCTETS: Final = 32
KNOWN_KEYS: Final = {
    "web": {
        "listen",
        "zone",
        "session_key",
        "clock",
        "run",
        "tariff",
        "minimum_homes",
        "secure_cookies",
    },
    "store": {"database", "lake"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Configuration of one web process; paths are absolute."""

    host: str
    port: int
    zone: ZoneInfo  # of local days, tariffs and every time that is shown
    session_key: bytes  # signs the session cookies
    database_url: str
    lake: Path
    clock: Path  # the calendar, clock.json
    run: Path  # status files of all processes
    tariff: Path | None  # None: the tariff that comes with OpenAMI
    minimum_homes: int = 10  # a region's load is shown only where at least so many homes are in it
    secure_cookies: bool = False  # set where a TLS proxy stands in front

    @classmethod
    def load(cls, home: Path) -> "WebConfig":
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: The file or a value in it cannot be used.
        """
        path = home / "config.toml"
        tables = read_toml(path, REMEDY)
        _refuse_unknown(path, tables)
        web, store = tables.get("web", {}), tables.get("store", {})
        host, port = _listen(path, web.get("listen", "http://127.0.0.1:8080"))
        minimum_homes = web.get("minimum_homes", 10)
        if not isinstance(minimum_homes, int) or minimum_homes < 2:
            sentence = f"{path}: minimum_homes is {minimum_homes!r}, not a number above 1: {REMEDY}"
            raise ConfigurationError(sentence)
        tariff = web.get("tariff")
        return cls(
            host=host,
            port=port,
            zone=_zone(path, web.get("zone", "Australia/Sydney")),
            session_key=_key(home / web.get("session_key", "session.key")),
            database_url=_database(home, store.get("database", "../openami.db")),
            lake=(home / store.get("lake", "../lake")).resolve(),
            clock=(home / web.get("clock", "../clock.json")).resolve(),
            run=(home / web.get("run", "../run")).resolve(),
            tariff=None if tariff is None else (home / tariff).resolve(),
            minimum_homes=minimum_homes,
            secure_cookies=bool(web.get("secure_cookies", False)),
        )


def _refuse_unknown(path: Path, tables: dict[str, Any]) -> None:
    for table, keys in tables.items():
        unknown = set(keys) - KNOWN_KEYS.get(table, set()) if isinstance(keys, dict) else {table}
        if unknown:
            name = min(unknown)
            raise ConfigurationError(f"{path}: [{table}] has no key {name}: {REMEDY}")


def _listen(path: Path, url: object) -> tuple[str, int]:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "http" or not parts.hostname or port is None:
        sentence = f"{path}: listen is {url!r}, not http://address:port: {REMEDY}"
        raise ConfigurationError(sentence)
    return parts.hostname, port


def _zone(path: Path, name: object) -> ZoneInfo:
    try:
        return ZoneInfo(name if isinstance(name, str) else "")
    except (ZoneInfoNotFoundError, ValueError) as error:
        sentence = f"{path}: zone is {name!r}, no name of the IANA time zone database: {REMEDY}"
        raise ConfigurationError(sentence) from error


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}): {REMEDY}"
        raise ConfigurationError(sentence) from error
    except ValueError as error:
        sentence = f"{path} is no hexadecimal key: remove it and run `openami up`"
        raise ConfigurationError(sentence) from error
    if len(key) < MINIMUM_KEY_OCTETS:
        sentence = (
            f"{path} has {len(key)} octets, {MINIMUM_KEY_OCTETS} are needed: remove it and run"
            " `openami up`"
        )
        raise ConfigurationError(sentence)
    return key


def _database(home: Path, value: str) -> str:
    return value if "://" in value else f"sqlite:///{(home / value).resolve()}"
