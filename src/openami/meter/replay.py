# SPDX-License-Identifier: Apache-2.0
"""Real household load, replayed: which home and week a meter lives through, Wh by Wh.

A meter is bound to one home of the carried data set (`data/README.md`) and walks through that
home's whole weeks in order, week after calendar week, starting again when they end.  A replayed
week keeps its weekdays: Monday's half-hours fall on Mondays of the local standard time.  The Wh of
a half-hour are the data set's, exactly.

Inside a half-hour the data set says nothing.  The power there is a *shape*: 1800 values of whole
watts, seeded by (seed, meter id, half-hour), which add up to the half-hour's Wh exactly.  Pages
that show it say so.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.meter.load import INTERVAL_S, WS_PER_WH

SLOTS: Final = 336  # half-hours a week
WEEK_S: Final = SLOTS * INTERVAL_S
DAY_S: Final = 86_400
FIRST_MONDAY_S: Final = 4 * DAY_S  # 1970-01-05
STANDARD_OFFSET_S: Final = 10 * 3600  # Australian Eastern Standard Time, without daylight saving
MOST_STEPS: Final = 6  # appliances that switch within one half-hour

DATA_FILE: Final = "sgsc_home_weeks.npz"


@dataclass(frozen=True, slots=True)
class HomeWeeks:
    """The carried data set: whole weeks, sorted by home and Monday.

    Attributes:
        wh: Wh of each half-hour, (weeks, 336).
        home: The home's number, one a week.
        monday: The Monday a week starts on, in days since 1970-01-01.
    """

    wh: npt.NDArray[np.uint16]
    home: npt.NDArray[np.uint32]
    monday: npt.NDArray[np.int64]

    def homes(self) -> list[int]:
        """Return the numbers of the homes, ascending."""
        return [int(home) for home in np.unique(self.home)]

    def weeks_of(self, home: int) -> range:
        """Return the rows of a home's weeks, in calendar order."""
        first, last = np.searchsorted(self.home, [home, home + 1])
        return range(int(first), int(last))


def data_file() -> Path:
    """Return the file of the carried data set; the package lies on the disk."""
    return Path(str(resources.files("openami.meter").joinpath("data", DATA_FILE)))


@lru_cache(maxsize=1)
def home_weeks(file: Path | None = None) -> HomeWeeks:
    """Return the carried data set, which a program without the package is told the file of."""
    with (file or data_file()).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        monday = arrays["monday"].astype("datetime64[D]").astype(np.int64)
        return HomeWeeks(arrays["wh"], arrays["home"], monday)


@lru_cache(maxsize=1)
def home_numbers(file: Path | None = None) -> tuple[int, ...]:
    """Return the numbers of the homes in the carried data set, ascending."""
    return tuple(home_weeks(file).homes())


def first_week(seed: int, meter_id: int) -> int:
    """Return the number that chooses the week a meter begins with, modulo its home's weeks."""
    return int(np.random.SeedSequence([seed, meter_id]).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class ReplayedWeek:
    """What a meter lives through in one calendar week."""

    home: int
    monday: np.datetime64  # of the data set, a day
    shift_days: int  # from that Monday to the calendar's

    def __str__(self) -> str:
        """Return the text of the object 0.0.96.1.9.255."""
        return f"SGSC home {self.home}, week of {self.monday}, shifted by {self.shift_days} days"


class ReplayedLoad:
    """One meter's load, as a function of calendar time.

    Args:
        meter_id: Chooses the home: meters 1, 2, 3 … take the homes in turn, so that every home is
            in use; with the seed it also chooses the week to start with.
        seed: The AMI's seed.
        standard_offset_s: Local standard time minus UTC; weeks start on local Mondays.
        file: Of the data set; the package's own without.
    """

    __slots__ = (
        "_cache",
        "_monday",
        "_offset_s",
        "_start",
        "_weeks",
        "_wh",
        "home",
        "meter_id",
        "seed",
    )

    def __init__(
        self,
        meter_id: int,
        seed: int,
        *,
        standard_offset_s: int = STANDARD_OFFSET_S,
        file: Path | None = None,
    ) -> None:
        data = home_weeks(file)
        homes = home_numbers(file)
        self.meter_id = meter_id
        self.seed = seed
        self.home = homes[(meter_id + seed - 2) % len(homes)]
        self._weeks = data.weeks_of(self.home)
        self._start = first_week(seed, meter_id) % len(self._weeks)
        self._wh = data.wh
        self._monday = data.monday
        self._offset_s = standard_offset_s
        self._cache: tuple[int, npt.NDArray[np.int32]] | None = None

    def _place(self, at_s: int) -> tuple[int, int, int]:
        """Return the data set's row, the slot in it, and the calendar's week number."""
        week, second = divmod(at_s + self._offset_s - FIRST_MONDAY_S, WEEK_S)
        return self._weeks[(self._start + week) % len(self._weeks)], second // INTERVAL_S, week

    def week(self, at_s: int) -> ReplayedWeek:
        """Return which home and week is being replayed at `at_s` (seconds UTC)."""
        row, _, week = self._place(at_s)
        monday = int(self._monday[row])
        calendar = FIRST_MONDAY_S // DAY_S + 7 * week
        return ReplayedWeek(self.home, np.datetime64(monday, "D"), calendar - monday)

    def interval_wh(self, start_s: int) -> int:
        row, slot, _ = self._place(start_s)
        return int(self._wh[row, slot])

    def interval_ws(self, start_s: int) -> int:
        return self.interval_wh(start_s) * WS_PER_WH

    def shape_ws(self, start_s: int) -> npt.NDArray[np.int32]:
        """Return the energy from the half-hour's start to each of its seconds: 1801 values, Ws."""
        if self._cache is None or self._cache[0] != start_s:
            numbers = [self.seed, self.meter_id, start_s // INTERVAL_S]
            shape = _shape_ws(self.interval_wh(start_s) * WS_PER_WH, numbers)
            self._cache = (start_s, shape)
        return self._cache[1]

    def energy_ws(self, start_s: int, stop_s: int) -> int:
        """Return the shape's energy from `start_s` to `stop_s`, both within one half-hour.

        Raises:
            ValueError: The span leaves the half-hour it starts in.
        """
        grid_s = start_s - start_s % INTERVAL_S
        if not start_s <= stop_s <= grid_s + INTERVAL_S:
            raise ValueError(f"{start_s} to {stop_s} s is no span within one half-hour")
        shape = self.shape_ws(grid_s)
        return int(shape[stop_s - grid_s]) - int(shape[start_s - grid_s])

    def power_w(self, at_s: int) -> int:
        return self.energy_ws(at_s, at_s + 1)


def _shape_ws(total_ws: int, numbers: list[int]) -> npt.NDArray[np.int32]:
    """Return a running sum from 0 to `total_ws` in 1800 steps that looks like appliances.

    A base that wavers a little, a fridge's slow square wave, and a few appliances that switch on
    and off.  Rounding the running sum, not the steps, keeps the total exact and no step negative.
    """
    draw = np.random.Generator(np.random.PCG64(numbers)).random(INTERVAL_S + 3 * MOST_STEPS + 4)
    second = np.arange(INTERVAL_S)
    weight = 1.0 + 0.06 * draw[:INTERVAL_S]
    choice = draw[INTERVAL_S:]
    period_s = 600 + 1200 * choice[0]
    weight += 0.8 * choice[1] * (((second + 1800 * choice[2]) % period_s) < 0.4 * period_s)
    for step in range(int(choice[3] * (MOST_STEPS + 1))):
        start, length, size = choice[4 + 3 * step : 7 + 3 * step]
        begin = int(start * INTERVAL_S)
        weight[begin : begin + 30 + int(length * 900)] += 6.0 * size * size
    running = np.cumsum(weight)
    shape = np.zeros(INTERVAL_S + 1, dtype=np.int32)
    shape[1:] = np.rint(running * (total_ws / running[-1]))
    shape[-1] = total_ws
    return shape
