# SPDX-License-Identifier: Apache-2.0
"""Transformers that fail together are an outage of their feeder (docs/outages.md, 4 and 5)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from openami.exchange.supply import Scope
from openami.headend.grouping import Branch, judge_feeder, quorum
from openami.headend.sitting import LOOK_AGAIN_US, Sitting
from openami.store import outages, topology
from openami.store.outages import Outage


def join_feeders(sitting: Sitting, transformers: Collection[str]) -> None:
    """Make outages of transformers, and of those beside them, part of one of their feeder."""
    connection = sitting.connection
    feeders = set(topology.feeder_of(connection, transformers).values())
    all_of = topology.of_feeders(connection, feeders)
    at = outages.open_at(connection, Scope.TRANSFORMER, set().union(*all_of.values()))
    trunks = outages.open_at(connection, Scope.FEEDER, feeders)
    adopted: dict[int, list[Outage]] = {}
    begun: list[Outage] = []
    parts: list[list[Outage]] = []
    early: list[Outage] = []
    for feeder in sorted(feeders):
        own = (at[name] for name in all_of[feeder] if name in at)
        loose = sorted(
            (each for each in own if each.parent_id is None), key=lambda each: each.outage_id
        )
        if (trunk := trunks.get(feeder)) is not None:
            adopted[trunk.outage_id] = [e for e in loose if e.began_us <= sitting.now_us]
            early += [each for each in loose if each.began_us > sitting.now_us]
            continue
        rows = [Branch(each.outage_id, each.found_real_us, each.parent_id) for each in loose]
        together = set(judge_feeder(rows, len(all_of[feeder]), sitting.rules))
        if together:
            parts.append([each for each in loose if each.outage_id in together])
            begun.append(_trunk(sitting, feeder, parts[-1], len(all_of[feeder])))
    numbers = sitting.begin([(outage, ()) for outage in begun])
    adopted |= dict(zip(numbers, parts, strict=True))
    _adopt(sitting, adopted)
    # By its meters' clocks it has not begun yet.
    later_us = sitting.now_real_us + LOOK_AGAIN_US
    sitting.looks |= {each.outage_id: later_us for each in early}


def _trunk(sitting: Sitting, feeder: str, parts: Sequence[Outage], transformers: int) -> Outage:
    return Outage(
        scope=Scope.FEEDER,
        place=feeder,
        region=parts[0].region,
        began_us=min(each.began_us for each in parts),
        found_real_us=sitting.now_real_us,
        verified=any(each.verified for each in parts),
        sentence=f"{len(parts)} of {transformers} transformers failed together",
    )


def _adopt(sitting: Sitting, adopted: dict[int, list[Outage]]) -> None:
    outages.adopt(
        sitting.connection,
        {each.outage_id: parent for parent, parts in adopted.items() for each in parts},
    )
    for parent_id, parts in adopted.items():
        if parts:
            sitting.note(parent_id, "with " + ", ".join(each.place for each in parts))


def judge_trunks(sitting: Sitting, trunks: Iterable[Outage]) -> None:
    """A feeder's outage is over when too few of its transformers are out for one."""
    known = {trunk.outage_id: trunk for trunk in trunks}
    parts = outages.parts_of(sitting.connection, known)
    counts = topology.count_transformers(
        sitting.connection, [trunk.place for trunk in known.values()]
    )
    rules = replace(
        sitting.rules,
        quorum_part=sitting.rules.feeder_part,
        quorum_least=sitting.rules.feeder_least,
    )
    ended: dict[int, int] = {}
    for number, trunk in known.items():
        open_parts = [each for each in parts[number] if each.ended_us is None]
        over = [each.ended_us for each in parts[number] if each.ended_us is not None]
        if over and len(open_parts) < quorum(rules, counts.get(trunk.place, 0)):
            still = ", ".join(each.place for each in open_parts)
            rest = f"; still out: {still}" if still else ""
            ended[number] = max(over)
            sentence = f"{len(over)} of {len(parts[number])} transformers back{rest}"
            sitting.note(number, sentence)
    outages.end_all(sitting.connection, ended, sitting.now_real_us)
    sitting.looks |= dict.fromkeys(known)
