# SPDX-License-Identifier: Apache-2.0
"""Cut uplinks: what waits in a journal is never a replay, and is stored once whatever happens."""

import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event

from chain import Chain, closed, decode_rows, row_of, running_chain, until
from loops import in_loop
from openami.dlms.errors import ReplayError
from openami.headend.reading import REGISTERS, read_profile, read_registers
from openami.headend.sessions import Urgency
from openami.runtime.clock import to_us
from openami.store import registry
from openami.store.accepted import Origin, is_accepted


def stored_rows(chain: Chain) -> list[tuple[int, int, int, int]]:
    return sorted((m.meter_id, *row) for m in chain.stored() for row in decode_rows(m.rows))


@in_loop
async def test_a_read_during_an_outage_makes_no_push_in_the_journal_a_replay(
    tmp_path: Path,
) -> None:
    """The head-end sees higher counters first, from the meter itself; then the journal drains."""
    async with running_chain(tmp_path, meters=1) as chain:
        meter = chain.meters[1]
        await chain.attach()
        meter.push([row_of(1, 0)])
        await until(lambda: len(chain.stored()) == 1)
        await until(lambda: chain.concentrator.journal.depth == 0)

        # The uplink is cut; pushes go on into the journal and are receipted by the hop.
        headend_url, chain.uplink_url = chain.uplink_url, replace(chain.uplink_url, port=9)
        await chain.concentrator_ends()
        await chain.start_concentrator()  # it dials where nobody listens
        await meter.connect(chain.meters_url)
        for index in range(1, 6):
            meter.push([row_of(1, index)])
        await until(lambda: not meter.outbox)
        assert chain.concentrator.journal.depth == 5
        assert len(chain.stored()) == 1

        # The head-end reads the meter by its own address, under the same keys and counters.
        listener = await meter.listen()
        registry.set_address(chain.engine, 1, str(listener.url))
        chain.headend.directory.refresh()
        values = await chain.headend.sessions.run(
            1, Urgency.COMMAND, lambda session: read_registers(session, REGISTERS)
        )
        assert len(values) == len(REGISTERS)
        rows = await chain.headend.sessions.run(
            1,
            Urgency.COMMAND,
            lambda session: read_profile(session, to_us(chain.now) - 10**12, to_us(chain.now)),
        )
        assert decode_rows(rows) == meter.rows()
        read_counters = meter.counters.following - 1  # the newest that the head-end has seen
        pushed = range(1, 7)
        assert read_counters > max(pushed)

        # The uplink returns: every push is accepted, once, though its counters are older.
        await chain.concentrator_ends()
        chain.uplink_url = headend_url
        await chain.start_concentrator()
        await until(lambda: len(chain.stored()) == 6)
        await until(lambda: chain.concentrator.journal.depth == 0)
        assert stored_rows(chain) == [(1, *row_of(1, index)) for index in range(6)]
        assert chain.headend.notifications.rejected == 0
        assert all(is_accepted(chain.engine, Origin(meter.title, 1, n)) for n in pushed)

        # The order inside associations is as strict as before: what was used is never taken again.
        ciphering = meter.device.associations[1].ciphering
        assert ciphering is not None
        assert ciphering.window.expected > 0
        with pytest.raises(ReplayError):
            ciphering.window.accept(ciphering.window.expected - 1)
        await listener.close()


@in_loop
async def test_what_is_sent_again_is_confirmed_again_and_stored_once(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        meter = chain.meters[1]
        await chain.attach()
        invoke_id = meter.push([row_of(1, 0)])
        octets = meter.outbox[invoke_id]
        assert meter.wire is not None
        for repeated in range(1, 4):  # as if the meter had not seen the hop receipt
            await until(lambda: len(chain.stored()) == 1)
            await until(lambda: chain.concentrator.journal.depth == 0)
            meter.wire.send(1, 64, octets)
            await until(partial(chain.repeated, repeated))
        await until(lambda: chain.concentrator.journal.depth == 0)
        assert len(chain.stored()) == 1
        assert meter.receipts == [invoke_id] * 4


@in_loop
async def test_a_full_disk_at_the_head_end_leaves_pushes_in_the_journal(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        meter = chain.meters[1]
        await chain.attach()
        await until(lambda: registry.attachments(chain.engine) != {})
        chain.headend.books.arrivals.pause_s = 0.01
        chain.concentrator.uplink.receipt_timeout_s = 0.1
        engine = chain.headend.books.engine
        pages = [1]  # too few for anything: SQLite keeps what there is and refuses more

        @event.listens_for(engine, "checkout")
        def limit(connection: sqlite3.Connection, *_others: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages[0]}").close()

        for index in range(40):
            meter.push([row_of(1, n) for n in range(index, index + 40)])
        await until(lambda: not meter.outbox)  # receipted by the hop
        await until(lambda: chain.headend.figures()["alarm"] != "")
        assert "free space" in str(chain.headend.figures()["alarm"])
        assert chain.concentrator.journal.depth > 0
        pages[0] = 1_000_000
        await until(lambda: len(chain.stored()) == 40)
        await until(lambda: chain.concentrator.journal.depth == 0)
        assert chain.headend.figures()["alarm"] == ""
        assert chain.headend.notifications.rejected == 0


@in_loop
async def test_a_headend_that_is_away_is_waited_for_in_order(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=2)
    headend = await chain.start_headend()
    concentrator = await chain.start_concentrator()
    await chain.attach()
    await headend.end()
    for index in range(20):
        for number, meter in chain.meters.items():
            meter.push([row_of(number, index)])
    await until(lambda: chain.concentrator.journal.depth == 40)
    await until(lambda: all(not meter.outbox for meter in chain.meters.values()))
    headend = await chain.start_headend()
    await until(lambda: len(chain.stored()) == 40)
    for number in chain.meters:  # in the order in which its meter sent it
        order = [decode_rows(m.rows)[0] for m in chain.stored() if m.meter_id == number]
        assert order == [row_of(number, index) for index in range(20)]
    await until(lambda: chain.concentrator.journal.depth == 0)
    for meter in chain.meters.values():
        assert meter.wire is not None
        await closed(meter.wire)
    await concentrator.end()
    await headend.end()
    chain.close()


@in_loop
async def test_a_concentrator_that_is_restarted_forwards_what_it_receipted(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.uplink_url = replace(chain.uplink_url, port=9)  # nobody there
    first = await chain.start_concentrator()
    meter = chain.meters[1]
    await meter.connect(chain.meters_url)
    for index in range(10):
        meter.push([row_of(1, index)])
    await until(lambda: len(meter.receipts) == 10)
    await first.end()

    chain.uplink_url = replace(chain.uplink_url, port=0)
    headend = await chain.start_headend()
    second = await chain.start_concentrator()
    await until(lambda: len(chain.stored()) == 10)
    assert stored_rows(chain) == [(1, *row_of(1, index)) for index in range(10)]
    await second.end()
    await headend.end()
    chain.close()
