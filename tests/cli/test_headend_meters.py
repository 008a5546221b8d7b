# SPDX-License-Identifier: Apache-2.0
"""`openami headend meters`: what a sentence about an unknown meter leads to."""

import json
from pathlib import Path

import pytest

from chain import Chain
from cli.runs import Run
from openami.headend.registry_import import import_shipment, load_shipment
from openami.store import registry


def test_meters_are_listed_by_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain, run = Chain(tmp_path), Run(capsys, "headend")
    home = ("--home", chain.layout.headend)
    engine = chain.engine  # which makes the store
    assert "no meter fits" in run("meters", *home).out
    import_shipment(engine, load_shipment(chain.layout.headend / "shipment.json"))
    registry.set_attached(engine, {2: True}, 5)

    refused = run("command", "send", "read", *home, "--meter", 99, "--reason", "test")
    assert "no meter 99: `openami headend meters` lists them" in refused.sentence
    first = run("meters", *home, "--limit", 2).out.splitlines()
    assert first[0].split()[:2] == ["1", "4F414D0000000001"]
    assert first[0].endswith("never attached")
    assert first[1].endswith("  attached")
    assert first[2] == "3 meters fit; go on with --after 2"
    rest = json.loads(run("meters", *home, "--after", 2, "--json").out)
    assert [each["meter_id"] for each in rest] == [3]
    there = json.loads(run("meters", *home, "--state", "attached", "--json").out)
    assert [each["meter_id"] for each in there] == [2]
    assert run("meters", *home, "--text", "0000003", "--region", "north").out.count("\n") == 1
    chain.close()
