# SPDX-License-Identifier: Apache-2.0
"""`device.toml`, `keys.json` and the fleet's `config.toml` as frozen values (docs/provisioning.md).

Keys that the documentation does not name have defaults here: sizes of rings and pauses between
pushes, which an engineer may set and a demo need not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Self

from openami.device.files import ATTESTATION_PUBLIC
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecuritySuite
from openami.exchange.alarms import ALL_BITS
from openami.meter.alarms import DEFAULT_ALARMS, AlarmSettings
from openami.meter.crystals import Crystals
from openami.meter.metrology_config import MetrologyConfig
from openami.meter.notices import DEFAULT_NOTICES, NoticeSettings
from openami.runtime.config import ConfigFile, Table
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json
from openami.transport.reconnect import Backoff
from openami.transport.tls import TlsIdentity
from openami.transport.url import ENCRYPTED, Scheme, Url

KEYS_REMEDY: Final = "restore it from a backup; a meter without its keys has to be exchanged"
KEYS_FORMAT: Final = "openami-keys-1"
READER_FORMAT: Final = "openami-reader-1"
PASSWORD_OCTETS: Final = 16
SECRETS: Final = ("guek", "gak", "kek", "lls")
LDN_OCTETS: Final = 16
PLAIN: Final[frozenset[Scheme]] = frozenset({"tcp", "udp", "coap"})
"""What the plain listener may speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """The secrets of one meter: keys of the size that the suite says, a password of 16 octets.

    In suites 1 and 2 there are private keys and certificates beside them: the authority's, the
    head-end's, and the meter's own.
    """

    epoch: int
    suite: SecuritySuite = SecuritySuite.AES_GCM_128
    guek: bytes = field(repr=False)  # global unicast encryption key
    gak: bytes = field(repr=False)  # global authentication key
    kek: bytes = field(repr=False)  # master key, wraps new keys
    lls: bytes = field(repr=False)  # secret of the reader, client 32
    pairs: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # signing, agreement
    certificates: tuple[bytes, ...] = field(default=(), repr=False)  # DER

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
            suite = SecuritySuite(said.get("suite", 0))
            pairs = {name: bytes.fromhex(each) for name, each in said.get("pairs", {}).items()}
            certificates = tuple(map(bytes.fromhex, said.get("certificates", [])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{path} holds no keys ({error!r}): {KEYS_REMEDY}") from error
        if form != KEYS_FORMAT or owner != title:
            found = f"format {form!r}, title {owner.hex().upper()}"
            raise ConfigurationError(f"{path} is not for this meter ({found}): {KEYS_REMEDY}")
        for name, secret in secrets.items():
            size = PASSWORD_OCTETS if name == "lls" else suite.key_octets
            if len(secret) != size:
                sentence = f"{path}: {name} has {len(secret)} octets, not {size}: {KEYS_REMEDY}"
                raise ConfigurationError(sentence)
        return cls(epoch=epoch, suite=suite, **secrets, pairs=pairs, certificates=certificates)

    def to_json(self, title: bytes) -> dict[str, object]:
        """Return what `keys.json` holds."""
        head = {"format": KEYS_FORMAT, "title": title.hex().upper(), "epoch": self.epoch}
        secrets = {name: getattr(self, name).hex() for name in SECRETS}
        if not self.suite:
            return {**head, **secrets}
        return {
            **head,
            "suite": int(self.suite),
            **secrets,
            "pairs": {name: octets.hex() for name, octets in self.pairs.items()},
            "certificates": [octets.hex() for octets in self.certificates],
        }

    def for_reader(self, title: bytes) -> dict[str, object]:
        """Return what tools need that read as client 32, and no more."""
        return {"format": READER_FORMAT, "title": title.hex().upper(), "lls": self.lls.hex()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig(MetrologyConfig):
    """What one meter is told."""

    ldn: str
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
    event_entries: int
    push_first_s: float  # pause before a push is sent again, doubled each time
    push_most_s: float
    trial_s: float = 120.0  # in which firmware on trial has to pass its self-test
    notices: NoticeSettings = DEFAULT_NOTICES
    alarms: AlarmSettings = DEFAULT_ALARMS

    @classmethod
    def read(cls, home: Path, file: ConfigFile) -> Self:
        """Read an open `device.toml`, and `keys.json` beside it.

        Raises:
            ConfigurationError: A file or key is missing, or has a wrong value.
        """
        measured = MetrologyConfig.read(home, file)
        meter, uplink = file.table("meter"), file.table("uplink")
        profile, push = file.table("profile"), file.table("push")
        meter.ignore("kind", "region", "zone")
        keys_file = file.table("keys").path("file")
        listener = file.table("listener")
        plain, protected = listener.text("plain", ""), listener.text("protected", "")
        config = cls(
            **{each.name: getattr(measured, each.name) for each in fields(measured)},
            ldn=meter.parsed("ldn", _ldn, "a logical device name of 16 characters"),
            uplink=Url.of(uplink, "url"),
            concentrator_title=uplink.title("concentrator_title"),
            head_end_title=uplink.title("head_end_title"),
            connect_timeout_s=uplink.number("connect_timeout_s", 10.0),
            backoff=Backoff(
                first_s=uplink.number("backoff_first_s", 0.5),
                most_s=uplink.number("backoff_most_s", 30.0),
            ),
            identity=TlsIdentity.of(file.table("tls")),
            keys=_keys(home, keys_file, measured.title),
            keys_file=keys_file,
            plain_listener=Url.of(listener, "plain", PLAIN) if plain else None,
            protected_listener=Url.of(listener, "protected", ENCRYPTED) if protected else None,
            event_entries=profile.whole("event_entries", 512, least=16, most=65_535),
            push_first_s=push.number("first_s", 5.0),
            push_most_s=push.number("most_s", 60.0),
            trial_s=file.table("firmware").number("trial_s", 120.0),
            notices=(notices := _notices(file.table("notices"))),
            alarms=_alarms(file.table("alarms"), notices.push_setup),
        )
        file.refuse_unknown()
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """Which meters one fleet process carries."""

    homes: tuple[Path, ...]
    plain: Url | None  # where they listen without TLS: this address plus the id of each
    crystals: Crystals

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
        plain = Url.of(fleet, "plain", frozenset({"tcp"})) if fleet.text("plain", "") else None
        clocks = file.table("clocks")
        crystals = Crystals(
            drifting=clocks.number("drifting", 0.0),
            drift_ppm=clocks.number("drift_ppm", 0.0),
        )
        if crystals.drifting > 1:
            raise clocks.refused("drifting", "a part from 0 to 1")
        file.refuse_unknown()
        meters = home.parent / "meters"
        homes = tuple(meters / title.hex().upper() for title in titles)
        return cls(homes=homes, plain=plain, crystals=crystals)


def _keys(home: Path, file: Path, title: bytes) -> MeterKeys | None:
    """Return the keys; None where the factory gave them to the meter's secure world.

    Its word lies in a file that management cannot make or remove.  A `keys.json` beside it says
    nothing: management could write one, and would get keys of its choice and its host's rights.
    """
    if (home / ATTESTATION_PUBLIC).exists():
        return None
    return MeterKeys.load(file, title)


def _notices(table: Table) -> NoticeSettings:
    held = DEFAULT_NOTICES
    codes = " ".join(str(int(code)) for code in sorted(held.alarms))
    return NoticeSettings(
        reserve_s=table.number("reserve_s", held.reserve_s),
        jitter_s=table.number("jitter_s", held.jitter_s),
        alarms=table.parsed("alarms", _codes, "numbers of events, such as '40 42 44'", codes),
        push_setup=table.parsed(
            "push_setup", Obis.parse, "a logical name such as 0.4.25.9.0.255", str(held.push_setup)
        ),
    )


def _alarms(table: Table, push_setup: Obis) -> AlarmSettings:
    held = DEFAULT_ALARMS
    return AlarmSettings(
        filter=table.whole("filter", held.filter, least=0, most=ALL_BITS),
        most=table.whole("most", held.most, least=1, most=1000),
        within_s=table.whole("within_s", held.within_s, least=1, most=86_400),
        push_setup=push_setup,
    )


def _codes(text: str) -> frozenset[int]:
    return frozenset(int(code) for code in text.split())


def _ldn(text: str) -> str:
    if len(text) != LDN_OCTETS or not text.isascii():
        raise ValueError(text)
    return text
