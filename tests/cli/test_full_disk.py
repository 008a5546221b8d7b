# SPDX-License-Identifier: Apache-2.0
"""What the tools do where their output has no room: one sentence, and nothing is confirmed."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from cli.runs import Run
from cli.test_push import WHERE, inbox, notification, sealed
from openami.cli.push import Receiver, Terms

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_one_sentence() -> None:
    with FULL.open("w", encoding="utf-8") as full:
        found = subprocess.run(
            [sys.executable, "-m", "openami", "conformance", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith("openami: output cannot be written (No space left on device): free")


def receiver(output: Path | None) -> tuple[Receiver, asyncio.Event]:
    stop = asyncio.Event()
    terms = Terms(as_json=True, output=output, count=None, confirms=True, baud=2400)
    return Receiver(inbox(), terms, stop), stop


def test_a_push_that_cannot_be_kept_is_confirmed_when_it_comes_again_and_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pushes"
    folder.touch()  # where the folder was
    takes, stop = receiver(folder)
    octets = sealed(notification(confirmed=True), 11)
    assert takes.take(octets, WHERE) == b""
    assert "a push was not kept and is not confirmed" in capsys.readouterr().err
    folder.unlink()
    folder.mkdir()
    assert takes.take(octets, WHERE) != b""
    assert len(list(folder.iterdir())) == 1
    assert not stop.is_set()


def test_listening_ends_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    takes, stop = receiver(None)

    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("click.echo", closed)
    assert takes.take(sealed(notification(confirmed=True), 12), WHERE) == b""
    assert stop.is_set()
    assert isinstance(takes.ended, BrokenPipeError)


def test_a_folder_that_cannot_be_made_is_said_before_anything_comes(
    tmp_path: Path, openami: Run
) -> None:
    (tmp_path / "file").touch()
    where = tmp_path / "file/pushes"
    outcome = openami("push", "listen", "tcp://127.0.0.1:0", "-o", where)
    assert outcome.status == 1
    assert f"{where} cannot be made" in outcome.sentence


def test_only_lines_are_dialled(openami: Run) -> None:
    outcome = openami("push", "listen", "tcp://127.0.0.1:0", "--dial")
    assert outcome.status == 2
    assert "give it with hdlc+tcp:// alone" in outcome.sentence
