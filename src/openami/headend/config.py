# SPDX-License-Identifier: Apache-2.0
"""`headend/config.toml` as frozen values (docs/provisioning.md, 2.5).

The tables `[sessions]` and `[schedule]` may be left out; every key in them has a default.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml
from openami.store.database import url_of
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url

REMEDY: Final = "correct it, or run `openami up` once to write it again"

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How meters are spoken to."""

    parallel: int = 200  # associations at once
    idle_s: float = 10.0  # an association without work is released after it
    answer_timeout_s: float = 10.0  # for each request
    counter_block: int = 256  # invocation counters reserved at a time
    counter_skip: int = 2**20  # the most that a meter's unprotected word may move them on
    dial_timeout_s: float = 5.0  # of a meter's own address


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """When meters are read without being asked for."""

    daily_at_s: int = 7200  # of the calendar's UTC day: when the daily read begins
    spread_s: int = 14_400  # calendar seconds over which meters are spread
    events_every_s: int = 14_400  # calendar seconds between two reads of the event log
    look_s: float = 1.0  # real seconds between two looks at what is due
    gap_rows: int = 96  # the most profile rows in one back-fill
    retry_first_s: float = 5.0  # real seconds before a failed read is tried again
    retry_most_s: float = 300.0  # ... at most


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEndConfig:
    """What the head-end is told."""

    title: bytes
    zone: str
    listen: Url
    max_connections: int
    handshake_timeout_s: float
    keystore: Path
    shipment: Path
    database: str  # SQLAlchemy URL
    identity: TlsIdentity
    sessions: SessionSettings = SessionSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: It is missing, or a key in it is missing or has a wrong value.
        """
        path = home / "config.toml"
        tables = read_toml(path, REMEDY)
        try:
            return cls._from_tables(home, tables, path)
        except KeyError as error:
            raise ConfigurationError(f"{path} lacks the key {error}: {REMEDY}") from error
        except (TypeError, ValueError) as error:
            sentence = f"{path} has a value of a wrong kind ({error}): {REMEDY}"
            raise ConfigurationError(sentence) from error

    @classmethod
    def _from_tables(cls, home: Path, tables: dict[str, Any], path: Path) -> Self:
        own, uplink, keys, tls = (tables[name] for name in ("head_end", "uplink", "keys", "tls"))
        return cls(
            title=bytes.fromhex(own["title"]),
            zone=str(own["zone"]),
            listen=Url.parse(uplink["listen"], f"[uplink] listen in {path}"),
            max_connections=int(uplink.get("max_connections", 1000)),
            handshake_timeout_s=float(uplink.get("handshake_timeout_s", 20.0)),
            keystore=home / keys["keystore"],
            shipment=home / keys["shipment"],
            database=url_of(tables["store"]["database"], home),
            identity=TlsIdentity(home / tls["ca"], home / tls["certificate"], home / tls["key"]),
            sessions=_settings(SessionSettings, tables.get("sessions", {})),
            schedule=_settings(ScheduleSettings, tables.get("schedule", {})),
        )


def _settings(kind: type[S], table: dict[str, Any]) -> S:
    """Return the settings of one table; unknown keys are refused, types follow the defaults."""
    defaults = kind()
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    if unknown := sorted(set(table) - names):
        raise ValueError(f"unknown key {unknown[0]}; known are {', '.join(sorted(names))}")
    return kind(**{name: type(getattr(defaults, name))(value) for name, value in table.items()})
