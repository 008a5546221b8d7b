# SPDX-License-Identifier: Apache-2.0
"""`concentrators/<region>/config.toml` as a frozen value (docs/provisioning.md, 2.4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url

REMEDY: Final = "correct it, or run `openami up` once to write it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcentratorConfig:
    """What one concentrator is told."""

    name: str
    title: bytes
    region: str
    meters_listen: Url
    max_connections: int
    handshake_timeout_s: float
    uplink: Url
    head_end_title: bytes
    connect_timeout_s: float
    backoff_first_s: float
    backoff_most_s: float
    journal: Path
    quota_per_meter: int  # entries
    window_entries: int  # pushes under way to the head-end
    receipt_timeout_s: float  # after it a push is sent again
    identity: TlsIdentity

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
        own, meters, uplink = tables["concentrator"], tables["meters"], tables["uplink"]
        journal, tls = tables["journal"], tables["tls"]
        return cls(
            name=str(own["name"]),
            title=bytes.fromhex(own["title"]),
            region=str(own["region"]),
            meters_listen=Url.parse(meters["listen"], f"[meters] listen in {path}"),
            max_connections=int(meters.get("max_connections", 20_000)),
            handshake_timeout_s=float(meters.get("handshake_timeout_s", 20.0)),
            uplink=Url.parse(uplink["url"], f"[uplink] url in {path}"),
            head_end_title=bytes.fromhex(uplink["head_end_title"]),
            connect_timeout_s=float(uplink.get("connect_timeout_s", 10.0)),
            backoff_first_s=float(uplink.get("backoff_first_s", 0.5)),
            backoff_most_s=float(uplink.get("backoff_most_s", 30.0)),
            journal=home / journal["file"],
            quota_per_meter=int(journal.get("quota_per_meter", 5000)),
            window_entries=int(journal.get("window_entries", 256)),
            receipt_timeout_s=float(journal.get("receipt_timeout_s", 30.0)),
            identity=TlsIdentity(home / tls["ca"], home / tls["certificate"], home / tls["key"]),
        )
