# SPDX-License-Identifier: Apache-2.0
"""Which places are judged in one sitting: whole ones, those first that tell most.

A place is a transformer, or the area of a concentrator for meters of which no transformer is known.
Transformers of one feeder come together as far as there is room, so that its outage is found whole.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openami.exchange.supply import Scope
from openami.headend.directory import Directory
from openami.headend.sitting import Sitting
from openami.store import supply_work, topology
from openami.store.registry import UnknownMeterError

Key = tuple[Scope, str]

MOST_OVER: Final = 2
"""How many times the wanted number a feeder may make of it before it is cut between places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is judged now.

    Attributes:
        meters: All meters of each place.
        waits: Of places that wait already: meters with a loss, and when it is looked at.
        homeless: Meters with a loss that the registry does not have.
        unheard: Meters whose answers are for a place that is left for the next sitting.
        more: Whether places were left.
    """

    meters: Mapping[Key, frozenset[int]]
    waits: Mapping[int, int]
    homeless: Sequence[int]
    unheard: Collection[int]
    more: bool


def choose(
    sitting: Sitting,
    directory: Directory,
    losses: Collection[int],
    answered: Collection[int],
    most: int,
) -> Chosen:
    """Choose places for one sitting.

    Args:
        sitting: This one.
        directory: The meters.
        losses: Meters with a loss that is to be judged.
        answered: Meters whose answer has come: their places need not wait any longer.
        most: How many losses, about.
    """
    connection, now_us = sitting.connection, sitting.now_real_us
    hangs = topology.places(connection, {*losses, *answered})
    homeless: list[int] = []
    keys: dict[int, Key] = {}
    feeders: dict[str, str] = {}  # by transformer
    areas: dict[Key, bytes] = {}
    for meter_id in {*losses, *answered}:
        place = hangs.get(meter_id)
        if place is not None:
            keys[meter_id] = (Scope.TRANSFORMER, place.transformer)
            feeders[place.transformer] = place.feeder
        elif (concentrator := _concentrator(directory, meter_id)) is not None:
            keys[meter_id] = (Scope.AREA, directory.place(concentrator))
            areas[keys[meter_id]] = concentrator
        else:
            homeless.append(meter_id)
    standings = supply_work.standings(connection, feeders, now_us)
    of_areas = supply_work.standings_of_areas(connection, set(areas.values()), now_us)
    known: dict[Key, supply_work.Standing] = {
        (Scope.TRANSFORMER, name): each for name, each in standings.items()
    } | {key: of_areas[title] for key, title in areas.items() if title in of_areas}
    woken = frozenset(keys[each] for each in answered if each in keys)
    resting = {
        key: each.later_us
        for key, each in known.items()
        if each.later_us is not None and key not in woken and each.losses < each.meters
    }
    counts = {key: each.losses for key, each in known.items() if key not in resting and each.losses}
    branches = {key: feeders.get(key[1], key[1]) for key in counts}
    chosen = _choose(counts, branches, woken, most)
    left = counts.keys() - chosen
    under = topology.under(connection, [key[1] for key in chosen if key not in areas])
    carried = supply_work.in_areas(connection, [areas[key] for key in chosen if key in areas])
    return Chosen(
        meters={key: carried[areas[key]] if key in areas else under[key[1]] for key in chosen},
        waits={
            meter_id: resting[keys[meter_id]]
            for meter_id in losses
            if keys.get(meter_id) in resting
        },
        homeless=homeless,
        unheard={meter_id for meter_id in answered if keys.get(meter_id) in left},
        more=bool(left),
    )


def _concentrator(directory: Directory, meter_id: int) -> bytes | None:
    try:
        return directory.by_id(meter_id).concentrator
    except UnknownMeterError:
        return None


def _choose(
    counts: Mapping[Key, int], feeders: Mapping[Key, str], woken: frozenset[Key], most: int
) -> list[Key]:
    """Return places, those of the feeder first that tell most."""
    branches: dict[str, list[Key]] = defaultdict(list)
    for key in counts:
        branches[feeders[key]].append(key)

    def weight(name: str) -> tuple[bool, int, str]:
        own = branches[name]
        return woken.isdisjoint(own), -sum(counts[key] for key in own), name

    chosen: list[Key] = []
    taken = 0
    for name in sorted(branches, key=weight):
        if taken >= most:
            break
        for key in sorted(branches[name], key=lambda key: (key not in woken, -counts[key], key)):
            if taken >= MOST_OVER * most:
                break
            chosen.append(key)
            taken += counts[key]
    return chosen
