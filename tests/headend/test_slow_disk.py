# SPDX-License-Identifier: Apache-2.0
"""A disk that hangs at the head-end: nothing is confirmed, nothing is lost, nothing comes twice."""

import threading
from collections.abc import Sequence
from pathlib import Path

from chain import decode_rows, row_of, running_chain, until
from loops import in_loop
from openami.headend.notifications import Arrival

PUSHES = 20


@in_loop
async def test_a_disk_that_hangs_holds_back_receipts_and_loses_nothing(tmp_path: Path) -> None:
    async with running_chain(tmp_path) as chain:
        await chain.attach()
        books = chain.headend.books
        books.arrivals.slow_s = 0.05
        chain.concentrator.uplink.receipt_timeout_s = 0.05  # what is not confirmed is sent again
        disk = threading.Event()
        write = books.arrivals._write

        def slowly(group: Sequence[Arrival]) -> Sequence[bool]:
            assert disk.wait(60)
            return write(group)

        books.arrivals._write = slowly
        for index in range(PUSHES):
            for meter_id, meter in chain.meters.items():
                meter.push([row_of(meter_id, index)])
        await until(lambda: not any(meter.outbox for meter in chain.meters.values()))
        await until(lambda: "its disk is slow or hangs" in str(chain.headend.figures()["alarm"]))
        await until(lambda: books.arrivals.depth > 3 * PUSHES)  # sent again, more than once
        assert chain.concentrator.journal.depth == 3 * PUSHES
        assert chain.stored() == []

        disk.set()
        await until(lambda: chain.concentrator.journal.depth == 0)
        rows = sorted((m.meter_id, *row) for m in chain.stored() for row in decode_rows(m.rows))
        assert rows == [(n, *row_of(n, index)) for n in chain.meters for index in range(PUSHES)]
        await until(lambda: chain.headend.figures()["alarm"] == "")
        assert chain.headend.notifications.rejected == 0
