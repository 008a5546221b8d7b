# SPDX-License-Identifier: Apache-2.0
"""`concentrators/<region>/config.toml` as a frozen value (docs/provisioning.md, 2.4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from openami.concentrator.journal import MOST_OCTETS
from openami.concentrator.lines.config import LineConfig
from openami.concentrator.own.banks import BANK_OCTETS, LEAST_BANK_OCTETS, MOST_BANK_OCTETS
from openami.firmware.flash import PAGE_OCTETS
from openami.runtime.config import ConfigFile, Table
from openami.transport.doors import Network, doors_of
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url

AUTO: Final = "auto"
ALWAYS: Final = "always"
NEVER: Final = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcentratorConfig:
    """What one concentrator is told."""

    home: Path
    name: str
    title: bytes
    region: str
    meters_listen: Url
    max_connections: int
    handshake_timeout_s: float
    half_open_per_address: int
    gateways: tuple[Network, ...]
    uplink: Url
    head_end_title: bytes
    connect_timeout_s: float
    backoff_first_s: float
    backoff_most_s: float
    journal: Path
    quota_per_meter: int  # entries
    most_octets: int  # of all entries together
    registry: Path
    plans: Path
    bearer: str  # of the meters that dial; empty: the scheme of `meters_listen`
    heartbeat_s: float  # to the head-end
    time_every_s: float  # from one question for the time to the next; 0: never asked
    clock_limit_s: float  # the host's clock may be off so far from the head-end's
    window_entries: int  # pushes under way to the head-end
    receipt_timeout_s: float  # after it a push is sent again
    identity: TlsIdentity
    keys: Path  # our own, for whoever reads us by DLMS; may be missing
    own_listen: Url | None = None  # for tools
    lines: tuple[LineConfig, ...] = ()  # HDLC lines
    bank_octets: int = BANK_OCTETS  # of each bank of firmware, when the flash is made
    launcher: str = AUTO  # what `openami concentrator run` runs (`boots`)
    trial_s: float = 120.0  # in which firmware on trial has to show that it works

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: It is missing, or a key in it is missing or has a wrong value.
        """
        file = ConfigFile(home / "config.toml")
        own, meters, uplink = (file.table(n) for n in ("concentrator", "meters", "uplink"))
        journal, registry = file.table("journal"), file.table("registry")
        firmware, clock = file.table("firmware"), file.table("clock")
        half_open, gateways = doors_of(meters)
        bank_octets = firmware.whole(
            "bank_octets", BANK_OCTETS, least=LEAST_BANK_OCTETS, most=MOST_BANK_OCTETS
        )
        if bank_octets % PAGE_OCTETS:
            raise firmware.refused("bank_octets", f"whole pages of {PAGE_OCTETS} octets")
        config = cls(
            home=home,
            name=own.text("name"),
            title=own.title("title"),
            region=own.text("region"),
            meters_listen=Url.of(meters, "listen"),
            max_connections=meters.whole("max_connections", 20_000, least=1),
            handshake_timeout_s=meters.number("handshake_timeout_s", 20.0),
            half_open_per_address=half_open,
            gateways=gateways,
            uplink=Url.of(uplink, "url"),
            head_end_title=uplink.title("head_end_title"),
            connect_timeout_s=uplink.number("connect_timeout_s", 10.0),
            backoff_first_s=uplink.number("backoff_first_s", 0.5),
            backoff_most_s=uplink.number("backoff_most_s", 30.0),
            journal=journal.path("file"),
            quota_per_meter=journal.whole("quota_per_meter", 5000, least=1),
            most_octets=journal.whole("most_octets", MOST_OCTETS, least=65_536),
            registry=registry.path("file", "meters.db"),
            plans=registry.path("plans", "plans.db"),
            bearer=meters.text("bearer", ""),
            heartbeat_s=uplink.number("heartbeat_s", 30.0, least=0.01),
            time_every_s=clock.number("every_s", 64.0, least=0.0),
            clock_limit_s=clock.number("limit_s", 5.0, least=0.01),
            window_entries=journal.whole("window_entries", 256, least=1),
            receipt_timeout_s=journal.number("receipt_timeout_s", 30.0),
            identity=TlsIdentity.of(file.table("tls")),
            keys=own.path("keys", "keys.json"),
            own_listen=Url.of(own, "listen") if own.text("listen", "") else None,
            bank_octets=bank_octets,
            trial_s=firmware.number("trial_s", 120.0),
            launcher=_launcher(firmware),
            lines=tuple(LineConfig.of(*each) for each in file.group("line").items()),
        )
        file.refuse_unknown()
        return config


def _launcher(table: Table) -> str:
    found = table.text("launcher", AUTO)
    if found not in {AUTO, ALWAYS, NEVER}:
        raise table.refused("launcher", f'"{AUTO}", "{ALWAYS}" or "{NEVER}"')
    return found
