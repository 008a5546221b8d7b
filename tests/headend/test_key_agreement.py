# SPDX-License-Identifier: Apache-2.0
"""A master key is agreed on with meters of suite 1: whatever is lost, the meter stays reachable."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from chain import Chain, running_chain, until
from headend.test_key_changes import ALL, ask, ended, outcome, rotate, states
from loops import in_loop
from openami.access.keystore import KeyStore
from openami.lifecycle.keys import MeterKeys
from openami.runtime.errors import UserError
from openami.store import key_changes, keys
from openami.store.key_changes import ChangeState
from openami.store.keys import KeyEpoch, KeyState


def active(chain: Chain) -> KeyEpoch:
    (found,) = [e for e in keys.epochs(chain.engine, 1) if e.state is KeyState.ACTIVE]
    return found


def same(chain: Chain) -> bool:
    """Tell whether head-end and meter hold the same keys, the master key among them."""
    unwrap = KeyStore(chain.layout.headend / "keystore", create=False).unwrap
    found, meter = active(chain), chain.meters[1]
    held = MeterKeys.load(meter.home / "keys.json", meter.title)
    return all(unwrap(found.wrapped[name]) == getattr(held, name) for name in ALL)


def told(chain: Chain, words: str) -> int:
    """Return how often the history of the keys says `words`."""
    return sum(words in step.note for step in keys.history(chain.engine, 1))


@in_loop
async def test_the_master_key_is_agreed_on_and_wraps_the_others(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1, suite=1) as chain:
        await chain.attach()
        shipped = chain.meters[1].keys
        for number in (1, 2):
            rotation = rotate(chain, 1, key_names=ALL)
            await until(lambda rotation=rotation: ended(chain, rotation))  # type: ignore[misc]
            assert outcome(chain, rotation) == [ChangeState.CHANGED]
            assert same(chain)
            assert told(chain, "its master key is agreed on") == number
        held = MeterKeys.load(chain.meters[1].home / "keys.json", chain.meters[1].title)
        assert not {held.guek, held.gak, held.kek} & {shipped.guek, shipped.gak, shipped.kek}
        assert held.epoch == 5  # two changes of the master key, and two of the others


@pytest.mark.parametrize("arrives", [False, True], ids=["request", "answer"])
@in_loop
async def test_what_is_lost_of_an_agreement_is_agreed_on_anew(
    tmp_path: Path, *, arrives: bool
) -> None:
    async with running_chain(tmp_path, meters=1, suite=1) as chain:
        chain.headend.routes.answer_timeout_s = 0.5
        await chain.attach()
        chain.meters[1].silence_at_command(arrives=arrives)
        rotation = rotate(chain, 1, key_names=ALL)
        await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.CHANGED]
        assert told(chain, "agreeing on a master key") == 2
        assert told(chain, "its master key is agreed on") == 1
        assert same(chain)


@in_loop
async def test_an_answer_that_is_not_written_down_is_as_good_as_lost(tmp_path: Path) -> None:
    """So it is where the head-end dies between the two."""
    async with running_chain(tmp_path, meters=1, suite=1) as chain:
        await chain.attach()
        write, heard = keys.end_agreement, [UserError("the disk is full")]

        def failing(*arguments: Any) -> bool:
            if heard:
                raise heard.pop()
            return write(*arguments)

        with patch.object(keys, "end_agreement", failing):
            rotation = rotate(chain, 1, key_names=ALL)
            await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.CHANGED]
        assert told(chain, "agreeing on a master key") == 2
        assert same(chain)


@in_loop
async def test_a_master_key_that_nobody_here_heard_is_replaced_by_the_next_change(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1, suite=1) as chain:
        chain.headend.routes.answer_timeout_s = 0.5
        await chain.attach()
        meter = chain.meters[1]
        meter.silence_at_command(arrives=True, for_good=True)
        rotation = rotate(chain, 1, key_names=ALL)
        await until(lambda: active(chain).master_key_in_doubt)
        await until(lambda: key_changes.changes(chain.engine, rotation)[0].attempts > 0)
        assert key_changes.withdraw(chain.engine, rotation, "not now") == 1
        meter.speak_again()
        assert await ask(chain) == 1, "the keys of associations hold"
        rotation = rotate(chain, 1)  # the master key is not asked for
        await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.CHANGED]
        assert not active(chain).master_key_in_doubt
        assert same(chain)


@in_loop
async def test_a_meter_that_agrees_on_nothing_keeps_its_keys(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1, suite=1) as chain:
        await chain.attach()
        security = chain.meters[1].security
        assert security is not None
        with patch.object(security.keys, "_credentials", lambda: None):
            rotation = rotate(chain, 1, key_names=ALL)
            await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.REFUSED]
        (change,) = key_changes.changes(chain.engine, rotation)
        assert 'master_key = "transferred"' in change.note
        assert states(chain) == [KeyState.VOID, KeyState.ACTIVE]
        assert await ask(chain) == 1
