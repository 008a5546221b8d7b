# SPDX-License-Identifier: Apache-2.0
"""`openami headend commission`: from a shipment file and a certificate to an operating meter."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain import REGION, Chain, running_chain
from cli.runs import Run
from loops import in_loop
from openami.access.accounts import audit_trail
from openami.lifecycle.authority import Authority
from openami.lifecycle.plan import concentrator_title
from openami.store import commissioning
from openami.store.commissioning import Stage
from openami.transport.tls import Role


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path, meters=2)
    _ = chain.engine
    yield chain
    chain.close()


@in_loop
async def _begin(tmp_path: Path, run: Run) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach()
        home = ("--home", chain.layout.headend)
        shipment = chain.layout.headend / "shipment.json"
        certificate = chain.meters[1].home / "tls.crt"
        done = await asyncio.to_thread(
            *(run, "commission", "begin", *home, "--shipment", shipment),
            *("--certificate", certificate, "--reason", "new houses", "--follow"),
        )
        assert done.status == 0, done.err + done.out
        assert "2 meters on the way into operation" in done.out
        assert "2  operating   operating" in done.out
        history = run("commission", "history", *home, 1)
        assert "now operating at operating" in history.out
        assert "; device certificate " in history.out
        assert "device certificate" not in run("commission", "history", *home, 2).out
        told = json.loads(run("commission", "status", *home, "--json").out)
        assert told["stages"]["operating"] == {"operating": 2}
        assert audit_trail(chain.engine, 1)[0].action == "meters.commission"


def test_a_shipment_is_brought_into_operation(tmp_path: Path, run: Run) -> None:
    _begin(tmp_path, run)


def test_held_meters_are_told_with_the_reason(stopped: Chain, run: Run) -> None:
    home = ("--home", stopped.layout.headend)
    shipment = stopped.layout.headend / "shipment.json"
    run("commission", "begin", *home, "--shipment", shipment, "--reason", "new")
    commissioning.hold(stopped.engine, 2, Stage.IDENTITY, "it is another meter")
    told = run("commission", "status", *home)
    assert told.status == 1
    assert "1  identity    held" in told.out
    assert "meter 2 is held at identity: it is another meter" in told.out
    again = run("commission", "begin", *home, "--meter", 2, "--reason", "looked at it")
    assert "1 meter on the way" in again.out


def test_mistakes_get_one_sentence(stopped: Chain, run: Run, tmp_path: Path) -> None:
    home = ("--home", stopped.layout.headend)
    nothing = run("commission", "begin", *home, "--reason", "x")
    assert nothing.status == 2
    assert "name the meters" in nothing.sentence
    shipment = stopped.layout.headend / "shipment.json"
    authority = Authority.load(stopped.layout.authority)
    for title, role, problem in (
        (concentrator_title(1), Role.CONCENTRATOR, "no meter"),
        (bytes(8), Role.METER, "none of the meters"),
    ):
        path = tmp_path / "given.crt"
        path.write_bytes(authority.issue(title, role).certificate)
        words = ("--shipment", shipment, "--certificate", path, "--reason", "x")
        refused = run("commission", "begin", *home, *words)
        assert refused.status == 1
        assert problem in refused.sentence
    assert "never commissioned" in run("commission", "history", *home, 1).sentence
    assert run("commission", "begin", *home, "--region", REGION, "--reason", "x").status == 0
