# SPDX-License-Identifier: Apache-2.0
"""`openami headend keys`: asked for here, done by a head-end, told here."""

import asyncio
import json
from pathlib import Path

import pytest

from chain import Chain, running_chain
from cli.runs import Run
from loops import in_loop
from openami.access.accounts import audit_trail
from openami.headend.registry_import import import_shipment, load_shipment
from openami.store import key_changes, keys
from openami.store.keys import KeyState


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A head-end that does not run, with three meters in its registry."""
    made = Chain(tmp_path)
    import_shipment(made.engine, load_shipment(made.layout.headend / "shipment.json"))
    return made


@in_loop
async def _rotate(tmp_path: Path, run: Run) -> None:
    async with running_chain(tmp_path) as chain:
        await chain.attach()
        home = ("--home", chain.layout.headend)
        asked = await asyncio.to_thread(
            *(run, "keys", "rotate", *home, "--region", "north"),
            *("--master-key", "--reason", "yearly", "--follow"),
        )
        assert asked.status == 0, asked.err
        assert "rotation" in asked.out
        assert "3 changed" in asked.out
        told = json.loads(run("keys", "status", *home, "--json").out)
        assert told[0]["meters"] == {"open": 0, "changed": 3, "refused": 0, "withdrawn": 0}
        assert told[0]["reason"] == "yearly"
        history = run("keys", "history", *home, 2)
        assert "epoch 1: retired\nepoch 2: active\n" in history.out
        assert "sent through north" in history.out
        assert [deed.action for deed in audit_trail(chain.engine, 5)] == ["keys.rotate"]

        close = ("keys", "close", *home, "--reason", "drained", "--retired-days")
        assert run(*close, 45).out == "0 retired epochs open nothing more\n"
        assert run(*close, 0).out == "3 retired epochs open nothing more\n"

        chain.meters[3].master_key.octets = bytes(16)
        refused = await asyncio.to_thread(
            run, "keys", "rotate", *home, "--meter", 3, "--reason", "again", "--follow"
        )
        assert refused.status == 1
        assert "meter 3 refused: " in refused.out


def test_a_group_is_rotated_and_followed(tmp_path: Path, run: Run) -> None:
    _rotate(tmp_path, run)


def test_what_waits_is_withdrawn(chain: Chain, run: Run) -> None:
    home = ("--home", chain.layout.headend)
    assert "no keys were ever changed" in run("keys", "status", *home).out
    asked = run("keys", "rotate", *home, "--all", "--reason", "yearly")
    assert "of 3 meters is asked for" in asked.out
    second = run("keys", "rotate", *home, "--meter", 1, "--reason", "now")
    assert second.status == 1
    assert "being changed already" in second.sentence
    rotation = key_changes.rotations(chain.engine)[0].rotation
    assert run("keys", "stop", *home, rotation).out == "3 meters withdrawn\n"
    assert "3 withdrawn" in run("keys", "status", *home, rotation).out
    assert [each.state for each in keys.epochs(chain.engine, 1)] == [KeyState.ACTIVE]
    chain.close()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("rotate", "--reason", "x"), 2, "name the group"),
        (("rotate", "--all", "--meter", 1, "--reason", "x"), 2, "name the group"),
        (("rotate", "--region", "west", "--reason", "x"), 1, "no meter is in region 'west'"),
        (("rotate", "--meter", 99, "--reason", "x"), 1, "no meter 99"),
        (("status", "nothing"), 1, "no rotation nothing"),
        (("status", "--follow"), 1, "no rotation to follow"),
        (("stop", "nothing"), 1, "no rotation nothing"),
        (("history", 99), 1, "no meter 99"),
    ],
)
def test_mistakes_get_one_sentence(
    chain: Chain, run: Run, words: tuple[object, ...], status: int, sentence: str
) -> None:
    verb, *rest = words
    refused = run("keys", verb, "--home", chain.layout.headend, *rest)
    assert refused.status == status
    assert sentence in refused.sentence
    chain.close()
