# SPDX-License-Identifier: Apache-2.0
"""Meter, concentrator, head-end and store together: real TLS, real protection, real journal."""

from pathlib import Path

from chain import REGION, decode_rows, row_of, running_chain, until
from loops import in_loop
from openami.store import registry


@in_loop
async def test_pushes_reach_the_inbox_value_by_value(tmp_path: Path) -> None:
    async with running_chain(tmp_path) as chain:
        await chain.attach()
        for index in range(4):
            for number, meter in chain.meters.items():
                meter.push([row_of(number, index)])
        await until(lambda: len(chain.stored()) == 12)
        found = sorted((m.meter_id, *decode_rows(m.rows)[0]) for m in chain.stored())
        assert found == sorted(
            (number, *row_of(number, index)) for number in chain.meters for index in range(4)
        )
        assert {(m.kind, m.epoch, m.hops) for m in chain.stored()} == {("push", 1, REGION)}
        await until(lambda: chain.concentrator.journal.depth == 0)
        await until(lambda: all(not meter.outbox for meter in chain.meters.values()))
        await until(
            lambda: (
                all(a.attached for a in registry.attachments(chain.engine).values())
                and len(registry.attachments(chain.engine)) == 3
            )
        )
