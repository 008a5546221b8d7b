# SPDX-License-Identifier: Apache-2.0
"""`openami decode`: what it prints, and its exit status."""

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openami.cli.decode import decode
from openami.runtime.errors import ExitCode, UserError
from vectors import vectors

TELEGRAM = next(
    row for row in vectors("dlms/security/telegrams.toml") if row["name"] == "landis-gyr-e450"
)
KEYS = ["--guek", TELEGRAM["encryption_key"], "--gak", TELEGRAM["authentication_key"]]


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(decode, arguments, input=stdin, standalone_mode=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("c401c1000600000005",),
        ("C4", "01", "C1", "00", "06", "00", "00", "00", "05"),
        ("0xC4 0x01 0xC1 0x00 0x06 0x00 0x00 0x00 0x05",),
        ("c4:01:c1:00:06:00:00:00:05",),
    ],
)
def test_a_value(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.return_value == ExitCode.DONE
    assert "result: double-long-unsigned 5" in result.output


def test_octets_from_standard_input() -> None:
    result = run(stdin="c401c100\n0600000005\n")

    assert result.return_value == ExitCode.DONE
    assert "double-long-unsigned 5" in result.output


def test_a_sealed_push_as_a_table() -> None:
    result = run(TELEGRAM["octets"].hex(), *KEYS)

    assert result.return_value == ExitCode.DONE
    row = next(line for line in result.output.splitlines() if line.startswith("1.0.1.8.0.255"))
    assert row.split()[1] == "4408736"
    assert row.endswith("  active energy import")


def test_a_push_with_units_as_json() -> None:
    push = next(row for row in vectors("dlms/pushes.toml") if row["name"] == "hdlc_iskra550")
    result = run("--json", push["octets"].hex())
    printed = json.loads(result.output)
    readings = {reading["obis"]: reading for reading in printed["readings"]}

    assert printed["findings"] == []
    assert printed["tree"][0]["label"] == "DataNotification"
    assert readings["1.0.32.7.0.255"] == {
        "obis": "1.0.32.7.0.255",
        "name": "voltage L1",
        "class": None,
        "attribute": None,
        "type": "long-unsigned",
        "value": 2364,
        "scaler": -1,
        "unit": "V",
        "quantity": "236.4",
        "time": "2023-04-01T21:32:35+02:00",
    }


def test_a_wrong_key_prints_what_is_outside_and_fails() -> None:
    result = run(TELEGRAM["octets"].hex(), "--guek", "00" * 16, "--gak", "00" * 16)

    assert result.return_value == ExitCode.REFUSED
    assert "invocation_counter: 1539018" in result.output
    assert "finding: the tag does not match" in result.output


def test_truncated_octets_print_a_finding_and_fail() -> None:
    result = run("c401c10006000000")

    assert result.return_value == ExitCode.REFUSED
    assert "DoubleLongUnsigned needs 4 octets, at octet 5 of 8" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("c4zz",), "HEX: digit 3 'z' is not hexadecimal"),
        (("c4014",), "HEX has 5 digits, an odd number"),
        (("c401", "--guek", "0011"), "--guek has 2 octets: give 16 or 32"),
        (("c401", "--guek", "xx" * 16), "--guek: digit 1 is not hexadecimal"),
        (("c401", "--gak", "00" * 16), "--gak serves only together with --guek"),
        (("c401", "--title", "00" * 8), "--title serves only together with --guek"),
        (("c401", "--guek", "00" * 16, "--title", "00"), "--title has 1 octet: give 8"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)

    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == ExitCode.ASKED_WRONGLY
    assert sentence in str(result.exception)


def test_nothing_given_is_one_sentence() -> None:
    result = run(stdin="")

    assert isinstance(result.exception, UserError)
    assert "HEX is empty" in str(result.exception)


PUSH = next(row for row in vectors("dlms/telegrams.toml") if row["name"] == "hdlc_kaifa_ma304h3e")


def test_a_file_of_octets_a_file_of_text_and_base64(tmp_path: Path) -> None:
    raw, text, letters = tmp_path / "raw", tmp_path / "text", tmp_path / "letters"
    raw.write_bytes(PUSH["octets"])
    text.write_text(PUSH["octets"].hex(" "), encoding="ascii")
    letters.write_bytes(base64.b64encode(PUSH["octets"]))
    expected = run("--lenient", PUSH["octets"].hex())

    assert expected.return_value == ExitCode.DONE
    assert run("--lenient", "-f", str(raw)).output == expected.output
    assert run("--lenient", "-f", str(text)).output == expected.output
    assert run("--lenient", "--base64", "-f", str(letters)).output == expected.output
    assert run("--lenient", "--auto", PUSH["octets"].hex(":")).output == expected.output


def test_notes_and_the_time_stand_below_the_table() -> None:
    lines = run("--lenient", PUSH["octets"].hex()).output.splitlines()

    assert "time: 2017-09-15T05:33:40" in lines
    assert lines[-1].startswith("note: the date-time carries the tag of a type, 09, at octet 5")
    assert lines[-1].endswith("accepted as typed-date-time")


def test_a_consumer_port_is_text() -> None:
    result = run(stdin="/ISk5\\2M550T\r\n\r\n1-0:1.8.1(000004.426*kWh)\r\n!\r\n")

    assert result.return_value == ExitCode.DONE
    assert "line: 1-0:1.8.1(000004.426*kWh)" in result.output
    assert "1.0.1.8.1.255  4426   Wh" in result.output


def test_a_dedicated_key_opens_a_service() -> None:
    sealed = "d01e3001234567411312ff935a47566827c467bc7d825c3be4a77c3fcc056b6b"
    keys = ["--dek", "000102030405060708090A0B0C0D0E0F"]
    keys += ["--gak", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF", "--title", "4D4D4D0000BC614E"]
    result = run("--json", sealed, *keys)
    printed = json.loads(result.output)

    assert result.return_value == ExitCode.DONE
    assert printed["security"]["key"] == "dedicated"
    assert printed["security"]["envelope"] == "service-specific-ded-ciphering"
    assert printed["complete"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--auto", "--framing", "hdlc", "00"), "--auto finds the framing out"),
        (("-f", "absent", "00"), "give them in one place"),
        (("-f", "absent"), "absent cannot be read"),
        (("--base64", "ä"), "BASE64 is not base64"),
        (("00", "--dek", "00"), "--dek has 1 octet: give 16 or 32"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(
    arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(*arguments)

    assert isinstance(result.exception, UserError)
    assert sentence in str(result.exception)


def test_a_quantity_has_no_exponent() -> None:
    push = "0f 00000001 00 0201 0203 0906 0100010800ff 06 00000000 0202 0f f7 16 1e"
    (value,) = json.loads(run("--json", push).output)["values"]

    assert (value["value"], value["scaler"], value["quantity"]) == (0, -9, "0.000000000")
