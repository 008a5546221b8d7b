# SPDX-License-Identifier: Apache-2.0
"""The key-encryption key moves from a file into a token while a meter is read."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain import Chain, running_chain, until
from cli.runs import Run
from headend.test_key_changes import ask, ended, outcome, rotate
from loops import in_loop
from openami.access.custody import Custody
from openami.headend.registry_import import import_shipment, load_shipment
from openami.runtime.layout import Layout
from openami.store import keys
from openami.store.key_changes import ChangeState
from softhsm import Token, softhsm_token


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


@pytest.fixture
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    return softhsm_token(tmp_path_factory.mktemp("softhsm"))


def configure(layout: Layout, *lines: str) -> None:
    """Replace the place of the key-encryption key."""
    config = layout.headend / "config.toml"
    text = config.read_text(encoding="utf-8")
    before, rest = text.split("[keys]\n")
    kept = [line for line in rest.splitlines() if "keystore" not in line]
    config.write_text(before + "[keys]\n" + "\n".join([*lines, *kept]) + "\n", encoding="utf-8")


@in_loop
async def _move(tmp_path: Path, run: Run, token: Token) -> None:
    async with running_chain(tmp_path, meters=3) as chain:
        await chain.attach()
        assert await ask(chain) == 1
        home = ("--home", chain.layout.headend)
        new = f'keystore = "{token.uri()}"'
        await chain.headend_ends()

        configure(chain.layout, new, 'former_keystores = ["keystore"]')
        made = await asyncio.to_thread(run, "keystore", "create", *home)
        assert made.status == 0, made.err
        counted = run("keystore", "status", *home, "--json")
        assert list(json.loads(counted.out).values()) == [0, 12]

        await chain.start_headend()
        await chain.attach()
        assert await ask(chain) == 1  # opened by the former key
        cut_after(chain, 5)
        assert await ask(chain, 2) == 1  # some by this, some by that
        rewrapped = await asyncio.to_thread(run, "keystore", "rewrap", *home)
        assert rewrapped.out.startswith("7 keys wrapped anew under TokenKeyStore(key ")
        rotation = rotate(chain, 1)
        await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.CHANGED]
        await chain.headend_ends()

        configure(chain.layout, new)
        counted = run("keystore", "status", *home, "--json")
        assert list(json.loads(counted.out).values()) == [16]
        await chain.start_headend()
        await chain.attach()
        assert [await ask(chain, meter_id) for meter_id in chain.meters] == [1, 1, 1]


def cut_after(chain: Chain, count: int) -> None:
    """Wrap some keys anew, and end as if killed."""
    custody = Custody.open(chain.headend_config().keystore)

    def told(done: int, _total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keys.rewrap(chain.engine, custody.renewed, told)


def test_the_key_moves_into_a_token_while_meters_are_read(
    tmp_path: Path, run: Run, token: Token
) -> None:
    _move(tmp_path, run, token)


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path, meters=1)
    yield chain
    chain.close()


def test_keys_that_open_with_nothing_are_counted(stopped: Chain, run: Run, tmp_path: Path) -> None:
    import_shipment(stopped.engine, load_shipment(stopped.layout.headend / "shipment.json"))
    home = ("--home", stopped.layout.headend)
    assert run("keystore", "status", *home).out.split() == ["4", "keystore"]
    configure(stopped.layout, f'keystore = "{tmp_path / "other"}"')
    missing = run("keystore", "status", *home)
    assert missing.status == 1
    assert "cannot be read" in missing.sentence
    run("keystore", "create", *home)
    lost = run("keystore", "status", *home)
    assert lost.status == 1
    assert "4  none of them" in lost.out
    refused = run("keystore", "rewrap", *home)
    assert "does not open" in refused.sentence
