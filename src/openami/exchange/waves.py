# SPDX-License-Identifier: Apache-2.0
"""The plan of a campaign: waves, canaries, rules that stop it, hours, and how often to try.

Whoever conducts a campaign hands `decide` how the open wave stands, and is told to wait, to open
the next wave, to stop, or that all is done.  Nothing here knows a clock: seconds are handed in.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, Final, Self

from openami.exchange.campaign import ENDED, MeterState, Reason
from openami.exchange.words import many

EXCUSED: Final = frozenset({Reason.UNREACHABLE, Reason.CANCELLED})
"""Failures that say nothing about the firmware."""

_SHARE: Final = re.compile(r"(\d+)|(\d+(?:\.\d+)?)\s*%")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


MOST_ROUNDS: Final = 9


class PlanError(ValueError):
    """A part of a plan that makes no sense; the sentence says which and what to write."""


@dataclass(frozen=True, slots=True)
class Share:
    """A number of meters, or a percentage of all of them."""

    count: int = 0
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5` or `10%`.

        Raises:
            PlanError: It is neither, or nobody.
        """
        found = _SHARE.fullmatch(text.strip())
        if found is None:
            raise PlanError(f"{text!r} is no number of meters: write 5, or 10%")
        made = cls(count=int(found[1] or 0), percent=float(found[2] or 0))
        if not (made.count or 0 < made.percent <= 100):
            raise PlanError(f"{text!r} is no wave: give 1 meter or more, or up to 100%")
        return made

    def of(self, total: int) -> int:
        """Return how many meters that is of `total`; one at least where there is any."""
        wanted = self.count or round(total * self.percent / 100)
        return min(total, max(1, wanted))

    def __str__(self) -> str:
        return str(self.count) if self.count else f"{self.percent:g}%"


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the local day; they may lie across midnight.  Both in seconds after midnight."""

    begins_s: int
    ends_s: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `22:00-05:00`.

        Raises:
            PlanError: It is something else, or never open.
        """
        begin, dash, end = text.partition("-")
        if not dash:
            raise PlanError(f"{text!r} is no window: write it as 22:00-05:00")
        made = cls(clock_s(begin), clock_s(end))
        if made.begins_s == made.ends_s:
            raise PlanError(f"the window {text} has no length: leave it out for the whole day")
        return made

    def is_open(self, local_s: int) -> bool:
        """Tell whether a second of the local day lies in it; its end does not."""
        if self.begins_s < self.ends_s:
            return self.begins_s <= local_s < self.ends_s
        return local_s >= self.begins_s or local_s < self.ends_s

    def __str__(self) -> str:
        return f"{clock_text(self.begins_s)}-{clock_text(self.ends_s)}"


def clock_s(text: str) -> int:
    """Return the seconds after midnight of `02:30`.

    Raises:
        PlanError: It is no time of the day.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise PlanError(f"{text!r} is no time of the day: write it as 02:30")
    return int(found[1]) * 3600 + int(found[2]) * 60


def clock_text(second: int) -> str:
    """Return a second of the day as `02:30`."""
    return f"{second // 3600:02}:{second // 60 % 60:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """What stops a campaign; each counts what came about since the last wave was opened."""

    failed_percent: float = 5.0  # of the meters that came to an end, unreachable ones aside
    failed_least: int = 1  # ... and so many at least
    reverted_most: int = 0
    in_doubt_most: int = 0  # silent after their activation, or contradicting themselves
    alarms_most: int = 0  # logged an alarm after their activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """How often a meter is tried.  Pauses in seconds, doubled each time."""

    first_s: float = 30.0
    most_s: float = 3600.0
    attempts_most: int = 12  # in a row that brought no new block
    octets_times: float = 3.0  # the most that is sent to a meter, in sizes of the image

    def pause_s(self, attempts: int) -> float:
        """Return how long to wait after so many attempts before."""
        return min(self.most_s, self.first_s * 2.0 ** min(attempts, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a campaign goes.

    Attributes:
        waves: Sizes; the first are the canaries.  Who is in none comes in a last wave.
        soak_s: Between the end of a wave and the next, in real seconds.
        silence_s: After its activation, until an unproven meter is in doubt; real seconds.
        window: In which something is transferred; the whole day without it.
        activate_s: Second of the local day at which images are started; at once without it.
        per_concentrator: Meters of a concentrator at a time.
        from_versions: What the meter may run now, as it shows it; anything if empty.
        shown_as: How a meter shows the release; as its version if empty.  It counts where a meter
            shows no hash of what it runs.
        rules: What stops it.
        tries: How often a meter is tried.
        broadcast: How often each block goes to the meters of a concentrator together before each of
            them is sent what it lacks; 0: all is sent to each alone.
    """

    waves: tuple[Share, ...] = (Share(count=1),)
    soak_s: float = 3600.0
    silence_s: float = 3600.0
    window: Window | None = None
    activate_s: int | None = None
    per_concentrator: int = 5
    from_versions: tuple[str, ...] = ()
    shown_as: str = ""
    rules: StopRules = field(default_factory=StopRules)
    tries: Tries = field(default_factory=Tries)
    broadcast: int = 0

    def __post_init__(self) -> None:
        if not self.waves:
            raise PlanError("a campaign has one wave at least: give its canaries, e.g. 1")
        numbers = (self.soak_s, self.silence_s, self.tries.first_s, self.tries.most_s)
        if min(numbers) < 0 or self.tries.attempts_most < 1 or self.tries.octets_times < 1:
            raise PlanError("times are 0 or more, attempts and sizes of the image 1 or more")
        if not 0 <= self.broadcast <= MOST_ROUNDS:
            raise PlanError(f"blocks are broadcast 0 to {MOST_ROUNDS} times, not {self.broadcast}")
        if self.per_concentrator < 1:
            raise PlanError("at a concentrator 1 meter at a time is the least")

    def as_dict(self) -> dict[str, Any]:
        """Return it in the types of JSON."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return told | {
            "waves": [str(share) for share in self.waves],
            "window": None if self.window is None else str(self.window),
            "activate_s": None if self.activate_s is None else clock_text(self.activate_s),
            "from_versions": list(self.from_versions),
            "rules": asdict(self.rules),
            "tries": asdict(self.tries),
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read what `as_dict` returned.

        Raises:
            PlanError: It is something else.
        """
        window, activate = told["window"], told["activate_s"]
        return cls(
            waves=tuple(map(Share.parse, told["waves"])),
            soak_s=float(told["soak_s"]),
            silence_s=float(told["silence_s"]),
            window=None if window is None else Window.parse(window),
            activate_s=None if activate is None else clock_s(activate),
            per_concentrator=int(told["per_concentrator"]),
            from_versions=tuple(map(str, told["from_versions"])),
            shown_as=str(told["shown_as"]),
            rules=StopRules(**told["rules"]),
            tries=Tries(**told["tries"]),
            broadcast=int(told.get("broadcast", 0)),  # plans of before know none
        )


def sizes(waves: Sequence[Share], total: int) -> list[int]:
    """Return how many meters are in each wave; shares are of all meters, and none is left out."""
    found, left = [], total
    for share in waves:
        if left:
            found.append(min(left, share.of(total)))
            left -= found[-1]
    return [*found, left] if left else found


def spread(meters: Iterable[tuple[int, Hashable]]) -> list[int]:
    """Return meters so that each beginning of the list has some of every group.

    Canaries that all hang on one concentrator, or are of one model, say nothing of the others.
    """
    ranks: dict[Hashable, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for number, (meter, group) in enumerate(meters):
        ranks[group] = ranks.get(group, 0) + 1
        ranked.append((ranks[group], number, meter))
    return [meter for _, _, meter in sorted(ranked)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the opened waves stand.

    Attributes:
        states: All their meters.
        judged: Those that the rules count: what came about since the last wave was opened, and
            since a person looked at it and went on.
        excused: Of `judged`, failures for reasons in `EXCUSED`.
        alarms: Meters that logged an alarm after their activation.
        quiet_s: Since anything last moved.
    """

    states: Mapping[MeterState, int]
    judged: Mapping[MeterState, int]
    excused: int = 0
    alarms: int = 0
    quiet_s: float = 0.0


class Next(Enum):
    """What is to be done with a campaign."""

    WAIT = "wait"
    STOP = "stop"
    OPEN = "open the next wave"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, and why."""

    next: Next
    why: str


def decide(plan: Plan, standing: Standing, waves_left: int) -> Decision:
    """Return what follows from how the open wave stands."""
    if broken := broken_rule(plan.rules, standing):
        return Decision(Next.STOP, broken)
    open_ = sum(n for state, n in standing.states.items() if state not in ENDED)
    doubtful = standing.states.get(MeterState.IN_DOUBT, 0)
    if open_ > doubtful:
        are = "is" if open_ == 1 else "are"
        return Decision(Next.WAIT, f"{many(open_)} of the wave {are} under way")
    if not waves_left:
        if doubtful:  # allowed by the rule; the campaign ends when they are known
            are = "is" if doubtful == 1 else "are"
            return Decision(Next.WAIT, f"{many(doubtful)} {are} in doubt")
        return Decision(Next.FINISH, "every meter has come to its end")
    if standing.quiet_s < plan.soak_s:
        left_s = plan.soak_s - standing.quiet_s
        return Decision(Next.WAIT, f"the wave is done and soaks for {left_s:.0f} s more")
    return Decision(Next.OPEN, "the wave is done and has soaked")


def broken_rule(rules: StopRules, standing: Standing) -> str:
    """Return which rule is broken, in a sentence; empty where all are kept."""
    judged = standing.judged
    failed = judged.get(MeterState.FAILED, 0) - standing.excused
    ended = sum(judged.get(state, 0) for state in ENDED - {MeterState.SKIPPED}) - standing.excused
    reverted, doubtful = (judged.get(s, 0) for s in (MeterState.REVERTED, MeterState.IN_DOUBT))
    for name, found, most in (
        ("reverted", reverted, rules.reverted_most),
        ("in doubt after their activation", doubtful, rules.in_doubt_most),
        ("with an alarm after their activation", standing.alarms, rules.alarms_most),
    ):
        if found > most:
            return f"{many(found)} {name}, {most} allowed"
    if failed >= max(1, rules.failed_least) and 100 * failed > rules.failed_percent * ended:
        share = f"{100 * failed / ended:.0f} %"
        return f"{many(failed)} of {ended} failed ({share}), {rules.failed_percent:g} % allowed"
    return ""
