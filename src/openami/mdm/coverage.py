# SPDX-License-Identifier: Apache-2.0
"""Count anew what the lake holds of a meter's UTC day.

Intake counts as it goes, exactly once.  What validation and estimation write has no batch to be
remembered by, so they count the days they touched anew; done twice, that gives the same.
"""

from collections.abc import Collection, Mapping

import polars as pl

from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.mdm.expectation import expected_in_day
from openami.store.data_quality import Coverage
from openami.store.intervals import DAY_US, Lake
from openami.store.registry import Meter


def recount(
    lake: Lake, meters: Mapping[int, Meter], days: Collection[tuple[int, int]], until_us: int
) -> list[Coverage]:
    """Return the coverage of (meter_id, UTC day) pairs as the lake has it."""
    by_day: dict[int, list[int]] = {}
    for meter_id, day in days:
        by_day.setdefault(day, []).append(meter_id)
    found = []
    for day, meter_ids in sorted(by_day.items()):
        values = lake.values(meter_ids, [Channel.IMPORT_WH], day * DAY_US, (day + 1) * DAY_US)
        estimated = (pl.col("quality") & int(Quality.ESTIMATED)) != 0
        suspect = (pl.col("quality") & int(Quality.SUSPECT)) != 0
        counts = values.group_by("meter_id").agg(
            (~estimated).sum().alias("actual"),
            estimated.sum().alias("estimated"),
            suspect.sum().alias("suspect"),
        )
        known = {row["meter_id"]: row for row in counts.to_dicts()}
        for meter_id in sorted(meter_ids):
            row = known.get(meter_id, {})
            meter = meters.get(meter_id)
            found.append(
                Coverage(
                    meter_id=meter_id,
                    day=day,
                    expected=0 if meter is None else expected_in_day(meter, day, until_us),
                    actual=int(row.get("actual", 0)),
                    estimated=int(row.get("estimated", 0)),
                    suspect=int(row.get("suspect", 0)),
                )
            )
    return found
