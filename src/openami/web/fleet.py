# SPDX-License-Identifier: Apache-2.0
"""Is all normal?  The figures of the console's first page, of its regions and of its meters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

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
    live,
    outages,
    registry,
    supply,
    tables,
)
from openami.store.database import reading
from openami.web.context import Context
from openami.web.times import DAY_US, Span

DISCONNECTED: Final = 0  # control_state of disconnect control
RECENT_US: Final = DAY_US  # alarms of the last calendar day are shown
STRUGGLING: Final = 3  # attempts after which a gap needs a look
DAYS_SHOWN: Final = 14
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
    concentrator: Status | None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One meter in the table."""

    meter: registry.Meter
    attached: bool | None
    attached_since_us: int | None
    last_end_us: int | None  # end of its last interval
    last_wh: int | None
    rate: Rate
    gaps: int

    @property
    def disconnected(self) -> bool:
        return self.meter.breaker == DISCONNECTED


def today(context: Context, now_us: int) -> Today:
    """Return the first page's figures."""
    engine = context.engine
    meters = registry.meters(engine)
    attachments = registry.attachments(engine)
    attached = {number for number, state in attachments.items() if state.attached}
    gaps = data_quality.gaps(engine, states=(data_quality.OPEN,))
    period_us = {meter.meter_id: meter.capture_period_s * 1_000_000 for meter in meters}
    processes = read_statuses(context.config.run)
    regions = _regions(context, meters, attached, processes, now_us)
    current = now_us // DAY_US
    return Today(
        alarms=_alarms(context, now_us, meters, attachments, gaps, processes)
        + _clock_alarms(regions),
        rate=_total([region.rate for region in regions]),
        since_us=current * DAY_US,
        days=_days(context, meters, now_us),
        regions=regions,
        meters=len(meters),
        attached=sum(meter.meter_id in attached for meter in meters),
        gaps_open=len(gaps),
        gap_intervals=sum((gap.to_us - gap.from_us) // period_us[gap.meter_id] for gap in gaps),
        gap_meters=len({gap.meter_id for gap in gaps}),
        inbox=inbox.depth(engine),
        commands_open=len(commands.in_state(engine, OPEN, limit=1000)),
        disconnected=sum(meter.breaker == DISCONNECTED for meter in meters),
        processes=processes,
    )


def expected(meters: Sequence[registry.Meter], day: int, settled_us: int) -> int:
    """Return how many intervals of a UTC day these meters should have delivered by now."""
    total = 0
    for meter in meters:
        period_us = meter.capture_period_s * 1_000_000
        begin_us = max(day * DAY_US, meter.installed_us)
        end_us = min((day + 1) * DAY_US, settled_us)
        total += max(0, (end_us - begin_us) // period_us)
    return total


def _rate(
    meters: Sequence[registry.Meter], day: int, settled_us: int, row: "_Counts | None"
) -> Rate:
    wanted = expected(meters, day, settled_us)
    if row is None:
        return Rate(expected=wanted, actual=0)
    return Rate(
        expected=wanted,
        actual=min(wanted, row.actual),
        estimated=row.estimated,
        suspect=row.suspect,
    )


_Counts = data_quality.RegionCoverage | data_quality.Coverage


def _total(rates: Sequence[Rate]) -> Rate:
    return Rate(
        expected=sum(rate.expected for rate in rates),
        actual=sum(rate.actual for rate in rates),
        estimated=sum(rate.estimated for rate in rates),
        suspect=sum(rate.suspect for rate in rates),
    )


def _days(context: Context, meters: Sequence[registry.Meter], now_us: int) -> list[DayRate]:
    current = now_us // DAY_US
    settled_us = context.settled_us(now_us)
    rows: dict[int, list[data_quality.RegionCoverage]] = {}
    for row in data_quality.region_coverage(context.engine, current - DAYS_SHOWN + 1, current + 1):
        rows.setdefault(row.day, []).append(row)
    found = []
    for day in range(current - DAYS_SHOWN + 1, current + 1):
        counts = rows.get(day, [])
        wanted = expected(meters, day, settled_us)
        if wanted == 0:
            continue
        rate = Rate(
            expected=wanted,
            actual=min(wanted, sum(row.actual for row in counts)),
            estimated=sum(row.estimated for row in counts),
            suspect=sum(row.suspect for row in counts),
        )
        found.append(DayRate(from_us=day * DAY_US, rate=rate))
    return found


def _regions(
    context: Context,
    meters: Sequence[registry.Meter],
    attached: set[int],
    processes: Sequence[Status],
    now_us: int,
) -> list[Region]:
    day = now_us // DAY_US
    settled_us = context.settled_us(now_us)
    counts = {row.region: row for row in data_quality.region_coverage(context.engine, day, day + 1)}
    said = {status.process: status for status in processes}
    firmwares, told = field.firmwares(context.engine), field.clocks(context.engine)
    found = []
    for name in sorted({meter.region for meter in meters}):
        own = [meter for meter in meters if meter.region == name]
        load_w, load_at_us = load_now(context, own)
        titles = [meter.concentrator for meter in own]
        found.append(
            Region(
                name=name,
                meters=len(own),
                attached=sum(meter.meter_id in attached for meter in own),
                rate=_rate(own, day, settled_us, counts.get(name)),
                load_w=load_w,
                load_at_us=load_at_us,
                concentrator=said.get(f"concentrator-{name}"),
                firmware=next((firmwares[each] for each in titles if each in firmwares), None),
                clock=next((told[each].state for each in titles if each in told), None),
            )
        )
    return found


def load_now(context: Context, meters: Sequence[registry.Meter]) -> tuple[int | None, int | None]:
    """Return a group's average power in its last told half-hour, and the half-hour's end.

    The half-hour counts when at least nine of ten of the meters have told it; power of those that
    have not is not made up.
    """
    values = live.latest(
        context.engine,
        meter_ids=[meter.meter_id for meter in meters],
        channels=[Channel.IMPORT_WH],
    )
    if not values or not meters:
        return None, None
    period_us = meters[0].capture_period_s * 1_000_000
    by_start: dict[int, list[int]] = {}
    for value in values:
        by_start.setdefault(value.start_us, []).append(value.value)
    for start_us in sorted(by_start, reverse=True):
        told = by_start[start_us]
        if 10 * len(told) >= 9 * len(meters):
            return _power_w(sum(told), period_us), start_us + period_us
    # Some meters are a half-hour ahead of the others: what both have told is in the lake.
    last_us = max(by_start)
    span = Span(last_us - LOOKED_BACK_US, last_us + period_us)
    load = context.readings.load([meter.meter_id for meter in meters], span)
    for n in reversed(range(len(load.starts_us))):
        if 10 * load.meters[n] >= 9 * len(meters):
            return _power_w(load.values_wh[n], period_us), load.starts_us[n] + period_us
    return None, None


def _power_w(energy_wh: int, period_us: int) -> int:
    return energy_wh * 3_600_000_000 // period_us


def _alarms(  # noqa: PLR0913, PLR0917  one place sees every cause
    context: Context,
    now_us: int,
    meters: Sequence[registry.Meter],
    attachments: dict[int, registry.Attachment],
    gaps: Sequence[data_quality.Gap],
    processes: Sequence[Status],
) -> list[Alarm]:
    since_us = now_us - RECENT_US
    stale = [status.process for status in processes if not status.fresh]
    away = [meter for meter in meters if not _is_attached(attachments, meter)]
    doubtful = commands.in_state(context.engine, {CommandState.IN_DOUBT}, limit=1000)
    rejected = inbox.count_rejected(context.engine, since_us=since_us)
    unseen = eventbook.count_open(context.engine, list(context.severities.of), since_us)
    tampered = sum(
        unseen.get(code, 0) for code in context.severities.codes(kind="tamper", severity="harm")
    )
    grave = [*context.severities.codes(severity="harm"), *context.severities.codes(severity="look")]
    other = sum(unseen.get(code, 0) for code in grave) - tampered
    dark = supply.lost(context.engine)
    unreachable = [
        outage
        for outage in outages.open_outages(context.engine)
        if outage.scope is Scope.CONCENTRATOR
    ]
    suspected = [name for name, each in clocks.suspicions(context.engine).items() if each.sentence]
    wrong_clocks = clocks.noticed_count(context.engine)
    hard = [gap for gap in gaps if gap.attempts >= STRUGGLING]
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
            len(doubtful),
            Alarm(
                cause="Command in doubt",
                sentence=f"{_many(len(doubtful), 'command')} can be proven neither done nor not"
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
            len(away),
            Alarm(
                cause="Meter detached",
                sentence=f"{_many(len(away), 'meter')} not on its concentrator",
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
            len(dark),
            Alarm(
                cause="Without supply",
                sentence=f"{_many(len(dark), 'meter')} without supply",
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
                cause="Head-end's clock",
                sentence=f"{_list(suspected)} may have a wrong clock, and corrects no meter's",
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
            len(hard),
            Alarm(
                cause="Gap resists",
                sentence=f"{_many(len(hard), 'gap')} still open after {STRUGGLING} attempts",
                severity="look",
                href="/console/quality#gaps",
            ),
        ),
    )
    return [alarm for number, alarm in causes if number]


def _clock_alarms(regions: Sequence[Region]) -> list[Alarm]:
    """Return whose clock needs a look: those of concentrators' hosts, or the head-end's."""
    said = {region.name: region.clock for region in regions if region.clock is not None}
    off = [name for name, clock in said.items() if clock.past_limit]
    if is_head_end_suspect(list(said.values())):
        sentence = f"{_list(off)} agree against the head-end: its own clock is to be looked at"
    elif off:
        sentence = f"the host of {_list(off)} has another time than the head-end"
    else:
        return []
    return [Alarm(cause="Clock off", sentence=sentence, severity="look", href="#regions")]


def _is_attached(attachments: dict[int, registry.Attachment], meter: registry.Meter) -> bool:
    state = attachments.get(meter.meter_id)
    return state is not None and state.attached


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def lines(context: Context, now_us: int) -> list[Line]:
    """Return every meter with what the table says of it."""
    engine = context.engine
    day = now_us // DAY_US
    settled_us = context.settled_us(now_us)
    attachments = registry.attachments(engine)
    last = {value.meter_id: value for value in live.latest(engine, channels=[Channel.IMPORT_WH])}
    counts = {
        row.meter_id: row for row in data_quality.coverage(engine, from_day=day, to_day=day + 1)
    }
    gaps = _gaps_by_meter(context)
    found = []
    for meter in registry.meters(engine):
        value, state = last.get(meter.meter_id), attachments.get(meter.meter_id)
        found.append(
            Line(
                meter=meter,
                attached=None if state is None else state.attached,
                attached_since_us=None if state is None else state.since_us,
                last_end_us=None
                if value is None
                else value.start_us + meter.capture_period_s * 1_000_000,
                last_wh=None if value is None else value.value,
                rate=_rate([meter], day, settled_us, counts.get(meter.meter_id)),
                gaps=gaps.get(meter.meter_id, 0),
            )
        )
    return found


def _gaps_by_meter(context: Context) -> dict[int, int]:
    table = tables.gaps.c
    query = select(table.meter_id, func.count()).where(table.state == data_quality.OPEN)
    with reading(context.engine) as connection:
        rows = connection.execute(query.group_by(table.meter_id))
        return {int(meter_id): int(number) for meter_id, number in rows}
