# SPDX-License-Identifier: Apache-2.0
"""Two clocks: the calendar that meters live by, and monotonic time that never scales.

Calendar = base + speed x (monotonic - epoch).  The numbers stand in one small file that the
supervisor owns; every process reads it once at start and again when its modification time
changes.  While the AMI is stopped the calendar is frozen.

Monotonic time is the system's CLOCK_MONOTONIC, which all processes of one machine share; the boot
id beside it tells a file of an earlier boot, whose epoch means nothing any more.

Where there is no such file no supervisor made a calendar: it is real UTC, as in a utility.
"""

import logging
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json, write_json

log = logging.getLogger(__name__)

MICROSECONDS: Final = 1_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REMEDY: Final = (
    "stop the AMI and start `openami up` again, or remove the file to begin a new calendar"
)
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def to_us(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970-01-01 UTC."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """Return microseconds since 1970-01-01 UTC as an aware datetime."""
    return EPOCH + timedelta(microseconds=us)


def real_us() -> int:
    """Return real UTC, for audit, sessions and certificates; never scaled."""
    return time.time_ns() // 1000


def boot_id() -> str:
    """Return what tells one boot of this machine from another."""
    return BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarState:
    """What `clock.json` holds."""

    base_us: int  # calendar at the epoch, microseconds UTC
    epoch_monotonic_s: float  # monotonic seconds at which the calendar showed base_us
    speed: float  # calendar seconds a monotonic second
    running: bool  # False: frozen at base_us
    boot: str

    def at(self, monotonic_s: float) -> int:
        """Return the calendar in microseconds UTC at a monotonic moment."""
        if not self.running:
            return self.base_us
        return self.base_us + round(
            (monotonic_s - self.epoch_monotonic_s) * self.speed * MICROSECONDS
        )

    @classmethod
    def load(cls, path: Path) -> "CalendarState":
        """Read `clock.json`.

        Raises:
            ConfigurationError: The file is missing or damaged.
        """
        fields = read_json(path, REMEDY)
        try:
            state = cls(**fields)
            state.at(0.0)
        except TypeError as error:
            raise ConfigurationError(f"{path} is not a calendar ({error}): {REMEDY}") from error
        return state

    def store(self, path: Path) -> None:
        """Write `clock.json`, durably."""
        write_json(path, asdict(self))

    def rebased(self, monotonic_s: float, *, running: bool) -> "CalendarState":
        """Return the same calendar with its base moved to `monotonic_s`."""
        return replace(
            self,
            base_us=self.at(monotonic_s),
            epoch_monotonic_s=monotonic_s,
            running=running,
            boot=boot_id(),
        )


class Clock:
    """The calendar as a process sees it, and the monotonic time beside it."""

    _state: CalendarState | None  # None: real UTC

    def __init__(self, path: Path) -> None:
        """Read the calendar; where there is no file it is this machine's UTC.

        Raises:
            ConfigurationError: The file is damaged.
        """
        self._path = path
        self._checked_s = time.monotonic()
        self._modified_ns = 0
        self._state = None
        if not path.exists():
            log.info("there is no %s: the calendar is this machine's UTC", path)
            return
        self._state = CalendarState.load(path)
        self._modified_ns = path.stat().st_mtime_ns

    @property
    def speed(self) -> float:
        return 1.0 if self._state is None else self._state.speed

    def now_us(self) -> int:
        """Return the calendar in microseconds UTC."""
        if self._state is None:
            return real_us()
        monotonic_s = time.monotonic()
        if monotonic_s - self._checked_s > 1.0:
            self._checked_s = monotonic_s
            self._reload()
        return self._state.at(monotonic_s)

    def now(self) -> datetime:
        """Return the calendar as an aware datetime."""
        return from_us(self.now_us())

    def monotonic_s(self) -> float:
        return time.monotonic()

    def real_seconds_until(self, calendar_us: int) -> float:
        """Return the real seconds until the calendar shows `calendar_us`; 0 when it does."""
        if self._state is not None and not self._state.running:
            return 1.0
        return max(0.0, (calendar_us - self.now_us()) / MICROSECONDS / self.speed)

    def _reload(self) -> None:
        try:
            modified_ns = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if modified_ns != self._modified_ns:
            self._modified_ns = modified_ns
            self._state = CalendarState.load(self._path)


class FixedClock(Clock):
    """A calendar for tests: it shows what it is told."""

    _state: CalendarState

    def __init__(self, now_us: int, speed: float = 1.0) -> None:
        self._state = CalendarState(
            base_us=now_us, epoch_monotonic_s=0.0, speed=speed, running=False, boot="test"
        )

    def now_us(self) -> int:
        return self._state.base_us

    def set(self, now_us: int) -> None:
        """Move the calendar."""
        self._state = replace(self._state, base_us=now_us)

    def real_seconds_until(self, calendar_us: int) -> float:
        return max(0.0, (calendar_us - self.now_us()) / MICROSECONDS / self.speed)
