# SPDX-License-Identifier: Apache-2.0
"""What a worker holds, and what it does when others took it for dead."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from chain import Chain, running_chain, until
from loops import in_loop
from openami.headend.books import Books
from openami.headend.holdings import Holdings
from openami.store import leases, registry
from openami.store.database import StoreUnavailableError, open_database
from openami.store.leases import Kind, Lease, Worker


def hangs(chain: Chain) -> bool:
    found = registry.attachments(chain.engine).get(1)
    return found is not None and found.attached


@in_loop
async def test_a_worker_taken_for_dead_says_again_what_hangs_on_it(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        await until(partial(hangs, chain))
        assert registry.detach_of_others(chain.engine, {"somebody else"}, 1) == [1]
        chain.headend.holdings.on_lapse()
        await until(partial(hangs, chain))


@in_loop
async def test_a_lapse_is_noticed_when_the_store_answers_again(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    books = Books(engine)
    holdings = Holdings(books, Worker("here", "1"), 0.3)
    own = await holdings.come_alive()
    lapses: list[bool] = []
    holdings.on_lapse = lambda: lapses.append(holdings.holds(own))
    work = asyncio.create_task(holdings.run(own))
    await until(lambda: leases.alive(engine) == {"here"})
    holdings._ends[own] = 0.0  # as if no renewal had come through
    assert not holdings.holds(own)
    await until(lambda: bool(lapses))
    assert lapses[0]  # it holds again by then
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await holdings.stop()
    assert leases.alive(engine) == set()
    await books.stop()


@in_loop
async def test_what_could_not_be_given_back_is_not_kept_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    books = Books(engine)
    holdings = Holdings(books, Worker("here", "1"), 0.6)
    own = await holdings.come_alive()
    meter = await holdings.take_meter(7)

    async def fail(_lease: Lease) -> None:
        await asyncio.sleep(0)
        raise StoreUnavailableError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(books, "give_back", fail)
        await holdings.give_back(meter)
    work = asyncio.create_task(holdings.run(own))
    other = Worker("there", "1")

    def is_free() -> bool:
        return bool(leases.take(engine, Kind.METER, ["7"], other, 0.05))

    await until(is_free)
    assert holdings.holds(own)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await holdings.stop()
    await books.stop()
