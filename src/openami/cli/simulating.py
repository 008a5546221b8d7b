# SPDX-License-Identifier: Apache-2.0
"""What keeps a simulated meter going: its calendar, its counters on disk, its ticks."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from openami.cli.simulated_pushes import Schedule
from openami.cosem.behaviour.host import Life
from openami.cosem.device import Ciphering
from openami.dlms.security.counters import InvocationCounter
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import PRIVATE, read_json, write_json

TICK_S: Final = 0.2
MOST_TICKS: Final = 500
"""How many moments are made up for before clients are listened to again."""
LATEST_US: Final = 86_400_000_000
"""What was due longer ago is done once: the clock was set, or the machine slept."""
LEAP: Final = 1000
"""How many counters are taken from the file at a time."""


class Calendar:
    """A calendar that runs `speed` times as fast as real time, and can be set."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._base_us = real_us()
        self._epoch_s = time.monotonic()
        self._held_us: int | None = None

    @contextlib.contextmanager
    def held(self, now_us: int) -> Iterator[None]:
        """Show one moment while objects do what was due then."""
        self._held_us = now_us
        try:
            yield
        finally:
            self._held_us = None

    def now_us(self) -> int:
        """Return the calendar time, microseconds UTC."""
        if self._held_us is not None:
            return self._held_us
        passed_s = time.monotonic() - self._epoch_s
        return self._base_us + round(passed_s * self._speed * MICROSECONDS)

    def set_us(self, now_us: int) -> None:
        """Show another time from now on."""
        self._base_us, self._epoch_s = now_us, time.monotonic()
        self._held_us = None


class CounterFile:
    """Invocation counters that outlive a restart, so that no counter serves a key twice.

    Args:
        path: Where they are kept; None for keys that end with this process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._sent = self._received = 1
        if path is not None and path.exists():
            remedy = "restore it, or begin anew with another --keys file"
            said = read_json(path, remedy)
            try:
                self._sent, self._received = int(said["sent"]), int(said["received"])
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigurationError(f"{path} holds no counters: {remedy}") from error

    def reserve(self, count: int) -> InvocationCounter:
        """Return the first of `count` counters of our own, durable before it is used."""
        first = InvocationCounter(self._sent)
        self._sent += max(count, LEAP)
        self._write()
        return first

    def resume(self, ciphering: Ciphering) -> None:
        """Let the window go on where it may have been."""
        ciphering.window.expected = max(ciphering.window.expected, self._received)

    def follow(self, ciphering: Ciphering) -> None:
        """Keep ahead of what was accepted."""
        if ciphering.window.expected >= self._received:
            self._received = ciphering.window.expected + LEAP
            self._write()

    def _write(self) -> None:
        if self._path is not None:
            write_json(self._path, {"sent": self._sent, "received": self._received}, mode=PRIVATE)


@dataclass(slots=True)
class Living:
    """Tells the objects of a device the time.

    Attributes:
        life: The device.
        calendar: Its time.
        first: Done at each moment before objects act: what was measured meanwhile.
        last: Done a few times a second.
        begun_us: The calendar time at which the device came to life: what was due since then has
            its own moment, however long it took to open ports.
        pushes: What is pushed without being asked.
    """

    life: Life
    calendar: Calendar
    first: Callable[[], None]
    last: Callable[[], None]
    begun_us: int
    pushes: Schedule | None = None
    _reached_us: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Do so until `stop`."""
        self._reached_us = self.begun_us
        while not stop.is_set():
            self._catch_up()
            if self.pushes is not None:
                self.pushes.tick()
            self.last()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_S)

    def _catch_up(self) -> None:
        """Do what was due at each of its moments, however late we are."""
        actors, calendar = self.life.actors, self.calendar
        for _ in range(MOST_TICKS):
            due_us, now_us = actors.due_us(), calendar.now_us()
            if due_us is None or due_us > now_us:
                break
            # No moment comes twice, unless the clock was set back.
            least_us = max(min(self._reached_us, now_us), now_us - LATEST_US)
            self._reached_us = max(due_us, least_us)
            with calendar.held(self._reached_us):
                self.first()
                actors.tick(self._reached_us)
        else:
            return
        with calendar.held(now_us):  # what became due since then has its own moment
            self.first()
        self._reached_us = now_us


def load_json(path: Path) -> object:
    """Read a file of JSON; raises `ConfigurationError` with the remedy."""
    found: object = read_json(path, "give the path of a file that `openami dump` wrote")
    return found


def reference() -> object:
    """Return the dump of the meter that comes with the product."""
    text = (files("openami.cosem.profiles") / "reference-meter.json").read_text(encoding="utf-8")
    found: object = json.loads(text)
    return found
