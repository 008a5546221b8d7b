# SPDX-License-Identifier: Apache-2.0
"""The front end of a running meter: samples what is at the terminals now, and watches over it.

It measures in real time, whatever the calendar's speed: a sag takes as long as it takes.  The
energy that it counts is nobody's: registers and intervals come from the replayed load (`metrology`,
`measured_load`), of which `supply` says how much flows as the terminals stand.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from openami.meter.measuring.accuracy import Bench
from openami.meter.measuring.adc import together
from openami.meter.measuring.chain import Chain, Frame
from openami.meter.measuring.rules import Event
from openami.meter.measuring.selftest import Status, self_test
from openami.meter.measuring.terminals import Terminals
from openami.meter.measuring.watch import Watch
from openami.meter.metrology import Momentary

LEAST_SUPPLY_V: Final = 0.1 * 230.0  # in one phase: above what ends a power failure
MOST_FRAMES: Final = 5  # at once: what a late host missed longer ago was not sampled


class FrontEnd:
    """A calibrated front end with its chain and watch.

    Attributes:
        status: Word of the last self-test.
    """

    def __init__(self, seed: int, now_s: float) -> None:
        """Calibrate a front end.

        Args:
            seed: Draws it.
            now_s: Monotonic time of the first sample.
        """
        bench = Bench(seed=seed)
        self._config = bench.config
        self._converter = bench.converter
        self._chain = Chain(bench.config, bench.calibration)
        self._watch = Watch(bench.config, 1)
        self._frames = 0
        self._due_s = now_s + self._config.frame_s
        self._last: Frame | None = None
        self.status = Status(0)

    def advance(self, now_s: float, shown: Momentary, terminals: Terminals) -> list[Event]:
        """Sample up to `now_s`; return what happened, in time since the first sample.

        Args:
            now_s: Monotonic time.
            shown: What flows, before the terminals are tampered with.
            terminals: How they are tampered with.
        """
        home = terminals.home(shown.power_w, shown.voltage_dv / 10, self._config.sampling_hz)
        found: list[Event] = []
        for first in self._due(now_s):
            samples = self._converter.sample(home, first, self._config.frame)
            for frame in self._chain.feed(together([samples])):
                self._last = frame
                found += self._watch.step(frame, 0, (terminals.tampering,))
                (self.status,) = self_test(
                    self._config, frame, self._chain.energy, watch=self._watch
                )
        return found

    @property
    def sees_supply(self) -> bool | None:
        """Whether the last frame had voltage in any phase; None before the first."""
        return None if self._last is None else bool((self._last.voltage_v > LEAST_SUPPLY_V).any())

    def measured(self, shown: Momentary) -> Momentary:
        """Return the momentary values with voltage and current of L1 as they were measured."""
        if self._last is None:
            return shown
        return replace(
            shown,
            voltage_dv=round(10 * float(self._last.voltage_v[0, 0])),
            current_ca=round(100 * float(self._last.current_a[0, 0])),
        )

    def _due(self, now_s: float) -> Iterator[int]:
        """Yield the first sample of each frame that is over."""
        frame_s = self._config.frame_s
        self._due_s = max(self._due_s, now_s - (MOST_FRAMES - 1) * frame_s)
        while self._due_s <= now_s:
            self._due_s += frame_s
            self._frames += 1
            yield (self._frames - 1) * self._config.frame
