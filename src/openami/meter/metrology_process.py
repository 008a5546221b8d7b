# SPDX-License-Identifier: Apache-2.0
"""Metrology as a process: measures, closes intervals, keeps its journal, answers on the link.

It knows no keys and no network.  Nothing that management does, or fails to do, stops it.
"""

import asyncio
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from openami.device.files import JOURNAL, METROLOGY
from openami.device.link import Link
from openami.device.pairing import pair_of
from openami.exchange.events import EventCode
from openami.meter.bank import MetrologyBank
from openami.meter.line import metrology_line
from openami.meter.load import Load
from openami.meter.logbook import Logbook
from openami.meter.measuring.frontend import FrontEnd
from openami.meter.measuring.measured_load import MeasuredLoad
from openami.meter.measuring.terminals import FILE, Terminals
from openami.meter.metrology import (
    NOMINAL_VOLTAGE_DV,
    REGISTER_WRAP_WH,
    Metrology,
    Momentary,
)
from openami.meter.metrology_config import MetrologyConfig
from openami.meter.metrology_end import MetrologyEnd
from openami.meter.replay import ReplayedLoad
from openami.meter.supply import SUPPLY, Portion, SupplyHistory, SupplyLog, Way
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.errors import ConfigurationError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status

log = logging.getLogger(__name__)

TICK_S: Final = 0.05
SHOW_S: Final = 0.5  # how often momentary values go over the link
STATUS_S: Final = 1.0
SUPPLIED: Final = {EventCode.POWER_FAILURE: False, EventCode.POWER_RETURNED: True}


class Part(NamedTuple):
    """What metrology is told when it runs from its image."""

    weeks: Path  # file of the load that is replayed behind the meter
    measurement: bytes  # hash of the image


def load_of(config: MetrologyConfig, replayed: ReplayedLoad | None = None) -> Load:
    """Return what a meter measures of its replayed load while its supply is sound."""
    replayed = replayed or ReplayedLoad(config.meter_id, config.seed)
    return MeasuredLoad(replayed, config.meter_id) if config.waveforms else replayed


def metrology_of(
    config: MetrologyConfig, load: Load | None = None, supply: SupplyHistory | None = None
) -> Metrology:
    """Return the measuring chain of a meter with a load behind it.

    Args:
        config: Of the meter.
        load: What flows while the supply is sound; without, the meter's own.
        supply: How it stands; always sound, without.
    """
    load = load or load_of(config)
    return Metrology(
        load if supply is None else Portion(load, supply, Way.IMPORT),
        config.installed_s,
        config.capture_period_s,
        generation=None if supply is None else Portion(load, supply, Way.EXPORT),
        phase=config.meter_id,
    )


class MetrologyProcess:
    """One meter's metrology, from its opened journal to its stop."""

    def __init__(
        self, config: MetrologyConfig, clock: Clock, descriptor: int, load: ReplayedLoad
    ) -> None:
        """Open the journal and the line; call inside a running loop.

        Raises:
            StorageError: The journal can be neither read nor created.
        """
        self._clock = clock
        folder = config.home / METROLOGY
        folder.mkdir(mode=0o700, exist_ok=True)
        self._sound = load_of(config, load)
        self._supply = SupplyLog(folder / SUPPLY)
        meter = metrology_of(config, self._sound, self._supply.history)
        self.bank = MetrologyBank(
            folder / JOURNAL,
            {config.meter_id: meter},
            keep=config.profile_entries,
        )
        self.bank.forget_old()
        pair, unpaired = pair_of(folder, os.urandom)
        if unpaired:
            log.error("%s: %s; metering goes on", config.name, unpaired)
        self._link = Link(pair=pair, opens=False, entropy=os.urandom)
        self.logbook = Logbook(folder)
        self.end = MetrologyEnd(
            self._link,
            self.bank,
            config.meter_id,
            logbook=self.logbook,
            source=lambda at_s: f"{load.week(at_s)}{config.remark}",
        )
        self._config = config
        self._meter = meter
        self._front = FrontEnd(config.meter_id, time.monotonic())
        self._terminals = Terminals()
        self._terminals_problem = ""
        self._was_lost = not meter.supplied  # as the journal has it
        self._pulses_from = meter.momentary(self._calendar_s())
        self._line = metrology_line(config, descriptor, self._received)
        self._shown_s = 0.0
        findings = [self.bank.finding, self._supply.finding, *self.logbook.findings]
        for finding in filter(None, findings):
            log.error("%s: %s", config.name, finding)
            self.logbook.log(EventCode.STATE_RESTORED, self._calendar_s())

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until `stop` is set."""
        self._line.open()
        said_s = 0.0
        while not stop.is_set():
            now_s = time.monotonic()
            self.step(now_s)
            if now_s - said_s >= STATUS_S:
                said_s = now_s
                write_status(self._config.home / METROLOGY, METROLOGY, self.figures())
            await asyncio.sleep(TICK_S)
        self._line.close()
        self.bank.close()
        self._supply.close()
        self.logbook.close()
        log.info("metrology stopped at interval %d", self.last_sequence)

    def step(self, now_s: float) -> None:
        """Close what has ended, and keep the link going."""
        calendar_s = self._calendar_s()
        self.bank.advance(calendar_s)
        if self.bank.is_long:
            self.bank.shorten()
        shown = self._meter.momentary(calendar_s)
        for event in self._front.advance(now_s, self._outside(shown, calendar_s), self._terminals):
            log.warning("%s: %s", self._config.name, event.kind.value)
            self._log(event.code, calendar_s)
        if self._was_lost and (seen := self._front.sees_supply) is not None:
            self._was_lost = False
            if seen:
                self._log(EventCode.POWER_RETURNED, calendar_s)  # it came back while we were away
        self.end.tick(now_s, calendar_s)
        if now_s - self._shown_s >= SHOW_S:
            self._shown_s = now_s
            self._look_outside(calendar_s)
            self.end.show(now_s, calendar_s, self._front.measured(shown))
        self._send()

    def _log(self, code: int, calendar_s: int) -> None:
        """Log an event; without supply nothing flows."""
        if code in SUPPLIED:
            supplied = SUPPLIED[EventCode(code)]
            self.bank.set_supply(self._config.meter_id, calendar_s, supplied=supplied)
        self.logbook.log(code, calendar_s)

    def _outside(self, shown: Momentary, calendar_s: int) -> Momentary:
        """Return what the street gives and the home would draw of a sound supply.

        Neither hangs on whether the meter has supply.
        """
        drawn_w = self._sound.power_w(calendar_s) if shown.breaker_closed else 0
        voltage_dv = shown.voltage_dv if self._meter.supplied else NOMINAL_VOLTAGE_DV
        return replace(shown, power_w=drawn_w, voltage_dv=voltage_dv)

    def _look_outside(self, calendar_s: int) -> None:
        """See what is done to the meter; a file that makes no sense changes nothing."""
        try:
            self._terminals = Terminals.load(self._config.home / FILE)
        except ConfigurationError as error:
            if str(error) != self._terminals_problem:
                log.error("%s", error)  # noqa: TRY400
            self._terminals_problem = str(error)
        else:
            self._terminals_problem = ""
        self._supply.note(self._terminals.share(calendar_s), self._meter.last.end_s)

    @property
    def pulses(self) -> tuple[int, int]:
        """How many pulses the outputs gave since the start, import and export: one each Wh."""
        now, then = self._meter.momentary(self._calendar_s()), self._pulses_from
        return (
            (now.import_register_wh - then.import_register_wh) % REGISTER_WRAP_WH,
            (now.export_register_wh - then.export_register_wh) % REGISTER_WRAP_WH,
        )

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest interval."""
        return max(meter.last.sequence for meter in self.bank.meters.values())

    def figures(self) -> Figures:
        """Return what the status file says."""
        stored, (imported, exported) = self.end.stored, self.pulses
        return {
            "intervals closed": self.last_sequence,
            "management attached": int(self._link.joined),
            "not stored by management": self.last_sequence - (stored or 0),
            "frames spoilt": self._link.spoilt_frames,
            "frames refused": self._link.refused_frames,
            "management": self._link.standing,
            "events": self.logbook.last,
            "self-test": int(self._front.status),
            "pulses of import": imported,
            "pulses of export": exported,
            "alarm": self.bank.failing or self._supply.failing,
        }

    def _calendar_s(self) -> int:
        return self._clock.now_us() // MICROSECONDS

    def _received(self, octets: bytes) -> None:
        self.end.receive(octets, time.monotonic(), self._calendar_s())
        self._send()

    def _send(self) -> None:
        if octets := self._link.take_output():
            self._line.send(octets)


async def serve(
    home: Path,
    descriptor: int,
    stop: asyncio.Event,
    part: Part | None = None,
) -> None:
    """Run metrology of the meter in `home` until `stop` is set.

    Args:
        home: With its files.
        descriptor: Open line to management.
        stop: Ends it.
        part: What a program of an image is told; None from source.
    """
    layout = Layout(home.parent.parent)
    config = MetrologyConfig.load(home)
    load = ReplayedLoad(config.meter_id, config.seed, file=part and part.weeks)
    clock = Clock(layout.clock)
    process = MetrologyProcess(config, clock, descriptor, load)
    if part is not None:
        process.logbook.note_program(part.measurement, clock.now_us() // MICROSECONDS)
    await process.run(stop)
