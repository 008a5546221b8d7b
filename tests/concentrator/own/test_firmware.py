# SPDX-License-Identifier: Apache-2.0
"""The trial of a concentrator's firmware: what it needs, and what it ends with."""

from pathlib import Path

import pytest

from concentrator.own.flashes import image, make
from openami.concentrator.installing import install_image
from openami.concentrator.module import start
from openami.concentrator.own.firmware import BEFORE_FILE, OwnFirmware, note_uplink, uplink_was_up
from openami.cosem.behaviour.image import Verdict
from openami.exchange.field import NoticeCode
from openami.firmware.state import UpdateState
from openami.runtime.errors import ConfigurationError

ROM = bytes(32)


def on_trial(home: Path, *, uplink_before: bool) -> OwnFirmware:
    make(home)
    install_image(home, image("1.1.0", 2).encode(), needs_uplink=uplink_before)
    return OwnFirmware(home, start(home, ROM).record, trial_until_s=10.0)


@pytest.mark.parametrize(
    ("before", "now", "journal", "verdict"),
    [
        (True, True, True, ""),
        (True, False, True, "uplink"),
        (False, False, True, ""),
        (False, True, True, ""),
        (True, True, False, "journal"),
    ],
)
def test_a_trial_ends_with_what_the_uplink_was_before(
    tmp_path: Path,
    *,
    before: bool,
    now: bool,
    journal: bool,
    verdict: str,
) -> None:
    own = on_trial(tmp_path, uplink_before=before)
    notes: list[NoticeCode] = []
    own.bind({"journal": lambda: journal}, lambda: now, lambda code, _: notes.append(code))
    assert own.on_trial
    own.tick(0.0)  # what works is confirmed at once, what does not has its time
    assert own.trial is not None
    assert own.trial.failed == (None if verdict else "")
    own.tick(10.0)
    assert own.trial.failed == verdict
    assert own.restarting is bool(verdict)
    assert own.on_trial is bool(verdict)
    left, stays = NoticeCode.FIRMWARE_REJECTED, NoticeCode.FIRMWARE_CONFIRMED
    assert notes == [left if verdict else stays]
    assert own.update.standing().security_counter == (1 if verdict else 2)
    own.close()


def test_an_activation_keeps_how_the_uplink_stood(tmp_path: Path) -> None:
    make(tmp_path)
    own = OwnFirmware(tmp_path, start(tmp_path, ROM).record, trial_until_s=10.0)
    own.bind({}, lambda: False, lambda *_: None)
    octets, sink = image("1.1.0", 2).encode(), own.firmware.sink
    sink.begin(b"next", len(octets), 1024)
    for number, at in enumerate(range(0, len(octets), 1024)):
        sink.write(number, octets[at : at + 1024])
    assert sink.verify() is Verdict.GOOD
    assert not own.restarting
    assert sink.activate() is Verdict.RUNNING
    assert own.restarting
    assert own.update.state is UpdateState.STAGED
    assert not uplink_was_up(tmp_path)
    own.close()


def test_without_a_sound_note_the_uplink_has_to_come_up(tmp_path: Path) -> None:
    make(tmp_path)
    assert uplink_was_up(tmp_path)
    note_uplink(tmp_path, is_up=False)
    assert not uplink_was_up(tmp_path)
    (tmp_path / "secure" / BEFORE_FILE).write_text("{")
    assert uplink_was_up(tmp_path)


def test_a_record_of_another_device_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    record = start(tmp_path, ROM).record
    for name in ("components",):
        object.__setattr__(record, name, ())
    with pytest.raises(ConfigurationError, match="names no image"):
        OwnFirmware(tmp_path, record, trial_until_s=0.0)
