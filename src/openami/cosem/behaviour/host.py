# SPDX-License-Identifier: Apache-2.0
"""What a host gives to the objects of a device, and the device that has been brought to life.

`Host` is every port that behaviour may need: the calendar, entropy, measured values, and those
who push, take images and move the breaker.  `Life` is one device with its actors: it knows local
time, runs scripts, hears what went wrong, and takes out and puts back what must outlive a restart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from openami.cosem.behaviour.acting import Actor, Actors, Inside
from openami.cosem.behaviour.localtime import UTC_ZONE, Zone
from openami.cosem.behaviour.sorting import CaptureBuffer
from openami.cosem.classes.disconnect import Breaker
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.classes.push import PushSink
from openami.cosem.classes.time_event import Clock, ScheduledScript
from openami.cosem.device import LogicalDevice
from openami.cosem.kinds import KindError
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms.data import Data, LongUnsigned, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
SCRIPT_TABLE: Final = 9
MOST_MINUTES: Final = 840
"""The largest deviation from UTC."""
DEEPEST: Final = 8
"""How many scripts may start one another."""


class ClockPort(Protocol):
    """The real calendar of the host; microseconds UTC since 1970."""

    def now_us(self) -> int:
        """Return the calendar time."""
        ...

    def set_us(self, now_us: int) -> None:
        """Make the calendar show another time."""
        ...


class Measured(Protocol):
    """Values that the host measures or makes up."""

    def source(self, class_id: int, at: Obis, attribute: int) -> Callable[[], Data] | None:
        """Return what gives the value of an attribute; None if the host does not know it."""
        ...


class Nothing:
    """Measures nothing: every object keeps the values it was given."""

    def source(self, class_id: int, at: Obis, attribute: int) -> Callable[[], Data] | None:
        del class_id, at, attribute
        return None


class Happened(NamedTuple):
    """Something that an object did or could not do, for the host's own log.

    Attributes:
        at: The object that acted.
        what: A sentence.
    """

    at: Obis
    what: str


def _nobody(_happened: Happened) -> None:
    """Take a report where the host asked for none."""


@dataclass(slots=True, kw_only=True)
class Host:
    """The ports of one device; what is not given is not there.

    Attributes:
        clock: The calendar.
        entropy: Gives as many unpredictable octets as asked for.
        measured: Values from outside.
        push: The sink of a push setup, by its logical name; None where nothing is sent.
        image: The sink of an image transfer, by its logical name.
        breaker: The switch of a disconnect control, by its logical name.
        port: What any other object needs of its host, by its logical name: who carries pushes,
            knows tokens, calls, speaks M-Bus.  The behaviour of the class says which protocol.
        rows: The buffer of a profile, where its rows must outlive a restart; None keeps them in
            memory.
        null_data: Whether profiles leave out what repeats.
        report: Hears what acted, and what could not.
        poll_us: How often monitors and limiters look at their values.
    """

    clock: ClockPort
    entropy: Callable[[int], bytes]
    measured: Measured = field(default_factory=Nothing)
    push: Callable[[Obis], PushSink | None] = lambda _at: None
    image: Callable[[Obis], object | None] = lambda _at: None
    breaker: Callable[[Obis], Breaker | None] = lambda _at: None
    port: Callable[[Obis], object | None] = lambda _at: None
    rows: Callable[[ProfileGeneric], CaptureBuffer | None] = lambda _profile: None
    null_data: bool = False
    report: Callable[[Happened], None] = _nobody
    poll_us: int = 1_000_000


@runtime_checkable
class Kept(Protocol):
    """An object whose state must outlive a restart."""

    def state(self) -> object:
        """Return what must be kept: a frozen dataclass, a mapping or plain values."""
        ...

    def restore(self, state: Any) -> None:  # noqa: ANN401  what its own `state` returned
        """Go on from a state that `state` returned."""
        ...


@runtime_checkable
class Begins(Protocol):
    """An object that refers to others: told once all of them are bound."""

    def begin(self) -> None:
        """Take up what the attributes say."""
        ...


@runtime_checkable
class _Ticks(Protocol):
    def due_us(self) -> int | None: ...

    def tick(self, now_us: int) -> None: ...


class Life:
    """One device, brought to life.

    Whoever turns the calendar other than through the device's clock object tells the actors the
    time at once: what was due may lie far ahead of a calendar that was set back.

    Attributes:
        device: Its objects.
        host: Its ports.
        inside: The device's own hand on its objects.
        actors: Those of its objects that act as time passes.
        acting: What was bound to each object, by logical name.
        is_local: Whether a script runs because of a limit or a credit, not by somebody's command.
        depth: How many scripts are running, one within the other.
    """

    def __init__(self, device: LogicalDevice, host: Host) -> None:
        self.device = device
        self.host = host
        self.inside = Inside(device)
        self.actors = Actors()
        self.acting: dict[Obis, object] = {}
        self.is_local = False
        self.depth = 0

    def take(self, thing: InterfaceClass, acting: object | None) -> None:
        """Remember what was bound to an object, and let it act if it does."""
        if acting is None:
            return
        self.acting[thing.values[1]] = acting
        if isinstance(acting, _Ticks):
            actor: Actor = acting
            self.actors.add(actor)

    def now_us(self) -> int:
        """Return the calendar time, for what a client asks for just now."""
        return self.host.clock.now_us()

    def zone(self) -> Zone:
        """Return what the device's clock says about local time; UTC where there is no clock."""
        try:
            clock = self.device[CLOCK]
        except KeyError:
            return UTC_ZONE
        return zone_of(clock) if isinstance(clock, Clock) else UTC_ZONE

    def shown(self, now_us: int) -> CosemDateTime:
        """Return the local time of a moment, as captures and registers show it."""
        return self.zone().shown(now_us)

    def report(self, at: Obis, what: str) -> None:
        """Tell the host what an object did, or could not do."""
        self.host.report(Happened(at, what))

    def run(self, script: ScheduledScript, *, by: Obis, is_local: bool = False) -> bool:
        """Execute a script of a script table; selector 0 does nothing (4.5.2).

        Args:
            script: Table and number.
            by: The object that wants it, for the report.
            is_local: Whether a limit or a credit wants it: then a disconnect control sees a local
                trigger where it would see a remote one.

        Returns:
            Whether the script was carried out whole; if not, the host has heard why.
        """
        if script.script_selector == 0:
            return True
        before, self.is_local = self.is_local, self.is_local or is_local
        try:
            self.inside.invoke(
                SCRIPT_TABLE, script.script_logical_name, 1, LongUnsigned(script.script_selector)
            )
        except (Refused, KindError) as error:
            table, number = script
            self.report(by, f"script {number} of {table} was not carried out: {error}")
            return False
        finally:
            self.is_local = before
        return True

    def read(self, class_id: int, at: Obis, attribute: int) -> Data:
        """Return an attribute's value; null-data where there is none now."""
        try:
            return self.inside.read(class_id, at, attribute)
        except Refused:
            return None

    def read_all(self, class_id: int, at: Obis) -> Data:
        """Return all attributes of an object, null-data where one has no value; 'attribute 0'."""
        try:
            thing = self.device[at]
        except KeyError:
            return None
        return Structure(self.read(class_id, at, row.index) for row in thing.attributes())

    def state(self) -> dict[Obis, object]:
        """Return what must outlive a restart, by logical name.

        That is what objects have come to by themselves: values that can be pickled.  The attributes
        that clients wrote stand in the objects, and are the host's to keep too.
        """
        return {at: each.state() for at, each in self.acting.items() if isinstance(each, Kept)}

    def restore(self, state: Mapping[Obis, object]) -> None:
        """Go on from a state that `state` returned; objects that are not in it begin anew."""
        for at, each in self.acting.items():
            if isinstance(each, Kept) and at in state:
                each.restore(state[at])


def zone_of(clock: Clock) -> Zone:
    """Return what a clock object says about local time.

    What it does not hold is UTC without daylight saving, and so is what lies outside of the range
    of a deviation, as clocks show it that do not know their zone.
    """
    held = clock.values
    time_zone, saving = held.get(Clock.time_zone.index, 0), held.get(7, 0)
    if max(abs(time_zone), abs(time_zone - saving)) > MOST_MINUTES:
        return UTC_ZONE
    return Zone(
        time_zone=time_zone,
        begin=held.get(Clock.daylight_savings_begin.index),
        end=held.get(Clock.daylight_savings_end.index),
        saving=saving,
        enabled=held.get(Clock.daylight_savings_enabled.index, False),
    )
