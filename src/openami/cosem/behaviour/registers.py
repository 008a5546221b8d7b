# SPDX-License-Identifier: Apache-2.0
"""Registers that count: energy led to totals and tariffs (classes 3 and 4, 4.3.2 and 4.3.3).

The host measures a quantity and tells how much of it came; `Quantity` leads it to every register
that holds it and counts just now (register activation decides), and to the demands made from it.
Where the host itself knows a register's value it is shown as it is, and nothing is counted here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Protocol, runtime_checkable

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import HOUR_US
from openami.cosem.classes.measurement import ExtendedRegister, Register, ScalerUnit
from openami.cosem.kinds import NUMBER
from openami.dlms.data import Data, FixedInteger
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

TIME_INTEGRALS: Final = frozenset({8, 9, 58, 59})
"""Value group D of what is counted over time: energy, volume."""


@runtime_checkable
class Counts(Protocol):
    """A register that register activation can stop and start."""

    counts: bool


@runtime_checkable
class Takes(Protocol):
    """A register that takes its part of a quantity."""

    def takes(self, quantity: Obis) -> bool:
        """Return whether the register holds this quantity; value groups A to C name it."""
        ...

    def add(self, amount: int, scaler: int, since_us: int, until_us: int) -> None:
        """Take what came between two moments: `amount` x 10**`scaler` of the unit (times hour)."""
        ...


@dataclass(frozen=True, slots=True)
class RegisterState:
    """What of a register outlives a restart.

    Attributes:
        value: As the object shows it.
        remainder: What was counted but is less than a step, as numerator and denominator.
        counts: Whether it counts.
        capture_time: Of an extended register.
    """

    value: int
    remainder: tuple[int, int]
    counts: bool
    capture_time: bytes | None


class Counter:
    """Serves one register or extended register that holds its own value.

    Attributes:
        register: The object.
        counts: Whether what comes is added now.
    """

    def __init__(self, register: Register | ExtendedRegister, life: Life) -> None:
        self.register = register
        self.counts = True
        self._life = life
        self._remainder = Fraction(0)
        self._time = (
            ExtendedRegister.capture_time if isinstance(register, ExtendedRegister) else None
        )
        register.bind_method(type(register).reset, self.reset)

    def takes(self, quantity: Obis) -> bool:
        at: Obis = self.register.values[1]
        return at[:3] == quantity[:3] and at.d in TIME_INTEGRALS

    def add(self, amount: int, scaler: int, since_us: int, until_us: int) -> None:
        """Count; a register that is full begins again at 0, as its type does."""
        del since_us
        if not self.counts:
            return
        own = self.register.values.get(3, ScalerUnit(scaler, 255)).scaler
        total = self._remainder + amount * Fraction(10) ** (scaler - own)
        steps = total.numerator // total.denominator
        self._remainder = total - steps
        if steps:
            held: FixedInteger = number(self.register.values[2])
            span = held.HIGH - held.LOW + 1
            self.put(held.LOW + (held + steps - held.LOW) % span, until_us)

    def put(self, value: int, now_us: int) -> None:
        """Show another value, of the same type, captured now."""
        self.register.values[2] = type(self.register.values[2])(value)
        if self._time is not None:
            self.register.values[self._time.index] = self._life.shown(now_us)

    def reset(self, _argument: int = 0) -> None:
        """Return to the default value, which is 0."""
        self._remainder = Fraction(0)
        self.put(0, self._life.now_us())

    def state(self) -> RegisterState:
        time = None if self._time is None else self.register.values.get(self._time.index)
        return RegisterState(
            int(self.register.values[2]),
            self._remainder.as_integer_ratio(),
            self.counts,
            time and time.encode(),
        )

    def restore(self, state: Any) -> None:  # noqa: ANN401  a RegisterState
        self.register.values[2] = type(self.register.values[2])(state.value)
        self._remainder = Fraction(*state.remainder)
        self.counts = state.counts
        if self._time is not None and state.capture_time is not None:
            self.register.values[self._time.index] = CosemDateTime.decode(state.capture_time)


class Quantity:
    """One measured quantity, led to every register of a device that holds it.

    Args:
        life: The device.
        of: Any logical name of the quantity; value groups A to C count.
        scaler: Of the amounts: -3 where they are told in thousandths of the unit.
    """

    def __init__(self, life: Life, of: Obis, *, scaler: int = 0) -> None:
        self._life = life
        self._of = of
        self._scaler = scaler
        self._held = 0  # power times microseconds that is less than one step of energy

    def add(self, amount: int, since_us: int, until_us: int) -> None:
        """Tell what came between two moments, evenly spread."""
        for each in self._takers():
            each.add(amount, self._scaler, since_us, until_us)

    def hold(self, power: int, since_us: int, until_us: int) -> None:
        """Tell a power that held between two moments, in the same power of ten; it is integrated.

        What is less than a step of energy counts with the next power that is told.
        """
        steps, self._held = divmod(self._held + power * (until_us - since_us), HOUR_US)
        self.add(steps, since_us, until_us)

    def _takers(self) -> Iterator[Takes]:
        for each in self._life.acting.values():
            if isinstance(each, Takes) and each.takes(self._of):
                yield each


def number(value: Any) -> FixedInteger:  # noqa: ANN401  a stored value
    """Return a stored value that is an integer of some width.

    Raises:
        TypeError: It is a plain number, or no number.
    """
    checked: Data = NUMBER.to_data(value)
    if not isinstance(checked, FixedInteger):
        raise TypeError(f"{value!r} is no integer of data")
    return checked


def bind_register(register: Register | ExtendedRegister, life: Life) -> Counter | None:
    """Bind a register to what the host measures, or let it count."""
    found = life.host.measured.source(register.class_id, register.values[1], 2)
    if found is None:
        if isinstance(register.values.get(2), FixedInteger):
            return Counter(register, life)
        life.report(register.logical_name, "the value is no integer: the register does not count")
        return None
    source = found
    register.bind(type(register).value, lambda: number(source()))
    if isinstance(register, ExtendedRegister):
        register.bind(ExtendedRegister.capture_time, lambda: life.shown(life.now_us()))
    return None
