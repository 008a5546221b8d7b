# SPDX-License-Identifier: Apache-2.0
"""What was due and when it was done, out of the store: observations for `sla.levels`.

Values count when their first measured version came; an estimate is none.  Values and events are due
since their meter is in service: nobody owes what was measured before anybody was there to be told.
Times of values and events are the calendar's, those of commands real time, which is the same clock
in the field.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import polars as pl

from openami.exchange.commands import CommandKind
from openami.exchange.quality import Quality
from openami.headend.sla import OBSERVATIONS, Data, Rule
from openami.runtime.clock import MICROSECONDS
from openami.store import commands, commissioning, registry
from openami.store.database import Database
from openami.store.intervals import DAY_US, Lake
from openami.store.registry import Meter

CHANNEL: Final = 1
KINDS: Final[Mapping[Data, frozenset[CommandKind]]] = {
    Data.READ: frozenset({CommandKind.READ}),
    Data.SWITCH: frozenset({CommandKind.CONNECT, CommandKind.DISCONNECT}),
}
_ALL: Final = 2**31 - 1


def observed(database: Database, lake: Lake, data: Data, from_us: int, to_us: int) -> pl.DataFrame:
    """Return what was due in [from_us, to_us), in the columns of `OBSERVATIONS`."""
    meters = registry.meters(database)
    if data is Data.INTERVAL:
        since = in_service(database, lake, meters)
        return _intervals(lake, meters, since, from_us, to_us)
    if data is Data.EVENT:
        since = in_service(database, lake, meters)
        return _events(database, meters, since, from_us, to_us)
    return _commands(database, meters, KINDS[data], from_us, to_us)


def in_service(database: Database, lake: Lake, meters: Iterable[Meter]) -> dict[int, int]:
    """Return since when what each meter measures is due; meters that are not in service are out.

    That is since it was commissioned, or installed where it never was; and not before the store
    received anything at all, so that a head-end that begins owes no days before it.
    """
    first_us = lake.first_received_us() or 0
    begun = commissioning.operating_since(database)
    return {
        meter.meter_id: max(meter.installed_us, first_us, since_us)
        for meter in meters
        if (since_us := begun.get(meter.meter_id, 0)) is not None
    }


def of_population(rule: Rule, frame: pl.DataFrame, meters: Iterable[Meter]) -> pl.DataFrame:
    """Return what is due of the concentrators' and models' meters that a rule names.

    Args:
        rule: The level.
        frame: In the columns of `OBSERVATIONS`.
        meters: The registry.
    """
    if not rule.concentrators and not rule.models:
        return frame
    wanted = [
        meter.meter_id
        for meter in meters
        if (not rule.concentrators or meter.concentrator.hex().upper() in rule.concentrators)
        and (not rule.models or meter.ldn.startswith(rule.models))
    ]
    return frame.filter(pl.col("meter_id").is_in(wanted))


def _intervals(
    lake: Lake,
    meters: Collection[Meter],
    since: Mapping[int, int],
    from_us: int,
    to_us: int,
) -> pl.DataFrame:
    parts = [
        _due(meter, max(from_us, since[meter.meter_id]), to_us)
        for meter in meters
        if meter.meter_id in since
    ]
    if not parts:
        return pl.DataFrame(schema=OBSERVATIONS)
    due = pl.concat(parts)
    estimated = (pl.col("quality") & int(Quality.ESTIMATED)) != 0
    arrived = (
        lake.all_versions(None, [CHANNEL], from_us - DAY_US, to_us)
        .filter(~estimated)
        .group_by("meter_id", pl.col("start").dt.epoch("us").alias("start_us"))
        .agg(pl.col("received_us").min().alias("done_us"))
    )
    return (
        due.join(arrived, on=["meter_id", "start_us"], how="left")
        .select(OBSERVATIONS.names())
        .cast(OBSERVATIONS)
    )


def _due(meter: Meter, from_us: int, to_us: int) -> pl.DataFrame:
    """Return the intervals of a meter that end in (from_us, to_us]."""
    period_us = meter.capture_period_s * MICROSECONDS
    installed = -(-meter.installed_us // period_us) * period_us
    first = max(installed + period_us, (from_us // period_us + 1) * period_us)
    ends = range(first, to_us + 1, period_us)
    return pl.DataFrame(
        {
            "meter_id": pl.Series([meter.meter_id] * len(ends), dtype=pl.Int32),
            "region": pl.Series([meter.region] * len(ends), dtype=pl.String),
            "from_us": pl.Series(ends, dtype=pl.Int64),
            "start_us": pl.Series([end - period_us for end in ends], dtype=pl.Int64),
        }
    )


def _events(
    database: Database,
    meters: Collection[Meter],
    since: Mapping[int, int],
    from_us: int,
    to_us: int,
) -> pl.DataFrame:
    regions = {meter.meter_id: meter.region for meter in meters}
    rows = [
        (event.meter_id, regions.get(event.meter_id, ""), event.at_us, event.received_us)
        for event in registry.events(database, since_us=from_us, limit=_ALL)
        if since.get(event.meter_id, to_us) <= event.at_us < to_us
    ]
    return pl.DataFrame(rows, schema=OBSERVATIONS, orient="row")


def _commands(
    database: Database,
    meters: Collection[Meter],
    kinds: Collection[CommandKind],
    from_us: int,
    to_us: int,
) -> pl.DataFrame:
    regions = {meter.meter_id: meter.region for meter in meters}
    rows = [
        (each.meter_id, regions.get(each.meter_id, ""), each.asked_real_us, each.confirmed_real_us)
        for each in commands.outcomes(database, kinds, from_us, to_us)
    ]
    return pl.DataFrame(rows, schema=OBSERVATIONS, orient="row")
