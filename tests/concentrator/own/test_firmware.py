# SPDX-License-Identifier: Apache-2.0
"""The trial of a concentrator's firmware: what it needs, and what it ends with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from concentrator.own.flashes import image, make
from openami.concentrator.installing import install_image
from openami.concentrator.module import Module, start
from openami.concentrator.own.firmware import (
    BEFORE_FILE,
    LEFT_FILE,
    OwnFirmware,
    note_uplink,
    uplink_was_up,
)
from openami.cosem.behaviour.image import Verdict
from openami.exchange.field import NoticeCode
from openami.firmware.state import UpdateState
from openami.runtime.errors import ConfigurationError
from openami.runtime.supervisor import Program

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


@pytest.mark.parametrize(
    ("ended", "hung", "asked", "told"),
    [
        ("it ended with status 1", False, False, (NoticeCode.FIRMWARE_CRASHED, "status 1")),
        ("it ended with status -15", True, False, (NoticeCode.FIRMWARE_HUNG, "nothing for 8 s")),
        ("it ended with status 3", False, True, None),  # its check failed: it has told that itself
    ],
)
def test_what_ended_on_trial_is_told_once_by_what_runs_then(
    tmp_path: Path, *, ended: str, hung: bool, asked: bool, told: tuple[NoticeCode, str] | None
) -> None:
    make(tmp_path)
    install_image(tmp_path, image("1.1.0", 2).encode(), needs_uplink=True)
    trial = start(tmp_path, ROM).record
    left = start(tmp_path, ROM).record
    assert (trial.trial, left.trial, left.bank == trial.bank) == (True, False, False)
    config = SimpleNamespace(home=tmp_path, trial_s=4.0)
    module = Module(Program("north", ()), tmp_path / "log", config=cast("Any", config))
    module._ended, module._hung, module._asked_for_start = ended, hung, asked
    module._note_left(trial, left)
    module._note_left(left, start(tmp_path, ROM).record)  # an ordinary start says nothing
    notes: list[tuple[NoticeCode, str]] = []
    own = OwnFirmware(tmp_path, left, trial_until_s=0.0)
    own.bind({}, lambda: True, lambda code, text: notes.append((code, text)))
    assert [code for code, _ in notes] == ([] if told is None else [told[0]])
    assert all("1.1.0" in text and told is not None and told[1] in text for _, text in notes)
    assert (tmp_path / "secure" / LEFT_FILE).exists() is (told is not None)  # until it is noted
    own.noted()
    own.bind({}, lambda: True, lambda code, text: notes.append((code, text)))
    assert len(notes) == (told is not None)
    own.close()


def test_a_record_of_another_device_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    record = start(tmp_path, ROM).record
    for name in ("components",):
        object.__setattr__(record, name, ())
    with pytest.raises(ConfigurationError, match="names no image"):
        OwnFirmware(tmp_path, record, trial_until_s=0.0)
