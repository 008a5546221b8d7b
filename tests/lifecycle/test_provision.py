# SPDX-License-Identifier: Apache-2.0
"""Provisioning twice is provisioning once; cut anywhere it goes on; damage is named."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openami.access.keystore import KeyStore
from openami.lifecycle import provision as module
from openami.lifecycle.keys import MeterKeys
from openami.lifecycle.plan import Plan, meter_title
from openami.lifecycle.provision import provision, stored_plan
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.layout import Layout
from openami.transport.tls import TlsIdentity, client_tls, server_tls
from openami.transport.url import Url

PLAN = Plan(meters=5, installed_us=1_790_000_000_000_000 // 1_800_000_000 * 1_800_000_000)
FULL = meter_title(1)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """One AMI that tests only read."""
    layout = Layout(tmp_path_factory.mktemp("var"))
    provision(layout, PLAN)
    return layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "var")


def test_every_documented_file_is_there(provisioned: Layout) -> None:
    meters = [f"meters/{meter_title(n).hex().upper()}" for n in range(1, 6)]
    tls = ["ca.crt", "tls.crt", "tls.key"]
    wanted = {"plan.json", "ca/ca.crt", "ca/ca.key", "headend/shipment.json"}
    wanted |= {"headend/topology.csv"}
    wanted |= {"web/session.key", "headend/keystore/key-encryption.json"}
    wanted |= {
        f"{folder}/{name}" for folder in meters for name in [*tls, "device.toml", "keys.json"]
    }
    for folder in ("headend", "concentrators/north", "concentrators/south"):
        wanted |= {f"{folder}/{name}" for name in [*tls, "config.toml"]}
        wanted |= {f"{folder}/keys.json"} - {"headend/keys.json"}
    wanted |= {f"{folder}/config.toml" for folder in ("fleet", "mdm", "web")}
    assert set(contents(provisioned.var)) == wanted


def test_secrets_are_private(provisioned: Layout) -> None:
    for path in provisioned.var.rglob("*"):
        if path.name in {"keys.json", "tls.key", "ca.key", "session.key", "shipment.json"}:
            assert path.stat().st_mode & 0o777 == 0o600, path


def test_a_meter_finds_its_way(provisioned: Layout) -> None:
    said = toml(provisioned.meter(meter_title(2)) / "device.toml")

    assert said["meter"] == {
        "id": 2,
        "title": "4F414D0000000002",
        "ldn": "OAM0000000000002",
        "kind": "fleet",
        "region": "south",
        "zone": "Australia/Sydney",
        "installed_us": PLAN.installed_us,
        "capture_period_s": 1800,
    }
    assert said["uplink"]["concentrator_title"] == "4F414DC000000002"
    south = toml(provisioned.concentrator("south") / "config.toml")
    assert said["uplink"]["url"] == south["meters"]["listen"]
    assert south["concentrator"]["title"] == said["uplink"]["concentrator_title"]
    headend = toml(provisioned.headend / "config.toml")
    assert south["uplink"]["url"] == headend["uplink"]["listen"]
    assert south["uplink"]["head_end_title"] == headend["head_end"]["title"]
    Url.parse(said["uplink"]["url"])


def test_the_fleet_carries_all_but_the_full_meter(provisioned: Layout) -> None:
    carried = toml(provisioned.fleet / "config.toml")["fleet"]["meters"]
    assert carried == [meter_title(n).hex().upper() for n in range(2, 6)]
    assert toml(provisioned.meter(FULL) / "device.toml")["meter"]["kind"] == "full"


@pytest.mark.parametrize("folder", ["headend", "concentrators/north", "meters/4F414D0000000003"])
def test_each_system_can_speak_tls(folder: str, provisioned: Layout) -> None:
    home = provisioned.var / folder
    said = toml(home / ("device.toml" if "meters" in folder else "config.toml"))["tls"]
    identity = TlsIdentity(*(home / said[name] for name in ("ca", "certificate", "key")))
    assert client_tls(identity).own == server_tls(identity).own
    assert client_tls(identity).own.role in {"head-end", "concentrator", "meter"}


def test_the_shipment_opens_with_the_key_store(provisioned: Layout) -> None:
    shipment = json.loads((provisioned.headend / "shipment.json").read_bytes())
    store = KeyStore(provisioned.headend / "keystore", create=False)

    assert [row["meter_id"] for row in shipment["meters"]] == [1, 2, 3, 4, 5]
    assert [row["name"] for row in shipment["concentrators"]] == ["north", "south"]
    for row in shipment["meters"]:
        title = bytes.fromhex(row["title"])
        keys = MeterKeys.load(provisioned.meter(title) / "keys.json", title)
        unwrapped = {n: store.unwrap(bytes.fromhex(k)) for n, k in row["keys"].items()}
        assert unwrapped == {n: getattr(keys, n) for n in ("guek", "gak", "kek", "lls")}
        assert row["key_epoch"] == keys.epoch == 1


def test_no_two_secrets_are_alike(provisioned: Layout) -> None:
    secrets = [
        json.loads(path.read_bytes())[name]
        for path in provisioned.meters.rglob("keys.json")
        for name in ("guek", "gak", "kek", "lls")
    ]
    assert len(set(secrets)) == len(secrets) == 20


def test_a_second_run_changes_nothing(layout: Layout) -> None:
    provision(layout, PLAN)
    before = contents(layout.var)
    stamps = {path: path.stat().st_mtime_ns for path in layout.var.rglob("*") if path.is_file()}
    provision(layout, PLAN)

    assert contents(layout.var) == before
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert stored_plan(layout) == PLAN


class CutError(Exception):
    """The power went."""


@pytest.mark.parametrize("after", range(1, 14))
def test_a_cut_anywhere_is_made_good(
    after: int, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the n-th certificate, meter folder or file of provisioning's own."""
    calls = 0

    def cutting(name: str) -> None:
        whole = getattr(module, name)

        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == after:
                raise CutError
            return whole(*arguments, **options)

        monkeypatch.setattr(module, name, step)

    with monkeypatch.context():
        for name in ("write_durably", "_write_folder", "write_configurations", "write_json"):
            cutting(name)
        with pytest.raises(CutError):
            provision(layout, replace(PLAN, meters=2))
        early = contents(layout.var)
    monkeypatch.undo()
    provision(layout, replace(PLAN, meters=2))

    late = contents(layout.var)
    kept = {name: octets for name, octets in early.items() if "/.new/" not in name}
    certificates = {name for name in kept if name.endswith("tls.crt")}
    assert {name: late[name] for name in certificates} == {n: kept[n] for n in certificates}
    assert not (layout.meters / ".new").exists()
    shipment = json.loads((layout.headend / "shipment.json").read_bytes())
    assert len(shipment["meters"]) == 2


def test_more_meters_are_added_and_the_others_stay(layout: Layout) -> None:
    provision(layout, replace(PLAN, meters=2))
    before = contents(layout.meters)
    provision(layout, replace(PLAN, meters=4))

    after = contents(layout.meters)
    assert {name: after[name] for name in before} == before
    assert len(json.loads((layout.headend / "shipment.json").read_bytes())["meters"]) == 4
    assert len(toml(layout.fleet / "config.toml")["fleet"]["meters"]) == 3


def test_ports_may_change(layout: Layout) -> None:
    provision(layout, replace(PLAN, meters=1))
    provision(layout, replace(PLAN, meters=1, concentrator_port=30_000))
    said = toml(layout.meter(FULL) / "device.toml")
    assert said["uplink"]["url"] == "tls://127.0.0.1:30000"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meters": 4}, "holds 5 meters, more than the 4 asked for"),
        ({"seed": 2}, "seed = 1, not 2"),
        ({"zone": "Europe/Berlin"}, "zone = 'Australia/Sydney'"),
        ({"regions": ("north",)}, "regions = ('north', 'south')"),
        ({"capture_period_s": 900}, "capture_period_s = 1800, not 900"),
    ],
)
def test_a_plan_that_contradicts_is_refused(
    change: dict[str, Any], problem: str, provisioned: Layout
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        provision(provisioned, replace(PLAN, **change))
    assert problem in str(refusal.value)
    assert "plan.json" in str(refusal.value)
    assert "in another folder" in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        "plan.json",
        "ca/ca.key",
        "headend/tls.crt",
        "headend/shipment.json",
        "concentrators/north/tls.key",
        "meters/4F414D0000000001/tls.crt",
        "meters/4F414D0000000001/tls.key",
        "meters/4F414D0000000001/ca.crt",
        "meters/4F414D0000000001/keys.json",
    ],
)
@pytest.mark.parametrize("octets", [b"", b"{}", b"rubbish"])
def test_a_corrupt_file_is_named_with_the_remedy(name: str, octets: bytes, layout: Layout) -> None:
    provision(layout, replace(PLAN, meters=1))
    path = layout.var / name
    path.write_bytes(octets)

    with pytest.raises(UserError) as refusal:
        provision(layout, replace(PLAN, meters=1))
    sentence = str(refusal.value)
    assert str(path) in sentence
    assert "restore" in sentence or "remove it" in sentence
    assert path.read_bytes() == octets, "damage is evidence: it is not written over"


def test_another_meters_certificate_is_refused(layout: Layout) -> None:
    provision(layout, replace(PLAN, meters=2))
    for name in ("tls.crt", "tls.key"):
        stranger = layout.meter(meter_title(2)) / name
        (layout.meter(FULL) / name).write_bytes(stranger.read_bytes())
    with pytest.raises(ConfigurationError, match="CN=4F414D0000000002,OU=meter, not CN=4F414D0"):
        provision(layout, replace(PLAN, meters=2))


@pytest.mark.parametrize("host", ["", "two words", "tls://head-end", "head-end:4060", "a..b"])
def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        replace(PLAN, host=host)
    assert str(refusal.value).startswith(f"the plan has host = {host!r}, which must be the name")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "ami.example", "headend"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert replace(PLAN, host=host).uplink_url().host == host


def test_progress_is_told(layout: Layout) -> None:
    told: list[tuple[str, int, int]] = []
    provision(layout, replace(PLAN, meters=3), lambda *said: told.append(said))
    assert told[:3] == [("meters", 1, 3), ("meters", 2, 3), ("meters", 3, 3)]
    assert told[-1] == ("keys", 3, 3)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"meters": 0}, "meters"),
        ({"meters": 2**24}, "meters"),
        ({"seed": -1}, "seed"),
        ({"regions": ()}, "regions"),
        ({"regions": ("north", "north")}, "regions"),
        ({"regions": ("../etc",)}, "regions"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"capture_period_s": 7}, "capture_period_s"),
        ({"installed_us": PLAN.installed_us + 1}, "installed_us"),
        ({"uplink_port": 0}, "uplink_port"),
        ({"uplink_port": 24_061}, "uplink_port"),
        ({"web_port": 24_050}, "web_port"),
    ],
)
def test_a_plan_that_cannot_be_built_is_refused(change: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the plan has {name} = "):
        replace(PLAN, **change)


def test_a_plain_listener_is_for_the_full_meter_alone(layout: Layout) -> None:
    plan = replace(PLAN, meters=2, plain_listener="tcp://127.0.0.1:4059")
    provision(layout, plan)
    said = [toml(layout.meter(meter_title(n)) / "device.toml")["listener"]["plain"] for n in (1, 2)]
    assert said == ["tcp://127.0.0.1:4059", ""]


def test_a_disk_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "var"
    blocked.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        provision(Layout(blocked), PLAN)


def test_a_meter_without_certificate_gets_a_new_one_and_keeps_its_keys(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    plan = Plan(meters=2, installed_us=0)
    provision(layout, plan)
    home = layout.meter(meter_title(2))
    before = {name: (home / name).read_bytes() for name in ("keys.json", "tls.crt", "tls.key")}
    (home / "tls.crt").unlink()

    provision(layout, plan)

    after = {name: (home / name).read_bytes() for name in before}
    assert after["keys.json"] == before["keys.json"]
    assert after["tls.crt"] != before["tls.crt"]
    provision(layout, plan)  # the new pair belongs together


def test_a_concentrators_file_that_was_edited_stays_and_its_differences_are_told(
    layout: Layout,
) -> None:
    provision(layout, PLAN)
    north, south = (layout.concentrator(name) / "config.toml" for name in ("north", "south"))
    edited = north.read_text(encoding="utf-8").replace(
        "quota_per_meter = 5000", "quota_per_meter = 70"
    )
    edited += '[line.yard]\nurl = "hdlc+serial:///dev/ttyS0"\n'
    north.write_text(edited, encoding="utf-8")
    moved = replace(PLAN, uplink_port=25_000)
    told = provision(layout, moved)
    assert north.read_text(encoding="utf-8") == edited
    assert toml(south)["uplink"]["url"] == str(moved.uplink_url())  # nobody edited that one
    assert len(told) == 2
    assert all(str(north) in sentence for sentence in told)
    assert "[journal] quota_per_meter = 70: it is kept; the plan says 5000" in told[1]
    assert "[uplink] url" in told[0]
    north.unlink()
    assert provision(layout, moved) == []
    assert toml(north)["journal"]["quota_per_meter"] == 5000
    north.write_text("[journal", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        provision(layout, moved)


def test_the_head_ends_file_that_was_edited_stays(layout: Layout) -> None:
    provision(layout, PLAN)
    path = layout.headend / "config.toml"
    edited = path.read_text(encoding="utf-8") + "[collection]\nevery_s = 7200.0\n"
    path.write_text(edited, encoding="utf-8")
    assert provision(layout, PLAN) == []  # what was added contradicts nothing
    assert path.read_text(encoding="utf-8") == edited
    (told,) = provision(layout, replace(PLAN, uplink_port=25_000))
    assert "[uplink] listen" in told


def test_a_concentrators_file_of_an_earlier_version_is_written_again(layout: Layout) -> None:
    provision(layout, PLAN)
    north = layout.concentrator("north") / "config.toml"
    wanted = north.read_bytes()
    north.write_text("# and written again at each start;\n[journal]\n", encoding="utf-8")
    assert provision(layout, PLAN) == []
    assert north.read_bytes() == wanted


@pytest.mark.parametrize(("suite", "octets"), [(1, 32), (2, 48)])
def test_meters_of_suites_with_key_pairs_are_made_and_shipped_with_certificates(
    tmp_path: Path, suite: int, octets: int
) -> None:
    layout = Layout(tmp_path / "var")
    plan = Plan(meters=2, installed_us=0, suite=suite)

    provision(layout, plan)
    provision(layout, plan)  # nothing is made twice

    keys = MeterKeys.load(layout.meter(meter_title(1)) / "keys.json", meter_title(1))
    assert keys.suite == suite
    assert {len(each) for each in keys.pairs.values()} == {octets}
    assert len(keys.certificates) == 5, "the authority's, two of the head-end, two of its own"
    pairs = json.loads((layout.headend / "keypairs.json").read_text())
    assert len(bytes.fromhex(pairs["signing"])) == octets + 8, "wrapped"
    shipped = json.loads((layout.headend / "shipment.json").read_text())["meters"]
    assert [row["suite"] for row in shipped] == [suite, suite]
    assert bytes.fromhex(shipped[0]["certificates"]["signing"]) in keys.certificates
    with pytest.raises(ConfigurationError, match="suite = "):
        provision(layout, replace(plan, suite=0))


def test_a_lost_file_of_key_pairs_or_a_lost_certificate_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    provision(layout, Plan(meters=1, installed_us=0, suite=1))
    (layout.meter(meter_title(1)) / "signing.crt").unlink()
    (layout.headend / "shipment.json").unlink()
    with pytest.raises(ConfigurationError, match=r"signing.crt cannot be used"):
        provision(layout, Plan(meters=1, installed_us=0, suite=1))

    (layout.headend / "keypairs.json").write_text('{"format": "openami-keypairs-1"}')
    with pytest.raises(ConfigurationError, match="holds no key pairs"):
        provision(layout, Plan(meters=1, installed_us=0, suite=1))


def test_meters_join_one_whose_keys_are_in_its_secure_world(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    plan = Plan(meters=1, installed_us=0)
    provision(layout, plan)
    home = layout.meter(meter_title(1))
    (home / "attestation-pub.pem").write_text("as of a meter that was personalised")
    (home / "keys.json").unlink()
    before = json.loads((layout.headend / "shipment.json").read_text())["meters"]

    provision(layout, replace(plan, meters=3))

    after = json.loads((layout.headend / "shipment.json").read_text())["meters"]
    assert after[:1] == before
    assert len(after) == 3


@pytest.mark.parametrize(
    ("path", "added"),
    [
        ("mdm/config.toml", "\n[vee]\nspike_ratio = 2.5\n"),
        ("web/config.toml", '\n[sla]\nrules = "sla.toml"\n'),
    ],
)
def test_thresholds_and_rules_of_a_person_stay_when_the_plan_grows(
    tmp_path: Path, path: str, added: str
) -> None:
    provision(layout := Layout(tmp_path / "var"), PLAN)
    file = layout.var / path
    file.write_text(file.read_text() + added)
    edited = file.read_text()
    provision(layout, replace(PLAN, meters=7))
    assert file.read_text() == edited


@pytest.mark.parametrize("cut", [1, 40])
def test_a_topology_that_a_person_has_changed_stays(tmp_path: Path, cut: int) -> None:
    """Without the last line's end, as a spreadsheet may write it, or with fewer meters."""
    provision(layout := Layout(tmp_path / "var"), PLAN)
    file = layout.headend / "topology.csv"
    file.write_bytes(file.read_bytes().replace(b"north-t1", b"oak-lane")[:-cut])
    changed = file.read_bytes()
    provision(layout, PLAN)
    assert file.read_bytes() == changed


def test_a_topology_that_nobody_has_changed_grows_with_the_plan(tmp_path: Path) -> None:
    provision(layout := Layout(tmp_path / "var"), PLAN)
    file = layout.headend / "topology.csv"
    assert file.read_bytes().count(b"\n") == 6
    provision(layout, replace(PLAN, meters=7))
    assert file.read_bytes().count(b"\n") == 8
