# SPDX-License-Identifier: Apache-2.0
"""Who is without supply?  What the page of outages and its REST twin show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate
from typing import Final

from openami.exchange.reliability import Indices, Span, indices
from openami.exchange.supply import Evidence, Scope
from openami.store import outage_members, outages, supply, topology
from openami.store.outage_members import Member, Tally
from openami.store.outages import Outage, Step
from openami.web.context import Context
from openami.web.times import DAY_US, month_of

SHOWN_ENDED: Final = 20
MOST_FEEDERS: Final = 12
MOST_OPEN: Final = 50  # outages of the list, those with most meters in the dark first
MOST_PARTS: Final = 12  # transformers below a feeder, in the list and in the tree
MOST_MONTHS: Final = 50  # feeders of the table of reliability
MOST_STEPS: Final = 200  # of the history of one outage: the latest
MOST_DOTS: Final = 600  # meters of the tree; transformers beyond are told in words
STEPS: Final = 96  # of the line of a day
WIDTH: Final = 720
HEIGHT: Final = 120
SURE: Final = frozenset({Evidence.GASP, Evidence.TOLD, Evidence.SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An outage with its parts, and some of the meters in it and in them.

    Attributes:
        parts: The outages that are part of it.
        tally: How many meters are in all of them.
        members: By meter: those that were asked for.
        history: The latest steps.
        earlier_steps: How many there are before those.
    """

    outage: Outage
    parts: list[Outage]
    tally: Tally
    members: list[Member]
    history: list[Step]
    earlier_steps: int

    @property
    def back(self) -> int:
        return self.tally.meters - self.tally.dark


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An outage in a list: how many meters are in it and in its parts."""

    outage: Outage
    own: Tally
    parts: list["Row"]

    @property
    def meters(self) -> int:
        return self.own.meters + sum(part.meters for part in self.parts)

    @property
    def dark(self) -> int:
        return self.own.dark + sum(part.dark for part in self.parts)

    @property
    def back(self) -> int:
        return self.meters - self.dark

    @property
    def presumed(self) -> int:
        return self.own.presumed + sum(part.presumed for part in self.parts)

    @property
    def parts_shown(self) -> list["Row"]:
        return self.parts[:MOST_PARTS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A transformer of the tree."""

    name: str
    states: list[tuple[int, str]]  # meter and lit, dark or presumed
    out: bool
    dotted: bool = True  # each meter is a dot; else they are told in words

    @property
    def dark(self) -> int:
        return sum(state != "lit" for _, state in self.states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A feeder of the tree."""

    name: str
    leaves: list[Leaf]

    @property
    def leaves_shown(self) -> list[Leaf]:
        return sorted(self.leaves, key=lambda leaf: not leaf.dark)[:MOST_PARTS]

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

    open: list[Row]
    open_in_all: int
    unreachable: list[Outage]
    ended: list[Row]
    line: Line
    tree: list[Branch]
    other_feeders: int  # than those of the tree
    others_lit: bool  # all of their meters have supply, and others not
    dark: int
    meters: int
    month: date  # the first of the month that `months` tells of
    is_running: bool  # that month
    months: list[FeederMonth]  # of the worst feeders, where there are many
    feeders: int  # in all

    @property
    def earlier(self) -> str:
        """The month before, as addresses name it."""
        return f"{self.month - timedelta(days=1):%Y-%m}"

    @property
    def later(self) -> str:
        return f"{self.month + timedelta(days=31):%Y-%m}"


def state(context: Context, now_us: int, month: date | None = None) -> State:
    """Return the page's figures, with the reliability of a month, by default the running one.

    Where they cost much, those who look at the page share them for a while.
    """
    return context.outage_state.get(month, lambda: _state(context, now_us, month))


def _state(context: Context, now_us: int, month: date | None) -> State:
    running, _ = month_of(context.calendar.date_of(now_us))
    first, _ = month_of(month or running)
    engine = context.engine
    known = outages.open_outages(engine)
    power = [each for each in known if each.scope is not Scope.CONCENTRATOR]
    late = outages.ended(engine, limit=5 * SHOWN_ENDED)
    ended = [each for each in late if each.parent_id is None][:SHOWN_ENDED]
    ended_parts = [
        part
        for each in ended
        if each.scope is Scope.FEEDER
        for part in outages.parts(engine, each.outage_id)
    ]
    roots = _rows(context, power)
    customers = _customers(context)
    dark = supply.dark_feeders(engine, MOST_FEEDERS + 1)
    shown = (dark or list(customers))[:MOST_FEEDERS]
    places = topology.on_feeders(engine, shown)
    lost = supply.lost_on(engine, [place.meter_id for place in places])
    reliability = months(context, now_us, first)
    return State(
        open=sorted(roots, key=lambda row: (-row.dark, -row.outage.outage_id))[:MOST_OPEN],
        open_in_all=len(roots),
        unreachable=[each for each in known if each.scope is Scope.CONCENTRATOR],
        ended=_rows(context, [*ended, *ended_parts]),
        line=_line(context, now_us),
        tree=_tree(places, lost, {each.place for each in power}),
        other_feeders=max(0, len(customers) - len(shown)),
        others_lit=0 < len(dark) <= MOST_FEEDERS,
        dark=supply.count_lost(engine),
        meters=sum(customers.values()),
        month=first,
        is_running=first >= running,
        months=_worst(reliability),
        feeders=len(reliability),
    )


def _customers(context: Context) -> dict[str, int]:
    return context.customers.get(None, lambda: topology.count_customers(context.engine))


def _worst(reliability: Sequence[FeederMonth]) -> list[FeederMonth]:
    """Return what there is room for: by name, or those that were without supply longest."""
    if len(reliability) <= MOST_MONTHS:
        return list(reliability)
    return sorted(reliability, key=lambda each: -(each.indices.saidi_min or 0))[:MOST_MONTHS]


def _rows(context: Context, known: Sequence[Outage]) -> list[Row]:
    """Return those that are part of none of the others, with their parts."""
    ids = {each.outage_id for each in known}
    tallies = outage_members.tallies(context.engine, ids)
    below: dict[int, list[Outage]] = {}
    for each in known:
        if each.parent_id in ids and each.parent_id is not None:
            below.setdefault(each.parent_id, []).append(each)

    def row(outage: Outage) -> Row:
        number = outage.outage_id
        parts = [row(part) for part in below.get(number, [])]
        return Row(outage=outage, own=tallies.get(number, Tally()), parts=parts)

    return [row(each) for each in known if each.parent_id not in ids]


def one(
    context: Context, outage_id: int, *, limit: int, after: int = -1, skipped: int = 0
) -> Shown:
    """Return one outage and some of its meters, by number.

    Args:
        context: Of the pages.
        outage_id: Which.
        limit: How many meters.
        after: Only meters with a higher number are returned.
        skipped: How many of those are left out at the beginning.

    Raises:
        UnknownOutageError: There is none of that number.
    """
    engine = context.engine
    outage = outages.outage(engine, outage_id)
    parts = outages.parts(engine, outage_id) if outage.scope is Scope.FEEDER else []
    ids = [outage_id, *(part.outage_id for part in parts)]
    tallies = outage_members.tallies(engine, ids).values()
    history, earlier = outages.latest_history(engine, outage_id, limit=MOST_STEPS)
    return Shown(
        outage=outage,
        parts=parts,
        tally=Tally(sum(each.meters for each in tallies), sum(each.dark for each in tallies)),
        members=outage_members.page_of_members(
            engine, ids, limit=limit, after=after, skipped=skipped
        ),
        history=history,
        earlier_steps=earlier,
    )


def _tree(
    places: Iterable[topology.Place], lost: dict[int, Evidence], out: set[str]
) -> list[Branch]:
    """Return feeders as the page draws them."""
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
    return [_dotted(branch) for branch in branches]


def _dotted(branch: Branch) -> Branch:
    """Return a feeder whose transformers are dots as far as there is room for them."""
    room = MOST_DOTS // MOST_FEEDERS
    shown = []
    for leaf in branch.leaves:
        room -= len(leaf.states)
        shown.append(replace(leaf, dotted=room >= 0))
    return replace(branch, leaves=shown)


def _line(context: Context, now_us: int) -> Line:
    from_us, step_us = now_us - DAY_US, DAY_US // STEPS
    changes = [0] * (STEPS + 1)
    for span in outage_members.without_supply(context.engine, from_us, now_us):
        # In every step that it touches: from that in which it begins to that in which it ends.
        ends_us = now_us if span.returned_us is None else min(span.returned_us, now_us)
        first = max(0, span.lost_us - from_us) // step_us
        changes[first] += 1
        changes[max(first + 1, -(-(ends_us - from_us) // step_us))] -= 1
    counts = list(accumulate(changes[:STEPS]))
    most = max(1, *counts)
    points = []
    for n, number in enumerate(counts):
        y = HEIGHT - number * (HEIGHT - 8) / most
        points += [f"{n * WIDTH / STEPS:.1f},{y:.1f}", f"{(n + 1) * WIDTH / STEPS:.1f},{y:.1f}"]
    path = " ".join(points)
    area = f"0,{HEIGHT} {path} {WIDTH},{HEIGHT}"
    return Line(from_us=from_us, to_us=now_us, counts=counts, path=path, area=area)


def months(context: Context, now_us: int, month: date | None = None) -> list[FeederMonth]:
    """Return each feeder's indices of the local month of a day, by default that of `now_us`."""
    first, last = month_of(month or context.calendar.date_of(now_us))
    from_us, to_us = context.calendar.days(first, last)
    spans = outage_members.interruptions(context.engine, from_us, min(to_us, now_us + 1))
    places = topology.places(context.engine, {span.meter_id for span in spans})
    customers = _customers(context)
    by_feeder: dict[str, list[Span]] = {feeder: [] for feeder in customers}
    for span in spans:
        if span.meter_id in places and places[span.meter_id].feeder in customers:
            by_feeder[places[span.meter_id].feeder].append(span)
    return [
        FeederMonth(feeder=feeder, indices=indices(by_feeder[feeder], customers[feeder], now_us))
        for feeder in customers
    ]
