# SPDX-License-Identifier: Apache-2.0
"""The table of meters: each with its state, a page of them at a time."""

from dataclasses import dataclass

from openami.exchange.channels import Channel
from openami.store import data_quality, live, overview, registry
from openami.store.overview import DISCONNECTED, Installed, MeterFilter
from openami.web.context import Context
from openami.web.fleet import Rate, expected
from openami.web.times import DAY_US


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


def lines(  # noqa: PLR0913  which, seen when, from where on
    context: Context,
    now_us: int,
    wanted: MeterFilter,
    *,
    limit: int,
    after: int = -1,
    skipped: int = 0,
) -> tuple[list[Line], int]:
    """Return meters by number with what the table says of them, and how many fit in all.

    Args:
        context: Of the pages.
        now_us: Of the calendar.
        wanted: Which meters.
        limit: Of what is returned.
        after: Only meters with a higher number are returned.
        skipped: How many of those are left out at the beginning.
    """
    engine, day = context.engine, now_us // DAY_US
    settled_us = context.settled_us(now_us)
    rows, found = overview.page_of_meters(engine, wanted, limit=limit, after=after, skipped=skipped)
    numbers = [meter.meter_id for meter, _ in rows]
    values = live.latest(engine, meter_ids=numbers, channels=[Channel.IMPORT_WH])
    covered = data_quality.coverage(engine, meter_ids=numbers, from_day=day, to_day=day + 1)
    last = {value.meter_id: value for value in values}
    counts = {row.meter_id: row for row in covered}
    gaps = data_quality.open_gaps_of(engine, numbers)
    shown = []
    for meter, state in rows:
        value = last.get(meter.meter_id)
        end_us = None if value is None else value.start_us + meter.capture_period_s * 1_000_000
        shown.append(
            Line(
                meter=meter,
                attached=None if state is None else state.attached,
                attached_since_us=None if state is None else state.since_us,
                last_end_us=end_us,
                last_wh=None if value is None else value.value,
                rate=_rate(meter, day, settled_us, counts.get(meter.meter_id)),
                gaps=gaps.get(meter.meter_id, 0),
            )
        )
    return shown, found


def _rate(
    meter: registry.Meter, day: int, settled_us: int, row: data_quality.Coverage | None
) -> Rate:
    own = Installed(meter.region, meter.capture_period_s, meter.installed_us, 1)
    wanted = expected([own], day, settled_us)
    if row is None:
        return Rate(expected=wanted, actual=0)
    return Rate(
        expected=wanted,
        actual=min(wanted, row.actual),
        estimated=row.estimated,
        suspect=row.suspect,
    )
