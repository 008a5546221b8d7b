# SPDX-License-Identifier: Apache-2.0
"""`openami headend campaign`: planned and moved here, carried out by a head-end, reported here."""

import asyncio
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain import Chain, running_chain
from cli.runs import Run
from headend.updatable import BLOCKS, KEY, SECOND, make_updatable
from loops import in_loop
from openami.access.accounts import audit_trail
from openami.headend.registry_import import import_shipment, load_shipment
from openami.runtime.errors import ExitCode
from openami.store import campaigns, releases

QUICK = ("--soak-s", "0.1", "--retry-first-s", "0.05", "--attempts-most", "3")
WHY = ("--reason", "leap second")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A head-end that does not run, with three meters in its registry."""
    made = Chain(tmp_path)
    import_shipment(made.engine, load_shipment(made.layout.headend / "shipment.json"))
    return made


def public(path: Path, key: ec.EllipticCurvePrivateKey = KEY) -> Path:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(pem)
    return path


def image(tmp_path: Path, octets: bytes = SECOND) -> tuple[object, ...]:
    file = tmp_path / "second.bin"
    file.write_bytes(octets)
    return "--image", file, "-k", public(tmp_path / "key.pem")


@in_loop
async def _a_campaign(tmp_path: Path, run: Run) -> None:
    async with running_chain(tmp_path) as chain:
        made = make_updatable(chain)
        for meter in made.values():
            meter.url = chain.meters_url
        await chain.attach()
        home = ("--home", chain.layout.headend)
        asked = run("campaign", "plan", *home, *image(tmp_path), "--region", "north", *QUICK, *WHY)
        assert asked.status == 0, asked.err
        assert "second.bin 1.1.0+0 for 3 meters" in asked.out
        assert "waves of 1, 2; the first are the canaries" in asked.out
        campaign_id = campaigns.campaigns(chain.engine)[0].campaign_id
        done = await asyncio.to_thread(
            run, "campaign", "start", *home, campaign_id[:8], *WHY, "--yes", "--follow"
        )
        assert done.status == 0, done.err
        assert "next: wait: the campaign is done" in done.out
        assert "canaries        1  1 confirmed" in done.out
        (told,) = json.loads(run("campaign", "status", *home, "--json").out)
        assert (told["state"], told["states"]) == ("done", {"confirmed": 3})
        page, data = tmp_path / "report.html", tmp_path / "report.json"
        assert (
            run("campaign", "report", *home, campaign_id, "--html", page, "--json", data).status
            == 0
        )
        report = json.loads(data.read_text())
        assert report["versions_before"] == {"openami 1.0.0+0": 3}
        assert report["versions_after"] == {"openami 1.1.0+0": 3}
        assert report["timeline"][-1][1:] == [3.0, 3.0, 0.0]
        assert (report["blocks_sent"], report["blocks_again"]) == (3 * BLOCKS, 0)
        assert page.read_text().count("<svg") >= 3
        assert "<td>-1</td>" not in page.read_text()  # before the start no wave is open
        assert "http" not in page.read_text().replace("http://www.w3.org/2000/svg", "")
        late = run("campaign", "pause", *home, campaign_id, *WHY)
        assert late.status == ExitCode.ASKED_WRONGLY
        assert "is done: pause does not apply" in late.err
        actions = [deed.action for deed in audit_trail(chain.engine, 5)]
        assert actions == ["firmware.start", "firmware.plan"]


def test_a_campaign_from_its_plan_to_its_report(tmp_path: Path, run: Run) -> None:
    _a_campaign(tmp_path, run)


def test_a_release_is_taken_once_it_is_verified(tmp_path: Path, run: Run, chain: Chain) -> None:
    home = ("--home", chain.layout.headend)
    stranger = public(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    words = image(tmp_path)
    refused = run("campaign", "release", *home, "--image", words[1], "-k", stranger, *WHY)
    assert refused.status == ExitCode.REFUSED
    assert releases.releases(chain.engine) == []
    done = run("campaign", "release", *home, *words, *WHY)
    assert done.status == 0, done.err
    (found,) = releases.releases(chain.engine)
    assert done.out == f"release {found.release_id} is taken: second.bin 1.1.0+0\n"
    (deed,) = audit_trail(chain.engine, 1)
    assert deed.action == "firmware.release"


def test_an_image_that_is_not_trusted_is_not_planned(
    tmp_path: Path, run: Run, chain: Chain
) -> None:
    home = ("--home", chain.layout.headend)
    stranger = public(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    words = image(tmp_path)
    refused = run("campaign", "plan", *home, "--image", words[1], "-k", stranger, "--all", *WHY)
    assert refused.status == ExitCode.REFUSED
    assert "is not sent to anybody" in refused.err
    altered = bytearray(SECOND)
    altered[0x300] ^= 1
    refused = run("campaign", "plan", *home, *image(tmp_path, bytes(altered)), "--all", *WHY)
    assert refused.status == ExitCode.REFUSED
    old = run("campaign", "plan", *home, *image(tmp_path), "--counter", 9, "--all", *WHY)
    assert old.status == ExitCode.REFUSED
    assert campaigns.campaigns(chain.engine) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say whom you mean"),
        (("--all", "--region", "north"), "say whom you mean"),
        (("--region", "nowhere"), "there are the regions north"),
        (("--meter", "9"), "the registry has no meter 9"),
        (("--all", "--canaries", "0"), "is no wave"),
        (("--all", "--wave", "half"), "write 5, or 10%"),
        (("--all", "--window", "22-5"), "write it as 02:30"),
        (("--all", "--activate-at", "25:00"), "no time of the day"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    tmp_path: Path, run: Run, chain: Chain, words: tuple[str, ...], said: str
) -> None:
    home = ("--home", chain.layout.headend)
    refused = run("campaign", "plan", *home, *image(tmp_path), *words, *WHY)
    assert refused.status in {ExitCode.REFUSED, ExitCode.ASKED_WRONGLY}
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_a_list_of_meters_and_what_is_wrong_in_it(tmp_path: Path, run: Run, chain: Chain) -> None:
    home = ("--home", chain.layout.headend)
    listed = tmp_path / "meters.txt"
    listed.write_text("# of the pilot\n2\n\n3 # new\n")
    asked = run("campaign", "plan", *home, *image(tmp_path), "--list", listed, *WHY, "--json")
    assert json.loads(asked.out)["meters_in_all"] == 2
    asked = run("campaign", "plan", *home, *image(tmp_path), "--all", *WHY)
    assert "2 meters left out" in asked.out
    listed.write_text("two\n")
    refused = run("campaign", "plan", *home, *image(tmp_path), "--list", listed, *WHY)
    assert "line 1" in refused.err


def test_a_study_tells_when_and_how_far(run: Run, tmp_path: Path) -> None:
    words = ("--meters", "60", "--together", "20", "--canaries", "3", "--soak-s", "60")
    drawn = tmp_path / "study.svg"
    told = run(
        "campaign", "study", "plc-prime", *words, "--broadcast", "2", "--chart", drawn, "--json"
    )
    plain, broadcast = json.loads(told.out)
    assert [wave["meters"] for wave in plain["waves"]] == [3, 6, 51]
    assert plain["states"] == broadcast["states"] == {"confirmed": 60}
    assert broadcast["octets"] < plain["octets"]
    assert broadcast["half_s"] < plain["half_s"]
    assert drawn.read_text().count("<polyline") == 2
    bad = run("campaign", "study", "lte", *words, "--bad-percent", "100")
    assert bad.status == ExitCode.REFUSED
    assert "stopped after 3 meters: 3 meters reverted" in bad.out
