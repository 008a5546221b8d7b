# SPDX-License-Identifier: Apache-2.0
"""The reference meter is tried with the tools alone, as docs/guides/try-the-reference-meter.md."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cli.processes import Listening
from cli.runs import Run
from openami.cli.simulated_ports import trial_token

ACCOUNT: Final = "0.0.19.0.0.255"
GATEWAY: Final = "0.0.19.40.0.255"
BREAKER: Final = "0.0.96.3.10.255"
CALENDAR: Final = "0.0.13.0.0.255"
TARIFF: Final = "0.0.96.14.0.255"
IMAGE: Final = "0.0.44.0.0.255"
PORT: Final = "0.0.44.2.0.255"
SCRIPTS: Final = "0.0.10.0.100.255"


class Tried:
    """One meter, and the manager's tools."""

    def __init__(self, run: Run, url: str, keys: Path) -> None:
        self._run, self.url, self.keys = run, url, keys

    def read(self, *targets: str) -> list[str]:
        outcome = self._run("read", self.url, "--keys", self.keys, *targets)
        assert outcome.status == 0, outcome.err
        return [line.split("  ", 1)[1] for line in outcome.out.splitlines()]

    def write(self, target: str, value: str) -> None:
        outcome = self._run("write", self.url, "--keys", self.keys, target, value)
        assert outcome.status == 0, outcome.err

    def call(self, target: str, argument: str | None = None, *, refused: str = "") -> None:
        arguments = [] if argument is None else [argument]
        outcome = self._run("call", self.url, "--keys", self.keys, target, *arguments)
        assert outcome.status == (1 if refused else 0), outcome.err
        assert refused in outcome.err


@pytest.fixture
def meter(openami: Run, tmp_path: Path) -> Iterator[Tried]:
    keys = tmp_path / "keys.json"
    arguments = ("--keys", keys, "--load", 5, "--speed", 60, "--listen", "tcp://127.0.0.1:0")
    with Listening("simulate", *arguments) as served:
        yield Tried(openami, served.url, keys)


def test_a_calendar_is_written_and_the_tariff_follows(meter: Tried) -> None:
    now = meter.read(TARIFF)[0]
    other = {"01": 2, "02": 1}[now]
    meter.write(f"{CALENDAR}:calendar_name_passive", "one rate")
    meter.write(
        f"{CALENDAR}:day_profile_table_passive", json.dumps([[0, [["00:00", SCRIPTS, other]]]])
    )
    meter.write(f"{CALENDAR}:week_profile_table_passive", json.dumps([["week", *[0] * 7]]))
    meter.write(
        f"{CALENDAR}:season_profile_passive",
        json.dumps([["year", "0xFFFF0101FF000000008000FF", "week"]]),
    )
    meter.call(f"{CALENDAR}:activate_passive_calendar")
    assert meter.read(f"{CALENDAR}:calendar_name_active") == ["one rate"]
    until = time.monotonic() + 20
    while meter.read(TARIFF) != [f"0{other}"]:
        assert time.monotonic() < until
    (days,) = meter.read(f"{CALENDAR}:day_profile_table_active")
    assert '"start_time": "00:00:00"' in days, "times are told as times"
    meter.call(f"{SCRIPTS}:execute", "9", refused="object-undefined; the object, or what the value")


def test_a_token_is_bought_and_used_once(meter: Tried) -> None:
    status = f"{GATEWAY}:token_status"
    meter.call(f"{ACCOUNT}:activate_account")
    assert meter.read(f"{BREAKER}:output_state") == ["False"], "no credit, no supply"
    assert meter.read("1.0.1.7.0.255") == ["0 W"], "and no load behind it"
    meter.call(f"{GATEWAY}:enter", trial_token(1, 1000))
    assert '"status_code": "execution-ok"' in meter.read(status)[0]
    assert 900 < int(meter.read(f"{ACCOUNT}:available_credit")[0]) <= 1000
    for token, said in (
        (trial_token(1, 1000), "validation-failure"),
        (trial_token(2, 1000)[:-1] + "x", "format-failure"),
        ("00000002000000100099", "authentication-failure"),
    ):
        meter.call(f"{GATEWAY}:enter", token)
        assert f'"status_code": "{said}"' in meter.read(status)[0]
    meter.call(f"{BREAKER}:remote_disconnect")
    meter.call(f"{BREAKER}:remote_reconnect")
    assert meter.read(f"{BREAKER}:control_state") == ["connected"]


def test_an_image_is_sent_block_by_block(meter: Tried) -> None:
    meter.call(f"{IMAGE}:image_transfer_initiate", '["new", 600]')
    meter.call(f"{IMAGE}:image_block_transfer", json.dumps([0, "0x" + "00" * 512]))
    assert meter.read(f"{IMAGE}:image_first_not_transferred_block_number") == ["1"]
    meter.call(f"{IMAGE}:image_verify", refused="data-block-unavailable")
    meter.call(f"{IMAGE}:image_block_transfer", json.dumps([1, "0x" + "00" * 88]))
    meter.call(f"{IMAGE}:image_verify")
    (status,) = meter.read(f"{IMAGE}:image_transfer_status")
    assert status in {"verification-initiated", "verification-successful"}


def test_a_port_locks_itself_after_wrong_passwords(meter: Tried, openami: Run) -> None:
    meter.write(f"{PORT}:protection_mode", "locked-on-failed-attempts")
    meter.write(f"{PORT}:allowed_failed_attempts", "1")
    meter.write(f"{PORT}:initial_lockout_time", "3600")  # a minute of ours
    wrong = ("read", meter.url, "--client", 32, "--secret", "wrong", "--timeout", 1, TARIFF)
    for _ in range(2):
        assert "authentication-failure" in openami(*wrong).err
    assert "did not answer" in openami(*wrong).err, "the port is locked"


def test_the_clock_refuses_what_it_cannot_shift(meter: Tried) -> None:
    meter.call("0.0.1.0.0.255:shift_time", "300")
    meter.call("0.0.1.0.0.255:shift_time", "3000", refused="outside of what the object takes")


def test_arbitrator_functions_and_parameters(meter: Tried) -> None:
    meter.call("0.0.96.3.20.255:request_action", '[1, "10"]')
    assert meter.read("0.0.96.3.20.255:last_outcome", BREAKER) == ["1", "False"]
    meter.call("0.0.96.3.20.255:request_action", '[2, "01"]')
    assert meter.read("0.0.96.3.20.255:last_outcome", BREAKER) == ["1", "False"], "it weighs less"
    meter.call("0.0.44.1.0.255:set_function_status", '[["local display", false]]')
    assert '"function_status": false' in meter.read("0.0.44.1.0.255:activation_status")[0]
    meter.write("1.0.99.1.0.255:capture_period", "1800")
    assert '"attribute_value": 1800' in meter.read("0.0.16.2.0.255:changed_parameter")[0]
    first, second = (meter.read("0.0.66.0.0.255")[0] for _ in range(2))
    assert first[:2] == second[:2] == "01", "the template first, and no tags"
    assert first != second, "it captures when it is read"
