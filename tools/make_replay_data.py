# SPDX-License-Identifier: Apache-2.0
"""Make the carried data set of whole home-weeks from half-hourly readings.

    python tools/make_replay_data.py READINGS.parquet src/openami/meter/data/sgsc_home_weeks.npz

The input has the columns meter_id, ts_local and kwh (start of the half-hour, local clock).  A
home-week is kept when all its 336 half-hours from Monday 00:00 on are there, each one exact in Wh.
"""

import sys
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

SLOTS: Final = 336
ROUNDING_WH: Final = 0.01  # what kWh in single precision may be off


def home_weeks(readings: pl.DataFrame) -> pl.DataFrame:
    """Return one row a whole home-week: home, monday, wh (a list of 336), sorted."""
    exact_wh = (pl.col("kwh").cast(pl.Float64) * 1000).round()
    by_slot = readings.with_columns(
        wh=exact_wh.cast(pl.Int64),
        error_wh=(pl.col("kwh").cast(pl.Float64) * 1000 - exact_wh).abs(),
        home=pl.col("meter_id").cast(pl.UInt32),
        monday=pl.col("ts_local").dt.truncate("1w").dt.date(),
    ).sort("home", "ts_local")
    worst_wh = by_slot["error_wh"].max()
    if not isinstance(worst_wh, float) or worst_wh > ROUNDING_WH:
        sys.exit(f"the readings are not whole Wh: one is off by {worst_wh} Wh; nothing was written")
    weeks = by_slot.group_by("home", "monday", maintain_order=True).agg(
        pl.col("wh"), slots=pl.col("ts_local").n_unique()
    )
    return weeks.filter((pl.col("slots") == SLOTS) & (pl.col("wh").list.len() == SLOTS))


def main(source: Path, target: Path) -> None:
    """Write the data set and say what went in."""
    weeks = home_weeks(pl.read_parquet(source))
    days = [(monday - date(1970, 1, 1)).days for monday in weeks["monday"]]
    wh = np.array(weeks["wh"].to_list(), dtype=np.uint16)
    np.savez_compressed(
        target,
        wh=wh,
        home=weeks["home"].to_numpy().astype(np.uint32),
        monday=np.array(days, dtype="datetime64[D]"),
    )
    print(f"{target}: {len(wh)} home-weeks, {int(wh.sum(dtype=np.int64))} Wh")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
