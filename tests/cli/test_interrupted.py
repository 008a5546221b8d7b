# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a meter is silent: commands end soon, with the sentence and status of shells."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.cosem.server import ServerConnection
from playbooks.demo_meter import DemoMeter, entropy

PATIENCE_S = 60


class Silent:
    """The demo meter behind TCP, which says nothing from its nth answer on."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.fell_silent = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        wire, _ = self._server.accept()
        served = ServerConnection(DemoMeter(), entropy=entropy())
        with wire:
            while octets := wire.recv(4096):
                answer = served.receive(int.from_bytes(octets[2:4]), octets[8:])
                if self._answers == 0 or answer is None:
                    self.fell_silent.set()
                    continue
                self._answers -= 1
                head = octets[:2] + octets[4:6] + octets[2:4]
                wire.sendall(head + len(answer).to_bytes(2) + answer)

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def silent(request: pytest.FixtureRequest) -> Iterator[Silent]:
    meter = Silent(request.param)
    yield meter
    meter.close()


def interrupted(silent: Silent, *words: object) -> tuple[int, str, str]:
    """Run a command, type Ctrl-C once the meter is silent; return status, output and errors."""
    command = [sys.executable, "-m", "openami", *map(str, words), "--timeout", "600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert silent.fell_silent.wait(PATIENCE_S)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        (0, ("read", "0.0.1.0.0.255")),
        (1, ("write", "0.0.1.0.0.255:time_zone", 5)),
        (2, ("call", "0.0.1.0.0.255:adjust_to_minute")),
        (1, ("profile", "1.0.99.1.0.255")),
    ],
    indirect=["silent"],
)
def test_a_silent_meter_is_left_at_once(silent: Silent, words: tuple[object, ...]) -> None:
    verb, *rest = words
    status, out, err = interrupted(silent, verb, silent.url, *rest)
    assert (status, out) == (130, "")
    assert err == f"openami: {silent.url}: interrupted\n"


@pytest.mark.parametrize("silent", [4], indirect=True)
def test_a_dump_keeps_what_was_read(silent: Silent, tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    status, _, err = interrupted(silent, "dump", silent.url, "-o", path)
    assert status == 130, err
    assert "the dump is not whole: interrupted" in err
    assert json.loads(path.read_text())["objects"]
