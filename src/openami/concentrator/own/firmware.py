# SPDX-License-Identifier: Apache-2.0
"""The concentrator's own firmware while it runs: what it is, the next one, and the trial.

It is told what runs by the record of the start (`device.handover`), and takes the next image into
the bank that does not run.  An activation ends the process with the exit status that asks for a
new start; what was receipted is in the journal, and meters dial again.

A trial needs the uplink, unless it was down already when the restart was asked for: who is out of
reach for other reasons must be able to update all the same, and firmware that cannot dial must not
stay.  The file ``secure/before.json`` says which; without it the uplink has to come up.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openami.concentrator.own.banks import open_update
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.device.files import SECURE
from openami.device.handover import Component, Handover
from openami.device.images import Firmware
from openami.device.payload.identity import CONCENTRATOR_SW_TYPE
from openami.device.trial import Checks, Trial
from openami.exchange.field import FirmwareState, NoticeCode
from openami.firmware.errors import FirmwareError
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import PRIVATE, read_json, write_json
from openami.runtime.status import Figures

log = logging.getLogger(__name__)

BEFORE_FILE: Final = "before.json"
LEFT_FILE: Final = "left.json"
"""How firmware on trial ended, written by the launcher, until what runs has told it."""
Note = Callable[[NoticeCode, str], object]


def note_uplink(home: Path, *, is_up: bool) -> None:
    """Keep whether the uplink stands, for the firmware that is started next."""
    write_json(home / SECURE / BEFORE_FILE, {"uplink": is_up}, mode=PRIVATE)


def uplink_was_up(home: Path) -> bool:
    """Tell whether the firmware before had its uplink; yes where nobody knows."""
    path = home / SECURE / BEFORE_FILE
    if not path.exists():
        return True
    try:
        return read_json(path, "remove it").get("uplink") is not False
    except ConfigurationError as error:
        log.warning("%s; the uplink has to come up", error)
        return True


def note_left(home: Path, version: str, how: str, *, hung: bool) -> None:
    """Keep that firmware on trial ended, or said nothing, for what is started in its place."""
    write_json(home / SECURE / LEFT_FILE, {"version": version, "how": how, "hung": hung})


def tell_left(home: Path, note: Note) -> None:
    """Tell what the launcher has kept; `forget_left` when that is on the disk."""
    path = home / SECURE / LEFT_FILE
    if not path.exists():
        return
    try:
        said = read_json(path, "remove it")
        version, how, hung = said["version"], said["how"], said["hung"]
    except (ConfigurationError, KeyError, TypeError) as error:
        log.warning("how firmware on trial ended is not known: %r", error)
        return
    code = NoticeCode.FIRMWARE_HUNG if hung else NoticeCode.FIRMWARE_CRASHED
    note(code, f"{version}: {how}")


def forget_left(home: Path) -> None:
    """Learn that it was told."""
    (home / SECURE / LEFT_FILE).unlink(missing_ok=True)


class OwnFirmware:
    """What runs, and where the next firmware goes.

    Attributes:
        record: Of this start.
        image: Its component: version, measurement, signer.
        update: Of the flash.
        firmware: For the COSEM objects.
        trial: Under way or over; None where what runs was confirmed before.
        restarting: Whether a new start is wanted.
    """

    def __init__(self, home: Path, record: Handover, *, trial_until_s: float) -> None:
        """Take up the update of the flash that this was started from.

        Args:
            home: The concentrator's folder.
            record: Of this start.
            trial_until_s: Monotonic time at which a trial is over.

        Raises:
            StorageError: The flash cannot be opened.
            ConfigurationError: It holds no state.
        """
        self.record = record
        self.restarting = False
        self.trial: Trial | None = None
        self.image = _image(record)
        try:
            self._flash, self.update = open_update(home)
        except FirmwareError as error:
            raise ConfigurationError(f"{home / SECURE}: {error}") from error
        self.firmware = Firmware(
            version=f"openami {self.image.version}",
            signature=self.image.measurement,
            sink=FirmwareSink(self.update, self._restart),
        )
        self._home = home
        self._until_s = trial_until_s
        self._needs_uplink = uplink_was_up(home)
        self._is_up: Callable[[], bool] = lambda: False
        self._note: Note = lambda _code, _text: None

    def bind(self, checks: Checks, is_up: Callable[[], bool], note: Note) -> None:
        """Bind what is known by whoever runs.

        Args:
            checks: What must work before firmware on trial is confirmed, beside the uplink.
            is_up: Tells whether the uplink stands.
            note: Keeps what a trial came to for the event log.
        """
        self._is_up, self._note = is_up, note
        tell_left(self._home, note)
        if self.record.trial:
            uplink = {"uplink": lambda: is_up() or not self._needs_uplink}
            self.trial = Trial(self.update, {**checks, **uplink}, self._until_s)

    def noted(self) -> None:
        """Learn that what was noted is on the disk."""
        forget_left(self._home)

    def tick(self, now_s: float) -> None:
        """Go on with a trial."""
        if self.trial is None or self.trial.failed is not None:
            return
        self.trial.tick(now_s)
        if self.trial.failed:
            log.error("the firmware on trial failed its check %r", self.trial.failed)
            self._note(NoticeCode.FIRMWARE_REJECTED, f"{self.image.version}: {self.trial.failed}")
            self.restarting = True
        elif self.trial.failed is not None:
            log.info("the firmware on trial is confirmed: %s", self.image.version)
            self._note(NoticeCode.FIRMWARE_CONFIRMED, self.image.version)

    @property
    def on_trial(self) -> bool:
        """Whether what runs may still be left."""
        return self.trial is not None and self.trial.failed != ""

    def figures(self) -> Figures:
        """Return what the status says of the firmware."""
        trial = ", on trial" if self.on_trial else ""
        return {
            "firmware": f"{self.image.version} in bank {self.record.bank.name}{trial}",
            "firmware problem": self.record.problem,
        }

    def told(self) -> FirmwareState:
        """Return what the head-end is told of the firmware."""
        return FirmwareState(
            version=self.image.version,
            digest=self.image.measurement,
            signer=self.image.signer,
            counter=self.update.standing().security_counter,
            bank=int(self.record.bank),
            trial=self.on_trial,
            problem=self.record.problem,
        )

    def close(self) -> None:
        """Let the flash go."""
        self._flash.close()

    def _restart(self) -> None:
        note_uplink(self._home, is_up=self._is_up())
        self.restarting = True


def _image(record: Handover) -> Component:
    for each in record.components:
        if each.kind == CONCENTRATOR_SW_TYPE:
            return each
    raise ConfigurationError("the record of the start names no image of a concentrator")
