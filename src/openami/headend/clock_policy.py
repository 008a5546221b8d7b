# SPDX-License-Identifier: Apache-2.0
"""Which clocks are corrected, and how: a function of what was measured (docs/clocks.md, 2).

It reads no clock and no store.  `headend.clocks` hands it what was measured and asks for what it
says; the command measures once more before it moves anything (`clock_conduct`).

Limits of the shift: DLMS UA 1000-1 Ed. 12, 4.5.1 (-900 to 900 s).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from openami.dlms.datetimes import ClockStatus
from openami.headend.config import ClockSettings
from openami.runtime.clock import MICROSECONDS
from openami.store.clocks import Kept, Measured, Suspicion

HOUR_US: Final = 3600 * MICROSECONDS
ALIKE_S: Final = 2.0  # deviations are about the same when they differ by no more
ALIKE_PART: Final = 0.1  # ... or by no more than this part
DOUBTS: Final = ClockStatus.INVALID_VALUE | ClockStatus.DOUBTFUL_VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What is known of a meter beside its clock.

    Attributes:
        period_s: Of its load profile; intervals end on multiples of it.
        settable: Its clock may be moved.
    """

    period_s: int
    settable: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds from now on in which a clock may be moved: from `opens_s` for `lasts_s`."""

    opens_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A correction.

    Attributes:
        clock: Of which meter, as it was measured.
        action: `shift` or `set`.
        shift_s: Whole seconds; 0 with `set`.
        window: When it may be sent, calendar seconds from now.
        said: Why.
        notice: A person is to look at it all the same.
    """

    clock: Kept
    action: str
    shift_s: int
    window: Window
    said: str
    notice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A clock that nothing is asked for, and why; `notice` where a person is to look at it."""

    clock: Kept
    said: str
    notice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is under way.

    Attributes:
        open: Corrections that are asked for and have no end.
        last_hour: Corrections that were begun in the last hour.
        suspicions: Against head-ends, by name.
    """

    open: int = 0
    last_hour: int = 0
    suspicions: Mapping[str, Suspicion] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is to be done; a clock in neither list is looked at again.

    Attributes:
        asks: Corrections.
        left: Clocks that are not corrected.
        suspicions: Against head-ends, as they are from now on; those that changed.
    """

    asks: list[Ask]
    left: list[Left]
    suspicions: list[Suspicion]


def judge(  # noqa: PLR0913, PLR0917  all that it goes by
    clocks: Iterable[Kept],
    meters: Mapping[int, Meter],
    sample: Sequence[Measured],
    standing: Standing,
    policy: ClockSettings,
    now_us: int,
) -> Judgement:
    """Tell which clocks are corrected.

    Args:
        clocks: Of which nothing was made yet, oldest measurement first.
        meters: What is known of them; who is not in it is looked at again.
        sample: The newest measurements of all meters, none of them after a command.
        standing: What is under way.
        policy: The limits.
        now_us: The calendar.
    """
    suspicions = _suspicions(sample, standing.suspicions, policy, now_us)
    held = {**standing.suspicions, **{each.worker: each for each in suspicions}}
    room = min(policy.at_once - standing.open, policy.hourly_most - standing.last_hour)
    asks: list[Ask] = []
    left: list[Left] = []
    for clock in clocks:
        meter = meters.get(clock.meter_id)
        if meter is None or now_us - clock.measured_us < policy.settle_s * MICROSECONDS:
            continue
        suspicion = held.get(clock.worker, Suspicion(worker=clock.worker))
        if clock.measured_us <= suspicion.suspected_us and now_us >= suspicion.trusted_until_us:
            said = "measured while the head-end's own clock was suspected"
            left.append(Left(clock=clock, said=said))
            continue
        verdict = _verdict(clock, meter, policy, now_us)
        if isinstance(verdict, Left):
            left.append(verdict)
        elif len(asks) < room:
            asks.append(verdict)
    return Judgement(asks=asks, left=left, suspicions=suspicions)


def is_fine(deviation_s: float | None, uncertainty_s: float, policy: ClockSettings) -> bool:
    """Tell whether there is nothing to be made of a measurement."""
    if deviation_s is None or uncertainty_s > policy.uncertainty_most_s:
        return False
    return abs(deviation_s) - uncertainty_s < policy.shift_from_s


def _verdict(clock: Kept, meter: Meter, policy: ClockSettings, now_us: int) -> Ask | Left:
    """Judge one clock."""
    off_s = clock.deviation_s
    if off_s is None:
        said = "the clock tells no time: find out why, then set it with force"
        return Left(clock=clock, said=said, notice=True)
    if clock.uncertainty_s > policy.uncertainty_most_s:
        said = f"{off_s:+.1f} s off, known to \u00b1{clock.uncertainty_s:.0f} s only: left alone"
        return Left(clock=clock, said=said)
    drifts = _drifts(clock, policy)
    if is_fine(off_s, clock.uncertainty_s, policy):
        return Left(clock=clock, said=drifts, notice=bool(drifts))
    if refused := _refused(clock, off_s, meter, policy, now_us):
        return refused
    trusted = not (clock.status or 0) & DOUBTS
    # A shift leaves a doubtful time doubtful; what is set is told to be right.
    shifts = abs(off_s) <= policy.shift_most_s and trusted
    shift_s = -round(off_s) if shifts else 0
    margin_s = policy.guard_s + clock.uncertainty_s
    window = window_of(now_us, off_s, shift_s or -off_s, margin_s, meter.period_s)
    if window is None:
        said = f"{off_s:+.1f} s off: to correct it would take it over the end of an interval"
        return Left(clock=clock, said=said, notice=True)
    said = f"{off_s:+.1f} \u00b1 {clock.uncertainty_s:.1f} s off"
    return Ask(
        clock=clock,
        action="shift" if shifts else "set",
        shift_s=shift_s,
        window=window,
        said=f"{said}; {drifts}" if drifts else said,
        notice=bool(drifts),
    )


def _refused(
    clock: Kept, off_s: float, meter: Meter, policy: ClockSettings, now_us: int
) -> Left | None:
    """Return why a clock that is off is not corrected; None where it is."""
    limit_s = min(policy.set_most_s, meter.period_s)
    if now_us - clock.measured_us > policy.fresh_s * MICROSECONDS:
        said = f"{off_s:+.1f} s off, measured too long ago to be acted on"
        return Left(clock=clock, said=said)
    if not meter.settable:
        said = f"{off_s:+.1f} s off, and its companion profile says that it is not set from here"
    elif abs(off_s) > limit_s:
        said = f"{off_s:+.1f} s off, more than {limit_s:g} s: find out which of the two is wrong"
    elif clock.asked_us is not None and now_us - clock.asked_us < policy.between_s * MICROSECONDS:
        hours = (now_us - clock.asked_us) / HOUR_US
        said = f"{off_s:+.1f} s off though a correction was asked for {hours:.1f} h ago"
        return Left(clock=clock, said=said, notice=not clock.within)
    else:
        return None
    return Left(clock=clock, said=said, notice=True)


def _drifts(clock: Kept, policy: ClockSettings) -> str:
    """Return what is said of a clock that surely drifts too much; else nothing."""
    if clock.drift_s is None or clock.drift_uncertainty_s is None:
        return ""
    if abs(clock.drift_s) - clock.drift_uncertainty_s <= policy.drift_most_s:
        return ""
    return f"drifts {clock.drift_s:+.1f} s a day, more than {policy.drift_most_s:g}"


# The ends of intervals ----------------------------------------------------------------------------


def window_of(
    now_us: int, off_s: float, move_s: float, margin_s: float, period_s: int
) -> Window | None:
    """Return when a clock can be moved without being taken over the end of an interval.

    Args:
        now_us: The calendar.
        off_s: How far the clock is off.
        move_s: How far it is moved.
        margin_s: So far it stays away from ends, before and after.
        period_s: Of the intervals.

    Returns:
        None where it cannot.
    """
    first_s, last_s = _reach(off_s, move_s, margin_s)
    room_s = period_s - (last_s - first_s)
    if room_s <= 0:
        return None
    passed_s = (now_us / MICROSECONDS + first_s) % period_s
    if passed_s < room_s:
        return Window(0.0, room_s - passed_s)
    return Window(period_s - passed_s, room_s)


def keeps_interval(
    now_us: int, off_s: float, move_s: float, margin_s: float, period_s: int
) -> bool:
    """Tell whether a clock that is moved now stays in its interval, and away from its ends."""
    first_s, last_s = _reach(off_s, move_s, margin_s)
    now_s = now_us / MICROSECONDS
    return (now_s + first_s) // period_s == (now_s + last_s) // period_s


def _reach(off_s: float, move_s: float, margin_s: float) -> tuple[float, float]:
    """Return between which deviations a clock goes, with the margin on both sides."""
    after_s = off_s + move_s
    return min(off_s, after_s) - margin_s, max(off_s, after_s) + margin_s


# Is it us? ----------------------------------------------------------------------------------------


def _suspicions(
    sample: Sequence[Measured],
    known: Mapping[str, Suspicion],
    policy: ClockSettings,
    now_us: int,
) -> list[Suspicion]:
    """Return what is held against head-ends, where that changes."""
    found = []
    for worker in sorted({each.worker for each in sample}):
        before = known.get(worker, Suspicion(worker=worker))
        mine = [each for each in sample if each.worker == worker]
        sentence = "" if now_us < before.trusted_until_us else suspicion(mine, policy)
        # What was held against it a moment ago lasts a little.
        lasts = now_us - before.suspected_us <= policy.settle_s * MICROSECONDS
        if sentence or (before.sentence and not lasts):
            found.append(
                replace(
                    before,
                    suspected_us=now_us if sentence else before.suspected_us,
                    sentence=sentence,
                )
            )
    return found


def suspicion(sample: Sequence[Measured], policy: ClockSettings) -> str:
    """Return why the clock that measured these may be what is wrong; empty where nothing says so.

    A clock that jumps makes all meters wrong by about the same, from one measurement on.  So it is
    looked for such a one, after which more than a part are alike.

    Args:
        sample: Measured by one head-end, newest first.
        policy: The part, and of how many.
    """
    newest: dict[int, Measured] = {}
    for each in sample:
        newest.setdefault(each.meter_id, each)
    ordered = sorted(newest.values(), key=lambda each: -each.measured_us)
    least = max(3, min(policy.suspect_least, len(ordered)))
    wrong = [each for each in ordered if _is_wrong(each, policy)]
    for like in wrong[:least]:
        alike = 0
        for count, each in enumerate(ordered, start=1):
            alike += _is_wrong(each, policy) and _is_alike(each, like)
            if alike >= least and alike > policy.suspect_part * count:
                return (
                    f"{alike} of the last {count} meters are off by about {like.deviation_s:+.0f} s"
                )
    return ""


def _is_wrong(each: Measured, policy: ClockSettings) -> bool:
    if each.deviation_s is None:
        return False
    return abs(each.deviation_s) - each.uncertainty_s >= policy.suspect_from_s


def _is_alike(each: Measured, other: Measured) -> bool:
    one_s, other_s = each.deviation_s or 0.0, other.deviation_s or 0.0
    slack_s = max(ALIKE_S, ALIKE_PART * abs(other_s)) + each.uncertainty_s + other.uncertainty_s
    return one_s * other_s > 0 and abs(one_s - other_s) <= slack_s
