# SPDX-License-Identifier: Apache-2.0
"""`device.toml`, `keys.json` and the fleet's `config.toml` as frozen values (docs/provisioning.md).

Keys that the documentation does not name have defaults here: sizes of rings and pauses between
pushes, which an engineer may set and a demo need not.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json, read_toml
from openami.transport.reconnect import Backoff
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url

REMEDY: Final = "correct it, or run `openami up` once to write it again"
KEYS_REMEDY: Final = "restore it from a backup; a meter without its keys has to be exchanged"
KEYS_FORMAT: Final = "openami-keys-1"
KEY_OCTETS: Final = 16
TITLE_OCTETS: Final = 8
LDN_OCTETS: Final = 16
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """The secrets of one meter, suite 0, 16 octets each."""

    epoch: int
    guek: bytes = field(repr=False)  # global unicast encryption key
    gak: bytes = field(repr=False)  # global authentication key
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
            secrets = {name: bytes.fromhex(said[name]) for name in ("guek", "gak", "lls")}
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
    keys: MeterKeys
    plain_listener: Url | None
    profile_days: int  # how far the load profile reaches back
    event_entries: int
    push_first_s: float  # pause before a push is sent again, doubled each time
    push_most_s: float

    @property
    def name(self) -> str:
        return f"meter {self.title.hex().upper()}"

    @property
    def profile_entries(self) -> int:
        return self.profile_days * 86_400 // self.capture_period_s

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `device.toml` and `keys.json` in `home`.

        Raises:
            ConfigurationError: A file or key is missing, or has a wrong value.
        """
        path = home / "device.toml"
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
        meter, uplink, tls = tables["meter"], tables["uplink"], tables["tls"]
        profile, push = tables.get("profile", {}), tables.get("push", {})
        plain = tables.get("listener", {}).get("plain", "")
        title = _title(meter["title"])
        return cls(
            home=home,
            meter_id=_within(meter["id"], 1, 65_535),
            title=title,
            ldn=_ldn(meter["ldn"]),
            installed_s=int(meter["installed_us"]) // MICROSECONDS,
            capture_period_s=_within(meter["capture_period_s"], 60, 86_400),
            seed=_within(tables["load"]["seed"], 0, 2**31),
            uplink=Url.parse(uplink["url"], f"[uplink] url in {path}"),
            concentrator_title=_title(uplink["concentrator_title"]),
            head_end_title=_title(uplink["head_end_title"]),
            connect_timeout_s=float(uplink.get("connect_timeout_s", 10.0)),
            backoff=Backoff(
                first_s=float(uplink.get("backoff_first_s", 0.5)),
                most_s=float(uplink.get("backoff_most_s", 30.0)),
            ),
            identity=TlsIdentity(home / tls["ca"], home / tls["certificate"], home / tls["key"]),
            keys=MeterKeys.load(home / tables["keys"]["file"], title),
            plain_listener=Url.parse(plain, f"[listener] plain in {path}") if plain else None,
            profile_days=_within(profile.get("days", 60), 1, 3660),
            event_entries=_within(profile.get("event_entries", 512), 16, 65_535),
            push_first_s=float(push.get("first_s", 5.0)),
            push_most_s=float(push.get("most_s", 60.0)),
        )


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
        path = home / "config.toml"
        tables = read_toml(path, REMEDY)
        try:
            titles = [_title(title) for title in tables["fleet"]["meters"]]
        except (KeyError, TypeError, ValueError) as error:
            sentence = f"{path} has no list of titles under [fleet] meters ({error}): {REMEDY}"
            raise ConfigurationError(sentence) from error
        meters = home.parent / "meters"
        return cls(homes=tuple(meters / title.hex().upper() for title in titles))


def _title(text: str) -> bytes:
    title = bytes.fromhex(text)
    if len(title) != TITLE_OCTETS:
        raise ValueError(f"a system title has 16 hex digits, not {text!r}")
    return title


def _ldn(text: str) -> str:
    if len(text.encode("ascii", "replace")) != LDN_OCTETS or not text.isascii():
        raise ValueError(f"a logical device name has 16 characters, not {text!r}")
    return text


def _within(value: int, low: int, high: int) -> int:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{value!r} is no whole number from {low} to {high}")
    return value
