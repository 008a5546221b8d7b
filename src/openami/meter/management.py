# SPDX-License-Identifier: Apache-2.0
"""The management module's core: rings, COSEM server, pushes, the breaker's commands.

It does no networking and knows no loop: whoever hosts it (`management_process`, `fleet`) hands it
intervals, connections and monotonic time.  Metrology is an `Instrument`: across the link in the
full meter, in the same process in the fleet.

An interval is taken when its row is in the ring; the host decides when rings are synced, because
only it knows what else can bring the rows back (metrology's journal) and how many meters share a
sync.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openami.cosem.classes.disconnect import ControlState, Disconnector, Trigger
from openami.cosem.device import Late, LogicalDevice
from openami.cosem.model import InterfaceClass, Refused
from openami.cosem.server import ServerConnection
from openami.cosem.serving.watching import SecurityWatch
from openami.device.images import FIRMWARE_SIGNATURE, IMAGE_TRANSFER, Firmware, receive_images
from openami.device.storage import StorageError, set_aside
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.errors import SecurityError
from openami.dlms.security.counters import CounterBlock
from openami.exchange.events import EventCode
from openami.exchange.uplink import BROADCAST_SETUP
from openami.meter.alarms import Alarms
from openami.meter.clients import clients_of, hear_broadcasts, renew_credentials
from openami.meter.config import KEYS_REMEDY, MeterConfig
from openami.meter.functions import Functions
from openami.meter.keys import OwnSecurity, Security
from openami.meter.metrology import ClosedInterval, Momentary
from openami.meter.notices import Notices
from openami.meter.objects import (
    Instrument,
    Sources,
    broadcast_setup,
    meter_objects,
)
from openami.meter.outbox import Outbox, Sender
from openami.meter.profile import RingBuffer, encode_event, last_interval
from openami.meter.records import Records, open_records
from openami.meter.settings import SETTINGS_FILE, Settings
from openami.runtime.clock import MICROSECONDS
from openami.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from openami.cosem.behaviour.image import ImageReceiver

log = logging.getLogger(__name__)

CONTROL_MODE: Final = 4  # remote disconnect and reconnect, local disconnect; no button
COUNTERS_A_BLOCK: Final = 256
LATE: Final = frozenset(at.encode() for at in (IMAGE_TRANSFER, FIRMWARE_SIGNATURE, BROADCAST_SETUP))
"""Objects for whoever brings firmware: most meters of a fleet are asked for none of them."""
QUIET_S: Final = 60  # calendar seconds in which the same event is logged once
BREAKER_EVENTS: Final = {
    False: EventCode.DISCONNECTED_REMOTELY,
    True: EventCode.CONNECTED_REMOTELY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a host lends the core."""

    calendar_us: Callable[[], int]
    real_us: Callable[[], int]
    entropy: Callable[[int], bytes]
    replayed: Callable[[int], str]  # text of the week replayed at a calendar second
    firmware: Callable[[], Firmware] | None = None  # where boot started it from a flash
    security: Security | None = None  # keys behind a wall; without it they are the meter's own
    records: Records | None = None  # where a host keeps them; without it in files of the meter's
    has_notices: Callable[[], None] = lambda: None  # there is something to tell at the next tick
    crystal_us: Callable[[], int] | None = None  # what the clock runs by, where not the calendar


class Management:
    """Management of one meter.

    Attributes:
        config: The meter's.
        profile: Load profile.
        events: Event log.
        outbox: Pushes.
        notices: Last gasp, restoration, alarms.
        alarms: Alarm registers.
        functions: Clock, load limit, tariffs; None before anybody has spoken with the meter.
        images: Receives firmware; None before anybody asked for it, and where no boot started this.
        starts: How often this began, for connections that stood before.
        failing: Why nothing can be pushed now; empty while it can.
        when_settled: Called once, when metrology confirms that the breaker stands as wanted.
    """

    def __init__(
        self, config: MeterConfig, instrument: Instrument, surroundings: Surroundings
    ) -> None:
        """Open every file of management; damaged ones are set aside and started anew.

        Raises:
            StorageError: A file can be neither read nor created.
        """
        self.config = config
        self.failing = ""
        self.when_settled: list[Callable[[], None]] = []
        self._instrument = instrument
        self._around = surroundings
        records = surroundings.records or open_records(
            config, surroundings.real_us, own_keys=surroundings.security is None
        )
        self.profile, self.events, self._state = records.profile, records.events, records.state
        self._records = records
        self._security = surroundings.security or self._own_security()
        sender = Sender(
            recipient=config.head_end_title,
            ldn=config.ldn.encode(),
            notify=self._security.notify,
        )
        self.outbox = Outbox(
            self.profile,
            sender,
            receipted=self._state.state.receipted,
            pauses_s=(config.push_first_s, config.push_most_s),
        )
        self.notices = Notices(
            config.notices,
            lambda apdu: self._security.notify(config.head_end_title, apdu),
            lambda: int.from_bytes(surroundings.entropy(2)) / 2**16,
            (config.push_first_s, config.push_most_s),
            records.lost_at_s,
        )
        self.notices.on_work = surroundings.has_notices
        self.alarms = Alarms(
            config.alarms,
            records.alarms,
            lambda: surroundings.calendar_us() // MICROSECONDS,
            self.notices.tell,
            self.notices.on_work,
        )
        self.notices.on_told = self.alarms.told
        self._disconnector = Disconnector(self, CONTROL_MODE, self._state.state.control_state)
        self._last_logged: dict[int, int] = {}
        self._last_code = 0
        self._objects: list[InterfaceClass] | None = None
        self._devices: dict[bool, LogicalDevice] = {}  # what the listeners serve, and what not
        self._late: list[InterfaceClass] = []
        self.images: ImageReceiver | None = None
        self.starts = 1
        self.functions: Functions | None = None  # made with them too, unless there are settings
        self._settings_path = config.home / SETTINGS_FILE
        if self._settings_path.exists():
            self.functions = self._make_functions()
        self._report_findings()

    def _own_security(self) -> OwnSecurity:
        config, reserve = self.config, self._records.counters
        if config.keys is None or reserve is None:
            problem = f"the keys of {config.name} are in its secure world"
            raise ConfigurationError(f"{problem}: run it with `openami meter run`")
        counters = CounterBlock.reserving(reserve, COUNTERS_A_BLOCK)
        expected, entropy = self._state.state.window_expected, self._around.entropy
        try:
            return OwnSecurity(config, config.keys, counters, expected, entropy)
        except SecurityError as error:
            raise ConfigurationError(f"{config.keys_file}: {error}: {KEYS_REMEDY}") from error

    # Intervals ------------------------------------------------------------------------------

    @property
    def have(self) -> int:
        """Sequence up to which the ring has every interval; metrology offers what follows."""
        ring = self._own.ring
        return min(ring.holes) - 1 if ring.holes else ring.last

    def store(self, intervals: Iterable[ClosedInterval]) -> None:
        """Put intervals into the ring; durable after `sync`.

        Raises:
            StorageError: The disk is full; what does not fit is to be offered again.
        """
        ring = self._own.ring
        for interval in intervals:
            if interval.sequence > ring.last + 1:
                self._begin_ring_at(interval.sequence)
                ring = self._own.ring
            if interval.sequence > ring.last or interval.sequence in ring.holes:
                ring.put(interval.sequence, interval.encode())

    def sync(self) -> None:
        """Make the load profile durable.

        Raises:
            StorageError: The disk refused.
        """
        self._own.ring.sync()

    @property
    def _own(self) -> RingBuffer:
        """The load profile that management writes."""
        if self._records.own is None:
            raise TypeError("metrology writes this load profile itself")
        return self._records.own

    def last_interval(self) -> ClosedInterval | None:
        """Return the newest interval in the ring."""
        return last_interval(self.profile.ring.newest())

    # Connections ----------------------------------------------------------------------------

    def connection(
        self, *, plain: bool = False, watch: SecurityWatch | None = None
    ) -> ServerConnection:
        """Return a server for a new connection; `watch` is told of what it refuses."""
        if (device := self._devices.get(plain)) is None:
            device = self._devices[plain] = self._make_device(plain=plain)
        return ServerConnection(device, entropy=self._around.entropy, watch=watch)

    def tick_pushes(self, now_s: float) -> None:
        """Send what is due: notices first, rows while there is supply."""
        try:
            self.alarms.tick()
            self.notices.tick(now_s)
            if self.notices.lost_at_s is None:
                self.outbox.tick(now_s)
        except (StorageError, SecurityError) as error:
            if str(error) != self.failing:
                log.error("%s: nothing can be pushed: %s", self.config.name, error)  # noqa: TRY400
            self.failing = str(error)
        else:
            self.failing = ""

    def confirm_push(self, invoke_id: int, now_s: float) -> None:
        """Take a hop receipt."""
        if not self.notices.confirm(invoke_id, now_s) and self.outbox.confirm(invoke_id, now_s):
            self.note_state()

    @property
    def has_work(self) -> bool:
        """Whether `tick_pushes` has more to do than rows to push, now or later."""
        return self.notices.busy or self.alarms.busy

    @property
    def supplied(self) -> bool:
        """Whether there is supply, by the event log."""
        return self.notices.lost_at_s is None

    def note_state(self) -> None:
        """Write down what is remembered lazily: receipts, and the client's counter."""
        expected = self._security.expected
        if expected is None:
            expected = self._state.state.window_expected
        try:
            self._state.note(receipted=self.outbox.receipted, window_expected=expected)
        except StorageError as error:
            log.warning("%s: %s", self.config.name, error)

    def tick(self) -> None:
        """Do what the clock says is due: look at the load, change the calendar."""
        if self.functions is not None:
            self.functions.tick()

    # Events ---------------------------------------------------------------------------------

    def log_event(self, code: int, at_s: int | None = None, *, again: bool = False) -> bool:
        """Write an event into the log, durably; tell whether it is there.

        The same one is written at most once a minute, unless it may come `again`.
        """
        moment_s = self._around.calendar_us() // MICROSECONDS if at_s is None else at_s
        before_s = self._last_logged.get(code)
        if not again and before_s is not None and 0 <= moment_s - before_s < QUIET_S:
            return True
        self._last_logged[code] = moment_s
        self._last_code = code
        is_alarm = self.alarms.event(code, moment_s)
        try:
            self.events.ring.append([encode_event(moment_s, code)])
            self.events.ring.sync()
        except StorageError as error:
            log.error("%s: event %d is not in the log: %s", self.config.name, code, error)  # noqa: TRY400
            return False
        finally:
            if not is_alarm:
                self.notices.event(code, moment_s)
        return True

    # Breaker: the port of `cosem.classes.disconnect` and metrology's answer ----------------------

    @property
    def wants_closed(self) -> bool:
        """Where the disconnect control wants the breaker."""
        return self._disconnector.state is ControlState.CONNECTED

    @property
    def breaker_settled(self) -> bool:
        """Whether metrology has confirmed that the breaker stands where it is wanted."""
        return self._state.state.output_closed == self.wants_closed

    def is_closed(self) -> bool:
        return self._state.state.output_closed

    def move(self, state: ControlState) -> None:
        """Remember the new state durably, then move the breaker."""
        try:
            self._state.note(durable=True, control_state=state)
        except StorageError as error:
            log.error("%s: command refused: %s", self.config.name, error)  # noqa: TRY400
            raise Refused(ActionResult.TEMPORARY_FAILURE) from None
        self._instrument.move_breaker(closed=state is ControlState.CONNECTED)

    def breaker_stands(self, *, closed: bool, at_s: int) -> None:
        """Learn from metrology where the breaker stands, since `at_s` if it moved."""
        if closed != self._state.state.output_closed:
            wanted = self._state.state.control_state
            limited = wanted is ControlState.READY_FOR_RECONNECTION
            code = EventCode.LOAD_LIMITED if limited and not closed else BREAKER_EVENTS[closed]
            self.log_event(code, at_s)
            try:
                self._state.note(durable=True, output_closed=closed)
            except StorageError as error:
                log.warning("%s: %s", self.config.name, error)
        if self.breaker_settled:
            waiting, self.when_settled = self.when_settled, []
            for tell in waiting:
                tell()

    # Push sink --------------------------------------------------------------------------------

    def push(self) -> None:
        """Carry out the push method: what is under way is sent at the next tick."""
        self.outbox.hurry()

    def close(self) -> None:
        """Sync and close every file."""
        self.note_state()
        for close in self._records.closing:
            try:
                close()
            except StorageError as error:
                log.error("%s: %s", self.config.name, error)  # noqa: TRY400

    # Inside -----------------------------------------------------------------------------------

    def _make_functions(self) -> Functions:
        settings = Settings(self._settings_path)
        if settings.finding is not None:
            log.error("%s: %s", self.config.name, settings.finding)
            self.log_event(EventCode.STATE_RESTORED)
        return Functions(
            settings,
            calendar_us=self._around.crystal_us or self._around.calendar_us,
            period_s=self.config.capture_period_s,
            turned=lambda: self.log_event(EventCode.CLOCK_ADJUSTED),
            power_w=self._power_w,
            trip=self._trip,
        )

    def _make_objects(self) -> list[InterfaceClass]:
        """Return the meter's objects, which all its clients share."""
        if self.functions is None:
            self.functions = self._make_functions()
        sources = Sources(
            live=self._live,
            registers=self._registers,
            profile=self.profile,
            events=self.events,
            disconnector=self._disconnector,
            push=self,
            functions=self.functions.objects,
            replayed=lambda: self._around.replayed(self._around.calendar_us() // MICROSECONDS),
            window_expected=lambda: self._security.ciphering.window.expected,
            last_event=lambda: self._last_code,
            keys=self._security.keys,
            suite=self._security.ciphering.cipher.keys.suite,
            certificates=self._security.certificates,
            alarms=self.alarms.objects(lambda code: self.log_event(code, again=True)),
            calendar_s=lambda: self._around.calendar_us() // MICROSECONDS,
            firmware=None if self._around.firmware is None else self._around.firmware().version,
        )
        self._security.when_certified(self._renew_credentials)
        return meter_objects(self.config, sources)

    def take_images(self) -> list[InterfaceClass]:
        """Return the objects for whoever brings firmware, and listen to those who bring it to many.

        They are made once; there are none where no boot started this.
        """
        if self._around.firmware is None or self._late:
            return self._late
        self._late = [broadcast_setup(self.config, self._security.group)]
        self.images = receive_images(self._late, self._around.firmware())
        if (device := self._devices.get(False)) is not None:
            hear_broadcasts(device, self.config, self._security)
        return self._late

    def _make_device(self, *, plain: bool) -> LogicalDevice:
        """Return what the concentrator's side may associate with, or what the listeners' may."""
        if self._objects is None:
            self._objects = self._make_objects()
        firmware = self._around.firmware
        if firmware is not None and self.images is None and firmware().is_receiving:
            self.take_images()
        device = LogicalDevice(
            objects=self._objects,
            associations=clients_of(self.config, self._security, plain=plain),
            system_title=self.config.title,
            late=None if firmware is None else Late(LATE, self.take_images),
        )
        if self.images is not None and not plain:
            hear_broadcasts(device, self.config, self._security)
        return device

    def restart(self) -> None:
        """Begin anew, as after a reset: who was connected has to begin anew, too."""
        self.note_state()
        self.starts += 1
        self.images, self._objects, self._late = None, None, []
        self._devices.clear()
        self._last_logged.clear()
        self.functions = self._make_functions() if self._settings_path.exists() else None

    def _renew_credentials(self) -> None:
        """Let the next association of the manager have the certificates as they are now."""
        for device in self._devices.values():
            renew_credentials(device, self._security)

    def _live(self) -> Momentary:
        shown = self._instrument.momentary()
        if shown is None:
            raise Refused(DataAccessResult.TEMPORARY_FAILURE)
        return shown

    def _registers(self) -> Momentary:
        """Return the registers: as shown, or as they were at the last interval if that is newer."""
        shown, last = self._instrument.momentary(), self.last_interval()
        if last is None:
            return shown or self._live()
        return shown if shown is not None and shown.at_s >= last.end_s else momentary_of(last)

    def _power_w(self) -> int | None:
        shown = self._instrument.momentary()
        return None if shown is None else shown.power_w

    def _trip(self) -> None:
        """Open the breaker because the load was over its limit; a person closes it at the meter."""
        if self._disconnector.state is ControlState.CONNECTED:
            with contextlib.suppress(Refused):  # the disk is full; it is tried again
                self._disconnector.apply(Trigger.LOCAL_DISCONNECT)

    def _begin_ring_at(self, sequence: int) -> None:
        """Let the ring go on behind a gap that nobody can fill any more."""
        own = self._own
        ring = own.ring
        if len(ring) > 0:
            missing = f"intervals {ring.last + 1} to {sequence - 1} are nowhere any more"
            log.error("%s: %s", self.config.name, set_aside(ring.path, missing))
            ring.close()
            own.ring, _ = type(ring).open(
                ring.path, payload_octets=ring.payload_octets, capacity=ring.capacity
            )
            self.log_event(EventCode.STATE_RESTORED)
        own.ring.start_after(sequence - 1)

    def _report_findings(self) -> None:
        for finding in self._records.findings:
            log.error("%s: %s", self.config.name, finding)
        if self._records.findings:
            self.log_event(EventCode.STATE_RESTORED)


def momentary_of(interval: ClosedInterval) -> Momentary:
    """Return the registers that an interval ends with; nothing else in it is meant."""
    return Momentary(
        at_s=interval.end_s,
        breaker_closed=interval.breaker_closed,
        power_w=0,
        voltage_dv=0,
        current_ca=0,
        import_register_wh=interval.import_register_wh,
        export_register_wh=interval.export_register_wh,
        import_wh=0,
        export_wh=0,
    )
