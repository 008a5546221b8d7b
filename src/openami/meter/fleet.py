# SPDX-License-Identifier: Apache-2.0
"""Many meters in one process: the same cores, one loop, a connection a meter, few files for all.

Metrology and management of a meter stand in the same process here, so nothing crosses a link.  An
interval of all meters is counted at once (`fleet_metrology`) and is one block of one file
(`fleet_profile`), durable before any of it is shown or pushed.  What managements must not forget
stands in one journal (`fleet_records`).  What a meter needs to answer is made when somebody first
asks it.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from openami.device.files import SECURE
from openami.device.images import Firmware
from openami.device.storage import StorageError
from openami.exchange.events import EventCode
from openami.meter.config import FleetConfig, MeterConfig
from openami.meter.crystals import EXACT, Crystals
from openami.meter.fleet_events import EventBuffer
from openami.meter.fleet_faults import FAULTS_FILE, Faults
from openami.meter.fleet_files import make_room_for_descriptors, open_files
from openami.meter.fleet_firmware import FleetFirmware
from openami.meter.fleet_flash import Factory, Flashes, OwnFlashes
from openami.meter.fleet_listener import listen_plain
from openami.meter.fleet_metrology import FleetMetrology
from openami.meter.fleet_profile import ColumnBuffer, ColumnRing
from openami.meter.fleet_records import FleetRecords, MeterState
from openami.meter.fleet_secure import Worlds, leave_factory
from openami.meter.management import Management, Surroundings
from openami.meter.metrology import Momentary
from openami.meter.records import Records
from openami.meter.replay import ReplayedLoad
from openami.meter.serving import MeterUplink
from openami.meter.street import SUPPLY_FILE, Street
from openami.runtime.clock import MICROSECONDS, Clock, real_us
from openami.runtime.errors import ConfigurationError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status

if TYPE_CHECKING:
    from openami.meter.functions import Functions

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
STATUS_S: Final = 1.0
LOOK_S: Final = 0.2  # how often it is seen who has supply
UPDATING: Final = 256  # flashes that are open at once beside those that were before
SPARE_DESCRIPTORS: Final = 64  # beside those of meters
DIALS_A_SECOND: Final = 100  # at the start, so that handshakes do not all wait for each other


class Kept(NamedTuple):
    """What meters of a fleet share.

    Attributes:
        records: What managements must not forget.
        worlds: The secure worlds of those that have one.
        firmware: What meters run; None where they left no factory with a flash.
    """

    records: FleetRecords
    worlds: Worlds
    firmware: FleetFirmware | None


class FleetMeter:
    """One meter of a fleet: the `Instrument` of its own management."""

    __slots__ = (
        "_clock",
        "_column",
        "_firmware",
        "_load",
        "_metrology",
        "_security",
        "management",
        "meter_id",
        "uplink",
    )

    def __init__(  # noqa: PLR0913  what it is made of
        self,
        config: MeterConfig,
        clock: Clock,
        place: tuple[FleetMetrology, int],
        kept: "Kept",
        has_notices: Callable[[int], None],
        *,
        crystal_us: Callable[[], int] | None = None,
    ) -> None:
        """Join one column of the fleet's metrology and its management.

        Args:
            config: The meter's.
            clock: The calendar.
            place: Its metrology, and its column there.
            kept: What managements must not forget, and what else is the fleet's.
            has_notices: Told the meter's id when its management has something to tell at once.
            crystal_us: What its clock runs by; None: the calendar.
        """
        self.meter_id = config.meter_id
        self.uplink: MeterUplink | None = None
        self._clock = clock
        self._metrology, self._column = metrology, column = place
        self._load: ReplayedLoad | None = None
        records, worlds, firmware = kept
        self._firmware = firmware
        self._security = None if config.keys is not None else worlds.security(config)
        state = MeterState(records, config.meter_id)
        ring = ColumnRing(metrology.profile, column, metrology.base(column), config.profile_entries)
        self.management = Management(
            config,
            self,
            Surroundings(
                calendar_us=clock.now_us,
                real_us=real_us,
                entropy=os.urandom,
                replayed=self._replayed,
                records=Records(
                    profile=ColumnBuffer(ring),
                    events=EventBuffer(partial(records.events, config.meter_id)),
                    state=state,
                    alarms=state,
                    counters=state,
                    lost_at_s=records.lost_since(config.meter_id),
                ),
                has_notices=partial(has_notices, config.meter_id),
                crystal_us=crystal_us,
                security=self._security,
                firmware=None if firmware is None else self._runs,
            ),
        )
        if firmware is not None:
            firmware.add(config.meter_id, self)

    @property
    def is_attached(self) -> bool:
        return self.uplink is not None and self.uplink.is_attached

    @property
    def supplied(self) -> bool:
        """Whether there is supply, for metrology and for management."""
        return self._metrology.supplied(self._column) and self.management.supplied

    def momentary(self) -> Momentary:
        return self._metrology.of(self._column, self._replaying()).momentary(self._calendar_s())

    def move_breaker(self, *, closed: bool) -> None:
        now_s = self._calendar_s()
        self._metrology.set_breaker(self._column, now_s, closed=closed)
        self._management_learns(now_s)

    def set_supply(self, *, supplied: bool) -> None:
        """Lose the supply, or have it back."""
        now_s = self._calendar_s()
        if supplied != self._metrology.supplied(self._column):
            self._metrology.set_supply(self._column, now_s, supplied=supplied)
        if supplied != self.management.supplied:
            code = EventCode.POWER_RETURNED if supplied else EventCode.POWER_FAILURE
            self.management.log_event(code, now_s, again=True)
            if supplied and self._firmware is not None:
                self._firmware.supply_is_back(self.meter_id)

    def restart(self) -> None:
        """Lose what a reset of management loses; metrology goes on."""
        self.management.restart()
        if self._security is not None:
            self._security.forget()
        if self.uplink is not None:
            self.uplink.begin_anew("its firmware starts")

    def restore(self) -> None:
        """Let the breaker stand where management wants it."""
        management = self.management
        stands = self._metrology.breaker_closed(self._column)
        if stands != management.wants_closed:
            self.move_breaker(closed=management.wants_closed)
        elif not management.breaker_settled:
            self._management_learns(self._calendar_s())

    async def dial(self) -> None:
        """Keep attached to the concentrator; end by cancelling.

        Raises:
            ConfigurationError: A certificate file is unusable.
        """
        self.uplink = MeterUplink(self.management)
        await self.uplink.run()

    def _runs(self) -> Firmware:
        if self._firmware is None:
            raise TypeError("this meter left no factory")
        return self._firmware.of(self.meter_id)

    def _replaying(self) -> ReplayedLoad:
        config = self.management.config
        if self._load is None:
            self._load = ReplayedLoad(config.meter_id, config.seed)
        return self._load

    def _replayed(self, at_s: int) -> str:
        return f"{self._replaying().week(at_s)}{self.management.config.remark}"

    def _management_learns(self, now_s: int) -> None:
        closed = self._metrology.breaker_closed(self._column)
        self.management.breaker_stands(closed=closed, at_s=now_s)

    def _calendar_s(self) -> int:
        return self._clock.now_us() // MICROSECONDS


class Fleet:
    """All meters of one process.

    Attributes:
        meters: In the order of the configuration.
        closed: How many intervals were closed since the start.
        records: What their managements must not forget.
        firmware: What meters run; None where they left no factory with a flash.
        metrologies: One a file of load profiles: meters that joined together.
    """

    def __init__(
        self,
        home: Path,
        configs: Sequence[MeterConfig],
        clock: Clock,
        progress: Callable[[int], None] = lambda _done: None,
        *,
        crystals: Crystals = EXACT,
    ) -> None:
        """Open everything and bring it to one state; call inside a running loop.

        Args:
            home: The fleet's folder.
            configs: Of its meters; all have one capture period.
            clock: The calendar.
            progress: Told how many meters are ready.
            crystals: What their clocks run by.

        Raises:
            StorageError: A file can be neither read nor created.
            ConfigurationError: The meters have different capture periods, or one has no keys.
        """
        _refuse_different_periods(configs)
        self.closed = 0
        self._receipted_at = -1
        self._acting: list[Functions] = []  # of meters that somebody has spoken with
        self._clock = clock
        self._street = Street(home / SUPPLY_FILE)
        self._looked_s = -LOOK_S
        self._telling: set[int] = set()  # places of meters that have something to tell at once
        home.mkdir(parents=True, exist_ok=True)
        found = open_files(home, configs)
        self.records, self.metrologies, findings = found
        of = {
            meter_id: (metrology, column)
            for metrology in self.metrologies
            for column, meter_id in enumerate(metrology.profile.ids)
        }
        self.meters: list[FleetMeter] = []
        places = {config.meter_id: place for place, config in enumerate(configs)}

        def has_notices(meter_id: int) -> None:
            self._telling.add(places[meter_id])

        factory = Factory(home)
        self._worlds, self._flashes = Worlds(factory), OwnFlashes(factory)
        self.firmware: FleetFirmware | None = None
        if factory.is_there:
            flashes = Flashes(self._flashes, self._worlds)
            self.firmware = FleetFirmware(
                flashes, factory.first(), self.records, Faults(home / FAULTS_FILE)
            )
            factory.tidy([config.home / SECURE for config in configs])
        kept = Kept(self.records, self._worlds, self.firmware)
        for config in configs:
            place = of[config.meter_id]
            crystal_us = crystals.of(config.meter_id, config.seed, config.installed_s, clock.now_us)
            self.meters.append(
                FleetMeter(config, clock, place, kept, has_notices, crystal_us=crystal_us)
            )
            progress(len(self.meters))
        self._places = [
            (metrology, [places.get(meter_id) for meter_id in metrology.profile.ids])
            for metrology in self.metrologies
        ]
        self.records.stock_up(config.meter_id for config in configs)
        for finding in findings:
            log.error("%s", finding)
        with self.records.together():
            for meter in self.meters:
                if findings:
                    meter.management.log_event(EventCode.STATE_RESTORED)
        for meter in self.meters:
            meter.restore()

    async def run(self, stop: asyncio.Event, run_folder: Path) -> None:
        """Measure and serve until `stop` is set.

        Raises:
            UserError: The system allows too few open files, or a certificate file is unusable.
        """
        make_room_for_descriptors(self.descriptors)
        dialling: list[asyncio.Task[None]] = []
        starter = asyncio.create_task(self._dial(dialling))
        said_s = 0.0
        try:
            while not stop.is_set():
                now_s = time.monotonic()
                self.step(now_s)
                if now_s - said_s >= STATUS_S:
                    said_s = now_s
                    raise_faults([starter, *dialling])
                    self._acting = [
                        functions
                        for meter in self.meters
                        if (functions := meter.management.functions) is not None
                    ]
                    write_status(run_folder, "fleet", self.figures())
                await asyncio.sleep(TICK_S)
        finally:
            for task in (starter, *dialling):
                task.cancel()
            await asyncio.gather(starter, *dialling, return_exceptions=True)
            self.close()
        log.info("fleet of %d meters stopped", len(self.meters))

    def step(self, now_s: float) -> None:
        """See who has supply; close what has ended, store it, push it."""
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look_outside()
        calendar_s = self._clock.now_us() // MICROSECONDS
        self.closed += sum(metrology.advance(calendar_s) for metrology in self.metrologies)
        self._tick_notices(now_s)
        for place in self._with_rows():
            management = self.meters[place].management
            if management.outbox.is_attached:
                management.tick_pushes(now_s)
        try:
            self.records.flush()
            self.records.stock_up()
            if self.records.is_long:
                self.records.shorten()
        except StorageError as error:
            log.warning("%s", error)
        for functions in self._acting:
            functions.tick()
        if self.firmware is not None:
            self.firmware.step(now_s)

    def _look_outside(self) -> None:
        if (without := self._street.changed()) is None:
            return
        try:
            with self.records.together():
                for meter in self.meters:
                    supplied = meter.meter_id not in without
                    if supplied != meter.supplied:
                        meter.set_supply(supplied=supplied)
        except StorageError as error:
            log.error("who has supply is not written down: %s", error)  # noqa: TRY400

    def _tick_notices(self, now_s: float) -> None:
        for place in list(self._telling):
            management = self.meters[place].management
            management.tick_pushes(now_s)
            if not management.has_work:
                self._telling.discard(place)

    @property
    def descriptors(self) -> int:
        """How many open files it needs: a connection a meter, and a flash where it has one."""
        walled = sum(meter.management.config.keys is None for meter in self.meters)
        received = len(self.records.firmware)
        return len(self.meters) + max(walled, received) + UPDATING + SPARE_DESCRIPTORS

    @property
    def managements(self) -> dict[int, Management]:
        """The managements by meter id."""
        return {meter.meter_id: meter.management for meter in self.meters}

    def figures(self) -> Figures:
        """Return what the status file says."""
        outboxes = [meter.management.outbox for meter in self.meters]
        return {
            "meters": len(self.meters),
            "connected": sum(meter.is_attached for meter in self.meters),
            "intervals closed": self.closed,
            "pushes pending": sum(outbox.pending for outbox in outboxes),
            "receipts": sum(outbox.receipts for outbox in outboxes),
            "without supply": sum(not meter.management.supplied for meter in self.meters),
            "last gasps": sum(meter.management.notices.gasps for meter in self.meters),
            "firmware on trial": 0 if self.firmware is None else self.firmware.on_trial,
            "alarm": self._street.failing or next(filter(None, self._failures()), ""),
        }

    def close(self) -> None:
        """Sync and close every file."""
        for meter in self.meters:
            meter.management.note_state()
        self._worlds.close_all()
        self._flashes.close_all()
        closing: list[Callable[[], None]] = [each.profile.close for each in self.metrologies]
        for close in (*closing, self.records.close):
            try:
                close()
            except StorageError as error:
                log.error("%s", error)  # noqa: TRY400

    def _with_rows(self) -> Iterable[int]:
        """Return the places of meters that have rows to push."""
        if self._receipted_at != self.records.notes:
            self._receipted_at = self.records.notes
            self._receipted = [
                self.records.receipted(metrology.profile.ids) for metrology in self.metrologies
            ]
        for (metrology, places), receipted in zip(self._places, self._receipted, strict=True):
            for column in np.flatnonzero(metrology.profile.last["sequence"] > receipted):
                place = places[column]
                if place is not None:
                    yield place

    def _failures(self) -> Iterable[str]:
        if self.firmware is not None:
            yield self.firmware.failing
        yield from (metrology.failing for metrology in self.metrologies)
        yield from (meter.management.failing for meter in self.meters)

    async def _dial(self, dialling: list[asyncio.Task[None]]) -> None:
        for meter in self.meters:
            dialling.append(asyncio.create_task(meter.dial()))
            await asyncio.sleep(1 / DIALS_A_SECOND)


def _refuse_different_periods(configs: Sequence[MeterConfig]) -> None:
    periods = {config.capture_period_s: config for config in configs}
    if len(periods) > 1:
        one, other = list(periods.values())[:2]
        raise ConfigurationError(
            f"{one.name} captures each {one.capture_period_s} s and {other.name} each "
            f"{other.capture_period_s} s: give each period a fleet of its own"
        )


def raise_faults(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raise what ended a task that should go on for ever."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


async def serve(home: Path, stop: asyncio.Event) -> None:
    """Run the fleet of folder `home`, `var/fleet`, until `stop` is set."""
    layout = Layout(home.parent)
    started_s = time.monotonic()
    found = FleetConfig.load(home)
    configs = [MeterConfig.load(folder) for folder in found.homes]
    if finding := leave_factory(home, layout.firmware):
        log.error("%s", finding)
    fleet = Fleet(home, configs, Clock(layout.clock), crystals=found.crystals)
    log.info("fleet of %d meters ready in %.1f s", len(configs), time.monotonic() - started_s)
    if found.plain is None:
        await fleet.run(stop, layout.run)
        return
    listener = await listen_plain(fleet.managements, found.plain)
    try:
        await fleet.run(stop, layout.run)
    finally:
        await listener.close()
