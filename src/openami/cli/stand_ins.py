# SPDX-License-Identifier: Apache-2.0
"""What a simulated meter does for classes whose behaviour has no row in `behaviour.bindings` yet.

A clock that shows the time, a profile that captures its columns, a push setup that pushes: the
least that makes a meter one.  A row of `bindings` takes the place of one here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from openami.cosem.behaviour.bindings import BEHAVIOURS, Behaviour
from openami.cosem.behaviour.host import Life
from openami.cosem.measurement import ProfileGeneric
from openami.cosem.model import Refused
from openami.cosem.profile import MemoryBuffer, profile_generic
from openami.cosem.push import PushSetup
from openami.cosem.time_event import Clock
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.columns import decode_profile
from openami.dlms.data import Array, Data, OctetString, Structure
from openami.dlms.errors import DecodeError
from openami.runtime.clock import to_us

MICROSECONDS: Final = 1_000_000


def _clock(clock: Clock, life: Life) -> None:
    def take(shown: Any) -> None:  # noqa: ANN401  a CosemDateTime
        zone = int(life.zone().time_zone or 0)
        life.host.clock.set_us(to_us(shown.to_utc(assume_deviation_minutes=zone)))

    clock.bind(Clock.time, lambda: life.shown(life.now_us()), take)


class _Capturing:
    """A profile that captures its columns each period."""

    def __init__(self, profile: ProfileGeneric, life: Life) -> None:
        self._profile = profile
        self._life = life
        self._columns = tuple(profile.capture_objects or ())
        self._buffer = MemoryBuffer(max(int(profile.values.get(8) or 0), 1000))
        self._fill(profile.values.get(2))
        profile_generic(profile, self._buffer)
        profile.bind_method(ProfileGeneric.reset, lambda _argument: self._buffer.clear())
        profile.bind_method(ProfileGeneric.capture, lambda _argument: self._capture_now())
        self._due_us = self._next(life.now_us())

    def _fill(self, held: Data) -> None:
        rows = list(held) if isinstance(held, Array) else []
        clock = next((n for n, c in enumerate(self._columns) if c.class_id == 8), None)
        times: list[int] = [0] * len(rows)
        if rows and clock is not None:
            try:
                found = decode_profile(
                    axdr_data.encode(Array(rows)),
                    clock_column=clock,
                    capture_period_s=self._period_s(),
                    assume_deviation_minutes=0,
                )
            except DecodeError:
                found = None
            if found is not None and found.times_us is not None:
                times = [int(us) for us in found.times_us]
        for time_us, row in zip(times, rows, strict=True):
            if isinstance(row, Structure):
                self._buffer.append(time_us, row)

    def _period_s(self) -> int:
        return int(self._profile.values.get(4) or 0)

    def _next(self, now_us: int) -> int | None:
        period_us = self._period_s() * MICROSECONDS
        return (now_us // period_us + 1) * period_us if period_us else None

    def due_us(self) -> int | None:
        return self._due_us

    def tick(self, now_us: int) -> None:
        if self._due_us is None or now_us < self._due_us:
            return
        period_us = self._period_s() * MICROSECONDS
        self._capture(now_us // period_us * period_us)
        self._due_us = self._next(now_us)

    def _capture_now(self) -> None:
        self._capture(self._life.now_us())

    def _capture(self, at_us: int) -> None:
        cells: list[Data] = []
        for column in self._columns:
            if column.class_id == Clock.class_id and column.attribute_id == 2:
                cells.append(OctetString(self._life.shown(at_us).encode()))
            else:
                cells.append(
                    self._life.read(column.class_id, column.instance_id, column.attribute_id)
                )
        self._buffer.append(at_us, Structure(cells))


def _push(setup: PushSetup, life: Life) -> None:
    sink = life.host.push(setup.values[1])

    def push(_argument: object) -> None:
        if sink is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        sink.push()

    setup.bind_method(PushSetup.push, push)


_ROWS: Final[tuple[tuple[int, tuple[int, ...], Callable[[Any, Life], object | None]], ...]] = (
    (7, (0, 1), _Capturing),
    (8, (0,), _clock),
    (40, (0, 1, 2, 3), _push),
)

TABLE: Final[Mapping[int, Behaviour]] = {
    class_id: Behaviour(class_id, versions, bind) for class_id, versions, bind in _ROWS
} | dict(BEHAVIOURS)
"""By class_id: what `bindings` has, and the stand-ins for the rest."""
