# SPDX-License-Identifier: Apache-2.0
"""A household's load behind a simulated meter: energy that grows, power, and the current it takes.

Each day is alike: `SHAPE` says what each hour takes of the mean.  So the load profile of the days
before the meter was started can be told too: `with_history`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from openami.cosem.behaviour.disconnection import DisconnectUnit
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.registers import Quantity
from openami.cosem.classes.disconnect import ControlState
from openami.cosem.dump import Dump, DumpedObject
from openami.dlms import data as axdr_data
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    Array,
    Data,
    Enum,
    FixedInteger,
    Integer,
    OctetString,
    Structure,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.runtime.clock import from_us

HOUR_US: Final = 3_600_000_000
SHAPE: Final = (
    *(50, 42, 40, 40, 42, 55, 95, 130, 110, 85, 80, 90),
    *(115, 100, 85, 82, 95, 135, 180, 195, 180, 150, 128, 96),
)
"""What each hour of a day (UTC) takes, in percent of the mean."""
WATT, AMPERE = 27, 33
MILLI: Final = -3
ENERGY, INSTANT = 8, 7  # value group D
PHASES: Final[Mapping[int, Decimal]] = {
    1: Decimal(1),
    21: Decimal(1) / 3,
    41: Decimal(1) / 3,
    61: Decimal(1) / 3,
}
"""Value group C of active import, and its part of the load."""
CURRENTS: Final = frozenset({31, 51, 71})
VOLTS: Final = 230
VALUE: Final = 2
BREAKER: Final = (0, 0, 96, 3)  # value groups A to D
PROFILE, CLOCK = 7, 8
NO_ROWS: Final = b"\x01\x00"
REGISTERS: Final = frozenset({3, 4})


@dataclass(frozen=True, slots=True)
class _Register:
    base: FixedInteger
    scaler: int
    unit: int


class Load:
    """Knows the registers of a dump that a load moves.

    Power and currents are measured values; energy is a quantity that is led to registers, rates
    and demands by what the device itself says: `feed`.

    Args:
        dump: The meter as it was.
        watts: The load.
        now_us: The calendar, microseconds UTC; it begins to count with the first look.
    """

    def __init__(self, dump: Dump, watts: Decimal, now_us: Callable[[], int]) -> None:
        self._watts = watts
        self._now_us = now_us
        self._begun_us = now_us()
        self._is_supplied: Callable[[], bool] = lambda: True
        self._registers = {
            each.obis: found
            for each in dump.objects
            if each.class_id in REGISTERS and (found := _register(each)) is not None
        }

    def source(self, class_id: int, at: Obis, attribute: int) -> Callable[[], Data] | None:
        """Return what gives the value of a register that the load moves; None of any other."""
        register = self._registers.get(at)
        if register is None or class_id not in REGISTERS or attribute != VALUE:
            return None
        if not self._watts or at.a != 1 or at.e != 0:
            return None
        part = PHASES.get(at.c)
        if part is not None and at.d == INSTANT and register.unit == WATT:
            return lambda: self._of(register, self._power() * part)
        if at.c in CURRENTS and at.d == INSTANT and register.unit == AMPERE:
            return lambda: self._of(register, self._power() / 3 / VOLTS)
        return None

    def before(self, at: Obis, then_us: int) -> Data | None:
        """Return what an energy register showed before the load began; None of any other."""
        register, part = self._registers.get(at), PHASES.get(at.c)
        if register is None or part is None or at.a != 1 or (at.d, at.e) != (ENERGY, 0):
            return None
        counted = self._watts * (hours(self._begun_us) - hours(then_us)) * part
        return self._of(register, -counted, register.base)

    def feed(self, life: Life) -> Callable[[], None]:
        """Return what tells a device how much energy has come since the last call."""
        quantities = [
            (Quantity(life, Obis(1, 0, group_c, ENERGY, 0, 255), scaler=MILLI), part)
            for group_c, part in PHASES.items()
        ]
        told_us = self._begun_us
        self._is_supplied = _supply_of(life)

        def tell() -> None:
            nonlocal told_us
            now_us = self._now_us()
            if now_us <= told_us or not self._is_supplied():  # the clock was set back, or no supply
                told_us = now_us
                return
            for quantity, part in quantities if self._watts else ():
                before, after = (int(self._thousandths(us) * part) for us in (told_us, now_us))
                quantity.add(after - before, told_us, now_us)
            told_us = now_us

        return tell

    def _thousandths(self, us: int) -> Decimal:
        return self._watts * hours(us) * 1000

    def _power(self) -> Decimal:
        if not self._is_supplied():
            return Decimal(0)
        return self._watts * SHAPE[self._now_us() // HOUR_US % 24] / 100

    @staticmethod
    def _of(register: _Register, amount: Decimal, base: int = 0) -> Data:
        """Return an amount in the register's type and scaler; a full register begins at 0."""
        of: Any = type(register.base)
        steps = base + int(amount.scaleb(-register.scaler))
        made: Data = of(of.LOW + (steps - of.LOW) % (of.HIGH - of.LOW + 1))
        return made


def _supply_of(life: Life) -> Callable[[], bool]:
    """Return what tells whether the disconnect control of the meter itself lets current through."""
    for at, each in life.acting.items():
        if at[:4] == BREAKER and isinstance(each, DisconnectUnit):
            unit = each.unit
            return lambda: unit.state is ControlState.CONNECTED
    return lambda: True


def hours(us: int) -> Decimal:
    """Return how many hours of the mean load have passed since 1970."""
    whole, rest_us = divmod(us, HOUR_US)
    days, hour = divmod(whole, 24)
    percent = days * sum(SHAPE) + sum(SHAPE[:hour])
    return (Decimal(percent) + Decimal(rest_us) * SHAPE[hour] / HOUR_US) / 100


def with_history(dump: Dump, load: Load, now_us: int, days: int) -> Dump:
    """Return a dump whose empty profiles hold rows of the days before `now_us`."""
    if not days:
        return dump
    values = {each.obis: each.octets(VALUE) for each in dump.objects}
    return replace(
        dump,
        objects=tuple(_filled(each, values, load, now_us, days) for each in dump.objects),
    )


def _filled(
    dumped: DumpedObject,
    values: Mapping[Obis, bytes | None],
    load: Load,
    now_us: int,
    days: int,
) -> DumpedObject:
    columns, period, entries = (_decoded(dumped, index) for index in (3, 4, 8))
    if dumped.class_id != PROFILE or dumped.octets(VALUE) != NO_ROWS or not period:
        return dumped
    if not isinstance(columns, Array) or not isinstance(period, int):
        return dumped
    wanted = [CaptureObject.from_data(each) for each in columns]
    period_us = int(period) * 1_000_000
    count = days * 86_400_000_000 // period_us
    count = min(count, int(entries) if isinstance(entries, int) and entries else count)
    last_us = now_us // period_us * period_us
    rows = Array(
        Structure(_cell(each, values, load, last_us - n * period_us) for each in wanted)
        for n in reversed(range(count))
    )
    attributes = (
        replace(each, octets=axdr_data.encode(rows)) if each.index == VALUE else each
        for each in dumped.attributes
    )
    return replace(dumped, attributes=tuple(attributes))


def _cell(
    column: CaptureObject, values: Mapping[Obis, bytes | None], load: Load, at_us: int
) -> Data:
    if column.class_id == CLOCK:
        return OctetString(CosemDateTime.from_utc(from_us(at_us)).encode())
    before = load.before(column.instance_id, at_us) if column.attribute_id == VALUE else None
    if before is not None:
        return before
    held = values.get(column.instance_id)
    return None if held is None else axdr_data.decode(held)


def _decoded(dumped: DumpedObject, index: int) -> Data:
    octets = dumped.octets(index)
    return None if octets is None else axdr_data.decode(octets)


def _register(dumped: DumpedObject) -> _Register | None:
    value, meaning = dumped.octets(VALUE), dumped.octets(3)
    if value is None or meaning is None:
        return None
    match axdr_data.decode(value), axdr_data.decode(meaning):
        case FixedInteger() as base, Structure((Integer() as scaler, Enum() as unit)):
            return _Register(base, int(scaler), int(unit))
    return None
