# SPDX-License-Identifier: Apache-2.0
"""`openami bearer`: what there is, what it means, and one of them in the way of a real reading."""

import json
import signal

import pytest

from cli.processes import Listening
from cli.runs import Run
from openami.runtime.errors import ExitCode


def test_every_figure_can_be_had_by_a_machine(openami: Run) -> None:
    listed = json.loads(openami("bearer", "list", "--json").out)

    assert listed["nb-iot"]["round_trip_s"] == [0.8, 10.0]
    assert "round_trip_s" not in listed["nb-iot"]["from_memory"]


def test_a_bearer_is_shown_with_what_it_means_for_a_meter(openami: Run) -> None:
    shown = openami("bearer", "show", "plc-prime", "--set", "loss=0.05").out

    assert "loss             0.05" in shown
    assert "ITU-T G.9904" in shown
    assert "an image of 225,280 octets to the device:" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "pigeon"), "there is no bearer 'pigeon'; there are ethernet"),
        (("show", "lte", "--set", "loss"), "--set 'loss' is no figure: write FIGURE=VALUE"),
        (("show", "lte", "--set", "loss=lots"), "--set 'loss=lots' is no figure"),
        (("show", "lte", "--set", "lost=1"), "--set: a bearer has no lost; there are about"),
        (("relay", "lte", "tcp://127.0.0.1:0", "udp://127.0.0.1:9"), "are of different kinds"),
        (("relay", "lte", "127.0.0.1:0", "tcp://127.0.0.1:9"), "LISTEN"),
    ],
)
def test_a_mistake_is_one_sentence(openami: Run, words: tuple[str, ...], sentence: str) -> None:
    refused = openami("bearer", *words)

    assert refused.status == ExitCode.ASKED_WRONGLY
    assert sentence in refused.err
    assert refused.err.count("\n") == 1


def test_a_meter_is_read_through_a_relay_and_what_passed_is_counted(openami: Run) -> None:
    with (
        Listening("simulate", "--listen", "tcp://127.0.0.1:0") as meter,
        Listening(
            "bearer", "relay", "cat-m1", "tcp://127.0.0.1:0", meter.url, "--speed", 5
        ) as relay,
    ):
        read = openami("read", relay.url, "--client", 16, "0.0.42.0.0.255", "--json")
        relay.process.send_signal(signal.SIGTERM)
        relay.process.wait(30)

    assert read.status == ExitCode.DONE, read.err
    assert "OAM0000000090001" in read.out
    assert relay.lines[-1].startswith("1 flows · there ")


def test_nobody_behind_a_relay_is_told_on_both_sides(openami: Run) -> None:
    with Listening("bearer", "relay", "lte", "tcp://127.0.0.1:0", "tcp://127.0.0.1:9") as relay:
        refused = openami("read", relay.url, "1.0.1.8.0.255", "--timeout", "5")
        relay.process.send_signal(signal.SIGTERM)
        relay.process.wait(30)

    assert refused.status == ExitCode.REFUSED
    assert any("tcp://127.0.0.1:9 cannot be reached" in line for line in relay.lines), relay.lines
