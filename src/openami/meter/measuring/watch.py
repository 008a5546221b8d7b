# SPDX-License-Identifier: Apache-2.0
"""The watch over frames: which measures the rows of `rules` are given, and the log they fill.

Voltage events come from the RMS of each cycle, renewed each half-cycle, so that a sag of two cycles
is seen, with its depth and its length to half a cycle.  The other measures come once a frame.
Of thousands of meters only those are looked at whose measures are not harmless.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from openami.meter.measuring.chain import ChainConfig, Frame
from openami.meter.measuring.rules import MICROSECONDS, RULES, Detector, Event, Kind, Rule
from openami.meter.measuring.signal import PHASES, Floats

LOG_ENTRIES: Final = 1000
LEAST_NEUTRAL: Final = 0.1  # of In: below it no return current is missed
SEQUENCE_DEG: Final = 180.0  # L2 is 120° behind L1, or 240° when the sequence is reversed
PRESENT: Final = 0.5  # of the nominal voltage: a phase that counts for the sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """What the switches and sensors of one meter's case say."""

    terminal_cover_open: bool = False
    meter_cover_open: bool = False
    magnet_mt: float = 0.0


class Watch:
    """Turns frames into events.

    Args:
        config: The chain's.
        meters: How many there are.
        rules: The table; `with_feed_in` leaves out what only fits a home that generates nothing.
        entries: Of the log, at most; the oldest go first.
    """

    def __init__(
        self,
        config: ChainConfig,
        meters: int,
        rules: Sequence[Rule] = RULES,
        entries: int = LOG_ENTRIES,
    ) -> None:
        self._config = config
        self.log: deque[Event] = deque(maxlen=entries)
        self._of: dict[Kind, list[list[Detector]]] = {
            rule.kind: [
                [Detector(rule, meter, n + 1) for n in range(PHASES)]
                if rule.per_phase
                else [Detector(rule, meter)]
                for meter in range(meters)
            ]
            for rule in rules
        }

    def step(self, frame: Frame, start_us: int, tampering: Sequence[Tampering] = ()) -> list[Event]:
        """Look at a frame; return what happened, in order of time.

        Args:
            frame: The frame.
            start_us: Calendar time of the chain's first sample, microseconds.
            tampering: Of each meter; none if nothing is open.
        """
        found = [*self._voltages(frame, start_us), *self._slow(frame, start_us, tampering)]
        found.sort(key=lambda event: (event.at_us, event.meter, event.phase))
        self.log.extend(found)
        return found

    def active(self, meter: int) -> set[Kind]:
        """Return what is under way at a meter."""
        return {kind for kind, of in self._of.items() if any(each.active for each in of[meter])}

    def _at_us(self, start_us: int, sample: int) -> int:
        return start_us + sample * MICROSECONDS // self._config.sampling_hz

    def _voltages(self, frame: Frame, start_us: int) -> Iterator[Event]:
        half = self._config.half_cycle
        parts = frame.half_cycle_v / self._config.nominal_v
        times = [
            self._at_us(start_us, frame.first + half * (n + 1)) for n in range(parts.shape[-1])
        ]
        missing = 1 - parts
        for kind, measures in (
            (Kind.SAG, missing),
            (Kind.INTERRUPTION, missing),
            (Kind.SWELL, parts - 1),
            (Kind.POWER_FAILURE, missing.min(axis=1, keepdims=True)),
        ):
            yield from self._look(kind, measures, times)

    def _slow(self, frame: Frame, start_us: int, tampering: Sequence[Tampering]) -> Iterator[Event]:
        times = [self._at_us(start_us, frame.first + self._config.frame)]
        if tampering:
            for kind, said in (
                (Kind.TERMINAL_COVER, [float(each.terminal_cover_open) for each in tampering]),
                (Kind.METER_COVER, [float(each.meter_cover_open) for each in tampering]),
                (Kind.MAGNET, [each.magnet_mt for each in tampering]),
            ):
                yield from self._look(kind, np.array(said)[:, np.newaxis, np.newaxis], times)
        yield from self._look(Kind.NEUTRAL, self._neutral(frame), times)
        yield from self._look(Kind.PHASE_SEQUENCE, self._sequence(frame), times)
        fed = -frame.active_w[:, :PHASES] / (self._config.nominal_v * self._config.nominal_a)
        yield from self._look(
            Kind.REVERSE_CURRENT, fed.max(axis=1)[:, np.newaxis, np.newaxis], times
        )

    def _neutral(self, frame: Frame) -> Floats:
        """Return the part of the phases' sum that does not return, (m, 1, 1)."""
        currents = frame.spectrum.fundamental[:, PHASES:]
        expected = np.abs(currents[:, :PHASES].sum(axis=1))
        missing = np.abs(currents[:, :PHASES].sum(axis=1) - currents[:, PHASES])
        enough = expected >= LEAST_NEUTRAL * self._config.nominal_a
        part: Floats = np.where(enough, missing / np.where(enough, expected, 1), 0)
        return part[:, np.newaxis, np.newaxis]

    def _sequence(self, frame: Frame) -> Floats:
        """Return 1 where all phases are there and L2 leads L1, (m, 1, 1)."""
        there = (frame.voltage_v >= PRESENT * self._config.nominal_v).all(axis=1)
        reversed_ = there & (frame.voltage_angle_deg[:, 1] > SEQUENCE_DEG)
        return reversed_.astype(np.float64)[:, np.newaxis, np.newaxis]

    def _look(self, kind: Kind, measures: Floats, times: list[int]) -> Iterator[Event]:
        """Give measures, (m, phases or 1, times), to the detectors that they may move."""
        if kind not in self._of:
            return
        of = self._of[kind]
        lowest = of[0][0].rule.begins
        with np.errstate(invalid="ignore"):
            harmful = np.nanmax(measures, axis=-1, initial=-np.inf) >= lowest
        for meter, detectors in enumerate(of):
            for place, detector in enumerate(detectors):
                if detector.resting and not harmful[meter, place]:
                    continue
                for at_us, measure in zip(times, measures[meter, place].tolist(), strict=True):
                    event = None if np.isnan(measure) else detector.step(at_us, measure)
                    if event is not None:
                        yield event


def with_feed_in(rules: Sequence[Rule] = RULES) -> tuple[Rule, ...]:
    """Return the table for a meter of a home that may feed in: a reversed current is lawful."""
    return tuple(rule for rule in rules if rule.kind is not Kind.REVERSE_CURRENT)
