# SPDX-License-Identifier: Apache-2.0
"""`openami dump` and `openami simulate`: what was dumped is a meter again, object by object."""

import itertools
import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.processes import Listening
from cli.runs import Run
from cli.served_meter import ADDRESS, HDLC, TCP, ServedMeter
from openami.cli.load import SHAPE
from openami.cosem.choices import RAW
from openami.cosem.classes.access_control import SecuritySetup
from openami.cosem.classes.cellular import GprsModemSetup
from openami.cosem.classes.measurement import Data
from openami.cosem.device import AssociationPolicy
from openami.cosem.dump import SECRETS, Dump
from openami.cosem.model import Attribute, InterfaceClass
from openami.cosem.rights import ALL, Grant
from openami.cosem.simulation import secrets_in
from openami.dlms.data import LongUnsigned, OctetString, Structure
from openami.dlms.obis import Obis
from openami.transport.url import Url
from playbooks.demo_meter import CLIENT_TITLE, KEYS, METER_TITLE, DemoMeter

ANY_TCP, ANY_HDLC, ANY_UDP = "tcp://127.0.0.1:0", "hdlc+tcp://127.0.0.1:0", "udp://127.0.0.1:0"
WHO = (
    *("--guek", KEYS.encryption_key.hex(), "--gak", KEYS.authentication_key.hex()),
    *("--title", CLIENT_TITLE.hex()),
)
CLOCK, FRAME_COUNTER = "0.0.1.0.0.255", "0.0.43.1.0.255"


HALF_A_VALUE = """{"format": "openami-dump-1", "objects": [
    {"obis": "0.0.1.0.0.255", "attributes": [{"index": 2, "mode": 1, "hex": "0901"}]}
]}"""


def dump_with(
    *,
    index: int = 2,
    mode: int = 1,
    version: int = 0,
    twice: bool = False,
    title: str = "",
    server: int = 1,
) -> str:
    row = {"index": index, "mode": mode}
    clock = {
        "obis": "0.0.1.0.0.255",
        "class": 8,
        "version": version,
        "attributes": [row] * (1 + twice),
        "methods": [],
    }
    said = {"format": "openami-dump-1", "client": 16, "server": server, "mechanism": "none"}
    rest = {"association_version": 1, "system_title": title, "objects": [clock]}
    return json.dumps(said | rest)


def without_time(dump: Any) -> Any:
    """What must be the same: all but the moment, the clock and the counter."""
    dump = json.loads(json.dumps(dump))
    dump["taken"] = ""
    for each in dump["objects"]:
        if each["obis"] in {CLOCK, FRAME_COUNTER}:
            each["attributes"][1] = each["attributes"][1]["mode"]
    return dump


@pytest.fixture
def strange_meter() -> DemoMeter:
    """The demo meter with what no class table has: a manufacturer's class, another's rights."""

    class Strange(InterfaceClass, class_id=9000, version=7, listed=False):
        mixture = Attribute(2, RAW)
        colour = Attribute(-1, RAW)

    meter = DemoMeter()
    meter.add(
        Strange(
            Obis(0, 0, 128, 0, 0, 255),
            mixture=Structure((LongUnsigned(1), OctetString(b"\xff\x00"))),
            colour=OctetString(b"blue"),
        )
    )
    meter.add(Data(Obis(0, 0, 96, 1, 3, 255)))  # a value that is not there
    return meter


@pytest.mark.parametrize("url", [TCP, HDLC], ids=["tcp", "hdlc"])
def test_a_dumped_meter_is_a_meter_again(
    url: Url, strange_meter: DemoMeter, openami: Run, tmp_path: Path
) -> None:
    first, keys, second = tmp_path / "first.json", tmp_path / "keys.json", tmp_path / "second.json"
    with ServedMeter(url, meter=strange_meter) as served:
        outcome = openami("dump", served.url, *WHO, *ADDRESS, "-o", first, "--rows", 100)
    assert outcome.status == 0, outcome.err
    assert outcome.err.startswith("10 objects, ")

    with Listening("simulate", first, "--keys", keys, "--listen", ANY_TCP) as meter:
        outcome = openami("dump", meter.url, "--keys", keys, "-o", second, "--rows", 100)
    assert outcome.status == 0, outcome.err
    found, again = (json.loads(path.read_text()) for path in (first, second))
    assert without_time(found) == without_time(again)
    assert found["system_title"] == METER_TITLE.hex().upper()
    (missing,) = [
        row["refused"]
        for each in found["objects"]
        if each["obis"] == "0.0.96.1.3.255"
        for row in each["attributes"]
        if row["index"] == 2
    ]
    assert missing == "object-unavailable"


def test_profiles_keep_their_newest_rows(openami: Run, tmp_path: Path) -> None:
    path = tmp_path / "meter.json"
    with ServedMeter(TCP) as served:
        assert openami("dump", served.url, *WHO, "-o", path, "--rows", 3).status == 0
    (buffer,) = [
        row["value"]
        for each in json.loads(path.read_text())["objects"]
        if each["obis"] == "1.0.99.1.0.255"
        for row in each["attributes"]
        if row["index"] == 2
    ]
    assert [row[2] for row in buffer] == [1097, 1098, 1099]


def test_the_reference_meter_serves_each_client_on_each_line(openami: Run, tmp_path: Path) -> None:
    keys, pty = tmp_path / "keys.json", tmp_path / "line"
    lines = [ANY_TCP, ANY_HDLC, ANY_UDP, f"hdlc+serial://{pty}"]
    listen = [word for line in lines for word in ("--listen", line)]
    with Listening("simulate", "--keys", keys, *listen, expect=4) as meter:
        for url in meter.urls:
            outcome = openami("read", url, CLOCK, "0.0.42.0.0.255")
            assert outcome.status == 0, outcome.err
            assert outcome.out.endswith("0.0.42.0.0.255  OAM0000000090001\n")
            outcome = openami("read", url, "--keys", keys, "--client", 32, "1.0.32.7.0.255")
            assert outcome.out == "1.0.32.7.0.255  230.4 V\n"
        outcome = openami("write", meter.url, "--keys", keys, "0.0.96.1.9.255", "attic", "--verify")
        assert outcome.status == 0, outcome.err
        profile = ("read", meter.url, "--keys", keys, "1.0.99.1.0.255", "--json")
        (table,) = json.loads(openami(*profile).out)
        assert len(table["rows"]) == 8 * 96
        imported = [row[2] for row in table["rows"]]
        assert imported == sorted(imported)
        assert imported[0] < imported[-1]


def test_the_clock_runs_and_energy_grows(openami: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    fast = ("--speed", 3600, "--load", 5, "--history-days", 0)  # no hour reaches the limiter
    with Listening("simulate", "--keys", keys, "--listen", ANY_TCP, *fast) as meter:
        energy = ("read", meter.url, "--keys", keys, "1.0.1.8.0.255", "--json")
        value = begun = json.loads(openami(*energy).out)[0]["value"]
        until = time.monotonic() + 60
        while value == begun:
            assert time.monotonic() < until
            value = json.loads(openami(*energy).out)[0]["value"]
        assert value > begun
        rates = [f"1.0.1.8.{rate}.255" for rate in (1, 2)]
        found = json.loads(openami("read", meter.url, "--keys", keys, "--json", *rates).out)
        base = [48_213_904 * percent // 100 for percent in (60, 40)]
        grown = [each["value"] > held for each, held in zip(found, base, strict=True)]
        assert any(grown)
        outcome = openami("call", meter.url, "--keys", keys, "1.0.99.1.0.255:capture")
        assert outcome.status == 0, outcome.err
        profile = ("read", meter.url, "--keys", keys, "1.0.99.1.0.255", "--json")
        assert json.loads(openami(*profile).out)[0]["rows"]


def test_counters_go_on_after_a_restart(openami: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    counters = tmp_path / "keys.json.counters"
    seen = []
    for _ in range(2):
        with Listening("simulate", "--keys", keys, "--listen", ANY_TCP) as meter:
            assert openami("read", meter.url, "--keys", keys, CLOCK).status == 0
            seen.append(int(openami("read", meter.url, FRAME_COUNTER).out.split()[1]))
            meter.kill()
    assert seen[0] < seen[1]
    assert json.loads(counters.read_text())["sent"] >= 2000
    assert keys.stat().st_mode & 0o77 == 0


def test_no_dump_holds_a_secret(openami: Run, tmp_path: Path) -> None:
    path = tmp_path / "meter.json"
    meter = DemoMeter()
    modem = GprsModemSetup(Obis(0, 0, 25, 4, 0, 255), apn=b"meters", pin_code=31_337)
    meter.add(modem)
    meter.add(SecuritySetup(Obis(0, 0, 43, 0, 0, 255), security_policy=0))
    meter.associations[16] = AssociationPolicy(client_sap=16, grants=(Grant(read=ALL),))
    with ServedMeter(TCP, meter=meter) as served:
        assert openami("dump", served.url, "-o", path).status == 0
    (pin,) = [
        row
        for each in json.loads(path.read_text())["objects"]
        if each["obis"] == "0.0.25.4.0.255"
        for row in each["attributes"]
        if row["name"] == "pin_code"
    ]
    assert pin == {
        "index": 3,
        "mode": 1,
        "name": "pin_code",
        "refused": "not asked: it is a secret",
    }
    assert list(secrets_in(Dump.from_json(json.loads(path.read_text())))) == []


def test_the_table_of_secrets_has_what_it_should() -> None:
    assert {(15, 7), (19, 7), (19, 8), (19, 9), (44, 5), (45, 3)} <= SECRETS


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("[]", "{path} is no dump of a meter: its format is not 'openami-dump-1'"),
        ('{"format": "openami-dump-1"}', "is no dump of a meter: 'objects' is missing"),
        ('{"format": "openami-dump-1", "objects": [{}]}', "object 1: 'obis' is missing"),
        (
            HALF_A_VALUE,
            "object 1, 0.0.1.0.0.255: octet-string needs 1 octet",
        ),
        (dump_with(index=128), "object 1, 0.0.1.0.0.255: index 128 is not -128 to 127"),
        (dump_with(mode=-1), "object 1, 0.0.1.0.0.255: mode -1 is not 0 to 255"),
        (dump_with(version=256), "object 1, 0.0.1.0.0.255: version 256 is not 0 to 255"),
        (dump_with(twice=True), "object 1, 0.0.1.0.0.255: the same attribute stands there twice"),
        (dump_with(title="00"), "system_title has 1 octet, not 8"),
        (dump_with(server=-1), "client and server are 0 to 65535"),
        ("{", "{path} is not valid JSON"),
        (None, "{path} cannot be read (No such file or directory): give the path of a file"),
    ],
)
def test_a_file_that_is_no_dump(
    said: str | None, sentence: str, openami: Run, tmp_path: Path
) -> None:
    path = tmp_path / "meter.json"
    if said is not None:
        path.write_text(said)
    outcome = openami("simulate", path)
    assert outcome.status == 2
    assert sentence.format(path=path) in outcome.sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--listen", "http://127.0.0.1:0"], "has the unknown scheme http"),
        (["--listen", "tls://127.0.0.1:0"], "needs a certificate: give --ca, --cert and --key"),
        (["--load", "much"], "--load 'much' must be a number of kW, 0 to 1000"),
        (["--title", "OAM"], "--title 'OAM' must be 16 hex digits"),
        (["--push-every", "5"], "--push-every says how often, and --push where to"),
    ],
)
def test_simulate_asked_wrongly(words: list[str], sentence: str, openami: Run) -> None:
    outcome = openami("simulate", *words)
    assert outcome.status == 2
    assert sentence in outcome.sentence


def test_a_folder_that_cannot_be_written(openami: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with ServedMeter(TCP) as served:
        outcome = openami("dump", served.url, "-o", tmp_path / "file" / "meter.json")
    assert outcome.status == 1
    assert "cannot be written" in outcome.sentence


def test_ctrl_c_keeps_what_was_dumped(tmp_path: Path) -> None:
    path, tags = tmp_path / "meter.json", list[int]()

    def slow(answer: bytes) -> bytes:
        tags.append(answer[0])
        time.sleep(0.1)
        return answer

    with ServedMeter(TCP, spoil=slow) as served:
        words = ["dump", str(served.url), *WHO, "-o", str(path)]
        process = subprocess.Popen(
            [sys.executable, "-m", "openami", *words], stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 60
        while len(tags) < 12:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the dump is not whole: interrupted" in err
    assert "Traceback" not in err
    assert tags[-1] == 0x63  # the answer to the release
    found = Dump.from_json(json.loads(path.read_text()))
    refused = [row.refused for each in found.objects for row in each.attributes]
    assert "" in refused
    assert "not asked: interrupted" in refused


def test_a_lost_connection_keeps_what_was_dumped(openami: Run, tmp_path: Path) -> None:
    path, count = tmp_path / "meter.json", [0]

    def silent_after_ten(answer: bytes) -> bytes | None:
        count[0] += 1
        return answer if count[0] < 12 else None

    with ServedMeter(TCP, spoil=silent_after_ten) as served:
        outcome = openami("dump", served.url, *WHO, "-o", path, "--timeout", 0.3)
    assert outcome.status == 1
    assert "the dump is not whole: " in outcome.err
    assert "did not answer within 0.3 s" in outcome.err
    assert Dump.from_json(json.loads(path.read_text())).objects


def test_the_reference_meter_comes_back_as_it_was(openami: Run, tmp_path: Path) -> None:
    """All but what time moves: clock, compact data, and the demand of the running period."""
    found = []
    source: tuple[object, ...] = ("--load", 0)
    for number in (1, 2):
        keys, path = tmp_path / f"keys{number}.json", tmp_path / f"meter{number}.json"
        with Listening("simulate", *source, "--keys", keys, "--listen", ANY_TCP) as meter:
            outcome = openami("dump", meter.url, "--keys", keys, "-o", path, "--rows", 9999)
            assert outcome.status == 0, outcome.err
        dump = json.loads(path.read_text())
        dump["taken"] = ""
        for each in dump["objects"]:
            if each["class"] in {5, 8, 62} or each["obis"] == FRAME_COUNTER:
                each["attributes"] = [(row["index"], row["mode"]) for row in each["attributes"]]
        found.append(dump)
        source = (path,)
    assert len(found[0]["objects"]) == 114
    assert found[0] == found[1]


def test_no_row_is_missed_however_fast_time_runs(openami: Run, tmp_path: Path) -> None:
    """Each row holds what its quarter of an hour took, as the shape of the day says."""
    keys = tmp_path / "keys.json"
    fast = ("--speed", 3600, "--load", 2, "--history-days", 0)
    with Listening("simulate", "--keys", keys, "--listen", ANY_TCP, *fast) as meter:
        rows: list[list[Any]] = []
        until = time.monotonic() + 60
        while len(rows) < 6:
            assert time.monotonic() < until
            outcome = openami("profile", meter.url, "--keys", keys, "--json")
            rows = json.loads(outcome.out)["rows"]
    for before, after in itertools.pairwise(rows):
        begun, ended = (datetime.fromisoformat(row[0]) for row in (before, after))
        assert ended - begun == timedelta(minutes=15)
        assert abs(after[2] - before[2] - 20 * SHAPE[begun.hour] / 4) <= 1
