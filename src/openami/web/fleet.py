# SPDX-License-Identifier: Apache-2.0
"""Is all normal?  The figures of the console's first page and of its regions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openami.exchange.channels import Channel
from openami.exchange.commands import OPEN, CommandState
from openami.exchange.field import ClockState, FirmwareState
from openami.exchange.supply import Scope
from openami.exchange.timesync import is_head_end_suspect
from openami.runtime.status import FRESH_S, Status, read_statuses
from openami.store import (
    clocks,
    commands,
    data_quality,
    eventbook,
    field,
    inbox,
    outages,
    overview,
    registry,
    supply,
)
from openami.store.field import Reach
from openami.web.context import Context
from openami.web.times import DAY_US, Span

RECENT_US: Final = DAY_US  # alarms of the last calendar day are shown
STRUGGLING: Final = 3  # attempts after which a gap needs a look
DAYS_SHOWN: Final = 14
HEAD_ENDS_CLOCK: Final = "Head-end's clock"
LOOKED_BACK_US: Final = DAY_US // 4  # for a half-hour that nearly all meters have told


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many intervals are there, of how many that should be."""

    expected: int
    actual: int
    estimated: int = 0
    suspect: int = 0

    @property
    def share(self) -> float | None:
        return None if self.expected == 0 else self.actual / self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRate:
    """The rate of one UTC day, for the small bars."""

    from_us: int
    rate: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that needs a look, by cause."""

    cause: str
    sentence: str
    severity: str  # look, harm
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One region and its concentrator."""

    name: str
    meters: int
    attached: int
    rate: Rate
    load_w: int | None  # average power of the last half-hour that nearly all meters have told
    load_at_us: int | None  # its end
    concentrator: Status | None  # of its process, where that runs on this machine
    reach: Reach | None  # as head-ends have it; None: it was never connected
    firmware: FirmwareState | None  # that the concentrator said last
    clock: ClockState | None  # of its host, as it said last


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Everything the first page shows."""

    alarms: list[Alarm]
    rate: Rate
    since_us: int  # beginning of the UTC day
    days: list[DayRate]
    regions: list[Region]
    meters: int
    attached: int
    gaps_open: int
    gap_intervals: int
    gap_meters: int
    inbox: int
    commands_open: int
    disconnected: int
    processes: list[Status]


def today(context: Context, now_us: int) -> Today:
    """Return the first page's figures; what they cost does not grow with the number of meters."""
    engine = context.engine
    standing = overview.standing(engine)
    gaps = overview.open_gaps(engine, STRUGGLING)
    processes = read_statuses(context.config.run)
    current = now_us // DAY_US
    first = current - DAYS_SHOWN + 1
    installed = overview.installed(engine, first * DAY_US)
    covered = [
        *context.past_days.get(
            current, lambda: data_quality.region_coverage(engine, first, current - 1)
        ),
        *data_quality.region_coverage(engine, current - 1, current + 1),
    ]
    regions = _regions(context, standing, installed, covered, processes, now_us)
    meters = sum(region.meters for region in standing.values())
    attached = sum(region.attached for region in standing.values())
    alarms = _alarms(context, now_us, meters - attached, gaps.hard, processes)
    told = any(alarm.cause == HEAD_ENDS_CLOCK for alarm in alarms)
    return Today(
        alarms=alarms + _clock_alarms(regions, told=told),
        rate=_total([region.rate for region in regions]),
        since_us=current * DAY_US,
        days=_days(context, installed, covered, now_us),
        regions=regions,
        meters=meters,
        attached=attached,
        gaps_open=gaps.gaps,
        gap_intervals=gaps.intervals,
        gap_meters=gaps.meters,
        inbox=inbox.depth(engine),
        commands_open=commands.count(engine, OPEN),
        disconnected=sum(region.disconnected for region in standing.values()),
        processes=processes,
    )


def expected(installed: Iterable[overview.Installed], day: int, settled_us: int) -> int:
    """Return how many intervals of a UTC day these meters should have delivered by now."""
    total = 0
    for group in installed:
        begin_us = max(day * DAY_US, group.installed_us)
        end_us = min((day + 1) * DAY_US, settled_us)
        total += group.meters * max(0, (end_us - begin_us) // (group.period_s * 1_000_000))
    return total


def _total(rates: Sequence[Rate]) -> Rate:
    return Rate(
        expected=sum(rate.expected for rate in rates),
        actual=sum(rate.actual for rate in rates),
        estimated=sum(rate.estimated for rate in rates),
        suspect=sum(rate.suspect for rate in rates),
    )


def _rate(
    installed: Iterable[overview.Installed],
    covered: Collection[data_quality.RegionCoverage],
    day: int,
    settled_us: int,
) -> Rate:
    wanted = expected(installed, day, settled_us)
    return Rate(
        expected=wanted,
        actual=min(wanted, sum(row.actual for row in covered)),
        estimated=sum(row.estimated for row in covered),
        suspect=sum(row.suspect for row in covered),
    )


def _days(
    context: Context,
    installed: Collection[overview.Installed],
    covered: Collection[data_quality.RegionCoverage],
    now_us: int,
) -> list[DayRate]:
    current = now_us // DAY_US
    settled_us = context.settled_us(now_us)
    found = []
    for day in range(current - DAYS_SHOWN + 1, current + 1):
        rate = _rate(installed, [row for row in covered if row.day == day], day, settled_us)
        if rate.expected:
            found.append(DayRate(from_us=day * DAY_US, rate=rate))
    return found


def _regions(  # noqa: PLR0913, PLR0917  one place sees all of a region
    context: Context,
    standing: Mapping[str, overview.Standing],
    installed: Collection[overview.Installed],
    covered: Collection[data_quality.RegionCoverage],
    processes: Sequence[Status],
    now_us: int,
) -> list[Region]:
    day = now_us // DAY_US
    settled_us = context.settled_us(now_us)
    said = {status.process: status for status in processes}
    firmwares, heard = field.firmwares(context.engine), field.clocks(context.engine)
    reaches = field.reaches(context.engine)
    told = overview.told(context.engine, Channel.IMPORT_WH)
    found = []
    for name, counts in standing.items():
        own = [group for group in installed if group.region == name]
        rows = [row for row in covered if row.region == name and row.day == day]
        load_w, load_at_us = _load(context, name, counts.meters, told.get(name, []))
        titles = sorted(counts.concentrators)
        found.append(
            Region(
                name=name,
                meters=counts.meters,
                attached=counts.attached,
                rate=_rate(own, rows, day, settled_us),
                load_w=load_w,
                load_at_us=load_at_us,
                concentrator=said.get(f"concentrator-{name}"),
                reach=next((reaches[each] for each in titles if each in reaches), None),
                firmware=next((firmwares[each] for each in titles if each in firmwares), None),
                clock=next((heard[each].state for each in titles if each in heard), None),
            )
        )
    return found


def load_now(context: Context, region: str) -> tuple[int | None, int | None]:
    """Return a region's average power in its last told half-hour, and the half-hour's end.

    The half-hour counts when at least nine of ten of the meters have told it; power of those that
    have not is not made up.
    """
    told = overview.told(context.engine, Channel.IMPORT_WH, region)
    return _load(context, region, overview.count(context.engine, region), told.get(region, []))


def _load(
    context: Context, region: str, homes: int, told: Sequence[overview.Told]
) -> tuple[int | None, int | None]:
    if not told or not homes:
        return None, None
    period_us = overview.period_s(context.engine, region) * 1_000_000
    for each in told:
        if 10 * each.meters >= 9 * homes:
            return _power_w(each.total, period_us), each.start_us + period_us
    # Some meters are a half-hour ahead of the others: what both have told is in the lake.
    last_us = told[0].start_us
    meters = registry.meters(context.engine, region=region)
    span = Span(last_us - LOOKED_BACK_US, last_us + period_us)
    load = context.readings.load([meter.meter_id for meter in meters], span)
    for n in reversed(range(len(load.starts_us))):
        if 10 * load.meters[n] >= 9 * homes:
            return _power_w(load.values_wh[n], period_us), load.starts_us[n] + period_us
    return None, None


def _power_w(energy_wh: int, period_us: int) -> int:
    return energy_wh * 3_600_000_000 // period_us


def _alarms(
    context: Context, now_us: int, away: int, hard: int, processes: Sequence[Status]
) -> list[Alarm]:
    since_us = now_us - RECENT_US
    stale = [status.process for status in processes if not status.fresh]
    doubtful = commands.count(context.engine, {CommandState.IN_DOUBT})
    rejected = inbox.count_rejected(context.engine, since_us=since_us)
    unseen = eventbook.count_open(context.engine, list(context.severities.of), since_us)
    tampered = sum(
        unseen.get(code, 0) for code in context.severities.codes(kind="tamper", severity="harm")
    )
    grave = [*context.severities.codes(severity="harm"), *context.severities.codes(severity="look")]
    other = sum(unseen.get(code, 0) for code in grave) - tampered
    dark = supply.count_lost(context.engine)
    unreachable = [
        outage
        for outage in outages.open_outages(context.engine)
        if outage.scope is Scope.CONCENTRATOR
    ]
    suspected = {
        name: each.said for name, each in clocks.suspicions(context.engine).items() if each.said
    }
    wrong_clocks = clocks.noticed_count(context.engine)
    causes = (
        (
            len(stale),
            Alarm(
                cause="Process silent",
                sentence=f"{_list(stale)} said nothing for more than {FRESH_S:.0f}\u2009s",
                severity="harm",
                href="#processes",
            ),
        ),
        (
            doubtful,
            Alarm(
                cause="Command in doubt",
                sentence=f"{_many(doubtful, 'command')} can be proven neither done nor not"
                " done: look at the meter",
                severity="harm",
                href="/console/jobs?state=in+doubt",
            ),
        ),
        (
            rejected,
            Alarm(
                cause="Message rejected",
                sentence=f"{_many(rejected, 'message')} in the last day could not be opened or"
                " does not belong",
                severity="look",
                href="/console/quality#rejected",
            ),
        ),
        (
            away,
            Alarm(
                cause="Meter detached",
                sentence=f"{_many(away, 'meter')} not on its concentrator",
                severity="look",
                href="/console/meters?state=detached",
            ),
        ),
        (
            tampered,
            Alarm(
                cause="Tamper",
                sentence=f"{_many(tampered, 'event')} in the last day that nobody has looked at",
                severity="harm",
                href="/console/events?kind=tamper&acknowledged=no",
            ),
        ),
        (
            dark,
            Alarm(
                cause="Without supply",
                sentence=f"{_many(dark, 'meter')} without supply",
                severity="harm",
                href="/console/outages",
            ),
        ),
        (
            len(unreachable),
            Alarm(
                cause="Concentrator away",
                sentence=f"{_list([each.place for each in unreachable])} out of reach",
                severity="look",
                href="/console/outages",
            ),
        ),
        (
            len(suspected),
            Alarm(
                cause=HEAD_ENDS_CLOCK,
                sentence=f"{_list(list(suspected))} may have a wrong clock, and corrects no meter's"
                f" ({'; '.join(list(suspected.values())[:1])})",
                severity="harm",
                href="/console/clocks",
            ),
        ),
        (
            wrong_clocks,
            Alarm(
                cause="Clock",
                sentence=f"{_many(wrong_clocks, 'clock')} for a person to look at",
                severity="look",
                href="/console/clocks",
            ),
        ),
        (
            other,
            Alarm(
                cause="Alarm event",
                sentence=f"{_many(other, 'alarm')} in the last day that nobody has looked at",
                severity="look",
                href="/console/events?acknowledged=no",
            ),
        ),
        (
            hard,
            Alarm(
                cause="Gap resists",
                sentence=f"{_many(hard, 'gap')} still open after {STRUGGLING} attempts",
                severity="look",
                href="/console/quality#gaps",
            ),
        ),
    )
    return [alarm for number, alarm in causes if number]


def _clock_alarms(regions: Sequence[Region], *, told: bool) -> list[Alarm]:
    """Return whose clock needs a look: those of concentrators' hosts, or the head-end's.

    Args:
        regions: With what concentrators said.
        told: That it may be the head-end's stands in an alarm already, with all that witness it.
    """
    said = {region.name: region.clock for region in regions if region.clock is not None}
    off = [name for name, clock in said.items() if clock.past_limit]
    if is_head_end_suspect(list(said.values())):
        if told:
            return []
        sentence = f"{_list(off)} agree against the head-end: its own clock is to be looked at"
    elif off:
        sentence = f"the host of {_list(off)} has another time than the head-end"
    else:
        return []
    return [Alarm(cause="Clock off", sentence=sentence, severity="look", href="#regions")]


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
