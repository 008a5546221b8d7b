# SPDX-License-Identifier: Apache-2.0
"""`openami conformance` at a meter behind a real port."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.served_meter import HDLC, TCP, ServedMeter
from cosem.conformance.subject import HASH_SECRET, sound_meter
from dlmskeys import SUITE_0, keys, master_key
from openami.cli import conformance as conformance_module
from openami.cli.conformance_profile import EXAMPLE, load
from openami.cli.conformance_profile import SERVICES as SERVICE_NAMES
from openami.cli.conformance_record import Redaction
from openami.cli.connecting import Stop
from openami.cli.main import main
from openami.cosem.conformance.suite import CASES
from openami.cosem.device import DEFAULT_CONFORMANCE
from openami.runtime.errors import UserError
from playbooks.demo_meter import CLIENT_TITLE, PASSWORD

SERVICES = json.dumps(
    [name for name, service in SERVICE_NAMES.items() if service in DEFAULT_CONFORMANCE]
)
PROFILE = f"""
[meter]
name = "demo <meter>"
associations = ["public", "reader", "hashed", "manager"]
profile = "1.0.99.1.0.255"
[link]
physical = 17
address_octets = 2
inactivity_s = 0
inter_octet_s = 0.05
[timing]
response_s = 4.0
[test_attribute]
class = 1
logical_name = "0.0.96.1.9.255"
[public]
client = 16
conformance = {SERVICES}
[reader]
client = 32
mechanism = "lls"
secret_file = "reader.secret"
conformance = {SERVICES}
[hashed]
client = 48
mechanism = "sha1"
secret_file = "hashed.secret"
conformance = {SERVICES}
[manager]
client = 1
mechanism = "gmac"
guek_file = "guek.hex"
gak_file = "gak.hex"
master_key_file = "kek.hex"
title = "{CLIENT_TITLE.hex()}"
security_setup = "0.0.43.0.0.255"
conformance = {SERVICES}
"""


@dataclass
class Place:
    """A folder with a declaration, and what a run leaves there."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def profile(self) -> Path:
        return self.folder / "meter.toml"

    def run(self, url: object, *arguments: str) -> tuple[int, str]:
        reports = ("--json", self.folder / "c.json", "--html", self.folder / "c.html")
        given = ("conformance", "run", url, "--profile", self.profile, *reports, *arguments)
        status = main([str(each) for each in given])
        said = self.capsys.readouterr()
        return status, said.out + said.err

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "c.json").read_text())
        return found

    @property
    def page(self) -> str:
        return (self.folder / "c.html").read_text()


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    secrets = {
        "reader.secret": PASSWORD.decode(),
        "hashed.secret": HASH_SECRET.decode(),
        "guek.hex": keys(SUITE_0).encryption_key.hex(),
        "gak.hex": keys(SUITE_0).authentication_key.hex(),
        "kek.hex": master_key(SUITE_0).octets.hex(),
    }
    for name, text in secrets.items():
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "meter.toml").write_text(PROFILE)
    return Place(tmp_path, capsys)


@pytest.fixture
def served() -> Iterator[ServedMeter]:
    with ServedMeter(TCP, meter=sound_meter()) as meter:
        yield meter


class Ids(HTMLParser):
    """Collects anchors and what points to them, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [(found["href"] or "").removeprefix("#")] if "href" in found else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_our_server_passes_over_tcp_and_both_reports_say_so(
    place: Place, served: ServedMeter
) -> None:
    status, out = place.run(served.url, "--allow-changes")
    summary = place.report["summary"]
    assert status == 0, out
    assert summary["FAIL"] == summary["INCONCLUSIVE"] == 0
    assert summary["PASS"] > 150
    assert f"{summary['PASS']} PASS" in out
    page = Ids(place.page)
    assert page.open == []
    results = place.report["results"]
    assert len(page.links) == len(set(page.links))
    assert set(page.links) <= set(page.ids)
    assert {each["key"].replace("/", "-at-") for each in results} <= set(page.ids)
    claimed = {each["key"] for each in results if each["verdict"] != "NOT APPLICABLE"}
    assert {key.replace("/", "-at-") for key in claimed} <= set(page.links)


def test_reports_fetch_nothing_and_show_no_secret(place: Place, served: ServedMeter) -> None:
    place.run(
        served.url, "--case", "APPL_OPEN_*", "--case", "SYMSEC_0_Key_Tx_P_BOTH", "--allow-changes"
    )
    texts = place.page + json.dumps(place.report)
    assert not re.search(r"src=|@import|url\(|<script", texts)
    assert "demo &lt;meter&gt;" in place.page
    shown = texts.lower().replace(" ", "")
    for secret in (PASSWORD, HASH_SECRET, keys(SUITE_0).encryption_key, master_key(SUITE_0).octets):
        assert secret.hex() not in shown
    assert PASSWORD.decode() not in texts
    assert "calling-authentication-value: 8 octets, not shown" in texts


def test_the_transcript_opens_what_is_sealed(place: Place, served: ServedMeter) -> None:
    place.run(served.url, "--case", "APPL_DATA_LN_GET", "--association", "manager")
    (result,) = place.report["results"]
    said = "\n".join(line.get("words", "") for line in result["transcript"])
    assert "InitiateRequest" in said
    assert "GetRequestNormal" in said
    assert "GetResponseNormal" in said
    assert "finding" not in said


def test_the_data_link_is_tested_over_a_line(place: Place) -> None:
    with ServedMeter(HDLC, meter=sound_meter()) as meter:
        status, out = place.run(
            meter.url,
            *("--case", "HDLC_FRAME_P1", "--case", "HDLC_INFO_P1", "--case", "HDLC_FRAME_N8"),
            *("--case", "HDLC_NDM2NRM_P2", "--case", "APPL_OPEN_1"),
        )
    assert status == 0, out
    assert place.report["summary"]["PASS"] == 4 + 4


def test_a_defect_is_told_and_ends_in_status_1(place: Place) -> None:
    def spoil(answer: bytes) -> bytes:
        return b"\xc4\x01\xc1" + answer[3:] if answer[:2] == b"\xc4\x01" else answer

    with ServedMeter(TCP, meter=sound_meter(), spoil=spoil) as meter:
        status, out = place.run(meter.url, "--case", "APPL_DATA_LN_GET", "--association", "public")
    assert status == 1
    assert "FAIL           APPL_DATA_LN_GET/public: invoke-id 1 came to GET with invoke-id 0" in out
    assert 'class="run is-fail"' in place.page


def test_a_run_goes_on_where_it_stopped(place: Place, served: ServedMeter) -> None:
    place.run(served.url, "--case", "APPL_OPEN_4", "--case", "SYMSEC_0_FraCount_3")
    before = place.report
    status, out = place.run(
        served.url, "--resume", "--case", "APPL_OPEN_*", "--case", "SYMSEC_0_FraCount_3"
    )
    assert status == 0
    assert "8 cases were run before" in out
    after = place.report
    assert after["results"][:8] == before["results"]
    assert len({each["key"] for each in after["results"]}) == len(after["results"]) > 8
    assert after["counters"]["manager"] > before["counters"]["manager"]


def test_cases_that_change_something_are_left_out_unless_allowed(
    place: Place, served: ServedMeter
) -> None:
    _, out = place.run(served.url, "--list")
    assert "Key_Tx" not in out
    assert "HDLC_" not in out  # TCP has no data link of HDLC
    _, out = place.run(served.url, "--list", "--allow-changes", "--group", "symsec")
    assert "SYMSEC_0_Key_Tx_P_GUEK/manager" in out
    assert "APPL_" not in out


def test_nobody_hangs_up_where_nothing_is_connected(place: Place) -> None:
    _, out = place.run("udp://127.0.0.1:1", "--list", "--case", "APPL_REL_*")
    assert "APPL_REL_P1_RLRQ/public" in out
    assert "APPL_REL_P1_LOWER" not in out


def test_the_list_names_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [case.id for case in CASES]


def test_init_writes_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.toml"
    assert main(["conformance", "init", str(path)]) == 0
    assert path.read_text() == EXAMPLE
    (tmp_path / "reader.secret").write_text("0x3132")
    for name in ("guek.hex", "gak.hex"):
        (tmp_path / name).write_text("00" * 16)
    assert [each.name for each in load(path).declaration.associations] == [
        "public",
        "reader",
        "manager",
    ]
    assert main(["conformance", "init", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err


WRONG = {
    'mechanism = "lls"': ('mechanism = "pls"', "one of none, lls"),
    'secret_file = "reader.secret"': ('secret_file = "nowhere"', "cannot be read"),
    'gak_file = "gak.hex"': ("", "guek_file and gak_file"),
    '"get"': ('"got"', "a list of"),
    "address_octets = 2": ("address_octets = 3", "1, 2 or 4 octets"),
    'profile = "1.0.99.1.0.255"': ('profile = "1.0"', "a logical name"),
    'associations = ["public"': ('associations = ["meter"', "names of associations"),
    "client = 16": ('client = "x"', "a whole number"),
    "[test_attribute]": ("[test]", "has no key or table test"),
}


@pytest.mark.parametrize(("old", "change"), WRONG.items(), ids=lambda each: str(each)[:30])
def test_a_mistake_in_a_declaration_is_told_with_its_place(
    place: Place, old: str, change: tuple[str, str]
) -> None:
    new, told = change
    place.profile.write_text(PROFILE.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(told)) as refused:
        load(place.profile)
    assert refused.value.exit_code == 2
    assert "meter.toml" in str(refused.value) or "[" in str(refused.value)


def test_services_of_the_other_referencing_cannot_be_declared(place: Place) -> None:
    for naming, service in (("sn", "get"), ("ln", "read")):
        text = PROFILE.replace("[public]", f'[public]\nnaming = "{naming}"', 1)
        place.profile.write_text(text.replace(SERVICES, json.dumps([service])))
        told = "services of (short|logical) names, which have (read|access), (write|get)"
        with pytest.raises(UserError, match=told):
            load(place.profile)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--case", "NOTHING"), "fits no case"),
        (("--association", "nobody"), "is not declared"),
    ],
)
def test_what_is_asked_wrongly(place: Place, arguments: tuple[str, ...], told: str) -> None:
    status, out = place.run("tcp://127.0.0.1:1", *arguments)
    assert status == 2
    assert told in out


def test_a_meter_that_is_not_there_leaves_cases_inconclusive(place: Place) -> None:
    status, out = place.run("tcp://127.0.0.1:9", "--case", "APPL_OPEN_*", "--case", "APPL_REL*")
    assert status == 1
    assert "the meter is not there any more" in out
    results = [r for r in place.report["results"] if r["verdict"] != "NOT APPLICABLE"]
    assert len(results) == 5
    assert {each["verdict"] for each in results} == {"INCONCLUSIVE"}
    assert "the line was lost" in results[0]["reason"]


def test_secrets_are_hidden_however_they_are_written() -> None:
    hide = Redaction((b"12345678", b"abc"))
    for text in ("31 32 33 34 35 36 37 38", "3132333435363738", "'12345678'"):
        assert "··" in hide(f"before {text} behind")
        assert "34" not in hide(text)
    assert hide("abc") == "abc"  # too short to be told from other octets


class Impatient(Stop):
    """A person who presses Ctrl-C after so many steps."""

    steps = 25

    def __init__(self) -> None:
        self.left = self.steps

    @property
    def asked(self) -> bool:
        self.left -= 1
        return self.left < 0

    @asked.setter
    def asked(self, _: bool) -> None:
        pass


def test_ctrl_c_puts_the_meter_back_and_keeps_the_report(
    place: Place, served: ServedMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance_module, "Stop", Impatient)
    before = served.meter.associations[1].ciphering
    assert before is not None
    keys_before = before.cipher.keys
    status, out = place.run(
        served.url, "--case", "SYMSEC_0_Key_Tx_*", "--allow-changes", "--association", "manager"
    )
    assert status == 130
    assert "stopped; --resume goes on from here" in out
    assert before.cipher.keys == keys_before
    assert 0 < len(place.report["results"]) < 5
    monkeypatch.undo()
    status, out = place.run(
        served.url, "--case", "SYMSEC_0_Key_Tx_*", "--allow-changes", "--resume"
    )
    assert status == 0, out
    assert before.cipher.keys == keys_before


def test_restore_says_which_keys_it_found(place: Place, served: ServedMeter) -> None:
    given = ("conformance", "restore", str(served.url), "--profile", str(place.profile))
    assert main(list(given)) == 0
    assert place.capsys.readouterr().out == (
        "manager: the declared keys work: there is nothing to put back\n"
    )
    (place.folder / "guek.hex").write_text("77" * 16)
    assert main(list(given)) == 1
    assert "neither the declared keys" in place.capsys.readouterr().out


def test_a_meter_that_tells_which_counter_it_expects_is_believed(
    place: Place, served: ServedMeter
) -> None:
    ciphering = served.meter.associations[1].ciphering
    assert ciphering is not None
    ciphering.window.expected = 5000
    status, out = place.run(served.url, "--case", "SYMSEC_0_FraCount_3")
    assert status == 0, out
    assert place.report["counters"]["manager"] > 5000
