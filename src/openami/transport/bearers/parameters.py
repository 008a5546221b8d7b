# SPDX-License-Identifier: Apache-2.0
"""What a bearer is, in figures; every one a parameter, the usual ones in `presets.toml`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple, get_type_hints

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml

REMEDY: Final = "`openami bearer list` shows what there is"


class Range(NamedTuple):
    """Between what a figure lies; equal ends are one figure."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return the figure `share` of the way up, by ratio: rates and times spread so."""
        if self.low <= 0 or self.low == self.high:
            return self.low + share * (self.high - self.low)
        return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))


NEVER: Final = Range(0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """One kind of link between a device and its network.

    Attributes:
        name: Of the preset, e.g. `nb-iot`.
        about: What it is, for people.
        down_bit_s: Usable rate towards the device.
        up_bit_s: Usable rate from the device.
        round_trip_s: Of an empty packet there and back, without its time on the medium.
        mtu_octets: The longest packet, with the headers of IP.
        frame_octets: What a packet is cut into on the medium; 0 for one frame.
        overhead_octets: Header of a frame on the medium.
        loss: Share of attempts that fail.
        attempts: How often the link itself tries a frame; 1 leaves losses to those above.
        bit_errors: Share of bits that arrive wrong, where nothing below us checks.
        half_duplex: Only one end speaks at a time, over all links of the medium.
        contention_s: Mean wait before a packet, for a free medium.
        duty: Share of the time a device may send; 1 where no rule binds it.
        duty_window_s: Over which that share is counted.
        evening: Loss follows the hours of the day and is worst in the evening.
        spell_s: How long rate and loss stay as they were drawn.
        outage_every_s: Mean time from an outage to the next; 0 for none.
        outage_s: How long an outage lasts.
        sleep_s: The device hears nothing for so long; 0 for a device that always listens.
        awake_s: How long it listens after it has spoken, and after it woke.
        nat_udp_s: After so long without a packet a flow of datagrams is forgotten; zeros for never.
        nat_tcp_s: The same of a connection.
        source: Where figures come from that were read somewhere.
        from_memory: Names of figures that nobody read anywhere.
    """

    name: str
    about: str = ""
    down_bit_s: Range
    up_bit_s: Range
    round_trip_s: Range
    mtu_octets: int
    frame_octets: int = 0
    overhead_octets: int = 0
    loss: Range = NEVER
    attempts: int = 1
    bit_errors: float = 0.0
    half_duplex: bool = False
    contention_s: float = 0.0
    duty: float = 1.0
    duty_window_s: float = 3600.0
    evening: bool = False
    spell_s: float = 600.0
    outage_every_s: float = 0.0
    outage_s: Range = NEVER
    sleep_s: float = 0.0
    awake_s: float = 0.0
    nat_udp_s: Range = NEVER
    nat_tcp_s: Range = NEVER
    source: str = ""
    from_memory: tuple[str, ...] = ()

    def with_figures(self, figures: Mapping[str, object], place: str) -> "Bearer":
        """Return a bearer with other figures.

        Raises:
            ConfigurationError: No such figure, or a value that it cannot have.
        """
        changed = replace(self, **{key: _figure(key, figures[key], place) for key in figures})
        _verify(changed, place)
        return changed


_KINDS: Final[dict[str, type]] = get_type_hints(Bearer)
_POSITIVE: Final = (
    "down_bit_s",
    "up_bit_s",
    "mtu_octets",
    "attempts",
    "duty",
    "spell_s",
    "duty_window_s",
)
_SHARES: Final = ("loss", "bit_errors", "duty")


def _figure(key: str, value: Any, place: str) -> Any:  # noqa: ANN401  a file may hold anything
    """Return a value in the shape of its field."""
    kind = _KINDS.get(key)
    known = ", ".join(each.name for each in fields(Bearer) if each.name != "name")
    match kind, value:
        case None, _:
            raise ConfigurationError(f"{place}: a bearer has no {key}; there are {known}")
        case _ if kind is Range and _is_number(value):
            return Range(float(value), float(value))
        case _, [low, high] if kind is Range and _is_number(low) and _is_number(high):
            return Range(float(low), float(high))
        case _ if kind is float and _is_number(value):
            return float(value)
        case _ if kind is int and _is_number(value) and value == int(value):
            return int(value)
        case _ if kind in {bool, str} and isinstance(value, kind):
            return value
        case _, [*names] if key == "from_memory" and all(name in _KINDS for name in names):
            return tuple(names)
        case _:
            wanted = {Range: "a number or [low, high]", float: "a number", int: "a whole number"}
            sentence = f"{place}: {key} is {value!r}, not {wanted.get(kind, 'as it should be')}"
            raise ConfigurationError(f"{sentence}: correct it")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _verify(bearer: Bearer, place: str) -> None:
    for each in fields(Bearer):
        value = getattr(bearer, each.name)
        ends = value if isinstance(value, Range) else (value, value)
        if isinstance(value, str | tuple) and not isinstance(value, Range):
            continue
        low, high = float(ends[0]), float(ends[1])
        problem = ""
        if low > high:
            problem = "its low end is above its high end"
        elif low < 0 or (each.name in _POSITIVE and low <= 0):
            problem = "it is too small"
        elif each.name in _SHARES and high > 1:
            problem = "a share is at most 1"
        elif each.name == "loss" and high >= 1:
            problem = "nothing would ever arrive"
        if problem:
            shown = list(value) if isinstance(value, Range) else value
            raise ConfigurationError(
                f"{place}: {each.name} is {shown!r}, and {problem}: correct it"
            )
    if bearer.sleep_s and not bearer.awake_s:
        raise ConfigurationError(
            f"{place}: with sleep_s there must be awake_s: add how long it listens"
        )


def read_bearers(path: Path) -> dict[str, Bearer]:
    """Read bearers from a file in the shape of `presets.toml`; `like` may name a preset.

    Raises:
        ConfigurationError: The file cannot be read, or a figure is wrong.
    """
    found: dict[str, Bearer] = {}
    for name, table in read_toml(path, "correct it, or leave it out").items():
        place = f"{path}: [{name}]"
        if not isinstance(table, dict):
            raise ConfigurationError(f"{place} is no table: put figures below the name of a bearer")
        figures = dict(table)
        like = figures.pop("like", None)
        base = found.get(str(like))
        if base is None and path != _preset_path():
            base = presets().get(str(like))
        if like is not None and base is None:
            raise ConfigurationError(
                f"{place}: like names {like!r}, which is not above it: {REMEDY}"
            )
        needed = ("down_bit_s", "up_bit_s", "round_trip_s", "mtu_octets")
        missing = [] if base else [key for key in needed if key not in figures]
        if missing:
            raise ConfigurationError(f"{place} has no {missing[0]}: add it")
        start = base or Bearer(
            name=name,
            down_bit_s=Range(1, 1),
            up_bit_s=Range(1, 1),
            round_trip_s=Range(0, 0),
            mtu_octets=1,
        )
        found[name] = replace(start, name=name).with_figures(figures, place)
    return found


@cache
def presets() -> dict[str, Bearer]:
    """Return the usual bearers, by name."""
    return read_bearers(_preset_path())


def preset(name: str) -> Bearer:
    """Return a usual bearer.

    Raises:
        ConfigurationError: There is none of this name.
    """
    try:
        return presets()[name]
    except KeyError:
        known = ", ".join(presets())
        raise ConfigurationError(f"there is no bearer {name!r}; there are {known}") from None


def _preset_path() -> Path:
    return Path(str(resources.files("openami.transport.bearers") / "presets.toml"))
