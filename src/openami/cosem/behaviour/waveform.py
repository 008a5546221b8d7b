# SPDX-License-Identifier: Apache-2.0
"""Measurement data monitoring: the samples around a trigger (class 66).

The host tells each sample; the object keeps the last of them, and when it is triggered takes as
many more as are asked for and shows all as one compact-array.  It captures only while the two
numbers of samples are not both 0.  The class is known from a single source: the numbers of the
status are a choice (`CaptureStatus`).
"""

import struct
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from openami.cosem.behaviour.host import Life
from openami.cosem.classes.data_tables import (
    MeasurementDataMonitoring,
    TriggerOrigin,
    TriggerSource,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import CompactArray, FixedInteger, Long


class CaptureStatus(IntEnum):
    """How far a capture has come; our own numbers."""

    IDLE = 0
    RUNNING = 1
    COMPLETE = 2


@dataclass(frozen=True, slots=True)
class WaveformState:
    """What of a capture outlives a restart; one that was running is lost."""

    description: bytes
    contents: bytes
    trigger_time: int
    origin: int
    cause: int
    status: int


class Waveform:
    """Serves one object of measurement data monitoring."""

    def __init__(self, row: MeasurementDataMonitoring, life: Life) -> None:
        self._row = row
        self._life = life
        for index in (6, 7, 8):
            row.values.setdefault(index, 0)
        self._before: deque[FixedInteger] = deque()
        self._taken: list[FixedInteger] = []
        self._clear()
        row.bind_method(MeasurementDataMonitoring.reset, lambda _argument: self._clear())
        row.bind_method(MeasurementDataMonitoring.trigger, lambda _argument: self.trigger())

    def sample(self, value: FixedInteger) -> None:
        """Take the next sample; all are of one type."""
        before, after = self._sizes()
        if self._row.status == CaptureStatus.RUNNING:
            self._taken.append(value)
            if len(self._taken) >= self._start + after:
                self._complete()
            return
        self._before.append(value)
        while len(self._before) > before:
            self._before.popleft()

    def trigger(self, cause: int = 0) -> None:
        """Begin a capture; by a script of the device's own it is a local one.

        Raises:
            Refused: No samples are asked for, or a capture is running.
        """
        _, after = self._sizes()
        if self._row.status == CaptureStatus.RUNNING:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        if not sum(self._sizes()):
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        origin = TriggerOrigin.LOCAL_SCRIPT if self._life.depth else TriggerOrigin.REMOTE
        self._taken = list(self._before)
        self._start = len(self._taken)
        self._before.clear()
        self._row.trigger_time = self._life.now_us()
        self._row.trigger_source = TriggerSource(origin, cause)
        self._row.status = CaptureStatus.RUNNING
        if not after:
            self._complete()

    def state(self) -> WaveformState:
        data = self._shown
        running = self._row.status == CaptureStatus.RUNNING
        return WaveformState(
            data.type_description,
            data.contents,
            self._row.trigger_time,
            *self._row.trigger_source,
            CaptureStatus.IDLE if running else self._row.status,
        )

    def restore(self, state: Any) -> None:  # noqa: ANN401  a WaveformState
        self._show(CompactArray(state.description, state.contents))
        self._row.trigger_time = state.trigger_time
        self._row.trigger_source = TriggerSource(state.origin, state.cause)
        self._row.status = state.status

    def _sizes(self) -> tuple[int, int]:
        row = self._row
        return row.number_of_samples_before_trigger, row.number_of_samples_after_trigger

    def _show(self, data: CompactArray) -> None:
        self._shown = data
        self._row.waveform_data = data

    def _complete(self) -> None:
        self._show(samples(self._taken))
        self._row.status = CaptureStatus.COMPLETE

    def _clear(self) -> None:
        self._before.clear()
        self._taken = []
        self._start = 0
        self._show(samples([]))
        self._row.trigger_time = 0
        self._row.trigger_source = TriggerSource(TriggerOrigin.REMOTE, 0)
        self._row.status = CaptureStatus.IDLE


def samples(values: list[FixedInteger]) -> CompactArray:
    """Return samples as a compact-array of their type; of no samples, of long."""
    kind = type(values[0]) if values else Long
    packed = b"".join(struct.pack(kind.FORMAT, value) for value in values)
    return CompactArray(bytes((kind.TAG,)), packed)


def bind_measurement_data_monitoring(row: MeasurementDataMonitoring, life: Life) -> Waveform:
    """Bind an object of measurement data monitoring; the host tells its samples."""
    return Waveform(row, life)
