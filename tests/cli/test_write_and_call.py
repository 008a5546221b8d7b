# SPDX-License-Identifier: Apache-2.0
"""`openami write` and `openami call` against our meter, over TCP and HDLC."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.runs import Run
from cli.served_meter import ADDRESS, HDLC, TCP, ServedMeter
from openami.cli.call import DESTRUCTIVE
from openami.cosem.classes.disconnect import ControlState
from openami.cosem.classes.measurement import Data
from openami.cosem.model import REGISTRY
from openami.dlms.data import OctetString
from playbooks.demo_meter import CLIENT_TITLE, DISCONNECT, KEYS, NOTE, DemoMeter

CLOCK = "0.0.1.0.0.255"
WHO = (
    *("--guek", KEYS.encryption_key.hex(), "--gak", KEYS.authentication_key.hex()),
    *("--title", CLIENT_TITLE.hex(), *ADDRESS),
)
AARE, GLO_GET_RESPONSE, GLO_SET_RESPONSE, GLO_ACTION_RESPONSE = b"\x61", b"\xcc", b"\xcd", b"\xcf"
COUNTER_REFUSED = bytes.fromhex("D80106")


@pytest.fixture(params=[TCP, HDLC], ids=["tcp", "hdlc"])
def served(request: pytest.FixtureRequest) -> Iterator[ServedMeter]:
    with ServedMeter(request.param) as meter:
        yield meter


def test_a_value_is_typed_by_its_class(served: ServedMeter, openami: Run) -> None:
    outcome = openami("write", served.url, *WHO, "--verify", f"{CLOCK}:time_zone", "--", "-60")
    assert outcome.status == 0, outcome.err
    assert outcome.out == f"{CLOCK}:time_zone  -60  written and read back\n"

    outcome = openami("read", served.url, *WHO, f"{CLOCK}:time-zone")
    assert outcome.out == f"{CLOCK}  -60\n"


def test_what_a_class_leaves_open_keeps_its_type(served: ServedMeter, openami: Run) -> None:
    outcome = openami("write", served.url, *WHO, NOTE, "kitchen", "--json")
    assert outcome.status == 0, outcome.err
    said = json.loads(outcome.out)
    assert said["value"] == {"octet-string": b"kitchen".hex()}
    note = served.meter[NOTE]
    assert isinstance(note, Data)
    assert note.value == OctetString(b"kitchen")

    # Another type than now is refused by the meter, in its words.
    outcome = openami("write", served.url, *WHO, NOTE, "5", "--type", "long")
    assert outcome.status == 1
    assert "refuses to write 0.0.96.1.9.255:value (class 1): type-unmatched" in outcome.sentence


def test_octets_and_types_can_be_given(served: ServedMeter, openami: Run) -> None:
    for value in ("hex:0902 4142", '{"octet-string": "4142"}', '"AB"'):
        outcome = openami("write", served.url, *WHO, "--verify", NOTE, value)
        assert outcome.status == 0, outcome.err
        assert outcome.out == "0.0.96.1.9.255:value  AB  written and read back\n"


def test_a_dry_run_writes_nothing(served: ServedMeter, openami: Run) -> None:
    outcome = openami("write", served.url, *WHO, "--dry-run", NOTE, "kitchen")
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines() == [
        "0.0.96.1.9.255:value  kitchen",
        "value    09 07 6B 69 74 63 68 65 6E",
        "request  C1 01 C1 00 01 00 00 60 01 09 FF 02 00 09 07 6B 69 74 63 68 65 6E",
        "nothing was written",
    ]
    outcome = openami("read", served.url, *WHO, NOTE)
    assert outcome.out == "0.0.96.1.9.255  home 1, week 1\n"


def test_methods_are_invoked_by_name_and_number(served: ServedMeter, openami: Run) -> None:
    outcome = openami("call", served.url, *WHO, f"{DISCONNECT}:remote_disconnect")
    assert outcome.status == 0, outcome.err
    assert outcome.out == "0.0.96.3.10.255:remote_disconnect  done\n"
    outcome = openami("call", served.url, *WHO, f"{DISCONNECT}:2", "--json")
    assert json.loads(outcome.out)["name"] == "remote_reconnect"
    assert isinstance(served.meter, DemoMeter)
    assert served.meter.switch.moves[0] is ControlState.DISCONNECTED


@pytest.mark.parametrize("told", [3, 0x9000], ids=["a used counter", "a higher counter"])
def test_a_method_is_invoked_once_whatever_counter_is_told_behind_it(
    told: int, openami: Run
) -> None:
    """Between tool and meter sits somebody who turns the answer into a refusal of the counter."""
    answers = 0

    def spoil(answer: bytes) -> bytes:
        nonlocal answers
        answers += answer[:1] == GLO_ACTION_RESPONSE
        if answers != 2 or answer[:1] != GLO_ACTION_RESPONSE:  # the first is the proof of HLS
            return answer
        return COUNTER_REFUSED + told.to_bytes(4)

    with ServedMeter(TCP, spoil=spoil) as served:
        outcome = openami("call", served.url, *WHO, f"{DISCONNECT}:remote_disconnect")
        assert isinstance(served.meter, DemoMeter)
        assert served.meter.switch.moves == [ControlState.DISCONNECTED]
    assert outcome.status == 1
    assert f"send an invocation counter of {told} or more" in outcome.sentence


def test_a_value_is_written_once_whatever_counter_is_told_behind_it(openami: Run) -> None:
    written = 0

    def spoil(answer: bytes) -> bytes:
        nonlocal written
        if answer[:1] != GLO_SET_RESPONSE:
            return answer
        written += 1
        return COUNTER_REFUSED + bytes.fromhex("00009000")

    with ServedMeter(TCP, spoil=spoil) as served:
        outcome = openami("write", served.url, *WHO, NOTE, "kitchen")
    assert (outcome.status, written) == (1, 1)


def test_a_read_begins_again_with_a_higher_counter_and_never_with_a_used_one(
    openami: Run,
) -> None:
    for told, openings in ((0x9000, 3), (3, 2)):
        opened = refused = 0

        def spoil(answer: bytes, told: int = told) -> bytes:
            nonlocal opened, refused
            opened += answer[:1] in {AARE, COUNTER_REFUSED[:1]}
            if answer[:1] != GLO_GET_RESPONSE or refused:
                return answer
            refused += 1
            return COUNTER_REFUSED + told.to_bytes(4)

        with ServedMeter(TCP, spoil=spoil) as served:
            outcome = openami("read", served.url, *WHO, NOTE)
        assert opened == openings  # the first is the public client's
        assert outcome.status == (0 if told > 3 else 1)


def test_what_nobody_bound_is_refused_by_the_meter(served: ServedMeter, openami: Run) -> None:
    outcome = openami("call", served.url, *WHO, "1.0.1.8.0.255:reset")
    assert outcome.status == 1
    assert "refuses to invoke 1.0.1.8.0.255:reset (class 3)" in outcome.sentence


def test_a_meter_that_keeps_something_else_is_reported(openami: Run) -> None:
    meter = DemoMeter()
    meter[NOTE].bind(Data.value, lambda: OctetString(b"mine"), lambda _value: None)
    with ServedMeter(TCP, meter=meter) as stubborn:
        outcome = openami("write", stubborn.url, *WHO, "--verify", NOTE, "yours")
    assert outcome.status == 1
    assert "0.0.96.1.9.255:value now holds mine, not what was written" in outcome.sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["write", f"{CLOCK}:time_zone", "east"],
            "'east' is no Long: write a whole number from -32768 to 32767",
        ),
        (["write", f"{CLOCK}:colour", "1"], "class 8 (Clock) has no attribute 'colour'; it has"),
        (["write", f"{CLOCK}:daylight_savings_begin", "soon"], "write 2026-03-01T12:30:00+01:00"),
        (["write", "1.2.3", "1"], "'1.2.3' is no OBIS code"),
        (["write", f"{CLOCK}:200", "1"], "200 is no row of an object: use 1 to 127"),
        (["write", "9.9.9.9.9.9", "1"], "9.9.9.9.9.9 is not among the 8 objects"),
        (["write", f"{CLOCK}", "hex:zz"], "hex:zz is not hexadecimal"),
        (["write", f"{CLOCK}", "hex:0901"], "hex:0901 is no encoded value"),
        (["write", f"{CLOCK}", "1", "--type", "colour"], "'colour' is no type of data"),
        (["write", f"{CLOCK}", "x", "--type", "long"], "'x' is no long"),
        (["call", f"{DISCONNECT}"], "0.0.96.3.10.255 names no method: write OBIS:METHOD"),
        (["call", f"{DISCONNECT}:open"], "has no method 'open'; it has remote_disconnect"),
        (["call", f"{CLOCK}:shift_time", "soon"], "'soon' is no Long"),
        (["call", f"{CLOCK}:shift_time"], "takes an argument, Long: give it behind the method"),
        (["write", f"{CLOCK}:-1", "1"], "-1 is no row of an object: use 1 to 127"),
        (["call", f"{CLOCK}:preset_adjusting_time"], "takes an argument, structure PresetTime"),
    ],
)
def test_asked_wrongly(words: list[str], sentence: str, openami: Run) -> None:
    with ServedMeter(TCP) as served:
        outcome = openami(words[0], served.url, *WHO, *words[1:])
    assert outcome.status == 2 or "is not among" in sentence
    assert sentence in outcome.sentence


def test_the_methods_that_are_asked_about_exist() -> None:
    known = {row.name for declared in REGISTRY.values() for row in declared.methods()}
    assert known >= DESTRUCTIVE


@pytest.mark.parametrize(("answer", "status"), [("n", 1), ("y", 0)])
def test_what_cuts_off_is_asked_about_on_a_terminal(answer: str, status: int) -> None:
    with ServedMeter(TCP) as served:
        master, slave = os.openpty()
        words = ["call", str(served.url), *WHO, f"{DISCONNECT}:remote_disconnect"]
        process = subprocess.Popen(
            [sys.executable, "-m", "openami", *words], stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        seen = b""
        while b"[y/N]" not in seen:
            seen += os.read(master, 1024)
        os.write(master, f"{answer}\n".encode())
        assert process.wait(20) == status
        os.close(master)
    assert b"may cut off, erase or lock out: invoke it?" in seen
    assert isinstance(served.meter, DemoMeter)
    assert len(served.meter.switch.moves) == (answer == "y")
