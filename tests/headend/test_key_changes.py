# SPDX-License-Identifier: Apache-2.0
"""Changes of meters' keys over a concentrator, while pushes and reads go on."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from chain import Chain, decode_rows, row_of, running_chain, until
from loops import in_loop
from openami.access.keystore import KeyStore
from openami.dlms.security.keyset import KeySet
from openami.headend.associations import MeterSession
from openami.headend.reading import read_control_state
from openami.headend.sessions import Urgency
from openami.runtime.clock import real_us
from openami.store import counters, key_changes, keys, registry
from openami.store.key_changes import ChangeState
from openami.store.keys import KeyState

ALL = ("guek", "gak", "kek")


def rotate(chain: Chain, *meter_ids: int, key_names: tuple[str, ...] = ("guek", "gak")) -> str:
    rotation, count = key_changes.ask(
        chain.engine, meter_ids, asked_by="utility", reason="yearly", key_names=key_names
    )
    assert count == len(meter_ids)
    return rotation


def ended(chain: Chain, rotation: str) -> bool:
    found = key_changes.changes(chain.engine, rotation)
    return all(change.state is not ChangeState.OPEN for change in found)


def outcome(chain: Chain, rotation: str) -> list[ChangeState]:
    return [change.state for change in key_changes.changes(chain.engine, rotation)]


def states(chain: Chain, meter_id: int = 1) -> list[KeyState]:
    return [each.state for each in keys.epochs(chain.engine, meter_id)]


def held_here(chain: Chain, meter_id: int) -> tuple[KeySet, bytes]:
    """Return what the head-end takes for the meter's keys."""
    unwrap = KeyStore(chain.layout.headend / "keystore", create=False).unwrap
    epochs = keys.epochs(chain.engine, meter_id)
    (active,) = [each for each in epochs if each.state is KeyState.ACTIVE]
    guek, gak, kek = (unwrap(active.wrapped[name]) for name in ALL)
    return KeySet(encryption_key=guek, authentication_key=gak), kek


def agree(chain: Chain, meter_id: int = 1) -> bool:
    meter = chain.meters[meter_id]
    return held_here(chain, meter_id) == (meter.cipher.keys, meter.master_key.octets)


async def ask(chain: Chain, meter_id: int = 1) -> int:
    async def job(session: MeterSession) -> int:
        return int(await read_control_state(session))

    return await chain.headend.sessions.run(meter_id, Urgency.COMMAND, job)


@in_loop
async def test_a_group_gets_new_keys_while_it_pushes_and_is_read(tmp_path: Path) -> None:
    async with running_chain(tmp_path) as chain:
        await chain.attach()
        before = {n: meter.cipher.keys for n, meter in chain.meters.items()}
        rotation = rotate(chain, *chain.meters)
        pushed = 0
        while not ended(chain, rotation):
            for meter_id, meter in chain.meters.items():
                meter.push([row_of(meter_id, pushed)])
                assert await ask(chain, meter_id) == 1
            pushed += 1
            await asyncio.sleep(0.01)
        assert outcome(chain, rotation) == [ChangeState.CHANGED] * 3
        for meter_id, meter in chain.meters.items():
            assert agree(chain, meter_id)
            assert meter.cipher.keys != before[meter_id]
            assert states(chain, meter_id) == [KeyState.ACTIVE, KeyState.RETIRED]
        await until(lambda: len(chain.stored()) == 3 * pushed)
        assert chain.headend.notifications.rejected == 0


@in_loop
async def test_the_master_key_is_changed_and_wraps_the_next(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        shipped = chain.meters[1].master_key.octets
        for number in (2, 3):
            rotation = rotate(chain, 1, key_names=ALL)
            await until(lambda rotation=rotation: ended(chain, rotation))  # type: ignore[misc]
            assert outcome(chain, rotation) == [ChangeState.CHANGED]
            assert agree(chain)
            assert keys.epochs(chain.engine, 1)[0].epoch == number
        assert chain.meters[1].master_key.octets != shipped


@in_loop
async def test_a_lost_transfer_is_sent_again_with_other_keys(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.routes.answer_timeout_s = 0.5
        await chain.attach()
        chain.meters[1].silence_at_command(arrives=False)
        rotation = rotate(chain, 1)
        await until(lambda: ended(chain, rotation))
        assert states(chain) == [KeyState.ACTIVE, KeyState.VOID, KeyState.RETIRED]
        assert agree(chain)


@in_loop
async def test_a_lost_answer_is_found_out(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.routes.answer_timeout_s = 0.5
        await chain.attach()
        chain.meters[1].silence_at_command(arrives=True)
        rotation = rotate(chain, 1)
        await until(lambda: ended(chain, rotation))
        assert states(chain) == [KeyState.ACTIVE, KeyState.RETIRED]
        assert agree(chain)


@in_loop
async def test_a_meter_that_refuses_keeps_its_keys(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        chain.meters[1].master_key.octets = bytes(16)  # another than the head-end's
        rotation = rotate(chain, 1)
        await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.REFUSED]
        assert states(chain) == [KeyState.VOID, KeyState.ACTIVE]
        assert await ask(chain) == 1


@in_loop
async def test_what_the_journal_holds_under_retired_keys_still_arrives(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        former = meter.cipher
        rotation = rotate(chain, 1)
        await until(lambda: ended(chain, rotation))
        with patch.object(type(meter), "cipher", former):
            meter.push([row_of(1, 0)])
        await until(lambda: len(chain.stored()) == 1)
        assert chain.stored()[0].epoch == 1
        meter.push([row_of(1, 1)])
        await until(lambda: len(chain.stored()) == 2)
        assert chain.stored()[1].epoch == 2

        assert keys.close_retired(chain.engine, real_us() - 10**9, "drained") == 0
        assert keys.close_retired(chain.engine, real_us(), "drained") == 1
        assert states(chain) == [KeyState.ACTIVE, KeyState.CLOSED]
        with patch.object(type(meter), "cipher", former):
            meter.push([row_of(1, 2)])
        await until(lambda: chain.headend.notifications.rejected == 1)
        meter.push([row_of(1, 3)])
        await until(lambda: len(chain.stored()) == 3)


@in_loop
async def test_three_days_without_uplink_a_read_and_new_keys_cost_no_push(tmp_path: Path) -> None:
    """Meanwhile the head-end reaches the meter by its own address; then the journal drains."""
    async with running_chain(tmp_path, meters=1) as chain:
        meter = chain.meters[1]
        headend_url, chain.uplink_url = chain.uplink_url, replace(chain.uplink_url, port=9)
        await chain.concentrator_ends()
        await chain.start_concentrator()  # it dials where nobody listens
        await meter.connect(chain.meters_url)
        listener = await meter.listen()
        registry.set_address(chain.engine, 1, str(listener.url))
        chain.headend.directory.refresh()

        async def live_a_day(day: int) -> None:
            for index in range(48 * day, 48 * day + 48):
                meter.push([row_of(1, index)])
            await until(lambda: not meter.outbox)
            chain.now += timedelta(days=1)

        await live_a_day(0)
        assert await ask(chain) == 1
        await live_a_day(1)
        rotation = rotate(chain, 1, key_names=ALL)
        await until(lambda: ended(chain, rotation))
        assert outcome(chain, rotation) == [ChangeState.CHANGED]
        await live_a_day(2)
        assert chain.concentrator.journal.depth == 144
        assert chain.stored() == []

        await chain.concentrator_ends()
        chain.uplink_url = headend_url
        await chain.start_concentrator()
        await until(lambda: chain.concentrator.journal.depth == 0)
        assert Counter(message.epoch for message in chain.stored()) == {1: 96, 2: 48}
        rows = [row for message in chain.stored() for row in decode_rows(message.rows)]
        assert sorted(rows) == [row_of(1, index) for index in range(144)]
        assert chain.headend.notifications.rejected == 0
        await listener.close()


@in_loop
async def test_a_push_under_keys_that_another_process_changed_is_opened(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        directory = chain.headend.directory
        old = list(directory.ciphers(1))
        rotation = rotate(chain, 1)
        await until(lambda: ended(chain, rotation))
        directory._ciphers[1] = old
        chain.meters[1].push([row_of(1, 0)])
        await until(lambda: len(chain.stored()) == 1)
        directory._ciphers[1] = old
        chain.headend.associations._blocks.clear()
        await chain.headend.sessions.stop()
        chain.headend.sessions._stopping = False
        assert await ask(chain) == 1
        assert chain.headend.notifications.rejected == 0


@in_loop
async def test_what_was_asked_before_is_proven_by_higher_counters(tmp_path: Path) -> None:
    """A worker that sends late is refused, because the proof took the counters above its own."""
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        assert await ask(chain) == 1
        await chain.headend.sessions.stop()
        chain.headend.sessions._stopping = False
        late = counters.reserve(chain.engine, 1, 1, 8)  # of another worker, which then sleeps
        wrap = KeyStore(chain.layout.headend / "keystore", create=False).wrap
        epoch = keys.prepare(chain.engine, 1, {"guek": wrap(bytes(16))}, "test")
        keys.step(chain.engine, 1, epoch, {KeyState.PREPARED}, KeyState.SENT, "will be sent")
        chain.headend.directory.forget_keys(1)
        assert await ask(chain) == 1
        assert states(chain) == [KeyState.VOID, KeyState.ACTIVE]
        assert chain.meters[1].ciphering.window.expected > late + 8


@in_loop
async def test_a_meter_that_is_away_waits_and_blocks_nobody(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach(2)
        rotation = rotate(chain, 1, 2)
        half = [ChangeState.OPEN, ChangeState.CHANGED]
        await until(lambda: outcome(chain, rotation) == half)
        await chain.attach(1)
        await until(lambda: ended(chain, rotation))
        assert agree(chain, 1)
