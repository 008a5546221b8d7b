# SPDX-License-Identifier: Apache-2.0
"""The web process: started as a command, ended by a signal, a port in use."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from openami.cli.main import main
from openami.runtime.clock import CalendarState, boot_id
from openami.runtime.errors import UserError
from openami.runtime.status import read_statuses
from openami.store import live
from openami.web.config import WebConfig
from openami.web.process import open_context, open_port
from ports import free_port
from web.ami import Ami


def home_of(ami: Ami, port: int) -> Path:
    home = ami.folder / "web"
    home.mkdir()
    (home / "session.key").write_text("5a" * 32)
    (home / "config.toml").write_text(
        f'[web]\nlisten = "http://127.0.0.1:{port}"\n[store]\ndatabase = "../openami.db"\n'
    )
    CalendarState(
        base_us=ami.now_us,
        epoch_monotonic_s=time.monotonic(),
        speed=120.0,
        running=True,
        boot=boot_id(),
    ).store(ami.folder / "clock.json")
    return home


def test_pages_may_be_started_before_all_others(tmp_path: Path, seen: Ami) -> None:
    """Units are started together: pages that found no store yet ended for good, with status 2."""
    url = f"sqlite:///{tmp_path / 'openami.db'}"
    home_of(replace(seen, folder=tmp_path), 1)
    config = replace(WebConfig.load(tmp_path / "web"), database_url=url)
    context = open_context(config)
    assert live.feed_end(context.engine) == 0
    context.engine.dispose()


def test_the_command_serves_says_how_it_is_and_ends_when_told(fresh: Ami) -> None:
    port = free_port()
    home = home_of(fresh, port)
    code = "import sys; from openami.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "web", "run", "--home", str(home)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "src"}
    )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(base, process)
        assert httpx.get(f"{base}/ready").json() == {"status": "ready"}
        deadline_s = time.monotonic() + 10
        while not (found := read_statuses(fresh.context.config.run)) or "web" not in {
            status.process for status in found
        }:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert f"pages at {base}" in said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.wait()


def _wait(base: str, process: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            httpx.get(f"{base}/health")
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the process does not answer")


def test_a_port_in_use_is_one_sentence_and_exit_status_1(
    fresh: Ami, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status = main(["web", "run", "--home", str(home_of(fresh, port))])
    said = capsys.readouterr().err
    assert status == 1
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert said.count("\n") == 1


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.1:8080 cannot be listened on"):
        open_port("192.0.2.1", 8080)


def test_a_home_without_configuration_is_asked_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", "run", "--home", str(tmp_path)]) == 2
    assert "config.toml cannot be read" in capsys.readouterr().err
