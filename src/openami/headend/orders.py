# SPDX-License-Identifier: Apache-2.0
"""What a command asks, kind by kind: its argument as JSON, checked before it is written.

::

    limit       {"normal": 5000, "over_s": 30}                thresholds in the unit of the meter
    tariff      {"name": "…", "days": […], …}                 `tariff_file` has the whole form
    clock       {"action": "shift", "shift_s": -3}
    alarms      {"action": "clear", "register": 1, "bits": [0, 3]}
    parameters  {"set": [{"class_id": 1, "logical_name": "…", "attribute_id": 2, "value": {…}}]}
    bundle      {"items": [{"kind": "read"}, {"kind": "limit", "argument": {…}}]}

Whoever asks (command line, REST, console) and the head-end that carries out read the same forms.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from openami.cosem.literals import LiteralError, from_typed
from openami.dlms.data import Data
from openami.dlms.obis import Obis
from openami.exchange.commands import CommandKind
from openami.headend.tariff_file import TariffOrder, tariff_order
from openami.runtime.errors import ExitCode, UserError

Json = dict[str, Any]

MOST_ITEMS: Final = 50  # of a bundle, and attributes of one command
MOST_GUARD_S: Final = 3600
MOST_SHIFT_S: Final = 900  # DLMS UA 1000-1 Ed. 12, 4.5.1: shift_time
MOST_UNSIGNED: Final = 2**32 - 1
CLOCK_ACTIONS: Final = (
    "set",
    "adjust_to_quarter",
    "adjust_to_measuring_period",
    "adjust_to_minute",
    "preset",
    "shift",
)

ALARM_ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {  # with what each takes
    "show": (),
    "clear": ("bits",),
    "filter": ("value", "enable", "disable"),
}
MOST_REGISTER: Final = 10  # 0.x.97.98.0 to .9 are registers 1 to 10


class OrderError(UserError):
    """An argument that its kind does not take: place, value and remedy."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, ExitCode.ASKED_WRONGLY)


@dataclass(frozen=True, slots=True)
class NoOrder:
    """Kinds that need no argument: read, connect, arm, disconnect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """When the emergency threshold holds.

    Attributes:
        profile_id: Has to be in the limiter's list of groups, or nothing comes of it.
        start: When it begins; aware.
        duration_s: For how long.
    """

    profile_id: int
    start: datetime
    duration_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOrder:
    """Thresholds of the limiter (class 71); what is None stays as it is.

    Attributes:
        normal: In the unit of the monitored register.
        emergency: While the emergency profile is active.
        over_s: How long the load may stay above.
        under_s: How long it has to stay below.
        profile: The emergency profile.
        groups: Which profiles count.
    """

    normal: int | None = None
    emergency: int | None = None
    over_s: int | None = None
    under_s: int | None = None
    profile: Emergency | None = None
    groups: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOrder:
    """What is done to the clock.

    Attributes:
        action: One of `CLOCK_ACTIONS`.
        shift_s: For `shift`; whole seconds.
        force: Also where the clock is further off than is taken for right.
        guard_s: For `set` and `shift`: sent only where the clock stays in its interval, so far from
            its ends, and becomes less wrong; None: always.
    """

    action: str
    shift_s: int = 0
    force: bool = False
    guard_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeValue:
    """One attribute and the value that it is to have."""

    class_id: int
    logical_name: Obis
    attribute_id: int
    value: Data


@dataclass(frozen=True, slots=True)
class ParametersOrder:
    """Attributes to write, in this order."""

    rows: tuple[AttributeValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOrder:
    """Several orders for one association.

    Attributes:
        items: In their order.
        goes_on: Whether what follows a failure is done all the same.
    """

    items: tuple[tuple[CommandKind, "Order"], ...]
    goes_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsOrder:
    """What is done to alarm registers.

    Attributes:
        action: One of `ALARM_ACTIONS`.
        register: Which; 0 is the error register, None means all.
        bits: What is cleared; None means whatever is set.
        value: The filter as it is to be; None: it is changed by the next two.
        enable: Mask of what may rise from now on.
        disable: Mask of what may not.
    """

    action: str
    register: int | None = None
    bits: tuple[int, ...] | None = None
    value: int | None = None
    enable: int = 0
    disable: int = 0

    @property
    def mask(self) -> int:
        return sum(1 << bit for bit in self.bits or ())


Order = (
    NoOrder | LimitOrder | TariffOrder | ClockOrder | AlarmsOrder | ParametersOrder | BundleOrder
)


def order_of(kind: CommandKind, argument: Mapping[str, Any]) -> Order:
    """Return what a command of this kind and argument asks.

    Raises:
        OrderError: The argument is none of its kind.
    """
    try:
        return _READERS[kind](argument)
    except OrderError:
        raise
    except UserError as error:
        raise OrderError(f"{kind.value}: {error}") from error


def whole(said: object, place: str, least: int, most: int) -> int:
    """Return a whole number of JSON within bounds; raises `OrderError`."""
    if isinstance(said, bool) or not isinstance(said, int) or not least <= said <= most:
        raise OrderError(f"{place} is {said!r}: give a whole number from {least} to {most}")
    return said


def refuse_unknown(said: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    """Raise `OrderError` where JSON has a name that nobody reads."""
    for name in said:
        if name not in known:
            listed = ", ".join(known) or "no argument"
            raise OrderError(f"{place} has {name!r}: it takes {listed}")


def _nothing(said: Mapping[str, Any]) -> NoOrder:
    refuse_unknown(said, (), "the command")
    return NoOrder()


def _limit(said: Mapping[str, Any]) -> LimitOrder:
    names = ("normal", "emergency", "over_s", "under_s", "profile", "groups")
    refuse_unknown(said, names, "limit")
    if not said:
        raise OrderError("limit has nothing to set: give normal, the threshold in W, for example")
    numbers = {
        name: whole(said[name], f"limit.{name}", 0, MOST_UNSIGNED)
        for name in names[:4]
        if said.get(name) is not None
    }
    profile, groups = said.get("profile"), said.get("groups")
    if groups is not None:
        if not isinstance(groups, list | tuple):
            raise OrderError(f"limit.groups is {groups!r}: give a list of profile numbers")
        groups = tuple(whole(each, "limit.groups", 0, 65535) for each in groups)
    return LimitOrder(**numbers, profile=_emergency(profile), groups=groups)


def _emergency(said: object) -> Emergency | None:
    if said is None:
        return None
    if not isinstance(said, dict):
        raise OrderError(f"limit.profile is {said!r}: give id, start and duration_s")
    place = "limit.profile"
    refuse_unknown(said, ("id", "start", "duration_s"), place)
    return Emergency(
        profile_id=whole(said.get("id"), f"{place}.id", 0, 65535),
        start=moment(said.get("start"), f"{place}.start"),
        duration_s=whole(said.get("duration_s"), f"{place}.duration_s", 0, MOST_UNSIGNED),
    )


def moment(said: object, place: str) -> datetime:
    """Return an aware time of ISO 8601; raises `OrderError`."""
    try:
        found = datetime.fromisoformat(str(said))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        remedy = "give ISO 8601 with its offset, such as 2026-12-01T06:00:00+01:00"
        raise OrderError(f"{place} is {said!r}: {remedy}")
    return found


def _clock(said: Mapping[str, Any]) -> ClockOrder:
    refuse_unknown(said, ("action", "shift_s", "force", "guard_s"), "clock")
    action, force = said.get("action"), said.get("force", False)
    if action not in CLOCK_ACTIONS:
        raise OrderError(f"clock.action is {action!r}: give one of {', '.join(CLOCK_ACTIONS)}")
    if not isinstance(force, bool):
        raise OrderError(f"clock.force is {force!r}: give true or false")
    shift_s = 0
    if action == "shift":
        shift_s = whole(said.get("shift_s"), "clock.shift_s", -MOST_SHIFT_S, MOST_SHIFT_S)
        if shift_s == 0:
            raise OrderError("clock.shift_s is 0: give the seconds to shift by, -900 to 900")
    elif "shift_s" in said:
        raise OrderError(f"clock.shift_s goes with shift, not with {action}: leave it out")
    guard_s = said.get("guard_s")
    if guard_s is not None:
        sound = isinstance(guard_s, int | float) and not isinstance(guard_s, bool)
        if not sound or not 0 <= guard_s <= MOST_GUARD_S:
            raise OrderError(f"clock.guard_s is {guard_s!r}: give seconds from 0 to {MOST_GUARD_S}")
        if action not in {"set", "shift"}:
            raise OrderError(f"clock.guard_s goes with set and shift, not with {action}")
    return ClockOrder(action=str(action), shift_s=shift_s, force=force, guard_s=guard_s)


def _alarms(said: Mapping[str, Any]) -> AlarmsOrder:
    action = str(said.get("action", ""))
    if action not in ALARM_ACTIONS:
        raise OrderError(f"alarms.action is {action!r}: give one of {', '.join(ALARM_ACTIONS)}")
    refuse_unknown(said, ("action", "register", *ALARM_ACTIONS[action]), f"alarms {action}")
    register = said.get("register")
    if register is not None:
        register = whole(register, "alarms.register", 0, MOST_REGISTER)
    if action != "filter":
        bits = _bits(said["bits"], "alarms.bits") if said.get("bits") is not None else None
        return AlarmsOrder(action=action, register=register, bits=bits)
    if register is None:
        raise OrderError("alarms.register is missing: say whose filter, 1 for the first")
    value = said.get("value")
    if (value is None) == ("enable" not in said and "disable" not in said):
        raise OrderError("alarms filter needs either value, or bits to enable or to disable")
    if value is not None:
        value = whole(value, "alarms.value", 0, MOST_UNSIGNED)
        return AlarmsOrder(action=action, register=register, value=value)
    enable, disable = (
        sum(1 << bit for bit in _bits(said[name], f"alarms.{name}")) if name in said else 0
        for name in ("enable", "disable")
    )
    order = AlarmsOrder(action=action, register=register, enable=enable, disable=disable)
    if order.enable & order.disable:
        raise OrderError("alarms.enable and alarms.disable share a bit: name it in one of them")
    return order


def _bits(said: object, place: str) -> tuple[int, ...]:
    if not isinstance(said, list | tuple) or not said:
        raise OrderError(f"{place} is {said!r}: give a list of bits, 0 to 31")
    return tuple(sorted({whole(each, place, 0, 31) for each in said}))


def _parameters(said: Mapping[str, Any]) -> ParametersOrder:
    refuse_unknown(said, ("set",), "parameters")
    rows = _some(said.get("set"), "parameters.set")
    return ParametersOrder(
        tuple(_attribute(row, f"parameters.set[{n}]") for n, row in enumerate(rows))
    )


def _attribute(said: object, place: str) -> AttributeValue:
    names = ("class_id", "logical_name", "attribute_id", "value")
    if not isinstance(said, dict) or not all(name in said for name in names):
        raise OrderError(f"{place} is {said!r}: give {', '.join(names)}")
    refuse_unknown(said, names, place)
    try:
        at = Obis.parse(str(said["logical_name"]))
        value = from_typed(said["value"])
    except (LiteralError, ValueError) as error:
        raise OrderError(f"{place}: {error}") from error
    return AttributeValue(
        class_id=whole(said["class_id"], f"{place}.class_id", 0, 65535),
        logical_name=at,
        attribute_id=whole(said["attribute_id"], f"{place}.attribute_id", 1, 127),
        value=value,
    )


def attribute_row(text: str) -> Json:
    """Return CLASS:OBIS:ATTRIBUTE=TYPE:VALUE as a row of `parameters`; raises `OrderError`."""
    place, equals, said = text.partition("=")
    words = place.split(":")
    if not equals or len(words) != 3 or not (words[0].isdigit() and words[2].isdigit()):
        raise OrderError(f"{text!r} is no attribute: write CLASS:OBIS:ATTRIBUTE=TYPE:VALUE")
    try:
        value: object = json.loads(said)  # {"structure": […]}, true, null
    except json.JSONDecodeError:
        kind, _, written = said.partition(":")
        value = {kind: written}
    return {
        "class_id": int(words[0]),
        "logical_name": words[1],
        "attribute_id": int(words[2]),
        "value": value,
    }


def _bundle(said: Mapping[str, Any]) -> BundleOrder:
    refuse_unknown(said, ("items", "on_failure"), "bundle")
    rows = _some(said.get("items"), "bundle.items")
    on_failure = said.get("on_failure", "stop")
    if on_failure not in ("stop", "continue"):  # a tuple: it may be a list
        raise OrderError(f"bundle.on_failure is {on_failure!r}: give stop or continue")
    items = tuple(_item(row, f"bundle.items[{n}]") for n, row in enumerate(rows))
    return BundleOrder(items=items, goes_on=on_failure == "continue")


def _item(said: object, place: str) -> tuple[CommandKind, Order]:
    if not isinstance(said, dict):
        raise OrderError(f"{place} is {said!r}: give kind and argument")
    refuse_unknown(said, ("kind", "argument"), place)
    kinds = {kind.value: kind for kind in CommandKind if kind is not CommandKind.BUNDLE}
    kind, argument = kinds.get(str(said.get("kind"))), said.get("argument", {})
    if kind is None:
        raise OrderError(f"{place}.kind is {said.get('kind')!r}: give one of {', '.join(kinds)}")
    if not isinstance(argument, dict):
        raise OrderError(f"{place}.argument is {argument!r}: give an object")
    try:
        return kind, order_of(kind, argument)
    except OrderError as error:
        raise OrderError(f"{place}: {error}") from error


def _some(said: object, place: str) -> list[object]:
    if not isinstance(said, list) or not 1 <= len(said) <= MOST_ITEMS:
        raise OrderError(f"{place} is no list of 1 to {MOST_ITEMS}: give what is to be done")
    return said


_READERS: Final[Mapping[CommandKind, Callable[[Mapping[str, Any]], Order]]] = {
    CommandKind.READ: _nothing,
    CommandKind.CONNECT: _nothing,
    CommandKind.ARM: _nothing,
    CommandKind.DISCONNECT: _nothing,
    CommandKind.LIMIT: _limit,
    CommandKind.TARIFF: tariff_order,
    CommandKind.CLOCK: _clock,
    CommandKind.ALARMS: _alarms,
    CommandKind.PARAMETERS: _parameters,
    CommandKind.BUNDLE: _bundle,
}
