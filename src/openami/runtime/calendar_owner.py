# SPDX-License-Identifier: Apache-2.0
"""Makes, runs and freezes the calendar; one AMI has one owner (docs/architecture.md, 3)."""

import contextlib
import json
import time
from pathlib import Path
from typing import Final

from openami.runtime.clock import MICROSECONDS, CalendarState, boot_id

# A supervisor that was killed could not freeze the calendar.  Its last sign of life is at most this
# old; the calendar goes on from there, never from before a moment that a meter may have seen.
MARGIN_S: Final = 3.0


class CalendarOwner:
    """Runs `clock.json` for the time that the AMI runs."""

    def __init__(self, path: Path, heartbeat: Path) -> None:
        self._path = path
        self._heartbeat = heartbeat

    def start(self, *, first_us: int, speed: float) -> CalendarState:
        """Let the calendar run: a new one from `first_us`, an old one from where it stood.

        Raises:
            ConfigurationError: The calendar file is damaged.
        """
        now_s = time.monotonic()
        base_us = self._stood_at() if self._path.exists() else first_us
        state = CalendarState(
            base_us=base_us, epoch_monotonic_s=now_s, speed=speed, running=True, boot=boot_id()
        )
        self._heartbeat.parent.mkdir(parents=True, exist_ok=True)
        self._heartbeat.unlink(missing_ok=True)
        state.store(self._path)
        return state

    def beat(self) -> None:
        """Leave a sign of life; called each second.  A full disk leaves the last one."""
        said = {"monotonic_s": time.monotonic()}
        temporary = self._heartbeat.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(said), encoding="utf-8")
            temporary.replace(self._heartbeat)

    def freeze(self) -> None:
        """Stop the calendar where it is."""
        CalendarState.load(self._path).rebased(time.monotonic(), running=False).store(self._path)

    def _stood_at(self) -> int:
        state = CalendarState.load(self._path)
        if not state.running:
            return state.base_us
        last_s = state.epoch_monotonic_s
        if self._heartbeat.exists():
            # A torn sign of life leaves the epoch and the margin.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                last_s = json.loads(self._heartbeat.read_text(encoding="utf-8"))["monotonic_s"]
        return state.at(last_s) + round(MARGIN_S * state.speed * MICROSECONDS)
