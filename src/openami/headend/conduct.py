# SPDX-License-Identifier: Apache-2.0
"""How a meter is told and asked: one conduct an order.

::

    before   measured, and made durable, before anything is sent
    send     once and never again
    prove    read back whether what was asked for holds now

`prove` needs nothing that `send` remembers: after a crash it is asked by another head-end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.tariff import (
    ActivityCalendar,
    EmergencyProfile,
    Limiter,
    SpecialDaysTable,
)
from openami.cosem.literals import plain, shortly
from openami.cosem.refusals import AccessError
from openami.dlms import data as axdr_data
from openami.dlms.data import Data, FixedInteger, Integer, OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.exchange.commands import CommandKind, CommandState
from openami.headend.associations import MeterSession
from openami.headend.orders import LimitOrder, ParametersOrder
from openami.headend.reading import DISCONNECT, read_control_state
from openami.headend.tariff_file import TariffOrder
from openami.runtime.errors import UserError

Json = dict[str, Any]
Find = Callable[[str], Obis]  # an object of the meter's companion profile by what it is

WANTED: Final[Mapping[CommandKind, tuple[ControlState, ...]]] = {
    CommandKind.CONNECT: (ControlState.CONNECTED,),
    CommandKind.ARM: (ControlState.READY_FOR_RECONNECTION, ControlState.CONNECTED),
    CommandKind.DISCONNECT: (ControlState.DISCONNECTED,),
}
TOO_LATE: Final = "; the command can not take effect any more"


class Outcome(NamedTuple):
    """What the meter was found to be.

    Attributes:
        state: CONFIRMED, or FAILED where what was asked for does not hold.
        note: In words.
        result: Numbers.
    """

    state: CommandState
    note: str
    result: Json


class NotAllowedError(UserError):
    """The order is not sent: what was measured before forbids it."""


class Conduct(Protocol):
    """Carries out one order in an association."""

    changes: bool  # whether the meter is another afterwards

    async def before(self, session: MeterSession) -> Json:
        """Return what has to be known later to prove the order; raises `NotAllowedError`."""

    async def send(self, session: MeterSession) -> None:
        """Send it; raises `AccessError` where the meter refuses."""

    async def prove(self, session: MeterSession, before: Json | None) -> Outcome:
        """Look whether it holds; `before` is None where nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Supply:
    """Connect, arm, disconnect.

    Attributes:
        kind: Which.
        found: Told of every state that is read.
    """

    kind: CommandKind
    found: Callable[[MeterSession, ControlState], Any]
    changes = True

    async def before(self, session: MeterSession) -> Json:
        del session
        return {}

    async def send(self, session: MeterSession) -> None:
        method = (
            DisconnectControl.remote_disconnect
            if self.kind is CommandKind.DISCONNECT
            else DisconnectControl.remote_reconnect
        )
        await session.run(session.client.act(method, 0, at=DISCONNECT))

    async def prove(self, session: MeterSession, before: Json | None) -> Outcome:
        del before
        state = await read_control_state(session)
        await self.found(session, state)
        note = f"read back: the supply is {state.name.lower().replace('_', ' ')}"
        result = {"control_state": int(state)}
        if state in WANTED[self.kind]:
            return Outcome(CommandState.CONFIRMED, note, result)
        if state is ControlState.READY_FOR_RECONNECTION:
            note += "; a person has to press the button at the meter"
        else:
            note += TOO_LATE
        return Outcome(CommandState.FAILED, note, result)


class Place(NamedTuple):
    """An attribute or method by class, logical name and index."""

    class_id: int
    at: Obis
    row: int

    def __str__(self) -> str:
        return f"{self.at}:{self.row} (class {self.class_id})"


class Write(NamedTuple):
    """An attribute and the value it is to have."""

    place: Place
    value: Data


class Invoke(NamedTuple):
    """A method; what it does is proven by the attributes that it fills."""

    place: Place
    argument: Data


@dataclass(frozen=True, slots=True)
class Settings:
    """Attributes are written, methods invoked, attributes read back.

    Attributes:
        steps: In their order.
        proofs: What the meter has to say afterwards.
        what: For a person.
    """

    steps: tuple[Write | Invoke, ...]
    proofs: tuple[Write, ...]
    what: str
    changes = True

    async def before(self, session: MeterSession) -> Json:
        del session
        return {}

    async def send(self, session: MeterSession) -> None:
        for number, step in enumerate(self.steps):
            try:
                if isinstance(step, Write):
                    await session.run(session.client.set_data(*step.place, step.value))
                else:
                    await session.run(session.client.act_data(*step.place, step.argument))
            except AccessError as refusal:
                if number == 0:
                    raise
                done = f"{number} of {len(self.steps)} steps before it are done and stay"
                what = f"{refusal.what} ({done})"
                raise AccessError(refusal.service, what, refusal.result) from refusal

    async def prove(self, session: MeterSession, before: Json | None) -> Outcome:
        del before
        result: Json = {}
        wrong = []
        for place, wanted in self.proofs:
            found: Data
            try:
                found = await session.run(session.client.get_data(*place))
            except AccessError as refusal:
                wrong.append(str(refusal))
                continue
            result[str(place)] = plain(found)
            if not alike(found, wanted):
                wrong.append(f"{place} is {shortly(plain(found))} and not {shortly(plain(wanted))}")
        if wrong:
            return Outcome(CommandState.FAILED, f"read back: {'; '.join(wrong)}{TOO_LATE}", result)
        return Outcome(CommandState.CONFIRMED, f"read back: {self.what}", result)


def alike(found: Data, wanted: Data) -> bool:
    """Tell whether two values say the same; meters differ in how they hold octets and clocks."""
    if axdr_data.encode(found) == axdr_data.encode(wanted):
        return True
    if isinstance(found, FixedInteger) and isinstance(wanted, FixedInteger):
        return int(found) == int(wanted)
    if isinstance(found, bytes) and isinstance(wanted, bytes):
        return bytes(found) == bytes(wanted)
    if isinstance(found, tuple | list) and isinstance(wanted, tuple | list):
        return len(found) == len(wanted) and all(map(alike, found, wanted))
    return False


def limit_of(order: LimitOrder, at: Obis, held: Data) -> Settings:
    """Return the conduct of a load limit.

    Args:
        order: What is asked.
        at: The limiter.
        held: Its threshold now; thresholds keep the type that the monitored register has.

    Raises:
        NotAllowedError: It is no whole number, or the threshold does not fit its type.
    """
    if not isinstance(held, FixedInteger):
        raise NotAllowedError(
            f"the threshold of limiter {at} is {held!r}, no whole number: set it alone"
        )
    made: Any = type(held)
    values: list[tuple[int, Data]] = []
    try:
        if order.emergency is not None:
            values.append((5, made(order.emergency)))
        if order.normal is not None:
            values.append((4, made(order.normal)))
    except ValueError as error:
        raise NotAllowedError(f"the limit does not fit the meter's threshold: {error}") from error
    rows: dict[int, tuple[Any, Any]] = {
        6: (Limiter.min_over_threshold_duration, order.over_s),
        7: (Limiter.min_under_threshold_duration, order.under_s),
        9: (Limiter.emergency_profile_group_id_list, order.groups),
    }
    for index, (row, value) in rows.items():
        if value is not None:
            values.append((index, row.kind.to_data(value)))
    if (profile := order.profile) is not None:
        said = EmergencyProfile(
            profile.profile_id, CosemDateTime.from_utc(profile.start), profile.duration_s
        )
        values.append((8, Limiter.emergency_profile.kind.to_data(said)))
    writes = tuple(Write(Place(71, at, index), value) for index, value in values)
    return Settings(writes, writes, "the limiter is as asked")


def tariff_of(order: TariffOrder, find: Find) -> Settings:
    """Return the conduct of a tariff: the passive calendar is written, and becomes active."""
    at = find("activity_calendar")
    row = ActivityCalendar
    tables = (
        (6, OctetString(order.name)),
        (7, row.season_profile_passive.kind.to_data(order.seasons)),
        (8, row.week_profile_table_passive.kind.to_data(order.weeks)),
        (9, row.day_profile_table_passive.kind.to_data(order.days)),
    )
    steps: list[Write | Invoke] = [Write(Place(20, at, index), value) for index, value in tables]
    # Once it is active the passive tables are the meter's own business: some exchange the two.
    shift = 4 if order.activate == "now" else 0
    proofs = [Write(Place(20, at, index - shift), value) for index, value in tables]
    what = "the calendar waits to be activated"
    if order.special_days is not None:
        special = SpecialDaysTable.entries.kind.to_data(order.special_days)
        write = Write(Place(11, find("special_days"), 2), special)
        steps.insert(0, write)
        proofs.append(write)
    if order.activate == "now":
        steps.append(Invoke(Place(20, at, 1), Integer(0)))
        what = "the calendar is active"
    elif not isinstance(order.activate, str):
        moment = CosemDateTime.from_utc(order.activate)
        time = row.activate_passive_calendar_time.kind.to_data(moment)
        steps.append(Write(Place(20, at, 10), time))
        proofs.append(Write(Place(20, at, 10), time))
        what = f"the calendar is active from {order.activate.isoformat(timespec='minutes')} on"
    return Settings(tuple(steps), tuple(proofs), what)


def parameters_of(order: ParametersOrder) -> Settings:
    """Return the conduct of attributes that are written one after another."""
    writes = tuple(
        Write(Place(row.class_id, row.logical_name, row.attribute_id), row.value)
        for row in order.rows
    )
    last: dict[Place, Write] = {write.place: write for write in writes}
    return Settings(writes, tuple(last.values()), f"{_many(writes)} as asked")


def _many(rows: Sequence[object]) -> str:
    return "the attribute is" if len(rows) == 1 else f"{len(rows)} attributes are"
