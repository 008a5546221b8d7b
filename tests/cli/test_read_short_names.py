# SPDX-License-Identifier: Apache-2.0
"""`openami read`, `write`, `call` and `dump` with a meter that refers by short name."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.processes import Listening
from cli.runs import Run
from cli.served_meter import ADDRESS, HDLC, TCP, ServedMeter
from openami.cosem.classes.disconnect import ControlState
from playbooks.demo_meter import CLIENT_TITLE, KEYS, NAME, PASSWORD
from playbooks.named_meter import NamedMeter

ENERGY = "1.0.1.8.0.255"
SHORT = ("--short-names", "yes", *ADDRESS)
LLS = ("--client", "32", "--secret", PASSWORD.decode())
GMAC = (
    "--guek", KEYS.encryption_key.hex(),
    "--gak", KEYS.authentication_key.hex(),
    "--title", CLIENT_TITLE.hex(),
)  # fmt: skip


@pytest.fixture(scope="module", params=[TCP, HDLC], ids=["wrapper", "hdlc"])
def served(request: pytest.FixtureRequest) -> Iterator[ServedMeter]:

    with ServedMeter(request.param, meter=NamedMeter(rows=4)) as meter:
        yield meter


@pytest.mark.parametrize("who", [LLS, GMAC], ids=["lls", "gmac"])
def test_registers_clocks_and_profiles(who: tuple[str, ...], served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *SHORT, *who, ENERGY, "0.0.1.0.0.255", "1.0.99.1.0.255")
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[:2] == ["1.0.1.8.0.255  123456 Wh", "0.0.1.0.0.255  2013-03-01T00:30:00Z"]
    assert lines[-1] == "4 rows"


def test_the_object_list_is_a_table(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *SHORT, "0.0.40.0.0.255", "--json")
    assert outcome.status == 0, outcome.err
    (table,) = json.loads(outcome.out)
    assert table["class_id"] == 12
    assert [row[:3] for row in table["rows"]] == [
        ["0.0.1.0.0.255", 8, 0],
        ["0.0.40.0.0.255", 12, 4],
        ["0.0.41.0.0.255", 17, 0],
        ["0.0.42.0.0.255", 1, 0],
    ]


def test_what_the_client_does_not_see(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *SHORT, ENERGY)
    assert outcome.status == 1
    assert "is not among the 4 objects that client 16 can see" in outcome.sentence
    outcome = run(served.url, *SHORT, ENERGY, "--class", "3")
    assert outcome.status == 1
    assert "attribute 2 of 1.0.1.8.0.255 (class 3) has no short name" in outcome.sentence


def test_a_meter_asked_the_wrong_way(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *ADDRESS, *LLS, ENERGY)
    assert outcome.status == 1
    assert "application-context-name-not-supported" in outcome.sentence


def test_a_method_is_called(served: ServedMeter, run: Run) -> None:
    run = Run(run._capsys, "call")
    meter = served.meter
    assert isinstance(meter, NamedMeter)
    meter.switch.moves.clear()
    outcome = run(served.url, *SHORT, *GMAC, "0.0.96.3.10.255:remote_disconnect", "--yes")
    assert outcome.status == 0, outcome.err
    assert meter.switch.moves == [ControlState.DISCONNECTED]


def test_a_meter_is_dumped(served: ServedMeter, run: Run, tmp_path: Path) -> None:
    run = Run(run._capsys, "dump")
    target = tmp_path / "meter.json"
    outcome = run(served.url, *SHORT, *LLS, "--output", target)
    assert outcome.status == 0, outcome.err
    assert NAME.hex() in target.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("line", ["tcp://127.0.0.1:0", "hdlc+tcp://127.0.0.1:0"])
def test_the_reference_meter_is_simulated_by_short_names(
    line: str, run: Run, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    with Listening("simulate", "--short-names", "--keys", keys, "--listen", line) as meter:
        for who in ((), ("--keys", keys, "--client", 32), ("--keys", keys)):
            outcome = run(meter.url, "--short-names", "yes", *who, "0.0.42.0.0.255")
            assert outcome.status == 0, outcome.err
            assert outcome.out == "0.0.42.0.0.255  OAM0000000090001\n"
        profile = ("--keys", keys, "1.0.99.1.0.255", "--json")
        (table,) = json.loads(run(meter.url, "--short-names", "yes", *profile).out)
        assert len(table["rows"]) == 8 * 96
        assert run(meter.url, "0.0.42.0.0.255").status == 1
