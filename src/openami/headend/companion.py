# SPDX-License-Identifier: Apache-2.0
"""Companion profiles: where a kind of meter has what, and what is odd about a model, as data.

The files of `openami.cosem.profiles` come with us; a folder of the head-end's configuration adds
others and replaces those of the same name.  Nothing in them claims conformance to a standard: they
say what is asked for, and each names where its lines come from.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

from openami.dlms.obis import Obis
from openami.runtime.errors import ConfigurationError

DEFAULT: Final = "openami"
UNKNOWN: Final = "unknown"  # kind of an alarm that no table names
OBJECTS: Final = (
    "logical_device_name",
    "serial_number",
    "clock",
    "frame_counter",
    "security_setup",
    "load_profile",
    "push_setup",
    "image_transfer",
    "firmware_version",
    "firmware_signature",
    "limiter",
    "activity_calendar",
    "special_days",
)
TABLES: Final = {
    "": ("title", "provenance", "meters", "objects", "clock", "keys", "alarms", "model"),
    "objects": OBJECTS,
    "clock": ("limit_s", "settable"),
    "keys": ("master_key",),
    "alarms": ("number", "register", "filter", "descriptor", "clears", "bits"),
    "bits": tuple(map(str, range(32))),
    "model": ("begins", "objects", "clock", "keys", "alarms"),
}
MASTER_KEYS: Final = ("transferred", "agreed")
CLEARS: Final = ("all", "zeros")
MOST_REGISTERS: Final = 10  # 0.x.97.98.0 to .9


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRegister:
    """An alarm register, or the error register, and what belongs to it.

    Attributes:
        number: From 1 on; 0 is the error register.
        register: Its logical name; class 1, 32 bits.
        filter: What may set bits in it; None where there is none.
        descriptor: What has risen; likewise.
        clears_by_zeros: Whether bits written as 1 stay as they are, and are not set.
        bits: Kind and text by bit, as far as they are known.
    """

    number: int
    register: Obis
    filter: Obis | None
    descriptor: Obis | None
    clears_by_zeros: bool
    bits: Mapping[int, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """One kind of meter.

    Attributes:
        name: Of the file.
        objects: Logical names by what they are; what the kind does not have is left out.
        clock_limit_s: The most that its clock may be wrong before it is set.
        clock_settable: Whether it is set at all.
        agrees: Whether a new master key is agreed on in suites 1 and 2, and not transferred.
        alarms: Alarm registers by number.
        meters: What logical device names of such meters begin with.
        models: Deviations, by what a logical device name begins with.
    """

    name: str
    title: str
    objects: Mapping[str, Obis]
    clock_limit_s: int = 60
    clock_settable: bool = True
    agrees: bool = False
    alarms: Mapping[int, AlarmRegister] = field(default_factory=dict)
    meters: tuple[str, ...] = ()
    models: Mapping[str, Mapping[str, Any]]

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Read a file.

        Raises:
            ConfigurationError: It is no TOML, a key in it is not known, or has a wrong value.
        """
        try:
            said = tomllib.loads(text)
            _refuse_unknown(said, "")
            models = {model["begins"]: model for model in said.get("model", [])}
            made = cls(
                name=name,
                title=str(said["title"]),
                objects={},
                meters=tuple(map(str, said.get("meters", []))),
                models=models,
            )
            made = made.changed(said)
            for model in models.values():
                made.changed(model)  # a mistake in it is found now
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            sentence = f"companion profile {name!r} cannot be used ({error}): correct its file"
            raise ConfigurationError(sentence) from error
        return made

    def changed(self, said: Mapping[str, Any]) -> Self:
        """Return the kind with what tables say otherwise."""
        objects = {**self.objects, **_objects(said.get("objects", {}))}
        clock = said.get("clock", {})
        master_key = said.get("keys", {}).get("master_key", MASTER_KEYS[self.agrees])
        if master_key not in MASTER_KEYS:
            raise ValueError(
                f"[keys] master_key {master_key!r} is none of {', '.join(MASTER_KEYS)}"
            )
        return replace(
            self,
            objects={name: at for name, at in objects.items() if at is not None},
            clock_limit_s=int(clock.get("limit_s", self.clock_limit_s)),
            clock_settable=bool(clock.get("settable", self.clock_settable)),
            agrees=master_key == "agreed",
            alarms={**self.alarms, **{a.number: a for a in map(_alarms, said.get("alarms", []))}},
        )

    def alarm_name(self, register: int, bit: int) -> tuple[str, str]:
        """Return kind and text of an alarm; what no table names is kept as unknown."""
        known = self.alarms[register].bits if register in self.alarms else {}
        place = f"alarm register {register}" if register else "the error register"
        unknown = f"bit {bit} of {place}: companion profile {self.name!r} does not name it"
        return known.get(bit, (UNKNOWN, unknown))

    def of(self, ldn: str) -> Self:
        """Return the kind as a model of it is; the longest beginning that fits counts."""
        fitting = [begins for begins in self.models if ldn.startswith(begins)]
        return self.changed(self.models[max(fitting, key=len)]) if fitting else self


class Companions:
    """All profiles that are known."""

    def __init__(self, known: Sequence[Companion]) -> None:
        self.known = {each.name: each for each in known}

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Read those that come with us, and those in `folder`.

        Raises:
            ConfigurationError: A file cannot be used.
        """
        return cls([Companion.parse(name, text) for name, text in _texts(folder)])

    def of(self, ldn: str) -> Companion:
        """Return what is known of the meter with this logical device name."""
        fitting = [
            (len(begins), each)
            for each in self.known.values()
            for begins in each.meters
            if ldn.startswith(begins)
        ]
        kind = max(fitting, key=lambda pair: pair[0])[1] if fitting else self.known[DEFAULT]
        return kind.of(ldn)


def _texts(folder: Path | None) -> Iterator[tuple[str, str]]:
    own = files("openami.cosem.profiles")
    for path in sorted(own.iterdir(), key=lambda each: each.name):
        if path.name.endswith(".toml"):
            yield path.name.removesuffix(".toml"), path.read_text(encoding="utf-8")
    if folder is not None:
        try:
            for found in sorted(folder.glob("*.toml")):
                yield found.stem, found.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            sentence = f"companion profiles in {folder} cannot be read ({error})"
            raise ConfigurationError(f"{sentence}: permit reading them") from error


def _objects(said: Mapping[str, str]) -> dict[str, Obis | None]:
    """Return logical names; an empty one says that the kind has no such object."""
    return {name: Obis.parse(text) if text else None for name, text in said.items()}


def _alarms(said: Mapping[str, Any]) -> AlarmRegister:
    number, clears = said["number"], said.get("clears", CLEARS[0])
    if not isinstance(number, int) or not 0 <= number <= MOST_REGISTERS:
        raise ValueError(f"[[alarms]] number {number!r} is not 0 to {MOST_REGISTERS}")
    if clears not in CLEARS:
        raise ValueError(f"[[alarms]] clears {clears!r} is none of {', '.join(CLEARS)}")
    bits = {}
    for bit, named in said.get("bits", {}).items():
        kind, text = named
        bits[int(bit)] = str(kind), str(text)
    names = {name: said.get(name) for name in ("filter", "descriptor")}
    return AlarmRegister(
        number=number,
        register=Obis.parse(said["register"]),
        clears_by_zeros=clears == "zeros",
        bits=bits,
        **{name: Obis.parse(text) if text else None for name, text in names.items()},
    )


def _refuse_unknown(said: Mapping[str, Any], table: str) -> None:
    for name, value in said.items():
        if name not in TABLES[table]:
            known = ", ".join(TABLES[table])
            raise ValueError(f"{f'[{table}] ' if table else ''}{name!r} is none of {known}")
        for each in (
            value if name in {"model", "alarms"} else [value] if isinstance(value, dict) else []
        ):
            _refuse_unknown(each, name)
