# SPDX-License-Identifier: Apache-2.0
"""Which losses of supply are one outage?  Told what is known, says what to do; no I/O, no clock.

A group is the meters of one transformer (where none is known, of one concentrator).  `judge` looks
at one group with losses that no outage has been found for:

===================================================  ===============================================
what is known                                        what to do
===================================================  ===============================================
the first loss is younger than `settle_s`            wait: further last gasps are under way
nobody has been asked                                ask a few neighbours; where all are lost, one
                                                     of these; below the quorum the lost ones, too
an answer is open                                    wait for it, a little longer than whoever
                                                     asks waits (`ask_timeout_s`)
a lost one answers                                   power is there: its loss is over, and none
                                                     where the meter did not tell of it itself
nobody else answered, and these are too few          ask as many again as were asked
lost and silent ones make the quorum                 an outage of the group; where no neighbour
                                                     answered, the rest is presumed dark
they do not                                          an outage of each lost meter by itself
===================================================  ===============================================

A meter that is merely detached is no evidence: only its concentrator's word says so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, NamedTuple

from openami.exchange.supply import DARK_PINGS, OPEN_PINGS, Evidence, PingState, Supply
from openami.headend.config import OutageSettings
from openami.runtime.clock import MICROSECONDS

GIVE_UP_S: Final = 2.0  # beyond the time for an answer: until silence is written down


class Asked(NamedTuple):
    """A question whether power is there."""

    state: PingState
    asked_real_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One transformer with losses.

    Attributes:
        meters: All that hang on it.
        losses: Of these, those that no greater outage has been found for, by meter.
        asked: The last question to each that was ever asked.
    """

    meters: frozenset[int]
    losses: Mapping[int, Supply]
    asked: Mapping[int, Asked]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be done; all empty: wait.

    Attributes:
        ask: Whom to ask.
        dark: Meters of an outage of the group, and why each is believed to be dark.
        single: Meters of which each has an outage of its own.
        over: Meters that sent a last gasp and answer: their loss is over.
        verified: Those that were asked and did not answer.
        sentence: Why, in words.
        until_real_us: Until when to wait where nobody tells anything before; 0: there is no wait.
    """

    ask: tuple[int, ...] = ()
    dark: Mapping[int, Evidence] = field(default_factory=dict)
    single: tuple[int, ...] = ()
    over: tuple[int, ...] = ()
    verified: frozenset[int] = frozenset()
    sentence: str = ""
    until_real_us: int = 0


def quorum(rules: OutageSettings, meters: int) -> int:
    """Return how many dark meters make an outage of a group of so many."""
    return min(meters, max(rules.quorum_least, ceil(rules.quorum_part * meters)))


def judge(group: Group, rules: OutageSettings, now_real_us: int) -> Verdict:
    """Say what the losses of a group are."""
    news = [loss for loss in group.losses.values() if loss.outage_id is None]
    first_us = min(loss.found_real_us for loss in news or group.losses.values())
    settled_us = first_us + round(rules.settle_s * MICROSECONDS)
    if now_real_us < settled_us and set(group.losses) != group.meters:
        return Verdict(until_real_us=settled_us)
    asked = {
        number: each
        for number, each in group.asked.items()
        if number in group.meters and each.asked_real_us >= first_us
    }
    timeout_us = round((rules.ask_timeout_s + GIVE_UP_S) * MICROSECONDS)
    if not asked:
        return Verdict(ask=_whom(group, rules))
    silences_us = [
        each.asked_real_us + timeout_us for each in asked.values() if each.state in OPEN_PINGS
    ]
    if any(until_us > now_real_us for until_us in silences_us):
        return Verdict(until_real_us=max(silences_us))
    return _found(group, rules, {number: each.state for number, each in asked.items()})


def _whom(group: Group, rules: OutageSettings) -> tuple[int, ...]:
    """Return whom to ask: neighbours from all over the group, or of the lost ones."""
    lost = set(group.losses)
    others = _spread(sorted(group.meters - lost), rules.ask_most)
    if not others:
        return tuple(sorted(lost)[-1:])
    if len(lost) < quorum(rules, len(group.meters)):
        others += _spread(sorted(lost), rules.ask_most)
    return tuple(sorted(others))


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    """Return up to `most` of a row of numbers, from its whole length."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[(2 * place + 1) * len(numbers) // (2 * most)] for place in range(most)]


def _found(group: Group, rules: OutageSettings, states: Mapping[int, PingState]) -> Verdict:
    lost = set(group.losses)
    answered = {number for number, state in states.items() if state is PingState.ANSWERED}
    silent = {number for number, state in states.items() if state in DARK_PINGS}
    # Who told itself that its supply was lost and is back may answer by now.
    over = {number for number in lost & answered if group.losses[number].is_lost}
    dark = (lost - over) | silent
    told = {number: group.losses[number].evidence for number in lost - over}
    sentence = _sentence(group, lost, states)
    if len(dark) < quorum(rules, len(group.meters)):
        others = sorted(group.meters - lost - set(states))
        if silent - lost and not answered - lost and others:
            return Verdict(ask=tuple(_spread(others, max(rules.ask_most, len(states)))))
        return Verdict(
            single=tuple(sorted(lost - over)),
            over=tuple(sorted(over)),
            verified=frozenset(silent),
            sentence=sentence,
        )
    why = dict.fromkeys(silent - lost, Evidence.SILENT) | told
    if answered <= lost:  # no neighbour says that it has power
        why = dict.fromkeys(group.meters - over, Evidence.PRESUMED) | why
    return Verdict(
        dark=dict(sorted(why.items())),
        over=tuple(sorted(over)),
        verified=frozenset(silent),
        sentence=sentence,
    )


def _sentence(group: Group, lost: Collection[int], states: Mapping[int, PingState]) -> str:
    counts = [
        f"{sum(state is wanted for state in states.values())} {words}"
        for wanted, words in (
            (PingState.SILENT, "did not answer"),
            (PingState.NO_VOLTAGE, "had no voltage"),
            (PingState.ANSWERED, "answered"),
            (PingState.NO_ROUTE, "could not be reached"),
        )
        if wanted in states.values()
    ]
    asked = f"{len(states)} asked: {', '.join(counts) or 'no answer in time'}"
    return f"{len(lost)} of {len(group.meters)} meters told of it; of {asked}"


class Branch(NamedTuple):
    """An open outage of a transformer, as its feeder sees it."""

    outage_id: int
    found_real_us: int
    parent_id: int | None


def judge_feeder(
    branches: Sequence[Branch], transformers: int, rules: OutageSettings
) -> tuple[int, ...]:
    """Return the outages that are one outage of their feeder; none where they are not."""
    if transformers < 2 or not branches:
        return ()
    newest_us = max(branch.found_real_us for branch in branches)
    window_us = rules.feeder_window_s * MICROSECONDS
    near = [each for each in branches if newest_us - each.found_real_us <= window_us]
    wanted = max(rules.feeder_least, ceil(rules.feeder_part * transformers))
    return tuple(branch.outage_id for branch in near) if len(near) >= wanted else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What becomes of an open outage whose meters come back; `ended_us` None: it stays open.

    Attributes:
        ended_us: When the last of those that came back did.
        left: Meters that did not, each with an outage of its own from now on.
    """

    ended_us: int | None = None
    left: tuple[int, ...] = ()


OPEN: Final = Ending()


class Return(NamedTuple):
    """When a meter of an outage came back, by the calendar and in real time; None: not yet."""

    returned_us: int | None
    returned_real_us: int | None


def judge_return(
    meters: Mapping[int, Return], rules: OutageSettings, group: int, now_real_us: int
) -> Ending:
    """Say whether an outage of `group` meters is over, and who is left behind."""
    back = [each.returned_us for each in meters.values() if each.returned_us is not None]
    left = tuple(sorted(number for number, each in meters.items() if each.returned_us is None))
    if not back:
        return OPEN
    if not left:
        return Ending(ended_us=max(back))
    news_us = max(each.returned_real_us or 0 for each in meters.values())
    settled = now_real_us - news_us >= rules.nested_after_s * MICROSECONDS
    if settled and len(left) < quorum(rules, group):
        return Ending(ended_us=max(back), left=left)
    return OPEN
