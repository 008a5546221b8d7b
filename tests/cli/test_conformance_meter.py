# SPDX-License-Identifier: Apache-2.0
"""Meters of ours pass the conformance tests: that of `openami up`, and the simulated one."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cli.processes import Listening
from cosem.conformance.subject import BY_NAME
from cosem.reference_meter import dumped, reference_meter, text_of
from interop.meters import LOOPBACK, running
from meter.house import DAY_S, HEAD_END, KEYS, MeterInMemory, config_in
from openami.cli.conformance_profile import SERVICES
from openami.cli.main import main
from openami.cosem.conformance.case import Group
from openami.cosem.conformance.suite import CASES
from openami.cosem.device import DEFAULT_CONFORMANCE
from openami.cosem.dump import Dump
from openami.dlms.apdu.initiate import Conformance
from openami.lifecycle.keys import MeterKeys
from openami.meter.objects import LOAD_PROFILE, SECURITY_SETUP
from openami.meter.serving import listen_plain
from ports import free_port

GRANTED = json.dumps([name for name, bit in SERVICES.items() if bit in DEFAULT_CONFORMANCE])
PROFILE = f"""
[meter]
associations = ["public", "reader", "manager"]
profile = "{LOAD_PROFILE}"
[timing]
response_s = 4.0
[public]
client = 16
conformance = {GRANTED}
[reader]
client = 32
mechanism = "lls"
keys_file = "keys.json"
conformance = {GRANTED}
[manager]
client = 1
mechanism = "gmac"
keys_file = "keys.json"
title = "{HEAD_END.hex()}"
security_setup = "{SECURITY_SETUP}"
frame_counter = "0.0.43.1.0.255"
conformance = {GRANTED}
"""


SIMULATED = f"""
[meter]
associations = ["public", "reader", "manager"]
profile = "1.0.99.1.0.255"
[timing]
response_s = 4.0
[public]
client = 16
conformance = {GRANTED}
[reader]
client = 32
mechanism = "lls"
keys_file = "keys.json"
conformance = {GRANTED}
[manager]
client = 1
mechanism = "gmac"
keys_file = "keys.json"
title = "4F414DF000000001"
security_setup = "{SECURITY_SETUP}"
conformance = {GRANTED}
"""


def test_the_simulated_reference_meter_passes_and_has_its_keys_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, found, profile = tmp_path / "keys.json", tmp_path / "c.json", tmp_path / "meter.toml"
    profile.write_text(SIMULATED)
    reports = ["--json", str(found), "--html", str(tmp_path / "c.html"), "--allow-changes"]
    with Listening("simulate", "--keys", keys, "--listen", "tcp://127.0.0.1:0") as meter:
        before = json.loads(keys.read_text())
        status = main(["conformance", "run", meter.url, "--profile", str(profile), *reports])
    after = json.loads(keys.read_text())
    assert status == 0, capsys.readouterr().out
    assert json.loads(found.read_text())["summary"]["PASS"] > 120
    assert after["epoch"] == before["epoch"] + 6, "three transfers, and back"
    assert before == after | {"epoch": before["epoch"]}


def with_push_of_version_2() -> Dump:
    dump, setup = reference_meter(), "0.0.25.9.0.255"
    objects = [
        dumped((setup, 40, 2, {})) if str(each.obis) == setup else each for each in dump.objects
    ]
    return replace(dump, objects=tuple(objects))


def test_the_simulated_meter_passes_by_short_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, found, profile = tmp_path / "keys.json", tmp_path / "c.json", tmp_path / "meter.toml"
    both = Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ | Conformance.MULTIPLE_REFERENCES
    services = [name for name, bit in SERVICES.items() if bit in BY_NAME | both]
    profile.write_text(f"""
[meter]
associations = ["public", "reader"]
[public]
client = 16
naming = "sn"
conformance = {json.dumps(services)}
[reader]
client = 32
naming = "sn"
mechanism = "lls"
keys_file = "keys.json"
conformance = {json.dumps(services)}
""")
    groups = [word for each in ("cosem", "clients", "data-sn") for word in ("--group", each)]
    reports = ["--json", str(found), "--html", str(tmp_path / "c.html")]
    words = ("--keys", keys, "--short-names", "--listen", "tcp://127.0.0.1:0")
    with Listening("simulate", *words) as meter:
        status = main(
            ["conformance", "run", meter.url, "--profile", str(profile), *groups, *reports]
        )
    assert status == 0, capsys.readouterr().out
    verdicts = {each["key"]: each["verdict"] for each in json.loads(found.read_text())["results"]}
    named = {key: said for key, said in verdicts.items() if key.startswith("COSEM_SN_")}
    assert len(named) == 10
    assert set(named.values()) == {"PASS"}
    assert verdicts["APPL_CLIENTS_P/reader"] == "PASS"


def of_suite(name: str, client: int, mechanism: str) -> str:
    return f"""
[{name}]
client = {client}
mechanism = "{mechanism}"
keys_file = "keys.json"
sign_key_file = "certs/client-sign.key"
agree_key_file = "certs/client-agree.key"
meter_certs_file = "certs/meter.pem"
title = "4F414DF000000001"
security_setup = "{SECURITY_SETUP}"
frame_counter = "0.0.43.1.0.255"
conformance = {GRANTED}
"""


@pytest.mark.parametrize("suite", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_simulated_meter_of_suites_with_key_pairs_passes(
    suite: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, certs, profile = tmp_path / "keys.json", tmp_path / "certs", tmp_path / "meter.toml"
    head = f"""
[meter]
associations = ["public", "manager", "signer"]
[timing]
response_s = 4.0
[public]
client = 16
conformance = {GRANTED}
"""
    profile.write_text(head + of_suite("manager", 1, "gmac") + of_suite("signer", 2, "ecdsa"))
    setup = "0.0.25.9.0.255"
    (tmp_path / "dump.json").write_text(text_of(with_push_of_version_2()))
    pushed_to = f"tcp://127.0.0.1:{free_port()}"
    with profile.open("a") as file:
        file.write(f'[push]\nsetup = "{setup}"\nlisten = "{pushed_to}"\n')
    names = ("APPL_OPEN_*", "SYMSEC_*", "PUSH_P5_SIGNED*")
    wanted = [word for each in names for word in ("--case", each)]
    found = tmp_path / "c.json"
    reports = ["--json", str(found), "--html", str(tmp_path / "c.html"), "--allow-changes"]
    words = (
        *(tmp_path / "dump.json", "--suite", suite, "--keys", keys, "--certs", certs),
        *("--listen", "tcp://127.0.0.1:0", "--push", pushed_to),
    )
    with Listening("simulate", *words) as meter:
        run = ["conformance", "run", meter.url, "--profile", str(profile)]
        status = main([*run, *wanted, *reports])
        declared = profile.read_text().replace("[signer]", "signatures = true\n[signer]")
        (tmp_path / "signed.toml").write_text(declared)
        again = ["conformance", "run", meter.url, "--profile", str(tmp_path / "signed.toml")]
        few = ["--association", "manager", "--case", "SYMSEC_0_BasicCap_1"]
        later = ["--json", str(tmp_path / "later.json"), "--html", str(tmp_path / "later.html")]
        unsigned = [*run, *few, *later]
        assert main(unsigned) == 1, "the policy asks for signatures from then on"
        assert main([*again, *few, *later]) == 0, capsys.readouterr().out
    assert status == 0, capsys.readouterr().out
    pairs = {
        each["key"]: each["verdict"]
        for each in json.loads(found.read_text())["results"]
        if each["key"].startswith(("SYMSEC_12_", "PUSH_P5_")) and each["association"] != "public"
    }
    assert len(pairs) == 2 * (len([case for case in CASES if case.group is Group.PAIRS]) + 2)
    assert set(pairs.values()) == {"PASS"}, pairs


@pytest.mark.parametrize(
    ("version", "scheme"),
    [
        (0, "hdlc+tcp"),
        pytest.param(2, "tcp", marks=pytest.mark.long),  # it waits for a repetition: 40 s
        (2, "hdlc+tcp"),
    ],
)
def test_pushes_of_the_simulated_meter_pass(
    version: int, scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = with_push_of_version_2() if version == 2 else reference_meter()
    (tmp_path / "dump.json").write_text(text_of(dump))
    pushed_to = f"{scheme}://127.0.0.1:{free_port()}"
    keys, found, profile = tmp_path / "keys.json", tmp_path / "c.json", tmp_path / "meter.toml"
    profile.write_text(SIMULATED + f'[push]\nsetup = "0.0.25.9.0.255"\nlisten = "{pushed_to}"\n')
    reports = ["--json", str(found), "--html", str(tmp_path / "c.html"), "--allow-changes"]
    words = (
        *(tmp_path / "dump.json", "--keys", keys),
        *("--listen", "tcp://127.0.0.1:0", "--push", pushed_to),
    )
    with Listening("simulate", *words) as meter:
        run = ["conformance", "run", meter.url, "--profile", str(profile), "--group", "push"]
        status = main([*run, *reports])
    assert status == 0, capsys.readouterr().out
    verdicts = {each["key"]: each["verdict"] for each in json.loads(found.read_text())["results"]}
    assert verdicts["PUSH_P1/manager"] == "PASS"
    assert verdicts["PUSH_P4_WINDOW/manager"] == "PASS"
    assert verdicts["PUSH_P6_HDLC/manager"] == ("NOT APPLICABLE" if scheme == "tcp" else "PASS")
    layers = "PASS" if version == 2 else "NOT APPLICABLE"
    for name in ("AUTHENTICATION", "ENCRYPTION", "BOTH"):
        assert verdicts[f"PUSH_P5_{name}/manager"] == layers
    confirmed = "PASS" if version == 2 and scheme == "tcp" else "NOT APPLICABLE"
    assert verdicts["PUSH_P2_CONFIRMED/manager"] == confirmed
    assert verdicts["PUSH_P3_RETRY/manager"] == confirmed


def test_the_declaration_in_the_documentation_fits_the_simulated_meter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "conformance-tests.md"
    declared = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "meter.toml").write_text(declared[0])
    keys, profile = tmp_path / "keys.json", str(tmp_path / "meter.toml")
    reports = ["--json", str(tmp_path / "c.json"), "--html", str(tmp_path / "c.html")]
    with Listening("simulate", "--keys", keys, "--listen", "tcp://127.0.0.1:0") as meter:
        status = main(["conformance", "run", meter.url, "--profile", profile, *reports])
    assert status == 0, capsys.readouterr().out


def test_the_meter_of_the_demo_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    meter.run(DAY_S)
    keys = MeterKeys(epoch=1, guek=KEYS.guek, gak=KEYS.gak, lls=KEYS.lls, kek=KEYS.kek)
    (tmp_path / "keys.json").write_text(json.dumps(keys.to_json(meter.config.title)))
    profile, found = tmp_path / "meter.toml", tmp_path / "c.json"
    profile.write_text(PROFILE)
    reports = ["--json", str(found), "--html", str(tmp_path / "c.html"), "--allow-changes"]
    with running(lambda: listen_plain(meter.management, LOOPBACK)) as port:
        url = f"tcp://127.0.0.1:{port}"
        status = main(["conformance", "run", url, "--profile", str(profile), *reports])
    assert status == 0, capsys.readouterr().out
    summary = json.loads(found.read_text())["summary"]
    assert summary["PASS"] > 100
