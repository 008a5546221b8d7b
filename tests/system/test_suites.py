# SPDX-License-Identifier: Apache-2.0
"""Whole AMIs of security suites 1 and 2: readings arrive, commands work, tools read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openami.exchange.channels import Channel
from openami.lifecycle.plan import meter_title
from system.ami import Ami

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(400)]

PATIENCE_S = 120.0


def openami(*words: object) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "openami", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


@pytest.mark.parametrize(("suite", "walled"), [(1, False), (2, True)], ids=["1", "2 walled"])
def test_an_ami_of_a_suite_is_read_commanded_and_given_new_keys(
    tmp_path: Path, *, suite: int, walled: bool
) -> None:
    with Ami(tmp_path, meters=3, speed=120, suite=suite, walled=walled) as ami:
        end_us = ami.now_slot_us()
        ami.until(lambda: ami.complete(end_us), "all readings are stored", PATIENCE_S)
        stored = ami.stored(1, Channel.IMPORT_WH, end_us)
        wanted = ami.expected(1, min(stored), end_us)
        assert {start_us: wh for start_us, (wh, _) in stored.items()} == wanted

        words = ("--home", ami.layout.headend, "--reason", "test", "--follow", "--json")
        meters = ("--meter", 1, "--meter", 2)
        told = json.loads(openami("headend", "command", "send", "read", *meters, *words))
        assert {each["state"] for each in told["commands"]} == {"confirmed"}
        told = json.loads(openami("headend", "keys", "rotate", *meters, "--master-key", *words))
        assert told["meters"]["changed"] == 2
        told = json.loads(openami("headend", "command", "send", "read", *meters, *words))
        assert {each["state"] for each in told["commands"]} == {"confirmed"}

        home = ami.layout.meter(meter_title(1))
        assert (home / "keys.json").exists() is not walled
        if not walled:
            reader = ("--client", 32, "--keys", home / "keys.json")
            said = openami("read", ami.plain_url, *reader, "0.0.43.0.0.255:3")
            assert said.split() == ["0.0.43.0.0.255", str(suite)]
        assert ami.tracebacks() == {}
