# SPDX-License-Identifier: Apache-2.0
"""A meter that answers for another: nothing of it is taken for the other's."""

from pathlib import Path

import pytest

from chain import row_of, running_chain, until
from loops import in_loop
from openami.concentrator.meters_side import MeterLine
from openami.cosem.refusals import AssociationError
from openami.headend.associations import MeterSession
from openami.headend.reading import REGISTERS, read_registers
from openami.headend.sessions import Urgency
from openami.runtime.errors import UserError
from openami.store import registry
from openami.store.inbox import rejections


async def job(session: MeterSession) -> object:
    return await read_registers(session, REGISTERS)


@in_loop
async def test_another_meter_at_the_address_is_no_answer(tmp_path: Path) -> None:
    """The registry's address is wrong, or somebody has moved a cable."""
    async with running_chain(tmp_path, meters=2) as chain:
        other = chain.meters[2]
        listener = await other.listen()
        registry.set_address(chain.engine, 1, str(listener.url))
        chain.headend.directory.refresh()
        with pytest.raises(
            UserError, match=r"belongs to 4F414D0000000002 \(CN\) where 4F414D0000000001 is"
        ):
            await chain.headend.sessions.run(1, Urgency.COMMAND, job)
        await listener.close()


@in_loop
async def test_a_concentrator_that_mistakes_meters_brings_no_wrong_value(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach()
        first, second = (chain.meters[n] for n in (1, 2))
        known = chain.concentrator.relay._meters
        known[first.title], known[second.title] = known[second.title], known[first.title]
        for title in (first.title, second.title):
            line = known[title][0]
            assert isinstance(line, MeterLine)
            line.title = title  # its answers go up under the other's name, too
        for meter_id in (1, 2):
            with pytest.raises(AssociationError, match="deciphering-error"):
                await chain.headend.sessions.run(meter_id, Urgency.COMMAND, job)
        # A push that comes under another's name is nobody's: it is kept, with an alarm.
        first.push([row_of(1, 0)])
        await until(lambda: chain.headend.notifications.rejected == 1)
        assert chain.stored() == []
        (kept,) = rejections(chain.engine)
        assert "it is by 4F414D0000000001, the gateway header says otherwise" in kept.reason
