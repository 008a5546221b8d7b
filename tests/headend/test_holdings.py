# SPDX-License-Identifier: Apache-2.0
"""What a worker holds, and what it does when others took it for dead."""

import asyncio
from functools import partial
from pathlib import Path

from chain import Chain, running_chain, until
from loops import in_loop
from openami.headend.books import Books
from openami.headend.holdings import Holdings
from openami.store import leases, registry
from openami.store.database import open_database
from openami.store.leases import Worker


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
