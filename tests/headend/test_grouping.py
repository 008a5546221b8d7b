# SPDX-License-Identifier: Apache-2.0
"""Which losses are one outage: the rules of `grouping`, case by case."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest

from openami.exchange.supply import Evidence, PingState, Supply
from openami.headend.config import OutageSettings
from openami.headend.grouping import (
    Asked,
    Branch,
    Group,
    Return,
    Verdict,
    judge,
    judge_feeder,
    judge_return,
    quorum,
)

RULES = OutageSettings()
S = 1_000_000
T0 = 1_000 * S  # the first loss is heard of
ANSWERED, SILENT, NO_VOLTAGE = PingState.ANSWERED, PingState.SILENT, PingState.NO_VOLTAGE
NO_ROUTE, OPEN = PingState.NO_ROUTE, PingState.ASKED
GASP, QUIET, PRESUMED, TOLD = Evidence.GASP, Evidence.SILENT, Evidence.PRESUMED, Evidence.TOLD


def loss(number: int, *, back: bool = False) -> Supply:
    return Supply(
        meter_id=number,
        lost_us=5,
        evidence=TOLD if back else GASP,
        found_real_us=T0 + number,
        returned_us=9 if back else None,
    )


NOBODY: Mapping[int, PingState] = MappingProxyType({})
NOTHING: Mapping[int, Evidence] = MappingProxyType({})


class Case(NamedTuple):
    """What is known of the ten meters 1 to 10 (or fewer), and what follows."""

    name: str
    lost: str  # numbers; with "b" they have told that they are back
    asked: Mapping[int, PingState] = NOBODY
    after_s: float = 10.0
    ask: tuple[int, ...] = ()
    dark: Mapping[int, Evidence] = NOTHING
    single: tuple[int, ...] = ()
    over: tuple[int, ...] = ()
    meters: int = 10


ALL = range(1, 11)
CASES = (
    Case("further gasps are waited for", "1 2 3 4 5", after_s=1.9),
    Case("nobody is waited for when all have gasped", "1 2 3 4 5 6 7 8 9 10", after_s=0, ask=(10,)),
    Case("neighbours from all over are asked", "1 2 3 4", after_s=2.1, ask=(6, 8, 10)),
    Case("a lonely one is asked itself, too", "4", after_s=2.1, ask=(2, 4, 6, 9)),
    Case("answers are waited for", "1 2 3 4", {6: OPEN, 8: SILENT, 10: SILENT}, 3.0),
    Case(
        "an answer that never comes is not waited for",
        "1 2 3 4",
        {6: OPEN, 8: SILENT, 10: SILENT},
        9.0,
        dark=dict.fromkeys(ALL, PRESUMED)
        | dict.fromkeys((1, 2, 3, 4), GASP)
        | {8: QUIET, 10: QUIET},
    ),
    Case(
        "silent neighbours confirm the transformer",
        "1 2 3 4",
        {6: SILENT, 8: SILENT, 10: NO_VOLTAGE},
        dark=dict.fromkeys(ALL, PRESUMED)
        | dict.fromkeys((1, 2, 3, 4), GASP)
        | dict.fromkeys((6, 8, 10), QUIET),
    ),
    Case(
        "one gasp of ten, and silence: the other gasps were lost",
        "4",
        {2: SILENT, 4: SILENT, 6: SILENT, 9: SILENT},
        dark=dict.fromkeys(ALL, PRESUMED) | dict.fromkeys((2, 6, 9), QUIET) | {4: GASP},
    ),
    Case(
        "one gasp, and the street has power: a fuse",
        "4",
        dict.fromkeys((2, 6, 9), ANSWERED) | {4: SILENT},
        single=(4,),
    ),
    Case("one gasp, and it answers: a dip", "4", dict.fromkeys((2, 4, 6, 9), ANSWERED), over=(4,)),
    Case(
        "half of it gasped, the rest has power: a phase",
        "1 2 3 4 5",
        dict.fromkeys((6, 8, 10), ANSWERED),
        dark=dict.fromkeys((1, 2, 3, 4, 5), GASP),
    ),
    Case(
        "all have gasped and the one that is asked is dark",
        "1 2 3 4 5 6 7 8 9 10",
        {10: NO_VOLTAGE},
        dark=dict.fromkeys(ALL, GASP),
    ),
    Case(
        "all have gasped and nobody can be asked: believed, not verified",
        "1 2 3 4 5 6 7 8 9 10",
        {10: NO_ROUTE},
        dark=dict.fromkeys(ALL, GASP),
    ),
    Case(
        "the one that is asked has its power back already",
        "1 2 3 4 5 6 7 8 9 10",
        {10: ANSWERED},
        dark=dict.fromkeys(range(1, 10), GASP),
        over=(10,),
    ),
    Case(
        "those that told of their return may answer",
        "1b 2b 3b 4b 5b 6b 7b 8b 9b 10b",
        {10: ANSWERED},
        dark=dict.fromkeys(ALL, TOLD),
    ),
    Case(
        "two lonely ones below the quorum",
        "2 7",
        {4: ANSWERED, 2: SILENT, 7: SILENT, 9: ANSWERED},
        single=(2, 7),
    ),
    Case(
        "silence all around, and too little of it: more are asked",
        "4",
        {2: SILENT, 4: SILENT, 9: NO_ROUTE},
        meters=20,
        ask=(5, 12, 18),
    ),
    Case(
        "a transformer of two needs both",
        "1",
        {2: SILENT, 1: SILENT},
        dark={1: GASP, 2: QUIET},
        meters=2,
    ),
    Case("a transformer of two with one lit", "1", {2: ANSWERED, 1: SILENT}, single=(1,), meters=2),
    Case("a transformer with one meter", "1", {1: SILENT}, dark={1: GASP}, meters=1),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case(case: Case) -> None:
    lost = [loss(int(word.strip("b")), back=word.endswith("b")) for word in case.lost.split()]
    group = Group(
        meters=frozenset(range(1, case.meters + 1)),
        losses={each.meter_id: each for each in lost},
        asked={number: Asked(state, T0 + 3 * S) for number, state in case.asked.items()},
    )
    verdict = judge(group, RULES, round(T0 + 1 + case.after_s * S))

    assert verdict.ask == case.ask
    assert verdict.dark == dict(sorted(case.dark.items()))
    assert verdict.single == case.single
    assert verdict.over == case.over
    silent = {n for n, state in case.asked.items() if state in {SILENT, NO_VOLTAGE}}
    assert verdict.verified == (silent if case.dark or case.single or case.over else frozenset())


def test_a_question_of_an_earlier_outage_says_nothing() -> None:
    group = Group(
        meters=frozenset(range(1, 11)),
        losses={number: loss(number) for number in (1, 2, 3, 4)},
        asked={6: Asked(ANSWERED, T0 - 60 * S)},
    )
    assert judge(group, RULES, T0 + 3 * S).ask == (6, 8, 10)


def test_a_detached_meter_is_no_loss() -> None:
    """Nothing in a group says `detached`: a verdict cannot hang on it."""
    assert set(Group.__slots__) == {"meters", "losses", "asked"}
    assert not Verdict().dark


@pytest.mark.parametrize(
    ("meters", "wanted"), [(1, 1), (2, 2), (3, 2), (7, 3), (10, 3), (11, 4), (200, 60)]
)
def test_the_quorum(meters: int, wanted: int) -> None:
    assert quorum(RULES, meters) == wanted


def branches(*found_s: float) -> list[Branch]:
    return [Branch(number, round(s * S), None) for number, s in enumerate(found_s, start=1)]


@pytest.mark.parametrize(
    ("found_s", "transformers", "together"),
    [
        ((0, 1), 4, (1, 2)),
        ((0,), 4, ()),  # one transformer is one transformer
        ((0,), 1, ()),  # a feeder with one transformer is that transformer
        ((0, 1), 5, ()),  # less than half of it
        ((0, 1, 2), 5, (1, 2, 3)),
        ((0, 7200), 4, ()),  # hours apart
        ((0, 7200, 7201), 4, (2, 3)),  # an old one is not part of it
    ],
)
def test_a_feeder(found_s: tuple[float, ...], transformers: int, together: tuple[int, ...]) -> None:
    assert judge_feeder(branches(*found_s), transformers, RULES) == together


def back(*moments_s: float | None) -> dict[int, Return]:
    return {
        number: Return(None, None) if s is None else Return(round(s * S), round(s * S))
        for number, s in enumerate(moments_s, start=1)
    }


@pytest.mark.parametrize(
    ("returns", "now_s", "ended_s", "left"),
    [
        (back(None, None), 100, None, ()),
        (back(5, 7, 6), 8, 7, ()),
        (back(5, 7, None), 8, None, ()),  # it may still come
        (back(5, 7, 5, 5, 5, 5, 5, 5, 5, None), 68, 7, (10,)),  # it will not
        (back(5, *[None] * 9), 1000, None, ()),  # one came back, the transformer did not
    ],
)
def test_an_ending(
    returns: dict[int, Return], now_s: float, ended_s: float | None, left: tuple[int, ...]
) -> None:
    ending = judge_return(returns, RULES, len(returns), round(now_s * S))
    assert ending.ended_us == (None if ended_s is None else round(ended_s * S))
    assert ending.left == left
