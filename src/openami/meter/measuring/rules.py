# SPDX-License-Identifier: Apache-2.0
"""Events as rows of a table: when one begins, when it ends, what it is called.  No I/O, no clock.

Each row watches one *measure*, a number that grows with the trouble: the part of the voltage that
is missing, the field of a magnet.  An event begins when the measure has been at `begins` or above
for `hold_s`, and ends when it has been below `ends` for `release_s`; `ends` is lower than
`begins`, so that a measure that wavers makes one event, not many.

The codes follow Dutch (D)SMR practice where it names the event; 234 to 239 are the manufacturer's,
ours.  Of a row for each phase the code is that of L1, the next ones are L2's and L3's.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

MICROSECONDS: Final = 1_000_000


class Kind(Enum):
    """What is watched."""

    SAG = "voltage sag"
    SWELL = "voltage swell"
    INTERRUPTION = "phase outage"
    POWER_FAILURE = "power failure"
    TERMINAL_COVER = "terminal cover removed"
    METER_COVER = "meter cover removed"
    MAGNET = "strong DC field"
    NEUTRAL = "neutral lost"
    PHASE_SEQUENCE = "phase sequence reversed"
    REVERSE_CURRENT = "current reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row.

    Attributes:
        kind: What is watched.
        measure: What the number is, in words.
        begins: At this measure or above.
        ends: Below this measure.
        hold_s: How long it must be so before it is an event.
        release_s: How long it must be over before the event is.
        code: Logged at the beginning; None where only the whole event is logged.
        end_code: Logged at the end; None where the event is over in silence.
        belongs_below: An event whose measure came to this belongs to a graver row, and is dropped.
        per_phase: Whether each phase is watched by itself.
    """

    kind: Kind
    measure: str
    begins: float
    ends: float
    hold_s: float = 0.0
    release_s: float = 0.0
    code: int | None = None
    end_code: int | None = None
    belongs_below: float = float("inf")
    per_phase: bool = False

    def __post_init__(self) -> None:
        if self.ends > self.begins:
            raise ValueError(
                f"{self.kind.value}: it ends at {self.ends}, above where it begins"
                f" ({self.begins}): it would never come to rest"
            )


INTERRUPTED: Final = 0.95
"""Part of the nominal voltage that is missing in an interruption."""

RULES: Final = (
    Rule(
        kind=Kind.SAG,
        measure="missing part of the nominal voltage",
        begins=0.10,
        ends=0.08,
        end_code=93,
        belongs_below=INTERRUPTED,
        per_phase=True,
    ),
    Rule(
        kind=Kind.SWELL,
        measure="excess over the nominal voltage, as a part of it",
        begins=0.10,
        ends=0.08,
        end_code=96,
        per_phase=True,
    ),
    Rule(
        kind=Kind.INTERRUPTION,
        measure="missing part of the nominal voltage",
        begins=INTERRUPTED,
        ends=INTERRUPTED - 0.02,
        code=86,
        end_code=90,
        per_phase=True,
    ),
    Rule(
        kind=Kind.POWER_FAILURE,
        measure="missing part of the nominal voltage in the best phase",
        begins=INTERRUPTED,
        ends=INTERRUPTED - 0.02,
        code=1,
        end_code=2,
    ),
    Rule(
        kind=Kind.TERMINAL_COVER,
        measure="1 while the switch is open",
        begins=1.0,
        ends=1.0,
        release_s=2.0,
        code=40,
        end_code=41,
    ),
    Rule(
        kind=Kind.METER_COVER,
        measure="1 while the switch is open",
        begins=1.0,
        ends=1.0,
        release_s=2.0,
        code=44,
        end_code=45,
    ),
    Rule(
        kind=Kind.MAGNET,
        measure="field at the sensor, mT",
        begins=30.0,
        ends=20.0,
        hold_s=1.0,
        release_s=5.0,
        code=42,
        end_code=43,
    ),
    Rule(
        kind=Kind.NEUTRAL,
        measure="part of the phases' sum that does not return",
        begins=0.5,
        ends=0.3,
        hold_s=5.0,
        release_s=5.0,
        code=234,
        end_code=235,
    ),
    Rule(
        kind=Kind.PHASE_SEQUENCE,
        measure="1 while L2 leads L1",
        begins=1.0,
        ends=1.0,
        hold_s=5.0,
        release_s=5.0,
        code=236,
        end_code=237,
    ),
    Rule(
        kind=Kind.REVERSE_CURRENT,
        measure="power fed in by the phase that feeds in most, as a part of Un·In",
        begins=0.02,
        ends=0.01,
        hold_s=5.0,
        release_s=5.0,
        code=238,
        end_code=239,
    ),
)
"""The thresholds of voltage events are those customary after IEC 61000-4-30; all of them, and the
others the more so, are settings, to be compared with what an operator asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the log.

    Attributes:
        at_us: When it is logged: at the beginning, or at the end.
        code: Event code.
        kind: What happened.
        meter: Index of the meter.
        phase: 1 to 3; 0 for the meter as a whole.
        began_us: When it began.
        worst: The highest measure since.
        duration_us: How long it took; None at its beginning.
    """

    at_us: int
    code: int
    kind: Kind
    meter: int
    phase: int
    began_us: int
    worst: float
    duration_us: int | None = None

    @property
    def over(self) -> bool:
        return self.duration_us is not None


class Detector:
    """One row of the table at work on one meter, or one of its phases.

    Args:
        rule: The row.
        meter: Index of the meter.
        phase: 1 to 3; 0 for the whole meter.
    """

    __slots__ = ("_active", "_began_us", "_since_us", "_worst", "meter", "phase", "rule")

    def __init__(self, rule: Rule, meter: int = 0, phase: int = 0) -> None:
        self.rule = rule
        self.meter = meter
        self.phase = phase
        self._active = False
        self._since_us: int | None = None  # when the measure changed sides
        self._began_us = 0
        self._worst = 0.0

    @property
    def active(self) -> bool:
        """Whether the event is under way."""
        return self._active

    @property
    def resting(self) -> bool:
        """Whether nothing is under way nor suspected: a harmless measure changes nothing."""
        return not self._active and self._since_us is None

    def step(self, at_us: int, measure: float) -> Event | None:
        """Take a measure; return what is to be logged."""
        rule = self.rule
        wrong = measure >= (rule.ends if self._active else rule.begins)
        if wrong == self._active:
            if self._active:
                self._worst = max(self._worst, measure)
            self._since_us = None
            return None
        if self._since_us is None:
            self._since_us = at_us
            if not self._active:
                self._worst = measure
        elif not self._active:
            self._worst = max(self._worst, measure)
        needed_s = rule.release_s if self._active else rule.hold_s
        if at_us - self._since_us < needed_s * MICROSECONDS:
            return None
        since_us, self._since_us = self._since_us, None
        return self._end(at_us, since_us) if self._active else self._begin(at_us, since_us)

    def _begin(self, at_us: int, since_us: int) -> Event | None:
        self._active, self._began_us = True, since_us
        return self._event(at_us, self.rule.code, None)

    def _end(self, at_us: int, since_us: int) -> Event | None:
        duration_us = since_us - self._began_us
        self._active = False
        if self._worst >= self.rule.belongs_below:
            return None
        return self._event(at_us, self.rule.end_code, duration_us)

    def _event(self, at_us: int, code: int | None, duration_us: int | None) -> Event | None:
        if code is None:
            return None
        return Event(
            at_us=at_us,
            code=code + max(self.phase - 1, 0) if self.rule.per_phase else code,
            kind=self.rule.kind,
            meter=self.meter,
            phase=self.phase,
            began_us=self._began_us,
            worst=self._worst,
            duration_us=duration_us,
        )
