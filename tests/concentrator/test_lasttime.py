# SPDX-License-Identifier: Apache-2.0
"""What a new process of the same boot knows of the time."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from openami.concentrator import lasttime
from openami.concentrator.lasttime import FILE, LastTime
from openami.exchange.timesync import Exchange

TRUTH_US = 1_800_000_000_000_000
BEST = Exchange(
    asked_us=1000, received_us=TRUTH_US + 1500, answered_us=TRUTH_US + 1600, heard_us=2000
)


def test_what_was_noted_is_recalled_in_the_same_boot_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasttime, "boot_id", lambda: "a")
    assert LastTime(tmp_path).recall(2000) is None
    noted = LastTime(tmp_path)
    noted.note(None)
    assert not (tmp_path / FILE).exists()
    noted.note(BEST)
    assert LastTime(tmp_path).recall(2000) == BEST
    assert LastTime(tmp_path).recall(1999) is None  # another machine's monotonic time
    monkeypatch.setattr(lasttime, "boot_id", lambda: "b")
    assert LastTime(tmp_path).recall(2000) is None


def test_it_is_written_when_it_is_another(tmp_path: Path) -> None:
    noted = LastTime(tmp_path)
    noted.note(BEST)
    (tmp_path / FILE).unlink()
    noted.note(replace(BEST))
    assert not (tmp_path / FILE).exists()
    noted.note(replace(BEST, heard_us=1900))
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x00" * 40,
        b"[]",
        b"{}",
        b'{"boot": "a"}',
        json.dumps({"boot": "a", "asked_us": 1, "received_us": 2, "answered_us": 3, "heard_us": 4}),
        json.dumps(
            {
                "boot": "a",
                "asked_us": 1.5,
                "received_us": TRUTH_US,
                "answered_us": TRUTH_US,
                "heard_us": 2,
            }
        ),
    ],
)
def test_a_damaged_note_says_nothing_and_the_host_goes_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, octets: bytes | str
) -> None:
    (tmp_path / FILE).write_bytes(octets.encode() if isinstance(octets, str) else octets)
    with caplog.at_level(logging.WARNING):
        assert LastTime(tmp_path).recall(2000) is None
    assert "the host's clock goes first" in caplog.text


def test_on_a_full_disk_it_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noted = LastTime(tmp_path / "gone")
    noted.note(BEST)
    assert "a new start begins without it" in caplog.text
    (tmp_path / "gone").mkdir()
    noted.note(BEST)
    assert (tmp_path / "gone" / FILE).exists()
