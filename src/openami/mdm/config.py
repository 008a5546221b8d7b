# SPDX-License-Identifier: Apache-2.0
"""`mdm/config.toml` as frozen values (docs/provisioning.md, 2.7).

The table `[vee]` may be left out; every key in it has a default (`vee.limits.Limits`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openami.mdm.vee.limits import Limits
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml
from openami.store.database import url_of

REMEDY: Final = "correct it, or run `openami up` once to write it again"
KEYS: Final = {
    "mdm": {"zone", "capture_period_s"},
    "store": {"database", "lake"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MdmConfig:
    """What meter data management is told."""

    zone: ZoneInfo  # of local days
    capture_period_s: int  # of the load profiles
    database: str  # SQLAlchemy URL
    lake: Path
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: It is missing, or something in it is wrong.
        """
        path = home / "config.toml"
        tables = read_toml(path, REMEDY)
        for table, known in KEYS.items():
            for name in _table(path, tables, table).keys() - known:
                raise ConfigurationError(f"{path}: [{table}] has no key {name}: {REMEDY}")
        mdm, store = _table(path, tables, "mdm"), _table(path, tables, "store")
        return cls(
            zone=_zone(path, str(mdm.get("zone", "Australia/Sydney"))),
            capture_period_s=_period(path, mdm.get("capture_period_s", 1800)),
            database=url_of(str(store.get("database", "../openami.db")), home),
            lake=(home / str(store.get("lake", "../lake"))).resolve(),
            limits=Limits.of(_table(path, tables, "vee")),
        )


def _table(path: Path, tables: dict[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: {name} is {table!r}, not a table [{name}]: {REMEDY}")
    return table


def _zone(path: Path, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        sentence = f"{path}: zone is {name!r}, no name of the IANA time zone database: {REMEDY}"
        raise ConfigurationError(sentence) from error


def _period(path: Path, value: object) -> int:
    if not isinstance(value, int) or value <= 0 or 86_400 % value:
        sentence = f"{path}: capture_period_s is {value!r}: write seconds that divide a day"
        raise ConfigurationError(sentence)
    return value
