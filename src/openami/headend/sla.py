# SPDX-License-Identifier: Apache-2.0
"""Service levels as rules: how much of what is due must be there how soon, and what it costs else.

A rule speaks of one kind of data.  Each thing that is due, an interval's value or a command, is
counted from a moment (`Start`) and is on time when it is done within the deadline; a window, a
local day or month, keeps the level when at least `percent` of what was due in it is on time.
Nothing here reads a clock or a table: observations are handed in, by `slaobserved` from what
happened or by `slastudy` from a model of the bearers.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from openami.runtime.clock import MICROSECONDS
from openami.runtime.config import ConfigFile, Table
from openami.runtime.errors import ConfigurationError

REMEDY: Final = "correct it; `openami headend sla rules` shows rules that hold"
OBSERVATIONS: Final = pl.Schema(
    {"meter_id": pl.Int32(), "region": pl.String(), "from_us": pl.Int64(), "done_us": pl.Int64()}
)
"""What is due: whose, since when (UTC), and when it was done; null while it is not."""
HOUR_S: Final = 3600.0
MOST_HOURS: Final = 87_660.0  # ten years


class Data(Enum):
    """Kinds of data."""

    INTERVAL = "interval"  # values of the load profile, channel 1
    READ = "read"  # on-demand reads
    SWITCH = "switch"  # connect and disconnect
    EVENT = "event"  # entries of the meters' event logs


class Start(Enum):
    """What a deadline is counted from."""

    MOMENT = "moment"  # end of the interval, or when it was asked for, or the event's time
    DAY = "day"  # the local midnight that ends the day of that moment


class Window(Enum):
    """What a level is kept over."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """What a window costs that does not keep the level: so much for each point below, at most."""

    each_point: float = 0.0
    most: float = math.inf
    unit: str = ""

    def of(self, short_points: Fraction) -> float:
        """Return the penalty for so many percentage points, begun ones counted whole."""
        return min(self.most, self.each_point * math.ceil(short_points))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A time that does not count, such as a storm or agreed maintenance."""

    begins_us: int
    ends_us: int
    regions: tuple[str, ...]  # none: all
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A service level.

    Attributes:
        name: In the file and in reports.
        title: For people.
        data: Which kind of data.
        percent: Share of what is due that must be on time.
        within_s: The deadline.
        start: What it is counted from.
        window: What the share is taken over.
        regions: Whose meters; none for all.
        concentrators: System titles in upper-case hex; whose meters; none for all.
        models: What logical device names begin with; whose meters; none for all.
        penalty: What a window below the level costs.
        source: Where the numbers come from.
        illustrative: They were not checked against that source.
    """

    name: str
    title: str
    data: Data
    percent: float
    within_s: float
    start: Start = Start.MOMENT
    window: Window = Window.DAY
    regions: tuple[str, ...] = ()
    concentrators: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    penalty: Penalty = field(default_factory=Penalty)
    source: str = ""
    illustrative: bool = False

    @property
    def whose(self) -> str:
        """Whom it is about, in words; empty for all meters."""
        named = (
            ("in", self.regions),
            ("behind", self.concentrators),
            ("of models", self.models),
        )
        return " ".join(f"{word} {', '.join(names)}" for word, names in named if names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a window came to.

    Attributes:
        begins: Of the window.
        due: What was due and not excluded, and whose deadline has passed or which is done.
        on_time: Of these.
        missing: Of these, not there at all.
        excluded: What was left out.
        reached_s: The time within which `percent` of what was due was done; None if never.
    """

    rule: Rule
    begins: date
    due: int
    on_time: int
    missing: int
    excluded: int
    reached_s: float | None

    @property
    def percent(self) -> float:
        return 100 * self.on_time / self.due if self.due else 100.0

    @property
    def kept(self) -> bool:
        return self.on_time >= share_of(self.due, self.rule.percent)

    @property
    def penalty(self) -> float:
        if self.kept:
            return 0.0
        return self.rule.penalty.of(
            _exact(self.rule.percent) - Fraction(100 * self.on_time, self.due)
        )


def share_of(due: int, percent: float) -> int:
    """Return how many of the due are so many percent, in whole things: 98 % of 50 are 49."""
    return math.ceil(due * _exact(percent) / 100)


def _exact(percent: float) -> Fraction:
    """Return what was written: 99.9 is no binary fraction, and of a million things that counts."""
    return Fraction(str(percent))


def read_rules(path: Path) -> tuple[tuple[Rule, ...], tuple[Exclusion, ...]]:
    """Read rules, a table each; tables named ``exclusion-…`` say which times do not count.

    Raises:
        ConfigurationError: The file cannot be read, or says something wrong.
    """
    file = ConfigFile(path, REMEDY)
    rules: list[Rule] = []
    exclusions: list[Exclusion] = []
    for name in file.names:
        table = file.table(name)
        if name.startswith("exclusion-"):
            exclusions.append(_exclusion(table))
        else:
            rules.append(_rule(name, table))
    file.refuse_unknown()
    if not rules:
        raise ConfigurationError(
            f"{path} has no rule, and what nobody asks is always kept: {REMEDY}"
        )
    return tuple(rules), tuple(exclusions)


def first_day(rule: Rule, day: date) -> date:
    """Return the day with which the window of a day begins."""
    return day if rule.window is Window.DAY else day.replace(day=1)


def begun_since(rule: Rule, observations: pl.DataFrame, since_us: int) -> pl.DataFrame:
    """Return what belongs to windows that begin at a local midnight or later."""
    # An interval that ends at midnight belongs to the day before.
    edge = pl.col("from_us") - (1 if rule.data is Data.INTERVAL else 0)
    return observations.filter(edge >= since_us)


def levels(
    rule: Rule,
    observations: pl.DataFrame,
    *,
    zone: ZoneInfo,
    now_us: int,
    exclusions: Sequence[Exclusion] = (),
) -> list[Level]:
    """Return what each window came to, oldest first.

    Args:
        rule: The level.
        observations: In the columns of `OBSERVATIONS`.
        zone: Of local days.
        now_us: What is neither done nor past its deadline by then does not count yet.
        exclusions: Times that do not count, by the moment that is counted from.
    """
    mine = observations
    if rule.regions:
        mine = mine.filter(pl.col("region").is_in(rule.regions))
    local = pl.from_epoch("from_us", time_unit="us").dt.replace_time_zone("UTC")
    local = local.dt.convert_time_zone(zone.key)
    every = "1d" if rule.window is Window.DAY else "1mo"
    # An interval that ends at midnight belongs to the day before.
    ended = pl.from_epoch(pl.col("from_us") - 1, time_unit="us").dt.replace_time_zone("UTC")
    ended = ended.dt.convert_time_zone(zone.key)
    start_us = pl.col("from_us")
    if rule.start is Start.DAY:
        # Not by the data frame's own zones: they refuse a midnight that summer time skips.
        ends = mine.select(ended.dt.date().alias("day"))["day"].unique()
        midnights = {day: local_day_us(day + timedelta(days=1), zone) for day in ends}
        start_us = ended.dt.date().replace_strict(midnights, return_dtype=pl.Int64)
    mine = mine.with_columns(
        (ended if rule.data is Data.INTERVAL else local).dt.date().dt.truncate(every).alias("at"),
        start_us.alias("start_us"),
        _is_excluded(exclusions).alias("excluded"),
    ).with_columns((pl.col("done_us") - pl.col("start_us")).alias("took_us"))
    within_us = round(rule.within_s * MICROSECONDS)
    counted = pl.col("done_us").is_not_null() | (pl.col("start_us") + within_us <= now_us)
    due = counted & ~pl.col("excluded")
    windows = (
        mine.group_by("at")
        .agg(
            due.sum().alias("due"),
            (due & (pl.col("took_us") <= within_us)).sum().alias("on_time"),
            (due & pl.col("done_us").is_null()).sum().alias("missing"),
            pl.col("excluded").sum().alias("excluded_count"),
            pl.col("took_us").filter(due).sort(nulls_last=True).alias("took"),
        )
        .sort("at")
    )
    return [
        Level(
            rule=rule,
            begins=row["at"],
            due=row["due"],
            on_time=row["on_time"],
            missing=row["missing"],
            excluded=row["excluded_count"],
            reached_s=_reached_s(row["took"], rule.percent),
        )
        for row in windows.iter_rows(named=True)
        if row["due"] or row["excluded_count"]
    ]


def _reached_s(took_us: Sequence[int | None], percent: float) -> float | None:
    if not took_us:
        return None
    place = max(0, share_of(len(took_us), percent) - 1)
    found = took_us[place]
    return None if found is None else max(0.0, found / MICROSECONDS)


def _is_excluded(exclusions: Iterable[Exclusion]) -> pl.Expr:
    found = pl.lit(value=False)
    for each in exclusions:
        inside = pl.col("from_us").is_between(each.begins_us, each.ends_us, closed="left")
        if each.regions:
            inside &= pl.col("region").is_in(each.regions)
        found |= inside
    return found


def _rule(name: str, table: Table) -> Rule:
    percent = table.number("percent")
    if not 0 < percent <= 100:
        raise table.refused("percent", "above 0 and at most 100")
    within_h = table.number("within_h")
    if within_h > MOST_HOURS:
        raise table.refused("within_h", f"a number of at most {MOST_HOURS:g}")
    return Rule(
        name=name,
        title=table.text("title", name),
        data=table.parsed("data", Data, _one_of(Data)),
        percent=percent,
        within_s=within_h * HOUR_S,
        start=table.parsed("from", Start, _one_of(Start), Start.MOMENT.value),
        window=table.parsed("window", Window, _one_of(Window), Window.DAY.value),
        regions=tuple(table.texts("regions", [])),
        concentrators=tuple(_title(table, text) for text in table.texts("concentrators", [])),
        models=tuple(table.texts("models", [])),
        penalty=Penalty(
            each_point=table.number("penalty_each_point", 0.0),
            most=table.number("penalty_most", float(2**53)),
            unit=table.text("penalty_unit", ""),
        ),
        source=table.text("source", ""),
        illustrative=table.flag("illustrative", default=False),
    )


def _exclusion(table: Table) -> Exclusion:
    wanted = "a time with its offset such as 2026-03-01T06:00:00+11:00"
    begins, ends = (table.moment_us(key, wanted) for key in ("begins", "ends"))
    if ends <= begins:
        raise table.refused("ends", "later than begins")
    regions = tuple(table.texts("regions", []))
    reason = table.text("reason")
    return Exclusion(begins_us=begins, ends_us=ends, regions=regions, reason=reason)


def _title(table: Table, text: str) -> str:
    """Return a system title as it is written here.

    Raises:
        ConfigurationError: It is none.
    """
    if re.fullmatch("[0-9A-Fa-f]{16}", text) is None:
        raise table.refused("concentrators", "system titles of 16 hex digits")
    return text.upper()


def _one_of(kind: type[Enum]) -> str:
    return "one of " + ", ".join(each.value for each in kind)


def local_day_us(day: date, zone: ZoneInfo) -> int:
    """Return when a local day begins."""
    return round(datetime.combine(day, time(), zone).timestamp() * MICROSECONDS)


def days_back(today: date, days: int) -> date:
    """Return the first of so many days, today the last."""
    return today - timedelta(days=days - 1)
