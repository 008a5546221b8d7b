# SPDX-License-Identifier: Apache-2.0
"""Register monitors and sensor managers: scripts when a value crosses thresholds.

Classes 21 (4.5.6) and 67 (4.5.11).  Values are looked at every `Host.poll_us`; what crosses and
comes back in between is not seen.  Scripts are local: a disconnect control that they move can be
reconnected by hand where its mode says so.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from openami.cosem.behaviour.crossing import Sides, as_number
from openami.cosem.behaviour.host import Life
from openami.cosem.classes.monitoring import SensorManager
from openami.cosem.classes.references import ATTRIBUTE_REFERENCE, AttributeReference
from openami.cosem.classes.tariff import Crossing, RegisterMonitor
from openami.cosem.classes.time_event import SCHEDULED_SCRIPT
from openami.cosem.kinds import ANY, KindError, array, structure
from openami.dlms.data import Data, FixedInteger, OctetString
from openami.dlms.obis import Obis

_THRESHOLDS: Final = array(ANY)
_ACTIONS: Final = array(structure(Crossing, SCHEDULED_SCRIPT, SCHEDULED_SCRIPT))


class Limits(NamedTuple):
    """Thresholds, and the action of each."""

    thresholds: Sequence[Data]
    actions: Sequence[Crossing]


def act(life: Life, at: Obis, sides: Sides, value: Data, limits: Limits) -> None:
    """Look at a value and run the scripts of what it crossed."""
    for crossed in sides.look(value, limits.thresholds):
        if crossed.number < len(limits.actions):
            action = limits.actions[crossed.number]
            script = action.action_up if crossed.upwards else action.action_down
            life.run(script, by=at, is_local=True)


class Monitor:
    """Serves one register monitor."""

    def __init__(self, row: RegisterMonitor, life: Life) -> None:
        self._row = row
        self._life = life
        self._sides = Sides()
        self._looked_us: int | None = None
        row.bind_sink(RegisterMonitor.thresholds, lambda _value: self._sides.forget())
        row.bind_sink(RegisterMonitor.monitored_value, lambda _value: self._sides.forget())

    def due_us(self) -> int | None:
        if not self._row.thresholds:
            return None
        return 0 if self._looked_us is None else self._looked_us + self._life.host.poll_us

    def tick(self, now_us: int) -> None:
        self._looked_us = now_us
        value = self._life.read(*self._row.monitored_value)
        at = self._row.logical_name
        act(self._life, at, self._sides, value, Limits(self._row.thresholds, self._row.actions))

    def state(self) -> tuple[bool | None, ...]:
        """Return on which side of each threshold the value was."""
        return self._sides.state()

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._sides.restore(state)


class Sensor:
    """Serves one sensor manager, whose raw value the host measures.

    What reset does is not checked twice: here the raw value returns to 0 and is captured.
    """

    def __init__(self, row: SensorManager, life: Life) -> None:
        self._row = row
        self._life = life
        self._raw, self._processed = Sides(), Sides()
        self._looked_us: int | None = None
        found = life.host.measured.source(row.class_id, row.logical_name, 7)
        if found is not None:
            row.bind(SensorManager.raw_value, found)
        row.bind_sink(SensorManager.raw_value_thresholds, lambda _value: self._raw.forget())
        row.bind_sink(
            SensorManager.processed_value_thresholds, lambda _value: self._processed.forget()
        )
        row.bind_method(SensorManager.reset, self._reset)

    def due_us(self) -> int | None:
        if not any(self._read(index, _THRESHOLDS.from_data) for index in (11, 14)):
            return None
        return 0 if self._looked_us is None else self._looked_us + self._life.host.poll_us

    def tick(self, now_us: int) -> None:
        self._looked_us = now_us
        life, at = self._life, self._row.logical_name
        raw = life.read(self._row.class_id, at, 7)
        if as_number(raw) is not None and 7 in self._row.sources:
            self._row.values[10] = OctetString(life.shown(now_us).encode())
        act(life, at, self._raw, raw, self._limits(11))
        reference = self._read(13, ATTRIBUTE_REFERENCE.from_data)
        if isinstance(reference, AttributeReference):
            act(life, at, self._processed, life.read(*reference), self._limits(14))

    def state(self) -> tuple[tuple[bool | None, ...], tuple[bool | None, ...]]:
        """Return the sides of the raw and of the processed value."""
        return self._raw.state(), self._processed.state()

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._raw.restore(state[0])
        self._processed.restore(state[1])

    def _limits(self, index: int) -> Limits:
        """Return thresholds, and the actions that stand in the next attribute."""
        return Limits(
            self._read(index, _THRESHOLDS.from_data) or (),
            self._read(index + 1, _ACTIONS.from_data) or (),
        )

    def _read(self, index: int, meaning: Any) -> Any:  # noqa: ANN401  of the kind that is asked for
        value = self._row.values.get(index)
        try:
            return None if value is None else meaning(value)
        except KindError:
            return None

    def _reset(self, _argument: int) -> None:
        held = self._row.values.get(7)
        if isinstance(held, FixedInteger):
            self._row.values[7] = type(held)(0)
        self._row.values[10] = OctetString(self._life.shown(self._life.now_us()).encode())


def bind_register_monitor(row: RegisterMonitor, life: Life) -> Monitor:
    """Bind a register monitor to the value it watches."""
    return Monitor(row, life)


def bind_sensor_manager(row: SensorManager, life: Life) -> Sensor:
    """Bind a sensor manager to the host's sensor."""
    return Sensor(row, life)
