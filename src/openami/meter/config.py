# SPDX-License-Identifier: Apache-2.0
"""`device.toml`, `keys.json` and the fleet's `config.toml` as frozen values (docs/provisioning.md).

Keys that the documentation does not name have defaults here: sizes of rings and pauses between
pushes, which an engineer may set and a demo need not.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from openami.device.files import ATTESTATION_PUBLIC
from openami.runtime.config import ConfigFile, Table
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json
from openami.transport.reconnect import Backoff
from openami.transport.spi import SLOTS
from openami.transport.tls import TlsIdentity
from openami.transport.url import ENCRYPTED, Scheme, Url

KEYS_REMEDY: Final = "restore it from a backup; a meter without its keys has to be exchanged"
KEYS_FORMAT: Final = "openami-keys-1"
KEY_OCTETS: Final = 16
SECRETS: Final = ("guek", "gak", "kek", "lls")
LDN_OCTETS: Final = 16
MICROSECONDS: Final = 1_000_000
PLAIN: Final[frozenset[Scheme]] = frozenset({"tcp", "udp", "coap"})
"""What the plain listener may speak."""


class LinkKind(StrEnum):
    """What is between a meter's two modules."""

    UART = "uart"
    SPI = "spi"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """The secrets of one meter, suite 0, 16 octets each."""

    epoch: int
    guek: bytes = field(repr=False)  # global unicast encryption key
    gak: bytes = field(repr=False)  # global authentication key
    kek: bytes = field(repr=False)  # master key, wraps new keys
    lls: bytes = field(repr=False)  # secret of the reader, client 32

    @classmethod
    def load(cls, path: Path, title: bytes) -> Self:
        """Read `keys.json`.

        Raises:
            ConfigurationError: It is missing, damaged, or another meter's.
        """
        said = read_json(path, KEYS_REMEDY)
        try:
            owner = bytes.fromhex(said["title"])
            secrets = {name: bytes.fromhex(said[name]) for name in SECRETS}
            epoch, form = int(said["epoch"]), said["format"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{path} holds no keys ({error!r}): {KEYS_REMEDY}") from error
        if form != KEYS_FORMAT or owner != title:
            found = f"format {form!r}, title {owner.hex().upper()}"
            raise ConfigurationError(f"{path} is not for this meter ({found}): {KEYS_REMEDY}")
        for name, secret in secrets.items():
            if len(secret) != KEY_OCTETS:
                sentence = f"{path}: {name} has {len(secret)} octets, not 16: {KEYS_REMEDY}"
                raise ConfigurationError(sentence)
        return cls(epoch=epoch, **secrets)

    def to_json(self, title: bytes) -> dict[str, str | int]:
        """Return what `keys.json` holds."""
        secrets = {name: getattr(self, name).hex() for name in SECRETS}
        return {"format": KEYS_FORMAT, "title": title.hex().upper(), "epoch": self.epoch, **secrets}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """What one meter is told."""

    home: Path
    meter_id: int
    title: bytes
    ldn: str
    installed_s: int  # calendar time of the first capture period, seconds UTC
    capture_period_s: int
    seed: int
    uplink: Url
    concentrator_title: bytes
    head_end_title: bytes
    connect_timeout_s: float
    backoff: Backoff
    identity: TlsIdentity
    keys: MeterKeys | None  # None once they are behind the wall
    keys_file: Path
    plain_listener: Url | None
    protected_listener: Url | None
    profile_days: int  # how far the load profile reaches back
    event_entries: int
    push_first_s: float  # pause before a push is sent again, doubled each time
    push_most_s: float
    link: LinkKind = LinkKind.UART  # between metrology and management
    slot_octets: int = 64  # of SPI
    waveforms: bool = False  # what is replayed passes through the measuring chain
    trial_s: float = 120.0  # in which firmware on trial has to pass its self-test

    @property
    def name(self) -> str:
        return f"meter {self.title.hex().upper()}"

    @property
    def remark(self) -> str:
        """What is said of the load behind its home and week."""
        return ", measured from simulated waveforms" if self.waveforms else ""

    @property
    def profile_entries(self) -> int:
        return self.profile_days * 86_400 // self.capture_period_s

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `device.toml` and `keys.json` in `home`.

        Raises:
            ConfigurationError: A file or key is missing, or has a wrong value.
        """
        file = ConfigFile(home / "device.toml")
        meter, uplink = file.table("meter"), file.table("uplink")
        profile, push = file.table("profile"), file.table("push")
        metrology = file.table("metrology")
        meter.ignore("kind", "region", "zone")
        title = meter.title("title")
        keys_file = file.table("keys").path("file")
        listener = file.table("listener")
        plain, protected = listener.text("plain", ""), listener.text("protected", "")
        config = cls(
            home=home,
            meter_id=meter.whole("id", least=1, most=65_535),
            title=title,
            ldn=meter.parsed("ldn", _ldn, "a logical device name of 16 characters"),
            installed_s=meter.whole("installed_us") // MICROSECONDS,
            capture_period_s=meter.whole("capture_period_s", least=60, most=86_400),
            seed=file.table("load").whole("seed", most=2**31),
            uplink=Url.of(uplink, "url"),
            concentrator_title=uplink.title("concentrator_title"),
            head_end_title=uplink.title("head_end_title"),
            connect_timeout_s=uplink.number("connect_timeout_s", 10.0),
            backoff=Backoff(
                first_s=uplink.number("backoff_first_s", 0.5),
                most_s=uplink.number("backoff_most_s", 30.0),
            ),
            identity=TlsIdentity.of(file.table("tls")),
            keys=_keys(home, keys_file, title),
            keys_file=keys_file,
            plain_listener=Url.of(listener, "plain", PLAIN) if plain else None,
            protected_listener=Url.of(listener, "protected", ENCRYPTED) if protected else None,
            profile_days=profile.whole("days", 60, least=1, most=3660),
            event_entries=profile.whole("event_entries", 512, least=16, most=65_535),
            push_first_s=push.number("first_s", 5.0),
            push_most_s=push.number("most_s", 60.0),
            link=metrology.parsed("link", LinkKind, '"uart" or "spi"', LinkKind.UART),
            slot_octets=_slot_octets(metrology),
            waveforms=metrology.flag("waveforms", default=False),
            trial_s=file.table("firmware").number("trial_s", 120.0),
        )
        file.refuse_unknown()
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """Which meters one fleet process carries."""

    homes: tuple[Path, ...]

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `config.toml` in `home`; meters are the folders `../meters/<title>`.

        Raises:
            ConfigurationError: It is missing, or names no meter.
        """
        file = ConfigFile(home / "config.toml")
        fleet = file.table("fleet")
        fleet.ignore("zone", "seed")
        titles = fleet.titles("meters")
        file.refuse_unknown()
        meters = home.parent / "meters"
        return cls(homes=tuple(meters / title.hex().upper() for title in titles))


def _slot_octets(metrology: Table) -> int:
    found = metrology.whole("slot_octets", SLOTS[0])
    if found not in SLOTS:
        raise metrology.refused("slot_octets", " or ".join(map(str, SLOTS)))
    return found


def _keys(home: Path, file: Path, title: bytes) -> MeterKeys | None:
    """Return the keys; None where the factory gave them to the meter's secure world."""
    if not file.exists() and (home / ATTESTATION_PUBLIC).exists():
        return None
    return MeterKeys.load(file, title)


def _ldn(text: str) -> str:
    if len(text) != LDN_OCTETS or not text.isascii():
        raise ValueError(text)
    return text
