# SPDX-License-Identifier: Apache-2.0
"""`openami image send`: an image into a meter over DLMS, and on where it was interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.processes import Listening
from cli.runs import Run
from openami.runtime.errors import ExitCode

ANY = "tcp://127.0.0.1:0"
BLOCKS = 98  # of 512 octets, which the reference meter takes


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.bin"
    file.write_bytes(os.urandom(50_000))
    return file


def test_an_image_is_sent_verified_and_started(openami: Run, tmp_path: Path, image: Path) -> None:
    keys = tmp_path / "keys.json"
    with Listening("simulate", "--keys", keys, "--listen", ANY) as meter:
        words = (meter.url, image, "--client", 1, "--keys", keys)
        sent = openami("image", "send", *words, "--activate", "--yes")

    assert sent.status == ExitCode.DONE, sent.err
    assert f"{BLOCKS} blocks sent" in sent.out
    assert sent.out.endswith("the image is active\n")


def test_an_interrupted_transfer_goes_on(openami: Run, tmp_path: Path, image: Path) -> None:
    keys = tmp_path / "keys.json"
    slow = ("--set", "round_trip_s=0.1")
    with (
        Listening("simulate", "--keys", keys, "--listen", ANY) as meter,
        Listening("bearer", "relay", "lte", ANY, meter.url, *slow) as relay,
    ):
        words = ("--client", "1", "--keys", str(keys))
        command = [sys.executable, "-m", "openami", "image", "send", relay.url, str(image), *words]
        sending = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        time.sleep(4)
        sending.send_signal(signal.SIGINT)
        _, said = sending.communicate(timeout=30)
        again = openami("image", "send", meter.url, image, *words, "--resume")

    assert sending.returncode == 130
    assert said == "openami: interrupted: the same command goes on from here\n"
    assert again.status == ExitCode.DONE, again.err
    found = re.match(r"(\d+) blocks sent", again.out)
    assert found is not None
    assert 0 < int(found[1]) < BLOCKS


def test_mistakes_are_one_sentence(openami: Run, tmp_path: Path, image: Path) -> None:
    empty = tmp_path / "empty.bin"
    empty.touch()
    nowhere = "tcp://127.0.0.1:9"

    for words, sentence in (
        ((nowhere, tmp_path / "none.bin"), "none.bin cannot be read"),
        ((nowhere, empty), "empty.bin is empty: give an image"),
        ((nowhere, image, "--at", "44"), "--at '44' is no logical name"),
    ):
        refused = openami("image", "send", *words)
        assert refused.status == ExitCode.ASKED_WRONGLY
        assert sentence in refused.sentence
    assert openami("image", "send", nowhere, image).status == ExitCode.REFUSED


def test_a_client_without_the_right_is_told(openami: Run, image: Path) -> None:
    with Listening("simulate", "--listen", ANY) as meter:
        refused = openami("image", "send", meter.url, image)

    assert refused.status == ExitCode.REFUSED
    assert "the meter refuses to read attribute 2 of 0.0.44.0.0.255" in refused.sentence
