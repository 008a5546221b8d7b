# SPDX-License-Identifier: Apache-2.0
"""Metrology of many meters at once: an interval of all of them is a few array operations.

Energy is exact: integers of Ws whose whole Wh go into the registers, the rest being carried, as in
`metrology.Metrology`.  Where an interval is not plain (breaker or supply changed in it, it was
installed in it, its capture period cuts half-hours, it measures waveforms), that very class closes
it.  What is durable is the last interval in the profiles, and the transitions;
an interval that could not be written stays open and is closed later with the same values, because
the front end counts on.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.device.storage import StorageError
from openami.exchange.quality import ProfileStatus
from openami.meter.config import MeterConfig
from openami.meter.fleet_load import FleetLoad
from openami.meter.fleet_profile import FleetProfile
from openami.meter.load import INTERVAL_S, WS_PER_WH
from openami.meter.metrology import (
    REGISTER_WRAP_WH,
    BreakerChange,
    Change,
    ClosedInterval,
    Metrology,
    SupplyChange,
)
from openami.meter.metrology_process import metrology_of
from openami.meter.profile import INTERVAL
from openami.meter.replay import ReplayedLoad

log = logging.getLogger(__name__)

CLOSED, WITHOUT_SUPPLY = 1, 2  # bits of an interval's `breaker_closed`
AT_ONCE: Final = 48
"""Intervals that are made durable together, when a start has days to close."""

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Void = npt.NDArray[np.void]


class FleetMetrology:
    """The counting of all meters whose load profiles are one file.

    Attributes:
        profile: The file.
        failing: Why the disk takes nothing now; empty while it does.
        changes: For a column the transitions of breaker and supply since its last interval, oldest
            first.
    """

    def __init__(
        self,
        profile: FleetProfile,
        configs: Sequence[MeterConfig | None],
        write: Callable[[int, Change], None],
    ) -> None:
        """Count on where the profiles end.

        Args:
            profile: The file.
            configs: Of its columns; None for a meter that somebody else carries now.
            write: Makes a transition durable, told the meter's id.
        """
        self.profile = profile
        self.failing = ""
        self.changes: dict[int, list[Change]] = {}
        self._configs = configs
        self._write = write
        here = [config for config in configs if config is not None]
        self._columns = np.array(
            [n for n, each in enumerate(configs) if each is not None], np.int64
        )
        self._load = FleetLoad(here)
        self._period_s = profile.period_s
        self._installed_s = np.array([config.installed_s for config in here], np.int64)
        self._waveforms = np.array([config.waveforms for config in here], bool)
        last = profile.last[self._columns]
        fresh = last["sequence"] == 0
        self._last_s = np.where(fresh, self._installed_s, last["end_s"]).astype(np.int64)
        self._breaker = fresh | (last["breaker_closed"] & CLOSED != 0)
        self._supplied = last["breaker_closed"] & WITHOUT_SUPPLY == 0
        self._chains: dict[int, Metrology] = {}

    def base(self, column: int) -> int:
        """Return the grid number before a meter's first interval."""
        last = self.profile.last[column]
        if last["sequence"]:
            return int(last["end_s"]) // self._period_s - int(last["sequence"])
        config = self._configs[column]
        assert config is not None  # noqa: S101  asked for meters that are here only
        return config.installed_s // self._period_s

    @property
    def next_end_s(self) -> int:
        """When the next interval of any meter ends."""
        return int(self._next_ends_s().min())

    def advance(self, now_s: int) -> int:
        """Close what has ended by `now_s`, durably; return how many intervals.

        Nothing is closed while the disk refuses: `failing` says so.
        """
        closed = 0
        while len(self._columns) and self.next_end_s <= now_s:
            before = self.profile.newest, self.profile.last
            clocks = self._last_s, self._breaker, self._supplied
            moved = dict(self.changes)
            try:
                some = self._close_some(now_s)
                self.profile.sync()
            except StorageError as error:
                self.profile.back_to(*before)
                self._last_s, self._breaker, self._supplied = clocks
                self.changes = moved
                self._chains.clear()
                if not self.failing:
                    log.error("%s", error)  # noqa: TRY400
                self.failing = str(error)
                return closed
            closed += some
            if self.failing:
                log.warning("%s is written again", self.profile.path)
                self.failing = ""
        return closed

    def set_breaker(self, column: int, now_s: int, *, closed: bool) -> BreakerChange | None:
        """Move a meter's breaker; None when it stands so already."""
        self.advance(now_s)
        change = self.of(column).set_breaker(now_s, closed=closed)
        self._changed(column, change)
        return change

    def set_supply(self, column: int, now_s: int, *, supplied: bool) -> None:
        """Let a meter lose its supply, or have it back."""
        self.advance(now_s)
        self._changed(column, self.of(column).set_supply(now_s, supplied=supplied))

    def _changed(self, column: int, change: Change | None) -> None:
        if change is not None:
            self.restore(column, change)
            self._write(self.profile.ids[column], change)

    def restore(self, column: int, change: Change) -> None:
        """Take a transition; one before the column's last interval is passed."""
        place = int(np.searchsorted(self._columns, column))
        if change.at_s >= self._last_s[place]:
            self.changes[column] = [*self.changes.get(column, ()), change]

    def breaker_closed(self, column: int) -> bool:
        """Return where a breaker stands."""
        for change in reversed(self.changes.get(column, ())):
            if isinstance(change, BreakerChange):
                return change.closed
        return bool(self._breaker[np.searchsorted(self._columns, column)])

    def supplied(self, column: int) -> bool:
        """Return whether a meter has supply."""
        for change in reversed(self.changes.get(column, ())):
            if isinstance(change, SupplyChange):
                return change.supplied
        return bool(self._supplied[np.searchsorted(self._columns, column)])

    def of(
        self, column: int, load: ReplayedLoad | None = None, *, before_s: float = math.inf
    ) -> Metrology:
        """Return one meter's metrology as it stands, to be asked and thrown away.

        Args:
            column: The meter's.
            load: Its own, where there is one already.
            before_s: It knows of the transitions before this second.
        """
        config = self._configs[column]
        assert config is not None  # noqa: S101  asked for meters that are here only
        if config.waveforms:
            # What its chain has measured once is remembered in it.
            meter = self._chains.setdefault(column, metrology_of(config))
        else:
            meter = metrology_of(config, load)
        if self.profile.last["sequence"][column]:
            meter.restore(ClosedInterval.decode(self.profile.last[column].tobytes()))
        mine = [each for each in self.changes.get(column, ()) if each.at_s < before_s]
        for change in mine[len(meter.changes) :]:
            meter.restore(change)
        return meter

    def _next_ends_s(self) -> Int64:
        return (self._last_s // self._period_s + 1) * self._period_s

    def _close_some(self, now_s: int) -> int:
        closed = 0
        for _ in range(AT_ONCE):
            end_s = self.next_end_s
            if end_s > now_s:
                break
            closed += self._close(end_s)
        return closed

    def _close(self, end_s: int) -> int:
        """Close the interval of every meter whose next one ends at `end_s`; return how many."""
        due = self._next_ends_s() == end_s
        moved = np.isin(self._columns, list(self.changes))
        plain = due & ~moved & ~self._waveforms & (self._last_s == end_s - self._period_s)
        if self._period_s % INTERVAL_S:
            plain[:] = False
        intervals = np.zeros(len(self.profile.ids), INTERVAL)
        intervals[self._columns[plain]] = self._plain(plain, end_s)
        for column in self._columns[due & ~plain]:
            meter = self.of(int(column), before_s=end_s)
            (interval,) = meter.advance(end_s)
            intervals[column] = np.frombuffer(interval.encode(), INTERVAL)[0]
        self.profile.write(end_s // self._period_s, intervals)
        mine = intervals[self._columns]
        self._last_s = np.where(due, end_s, self._last_s)
        ends = mine["breaker_closed"]
        self._breaker = np.where(due, ends & CLOSED != 0, self._breaker)
        self._supplied = np.where(due, ends & WITHOUT_SUPPLY == 0, self._supplied)
        for column in self._columns[due & moved]:
            rest = [each for each in self.changes.pop(int(column)) if each.at_s >= end_s]
            if rest:
                self.changes[int(column)] = rest
        return int(due.sum())

    def _plain(self, chosen: Bool, end_s: int) -> Void:
        """Return whole intervals in which neither breaker nor supply of these meters changed."""
        last = self.profile.last[self._columns[chosen]]
        starts_s = range(end_s - self._period_s, end_s, INTERVAL_S)
        wh = sum((self._load.interval_wh(start_s) for start_s in starts_s), np.int64(0))
        breaker, supplied = self._breaker[chosen], self._supplied[chosen]
        flowed_ws = np.where(breaker & supplied, np.asarray(wh)[chosen], 0) * WS_PER_WH
        closed = np.zeros(len(last), INTERVAL)
        closed["sequence"] = last["sequence"] + 1
        closed["end_s"] = end_s
        closed["status"] = np.where(supplied, 0, int(ProfileStatus.POWER_DOWN))
        closed["breaker_closed"] = np.where(breaker, CLOSED, 0) | np.where(
            supplied, 0, WITHOUT_SUPPLY
        )
        remainders = last["remainders"].astype(np.int64)
        remainders[:, 0] += flowed_ws
        whole_wh, closed["remainders"] = np.divmod(remainders, WS_PER_WH)
        registers_wh = last["values"][:, 2:].astype(np.int64)
        closed["values"][:, :2] = whole_wh
        closed["values"][:, 2:] = (registers_wh + whole_wh) % REGISTER_WRAP_WH
        return closed


def profile_files(home: Path) -> list[Path]:
    """Return the files of load profiles in a fleet's folder, in the order they were made."""
    found = [path for path in home.glob("profile-*.blocks") if path.stem[8:].isdecimal()]
    return sorted(found, key=lambda path: int(path.stem[8:]))
