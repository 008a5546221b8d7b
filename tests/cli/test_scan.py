# SPDX-License-Identifier: Apache-2.0
"""`openami scan`: addresses, clients, logical devices and objects of our meter."""

import json
import socket
from pathlib import Path

import pytest

from cli.processes import Listening
from cli.runs import Run
from cli.served_meter import HDLC, TCP, ServedMeter
from openami.cli.scan import spans
from openami.cli.scanning import Address, addresses
from playbooks.demo_meter import CLIENT_TITLE, KEYS, PASSWORD

KEY = (
    *("--guek", KEYS.encryption_key.hex(), "--gak", KEYS.authentication_key.hex()),
    *("--title", CLIENT_TITLE.hex()),
)
QUICK = ("--probe-timeout", 0.3)


def test_what_answers_on_tcp(openami: Run) -> None:
    with ServedMeter(TCP) as served:
        outcome = openami("scan", served.url, *QUICK)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "clients"
    assert "     16  associates without a secret" in lines
    assert "     32  wants a password or keys (authentication-required)" in lines
    assert "      1  wants keys (application-context-name-not-supported)" in lines
    assert "      1  OAM0000000000007" in lines
    assert "objects that client 16 sees (r read, w write, x invoke)" in lines
    assert lines[-1] == "4 objects"
    assert max(map(len, lines)) <= 80


def test_who_has_keys_sees_more(openami: Run) -> None:
    with ServedMeter(TCP) as served:
        outcome = openami("scan", served.url, *QUICK, *KEY, "--clients", "1,16-17", "--json")
    assert outcome.status == 0, outcome.err
    said = json.loads(outcome.out)
    assert [(each["client"], each["known"]) for each in said["clients"]] == [
        (1, True),
        (16, True),
        (17, False),
    ]
    assert said["listed_by"] == 1
    assert said["logical_devices"] == {"1": "OAM0000000000007"}
    (breaker,) = [each for each in said["objects"] if each["obis"] == "0.0.96.3.10.255"]
    assert breaker["class_name"] == "DisconnectControl"
    assert breaker["methods"] == {"1": 1, "2": 1}


def test_an_optical_port_is_opened_anew_for_each_address(openami: Run, tmp_path: Path) -> None:
    """Who finds nobody at one address leaves with a DISC, and the next opening comes behind it."""
    optical, keys = tmp_path / "optical", tmp_path / "keys.json"
    which = ("--mode-e", "yes", "--physical", "1,17", "--sizes", "2", "--clients", "16")
    words = ("--keys", keys, "--listen", f"hdlc+serial://{optical}", "--physical", 17)
    with Listening("simulate", *words):
        outcome = openami("scan", f"hdlc+serial://{optical}", *which, *QUICK, "--json")
    assert outcome.status == 0, outcome.err
    said = json.loads(outcome.out)
    assert said["servers"] == [{"octets": 2, "logical": 1, "physical": 17}]
    assert said["clients"][0]["open"] is True
    assert said["objects"]


def test_which_addresses_answer_on_hdlc(openami: Run) -> None:
    which = ("--physical", "16-18", "--sizes", "2,4", "--clients", "16,32")
    with ServedMeter(HDLC) as served:
        outcome = openami("scan", served.url, *QUICK, *which, "--json")
        assert outcome.status == 0, outcome.err
        said = json.loads(outcome.out)
        assert {"octets": 2, "logical": 1, "physical": 17} in said["servers"]
        assert all(each["physical"] == 17 for each in said["servers"])
        assert len(said["objects"]) == 4

        secret = ("--client", 32, "--secret", PASSWORD.decode())
        outcome = openami("scan", served.url, *QUICK, *which, *secret)
        assert outcome.status == 0, outcome.err
        assert "1/17 in 2 octets: --server-address 1/17 --address-size 2" in outcome.out
        assert "objects that client 32 sees" in outcome.out

        nobody = ("--physical", "40", "--sizes", "2")
        outcome = openami("scan", served.url, *QUICK, *nobody)
        assert outcome.status == 1
        assert "no server address opened a link" in outcome.sentence


def test_every_address_that_can_be() -> None:
    found = list(addresses([1, 2, 4], [1, 200], [0, 17, 300]))
    assert found == [
        Address(1, 1, 0),
        Address(2, 1, 0),
        Address(2, 1, 17),
        *(Address(4, upper, lower) for upper in (1, 200) for lower in (0, 17, 300)),
    ]
    assert spans([1, 2, 3, 5, -1]) == "-1,1-3,5"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--clients", "x"], "--clients 'x' is no list of numbers up to 65535"),
        (["--physical", "20-10"], "--physical '20-10' is no list"),
        (["--physical", "16384"], "up to 16383"),
        (["--sizes", "3"], "--sizes '3' must be of 1, 2 and 4"),
    ],
)
def test_asked_wrongly(words: list[str], sentence: str, openami: Run) -> None:
    outcome = openami("scan", "tcp://127.0.0.1:1", *words)
    assert outcome.status == 2
    assert sentence in outcome.sentence


@pytest.mark.parametrize("scheme", ["tcp", "hdlc+tcp"])
def test_nobody_there(scheme: str, openami: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}"
        outcome = openami("scan", url, *QUICK)
    assert outcome.status == 1
    assert "refused the connection" in outcome.sentence
