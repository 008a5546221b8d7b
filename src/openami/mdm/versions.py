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

MOST_VERSION: Final = 2**15 - 1
ESTIMATED: Final = int(Quality.ESTIMATED)
SUSPECT: Final = int(Quality.SUSPECT)


@dataclass(frozen=True, slots=True)
class Versioned:
    """What arrived and matters.

    Attributes:
        readings: Columns of `readings`, with `version`.
        before: For each row of `readings` the value and quality it supersedes, null for none.
        refused: Rows for which no version is left: a meter contradicts itself without end.
    """

    readings: pl.DataFrame
    before: pl.DataFrame
    refused: pl.DataFrame

    def changed(self) -> pl.DataFrame:
        """Return rows whose measured value differs from the measured value before."""
        return self.before.filter(
            pl.col("old_value").is_not_null()
            & (pl.col("old_quality") & ESTIMATED == 0)
            & (pl.col("old_value") != pl.col("value"))
        )


def assign(arriving: pl.DataFrame, existing: pl.DataFrame) -> Versioned:
    """Give versions to `arriving` rows (in order of arrival) over the `existing` current ones."""
    rows = _with_known(arriving, existing).sort(*IDENTITY, maintain_order=True)
    # Rows of one identity stand together now, in order of arrival: shifts do what windows would,
    # an order of magnitude faster.
    again = pl.all_horizontal([pl.col(name) == pl.col(name).shift(1) for name in IDENTITY])
    rows = rows.with_columns(again.fill_null(value=False).alias("again")).with_columns(
        pl.when("again").then(pl.col("value").shift(1)).otherwise("known_value").alias("old_value"),
        pl.when("again")
        .then(pl.col("quality").shift(1))
        .otherwise("known_quality")
        .alias("old_quality"),
    )
    same = (
        pl.col("old_value").is_not_null()
        & (pl.col("old_value") == pl.col("value"))
        & ((pl.col("old_quality") & ESTIMATED) == 0)
    )
    place = pl.int_range(pl.len(), dtype=pl.Int64)
    first = pl.when(again.fill_null(value=False)).then(None).otherwise(place).forward_fill()
    rows = rows.filter(~same).with_columns(
        (pl.col("known_version").fill_null(0).cast(pl.Int64) + 1 + place - first).alias("version")
    )
    fits = pl.col("version") <= MOST_VERSION
    refused, rows = (
        rows.filter(~fits),
        rows.filter(fits).with_columns(pl.col("version").cast(pl.Int16)),
    )
    before = rows.select(*IDENTITY, "value", "quality", "version", "old_value", "old_quality")
    return Versioned(rows.select(list(SCHEMA)), before, refused)


def _with_known(arriving: pl.DataFrame, existing: pl.DataFrame) -> pl.DataFrame:
    known = {"value": "known_value", "quality": "known_quality", "version": "known_version"}
    if existing.is_empty():
        return arriving.with_columns(
            pl.lit(None, SCHEMA[name]).alias(alias) for name, alias in known.items()
        )
    side = existing.select(*IDENTITY, *known).rename(known)
    return arriving.join(side, on=IDENTITY, how="left", maintain_order="left")


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
