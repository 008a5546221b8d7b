# SPDX-License-Identifier: Apache-2.0
"""Telegrams of the field through `openami decode --json`: exact values, times, habits."""

import json
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openami.cli.decode import decode
from openami.runtime.errors import ExitCode
from vectors import vectors

TELEGRAMS = vectors("dlms/telegrams.toml")
BREAKING = [row for row in TELEGRAMS if row.get("habits")]
KEYS = {
    "framing",
    "framings",
    "security",
    "securities",
    "time",
    "values",
    "readings",
    "findings",
    "notes",
    "complete",
    "tree",
}


def run(row: dict[str, Any], *options: str) -> Result:
    arguments = ["--json", *options, row["octets"].hex()]
    for name in ("guek", "gak"):
        if name in row:
            arguments += [f"--{name}", row[name]]
    return CliRunner().invoke(decode, arguments, standalone_mode=False)


def same(found: dict[str, Any], expected: str) -> bool:
    number = found["quantity"] if found["quantity"] is not None else found["value"]
    if isinstance(number, str) and found["quantity"] is None:
        return number == expected
    return Decimal(number) == Decimal(expected)


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_what_a_telegram_says(row: dict[str, Any]) -> None:
    result = run(row, "--lenient")
    printed = json.loads(result.output)

    assert result.return_value == ExitCode.DONE
    assert printed.keys() >= KEYS
    assert printed["findings"] == []
    assert printed["framing"] == row["framings"][0]
    assert printed["framings"] == row["framings"]
    assert (printed["time"] or "") == row["time"]
    found = {value["obis"]: value for value in printed["values"]}
    assert len(found) == len(printed["values"])
    for obis, expected in row.get("values", {}).items():
        assert same(found[obis], expected), obis


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_strict_and_lenient_read_the_same(row: dict[str, Any]) -> None:
    result = run(row)
    strict, lenient = json.loads(result.output), json.loads(run(row, "--lenient").output)

    assert strict["values"] == lenient["values"]
    assert bool(strict["findings"]) == bool(row.get("habits"))
    assert result.return_value == (ExitCode.REFUSED if row.get("habits") else ExitCode.DONE)


@pytest.mark.parametrize("row", BREAKING, ids=[row["name"] for row in BREAKING])
def test_each_breach_has_its_habit_and_its_place(row: dict[str, Any]) -> None:
    strict = json.loads(run(row).output)
    named = [option for habit in row["habits"] for option in ("--habit", habit)]
    accepted = run(row, *named)

    assert not strict["complete"]
    assert all("at octet " in finding for finding in strict["findings"])
    assert accepted.return_value == ExitCode.DONE
    for habit in row["habits"]:
        others = [option for option in named if option not in {habit, "--habit"}]
        rest = [option for other in others for option in ("--habit", other)]
        assert run(row, *rest).return_value == ExitCode.REFUSED
        assert any(f"accepted as {habit}" in note for note in json.loads(accepted.output)["notes"])


def test_how_a_telegram_is_protected() -> None:
    row = next(row for row in TELEGRAMS if row["name"] == "hdlc_landis_gyr_e450")
    printed = json.loads(run(row).output)

    assert printed["complete"]
    assert printed["security"] == {
        "envelope": "general-glo-ciphering",
        "security_control": 0x30,
        "suite": 0,
        "authenticated": True,
        "encrypted": True,
        "system_title": "4C475A677370B177",
        "invocation_counter": 1539018,
        "key": "global unicast",
        "opened": True,
        "tag_checked": True,
    }


def test_a_telegram_whose_key_is_not_given_is_not_complete() -> None:
    row = next(row for row in TELEGRAMS if row["name"] == "mbus_kmswest")
    result = run(row)
    printed = json.loads(result.output)

    assert result.return_value == ExitCode.DONE
    assert not printed["complete"]
    assert printed["values"] == []
    assert printed["security"]["opened"] is False


def test_blocks_before_a_telegram_are_told() -> None:
    row = next(row for row in TELEGRAMS if row["name"] == "lg_e450.UNENCRYPTED_VALID_DATA")
    printed = json.loads(run(row).output)

    assert len(printed["values"]) == 15
    assert not printed["complete"]
    assert "general-block-transfer ends with block 2" in printed["notes"][0]


def test_an_inverted_deviation_is_accepted_by_name_alone() -> None:
    row = next(row for row in TELEGRAMS if row["name"] == "hdlc_iskra550")

    assert json.loads(run(row, "--lenient").output)["time"] == "2023-04-01T21:32:35+02:00"
    inverted = json.loads(run(row, "--habit", "inverted-deviation").output)
    assert inverted["time"] == "2023-04-01T21:32:35-02:00"
    assert {value["time"] for value in inverted["values"]} == {"2023-04-01T21:32:35-02:00"}
