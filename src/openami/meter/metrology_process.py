# SPDX-License-Identifier: Apache-2.0
"""Metrology as a process: measures, closes intervals, keeps its journal, answers on the UART.

It knows no keys and no network.  Nothing that management does, or fails to do, stops it.
"""

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Final

from openami.device.files import METROLOGY
from openami.device.link import Link
from openami.device.pairing import pair_of
from openami.exchange.events import EventCode
from openami.meter.bank import MetrologyBank
from openami.meter.config import MeterConfig
from openami.meter.instrument import MetrologyEnd
from openami.meter.measuring.measured_load import MeasuredLoad
from openami.meter.metrology import Metrology
from openami.meter.replay import ReplayedLoad
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status
from openami.transport.serial import Receive, SerialLine

log = logging.getLogger(__name__)

TICK_S: Final = 0.05
SHOW_S: Final = 0.5  # how often momentary values go over the link
STATUS_S: Final = 1.0


class DescriptorLine(SerialLine):
    """A serial line whose descriptor somebody else keeps open: the backplane's UART."""

    def __init__(self, descriptor: int, receive: Receive) -> None:
        super().__init__(Path(f"/proc/self/fd/{descriptor}"), receive)
        self._given = descriptor

    def _acquire(self) -> int:
        return os.dup(self._given)


def metrology_of(config: MeterConfig) -> Metrology:
    """Return the measuring chain of a meter with its replayed load behind it."""
    replayed = ReplayedLoad(config.meter_id, config.seed)
    return Metrology(
        MeasuredLoad(replayed, config.meter_id) if config.waveforms else replayed,
        config.installed_s,
        config.capture_period_s,
        phase=config.meter_id,
    )


class MetrologyProcess:
    """One meter's metrology, from its opened journal to its stop."""

    def __init__(self, config: MeterConfig, clock: Clock, descriptor: int) -> None:
        """Open the journal and the line; call inside a running loop.

        Raises:
            StorageError: The journal can be neither read nor created.
        """
        self._clock = clock
        meter = metrology_of(config)
        self.bank = MetrologyBank(
            config.home / "metrology.journal",
            {config.meter_id: meter},
            keep=config.profile_entries,
        )
        self.bank.forget_old()
        pair, unpaired = pair_of(config.home / METROLOGY, os.urandom)
        if unpaired:
            log.error("%s: %s; metering goes on", config.name, unpaired)
        self._link = Link(pair=pair, opens=False, entropy=os.urandom)
        load = ReplayedLoad(config.meter_id, config.seed)
        self.end = MetrologyEnd(
            self._link,
            self.bank,
            config.meter_id,
            lambda at_s: f"{load.week(at_s)}{config.remark}",
        )
        self._line = DescriptorLine(descriptor, self._received)
        self._shown_s = 0.0
        if self.bank.finding is not None:
            log.error("%s: %s", config.name, self.bank.finding)
            self.end.log_event(EventCode.STATE_RESTORED, self._calendar_s())

    async def run(self, stop: asyncio.Event, run_folder: Path) -> None:
        """Measure until `stop` is set."""
        self._line.open()
        said_s = 0.0
        while not stop.is_set():
            now_s = time.monotonic()
            self.step(now_s)
            if now_s - said_s >= STATUS_S:
                said_s = now_s
                write_status(run_folder, "metrology", self.figures())
            await asyncio.sleep(TICK_S)
        self._line.close()
        self.bank.close()
        log.info("metrology stopped at interval %d", self.last_sequence)

    def step(self, now_s: float) -> None:
        """Close what has ended, and keep the link going."""
        calendar_s = self._calendar_s()
        self.bank.advance(calendar_s)
        if self.bank.is_long:
            self.bank.shorten()
        self.end.tick(now_s, calendar_s)
        if now_s - self._shown_s >= SHOW_S:
            self._shown_s = now_s
            self.end.show(now_s, calendar_s)
        self._send()

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest interval."""
        return max(meter.last.sequence for meter in self.bank.meters.values())

    def figures(self) -> Figures:
        """Return what the status file says."""
        stored = self.end.stored
        return {
            "intervals closed": self.last_sequence,
            "management attached": int(self._link.joined),
            "not stored by management": self.last_sequence - (stored or 0),
            "frames spoilt": self._link.spoilt_frames,
            "frames refused": self._link.refused_frames,
            "management": self._link.standing,
            "alarm": self.bank.failing,
        }

    def _calendar_s(self) -> int:
        return self._clock.now_us() // MICROSECONDS

    def _received(self, octets: bytes) -> None:
        self.end.receive(octets, time.monotonic(), self._calendar_s())
        self._send()

    def _send(self) -> None:
        if octets := self._link.take_output():
            self._line.send(octets)


async def serve(home: Path, descriptor: int, stop: asyncio.Event) -> None:
    """Run metrology of the meter in `home` on an open UART until `stop` is set."""
    layout = Layout(home.parent.parent)
    config = MeterConfig.load(home)
    process = MetrologyProcess(config, Clock(layout.clock), descriptor)
    await process.run(stop, layout.run)
