# SPDX-License-Identifier: Apache-2.0
"""Demand registers: the average of a quantity over a sliding window (class 5, 4.3.4).

Energy is accumulated over `number_of_periods` periods.  At the end of each, the average over the
whole window becomes last_average_value and the oldest period leaves; current_average_value is what
the window has so far, divided by its whole length.  Accumulators are exact integers (steps of the
register times microseconds); only what is shown is rounded, downwards, and limited to its type.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from openami.cosem.behaviour.due import SYNCHRONISATION_US
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import HOUR_US, SECOND_US, next_boundary
from openami.cosem.behaviour.registers import Counter, number
from openami.cosem.classes.measurement import DemandRegister, ExtendedRegister, ScalerUnit
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.data import FixedInteger
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

MAXIMUM: Final = 6
"""Value group D of the largest demand."""
Ended: TypeAlias = Callable[[int, int], None]
_FINEST: Final = -8
"""An hour in microseconds can be divided by 10**8, so amounts may be that much finer."""


@dataclass(frozen=True, slots=True)
class DemandState:
    """What of a demand register outlives a restart; energies in steps x microseconds."""

    running: int
    past: tuple[int, ...]
    start_us: int
    starts_us: tuple[int, ...]
    last_average: int
    capture_time: bytes
    counts: bool


class Demand:
    """Serves one demand register.

    Attributes:
        register: The object.
        counts: Whether what comes is added now.
        ended: Hears each average when its period ends, with the time of the end.
    """

    def __init__(self, register: DemandRegister, life: Life, start_us: int) -> None:
        self.register = register
        self.counts = True
        self.ended: list[Ended] = []
        self._life = life
        self._past: deque[int] = deque()  # what came in the ended periods of the window
        self._starts: deque[int] = deque()
        self._past_sum = 0  # added up each time, a window of 65,535 periods would take seconds
        self._running = 0
        self._start = self._end = start_us
        self._shape = type(number(register.values[3]))
        register.bind(DemandRegister.current_average_value, self.current_average)
        register.bind_sink(DemandRegister.period, lambda value: self._change(8, value))
        register.bind_sink(DemandRegister.number_of_periods, lambda value: self._change(9, value))
        register.bind(
            DemandRegister.start_time_current,
            lambda: life.shown(self._starts[0] if self._starts else self._start),
        )
        register.bind_method(DemandRegister.reset, lambda _argument: self.reset(life.now_us()))
        register.bind_method(
            DemandRegister.next_period, lambda _argument: self.next_period(life.now_us())
        )
        self._restart(start_us)
        register.values.setdefault(6, life.shown(start_us))

    def takes(self, quantity: Obis) -> bool:
        at: Obis = self.register.values[1]
        return at[:3] == quantity[:3]

    def due_us(self) -> int:
        return self._end

    def tick(self, now_us: int) -> None:
        """End the periods that are over; nothing came since what was added last.

        A clock that was set back behind the start of the running period, and by more than a
        synchronisation, begins it anew; no energy is lost.
        """
        if now_us < self._start - SYNCHRONISATION_US:
            self._begin(now_us)
        if now_us >= self._end + self._window_us() + 2 * self._period_us():
            self._skip_to(now_us)
        while now_us >= self._end:
            self._close(self._end)

    def add(self, amount: int, scaler: int, since_us: int, until_us: int) -> None:
        """Take an amount that came evenly between two moments: steps of the unit times hour.

        It is to be told before the time is: what came in a period that has ended counts in the
        running one.
        """
        if since_us >= self._start:
            self.tick(since_us)
        if not self.counts:
            self.tick(until_us)
            return
        own = self.register.values.get(4, ScalerUnit(scaler, 255)).scaler
        exponent = scaler - own
        if exponent < _FINEST:
            raise ValueError(
                f"amounts in 10**{scaler} are too fine for a register in 10**{own}: tell coarser"
            )
        whole = (
            amount * HOUR_US * 10**exponent
            if exponent >= 0
            else (amount * (HOUR_US // 10**-exponent))
        )
        given, span = 0, until_us - since_us
        while span > 0 and self._end < until_us:
            upto = whole * (self._end - since_us) // span
            self._running += upto - given
            given = upto
            self._close(self._end)
        self._running += whole - given
        self.tick(until_us)

    def current_average(self) -> FixedInteger:
        """Return what the window has so far, over its whole length."""
        self.tick(self._life.now_us())
        return self._shown(self._average())

    def next_period(self, now_us: int) -> None:
        """End the running period now and begin the next."""
        self.tick(now_us)
        self._close(now_us)

    def reset(self, now_us: int) -> None:
        """End the running period now and forget everything that was averaged."""
        self._restart(now_us)
        self.register.values[3] = self._shape(0)
        self.register.values[6] = self._life.shown(now_us)

    def state(self) -> DemandState:
        return DemandState(
            self._running,
            tuple(self._past),
            self._start,
            tuple(self._starts),
            int(self.register.values[3]),
            self.register.values[6].encode(),
            self.counts,
        )

    def restore(self, state: Any) -> None:  # noqa: ANN401  a DemandState
        self._past, self._starts = deque(state.past), deque(state.starts_us)
        self._past_sum = sum(self._past)
        self._running, self.counts = state.running, state.counts
        self._begin(state.start_us)
        self.register.values[3] = self._shape(state.last_average)
        self.register.values[6] = CosemDateTime.decode(state.capture_time)

    def _period_us(self) -> int:
        return self.register.period * SECOND_US

    def _window_us(self) -> int:
        return self._period_us() * self.register.number_of_periods

    def _average(self) -> int:
        return (self._past_sum + self._running) // self._window_us()

    def _shown(self, average: int) -> FixedInteger:
        return self._shape(max(self._shape.LOW, min(average, self._shape.HIGH)))

    def _restart(self, now_us: int) -> None:
        self._past.clear()
        self._starts.clear()
        self._past_sum = self._running = 0
        self._begin(now_us)

    def _begin(self, now_us: int) -> None:
        self._start = now_us
        self._end = next_boundary(now_us, self.register.period, self._life.zone())

    def _close(self, at_us: int) -> None:
        average = self._average()
        self.register.values[3] = self._shown(average)
        self.register.values[6] = self._life.shown(at_us)
        self._past.append(self._running)
        self._starts.append(self._start)
        self._past_sum += self._running
        while len(self._past) >= self.register.number_of_periods:
            self._past_sum -= self._past.popleft()
            self._starts.popleft()
        self._running = 0
        self._begin(at_us)
        for each in self.ended:
            each(average, at_us)

    def _skip_to(self, now_us: int) -> None:
        """Leave out what would be empty windows, after a long power failure or a set clock."""
        self._close(self._end)
        last_us = now_us - self._window_us() - self._period_us()
        self._restart(
            next_boundary(max(last_us, self._end), self.register.period, self._life.zone())
        )

    def _change(self, index: int, value: int) -> None:
        if value == 0:
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        self.register.values[index] = value
        self.reset(self._life.now_us())


def bind_demand_register(register: DemandRegister, life: Life) -> Demand | None:
    """Let a demand register average, and lead what it finds to its maximum registers.

    A maximum register is an extended register with the same value groups A to C and D = 6; it
    takes the largest average while it counts.  Its tariffs differ in value group E.
    """
    at: Obis = register.values[1]
    if (found := life.host.measured.source(register.class_id, at, 2)) is not None:
        source = found
        register.bind(DemandRegister.current_average_value, lambda: number(source()))
        return None
    if not isinstance(register.values[3], FixedInteger):
        life.report(at, "last_average_value is no integer: nothing is averaged")
        return None
    if not register.period or not register.number_of_periods:
        life.report(at, "period or number_of_periods is 0: nothing is averaged")
        return None
    demand = Demand(register, life, life.now_us())

    def lead(average: int, at_us: int) -> None:
        for each in list(life.acting.values()):
            if isinstance(each, Counter) and isinstance(each.register, ExtendedRegister):
                name: Obis = each.register.values[1]
                held = int(each.register.values[2])
                if name[:3] == at[:3] and name.d == MAXIMUM and each.counts and average > held:
                    each.put(min(average, type(each.register.values[2]).HIGH), at_us)

    demand.ended.append(lead)
    return demand
