# SPDX-License-Identifier: Apache-2.0
"""Who is without supply?  What the page of outages and its REST twin show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from openami.exchange.reliability import Indices, Span, indices
from openami.exchange.supply import Evidence, Scope
from openami.store import outages, supply, topology
from openami.store.outages import Member, Outage, Step
from openami.web.context import Context
from openami.web.times import DAY_US, month_of

SHOWN_ENDED: Final = 20
MOST_FEEDERS: Final = 12
STEPS: Final = 96  # of the line of a day
WIDTH: Final = 720
HEIGHT: Final = 120
SURE: Final = frozenset({Evidence.GASP, Evidence.TOLD, Evidence.SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An outage with its meters and parts."""

    outage: Outage
    members: list[Member]
    parts: list["Shown"]
    history: list[Step]

    @property
    def all_members(self) -> list[Member]:
        """Its own meters, and those of its parts."""
        return [*self.members, *(each for part in self.parts for each in part.all_members)]

    @property
    def dark(self) -> int:
        return sum(member.returned_us is None for member in self.all_members)

    @property
    def back(self) -> int:
        return len(self.all_members) - self.dark

    @property
    def presumed(self) -> int:
        return sum(
            member.returned_us is None and member.evidence is Evidence.PRESUMED
            for member in self.all_members
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A transformer of the tree."""

    name: str
    states: list[tuple[int, str]]  # meter and lit, dark or presumed
    out: bool

    @property
    def dark(self) -> int:
        return sum(state != "lit" for _, state in self.states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A feeder of the tree."""

    name: str
    leaves: list[Leaf]

    @property
    def meters(self) -> int:
        return sum(len(leaf.states) for leaf in self.leaves)

    @property
    def dark(self) -> int:
        return sum(leaf.dark for leaf in self.leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Meters without supply over a day, as a line of steps."""

    from_us: int
    to_us: int
    counts: list[int]
    path: str
    area: str

    @property
    def most(self) -> int:
        return max(self.counts, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederMonth:
    """What a feeder's customers went through in a month."""

    feeder: str
    indices: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The page."""

    open: list[Shown]
    unreachable: list[Outage]
    ended: list[Shown]
    line: Line
    tree: list[Branch]
    quiet_feeders: int
    dark: int
    meters: int
    months: list[FeederMonth]


def state(context: Context, now_us: int) -> State:
    """Return the page's figures."""
    engine = context.engine
    known = outages.open_outages(engine)
    power = [each for each in known if each.scope is not Scope.CONCENTRATOR]
    open_ids = {each.outage_id for each in power}
    roots = [each for each in power if each.parent_id not in open_ids]
    ended = [each for each in outages.ended(engine, limit=SHOWN_ENDED) if each.parent_id is None]
    lost = {each.meter_id: each.evidence for each in supply.lost(engine)}
    places = topology.read(engine)
    tree, quiet = _tree(places.values(), lost, {each.place for each in power})
    return State(
        open=[_shown(context, each, power) for each in reversed(roots)],
        unreachable=[each for each in known if each.scope is Scope.CONCENTRATOR],
        ended=[_shown(context, each, []) for each in ended],
        line=_line(context, now_us),
        tree=tree,
        quiet_feeders=quiet,
        dark=len(lost),
        meters=len(places),
        months=months(context, now_us),
    )


def _shown(context: Context, outage: Outage, among: Sequence[Outage]) -> Shown:
    number = outage.outage_id
    parts = outages.parts(context.engine, number) if outage.scope is Scope.FEEDER else []
    below = [*parts, *(each for each in among if each.parent_id == number)]
    nested = {each.outage_id: each for each in below}
    return Shown(
        outage=outage,
        members=outages.members(context.engine, [number])[number],
        parts=[_shown(context, each, among) for each in nested.values()],
        history=outages.history(context.engine, number),
    )


def one(context: Context, outage_id: int) -> Shown:
    """Return one outage; raises `UnknownOutageError`."""
    return _shown(context, outages.outage(context.engine, outage_id), [])


def _tree(
    places: Iterable[topology.Place], lost: dict[int, Evidence], out: set[str]
) -> tuple[list[Branch], int]:
    """Return the feeders with something dark on them, and how many have nothing."""
    feeders: dict[str, dict[str, list[tuple[int, str]]]] = {}
    for place in places:
        evidence = lost.get(place.meter_id)
        shown = "lit" if evidence is None else "dark" if evidence in SURE else "presumed"
        leaves = feeders.setdefault(place.feeder, {})
        leaves.setdefault(place.transformer, []).append((place.meter_id, shown))
    branches = [
        Branch(
            name=feeder,
            leaves=[
                Leaf(name=name, states=sorted(states), out=name in out)
                for name, states in sorted(leaves.items())
            ],
        )
        for feeder, leaves in sorted(feeders.items())
    ]
    dark = [branch for branch in branches if branch.dark]
    shown_ones = (dark or branches)[:MOST_FEEDERS]
    return shown_ones, len(branches) - len(shown_ones)


def _line(context: Context, now_us: int) -> Line:
    from_us = now_us - DAY_US
    spans = outages.interruptions(context.engine, from_us - 30 * DAY_US, now_us + 1)
    step_us = DAY_US // STEPS
    counts = [
        sum(
            span.lost_us < from_us + (n + 1) * step_us
            and (span.returned_us is None or span.returned_us > from_us + n * step_us)
            for span in spans
        )
        for n in range(STEPS)
    ]
    most = max(1, *counts)
    points = []
    for n, number in enumerate(counts):
        y = HEIGHT - number * (HEIGHT - 8) / most
        points += [f"{n * WIDTH / STEPS:.1f},{y:.1f}", f"{(n + 1) * WIDTH / STEPS:.1f},{y:.1f}"]
    path = " ".join(points)
    area = f"0,{HEIGHT} {path} {WIDTH},{HEIGHT}"
    return Line(from_us=from_us, to_us=now_us, counts=counts, path=path, area=area)


def months(context: Context, now_us: int) -> list[FeederMonth]:
    """Return each feeder's indices of the local month of `now_us`."""
    today = context.calendar.date_of(now_us)
    first, _ = month_of(today)
    from_us = context.calendar.midnight_us(first)
    spans = outages.interruptions(context.engine, from_us, now_us + 1)
    places = topology.read(context.engine)
    customers: dict[str, int] = {}
    for place in places.values():
        customers[place.feeder] = customers.get(place.feeder, 0) + 1
    by_feeder: dict[str, list[Span]] = {feeder: [] for feeder in customers}
    for span in spans:
        if span.meter_id in places:
            by_feeder[places[span.meter_id].feeder].append(span)
    return [
        FeederMonth(feeder=feeder, indices=indices(by_feeder[feeder], customers[feeder], now_us))
        for feeder in sorted(customers)
    ]
