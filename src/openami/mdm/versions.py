# SPDX-License-Identifier: Apache-2.0
"""Which of the arriving values are new, and what version they get.

Identity of a value is (meter_id, channel, start).  The same value again is ignored; a different
one, and a measured one after an estimate, is the next version.  Nothing is overwritten.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from openami.exchange.quality import Quality
from openami.store.intervals import IDENTITY, SCHEMA

ESTIMATED: Final = int(Quality.ESTIMATED)
SUSPECT: Final = int(Quality.SUSPECT)


@dataclass(frozen=True, slots=True)
class Versioned:
    """What arrived and matters.

    Attributes:
        readings: Columns of `readings`, with `version`.
        before: For each row of `readings` the value and quality it supersedes, null for none.
    """

    readings: pl.DataFrame
    before: pl.DataFrame

    def changed(self) -> pl.DataFrame:
        """Return rows whose measured value differs from the measured value before."""
        return self.before.filter(
            pl.col("old_value").is_not_null()
            & (pl.col("old_quality") & ESTIMATED == 0)
            & (pl.col("old_value") != pl.col("value"))
        )


def assign(arriving: pl.DataFrame, existing: pl.DataFrame) -> Versioned:
    """Give versions to `arriving` rows (in order of arrival) over the `existing` current ones."""
    known = existing.select(
        *IDENTITY,
        pl.col("value").alias("known_value"),
        pl.col("quality").alias("known_quality"),
        pl.col("version").alias("known_version"),
    )
    rows = arriving.join(known, on=IDENTITY, how="left", maintain_order="left")
    earlier = {
        name: pl.col(name).shift(1).over(IDENTITY).alias(f"old_{name}")
        for name in ("value", "quality")
    }
    rows = rows.with_columns(*earlier.values()).with_columns(
        pl.coalesce("old_value", "known_value").alias("old_value"),
        pl.coalesce("old_quality", "known_quality").alias("old_quality"),
    )
    same = (
        pl.col("old_value").is_not_null()
        & (pl.col("old_value") == pl.col("value"))
        & ((pl.col("old_quality") & ESTIMATED) == 0)
    )
    rows = rows.filter(~same).with_columns(
        (pl.col("known_version").fill_null(0) + pl.int_range(1, pl.len() + 1).over(IDENTITY))
        .cast(pl.Int16)
        .alias("version")
    )
    before = rows.select(*IDENTITY, "value", "quality", "version", "old_value", "old_quality")
    return Versioned(rows.select(list(SCHEMA)), before)


def coverage_changes(before: pl.DataFrame, channel: int) -> pl.DataFrame:
    """Return how counts of a day change: meter_id, day, actual, estimated, suspect.

    `before` is `Versioned.before`, or the same of any versions written.
    """

    def bit(column: str, mask: int) -> pl.Expr:
        return ((pl.col(column).fill_null(0) & mask) != 0).cast(pl.Int64)

    there = pl.col("old_quality").is_not_null().cast(pl.Int64)
    return (
        before.filter(pl.col("channel") == channel)
        .select(
            "meter_id",
            (pl.col("start").dt.epoch("d")).cast(pl.Int64).alias("day"),
            ((1 - bit("quality", ESTIMATED)) - there * (1 - bit("old_quality", ESTIMATED))).alias(
                "actual"
            ),
            (bit("quality", ESTIMATED) - there * bit("old_quality", ESTIMATED)).alias("estimated"),
            (bit("quality", SUSPECT) - there * bit("old_quality", SUSPECT)).alias("suspect"),
        )
        .group_by("meter_id", "day")
        .agg(pl.col("actual").sum(), pl.col("estimated").sum(), pl.col("suspect").sum())
        .sort("meter_id", "day")
    )
