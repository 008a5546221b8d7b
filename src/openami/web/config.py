# SPDX-License-Identifier: Apache-2.0
"""What the pages are told at start: `web/config.toml` (docs/provisioning.md, 2.7)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from openami.runtime.config import REMEDY, ConfigFile, Table
from openami.runtime.errors import ConfigurationError
from openami.store.database import url_of
from openami.transport.doors import HALF_OPEN_PER_ADDRESS, Network, doors_of

MINIMUM_KEY_OCTETS: Final = 32
SHORTEST_TOKEN: Final = 16


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
    severities: Path | None = None  # TOML; None: the table that comes with OpenAMI
    sla_rules: Path | None = None  # TOML (docs/sla.md); None: the page says how to name some
    profiles: Path | None = None  # folder of companion profiles, as the head-end's
    half_open_per_address: int = HALF_OPEN_PER_ADDRESS  # connections without a whole request
    gateways: tuple[Network, ...] = ()  # networks whose addresses many visitors share
    request_timeout_s: float = 20.0  # in which a request is to be whole
    metrics_token: str = ""  # what Prometheus shows to be told the figures; empty: nobody is

    @classmethod
    def load(cls, home: Path) -> "WebConfig":
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: The file or a value in it cannot be used.
        """
        file = ConfigFile(home / "config.toml")
        web, store = file.table("web"), file.table("store")
        host, port = web.parsed("listen", _listen, "http://address:port", "http://127.0.0.1:8080")
        half_open, gateways = doors_of(web)
        config = cls(
            host=host,
            port=port,
            zone=web.zone("zone", "Australia/Sydney"),
            session_key=_key(web.path("session_key", "session.key")),
            database_url=url_of(store.text("database", "../openami.db"), home),
            lake=store.path("lake", "../lake"),
            clock=web.path("clock", "../clock.json"),
            run=web.path("run", "../run"),
            tariff=web.path("tariff") if "tariff" in web else None,
            minimum_homes=web.whole("minimum_homes", 10, least=2),
            profiles=web.path("profiles") if web.text("profiles", "") else None,
            secure_cookies=web.flag("secure_cookies", default=False),
            half_open_per_address=half_open,
            gateways=gateways,
            request_timeout_s=web.number("request_timeout_s", 20.0, least=1.0),
            metrics_token=_token(web),
            severities=_optional(file.table("events"), "severities"),
            sla_rules=_optional(file.table("sla"), "rules"),
        )
        web.ignore("tariff")
        file.refuse_unknown()
        return config


def _optional(table: Table, key: str) -> Path | None:
    return table.path(key) if table.text(key, "") else None


def _token(web: Table) -> str:
    token = web.text("metrics_token", "")
    if token and len(token) < SHORTEST_TOKEN:
        raise web.refused("metrics_token", f"{SHORTEST_TOKEN} characters or more")
    return token


def _listen(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.port is None:
        raise ValueError(url)
    return parts.hostname, parts.port


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
