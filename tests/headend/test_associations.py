# SPDX-License-Identifier: Apache-2.0
"""Invocation counters when the store and the meter disagree."""

from pathlib import Path

import pytest
from sqlalchemy import update

from chain import Chain, running_chain
from loops import in_loop
from openami.dlms.apdu.faults import ExceptionResponse, ServiceError, StateError
from openami.headend.associations import MeterSession
from openami.headend.reading import read_control_state
from openami.headend.sessions import Urgency
from openami.runtime.errors import UserError
from openami.store import counters, tables
from openami.store.database import transaction


async def ask(chain: Chain) -> int:
    async def job(session: MeterSession) -> int:
        return int(await read_control_state(session))

    return await chain.headend.sessions.run(1, Urgency.COMMAND, job)


def restore_older_store(chain: Chain) -> None:
    """Take the counters back, as after a restart on a backup."""
    with transaction(chain.engine) as connection:
        connection.execute(update(tables.counters).values(next=1))
    chain.headend.associations._blocks.clear()


@in_loop
async def test_a_store_from_a_backup_counts_on_from_the_meter(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        assert await ask(chain) == 1
        seen = counters.next_counter(chain.engine, 1, 1)
        await chain.headend.sessions.stop()
        chain.headend.sessions._stopping = False
        restore_older_store(chain)
        assert await ask(chain) == 1
        assert counters.next_counter(chain.engine, 1, 1) >= seen


@in_loop
async def test_a_made_up_counter_does_not_use_up_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever carries an exception-response may write any counter into it."""
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        lie = ExceptionResponse(
            state_error=StateError.SERVICE_NOT_ALLOWED,
            service_error=ServiceError.INVOCATION_COUNTER_ERROR,
            invocation_counter=2**32 - 2,
        )
        assert meter.wire is not None
        genuine = meter.wire.send
        monkeypatch.setattr(
            meter.wire, "send", lambda source, to, _apdu: genuine(source, to, lie.encode())
        )
        with pytest.raises(UserError, match=r"is not believed.*raise \[sessions\] counter_skip"):
            await ask(chain)
        assert counters.next_counter(chain.engine, 1, 1) < 1000
        monkeypatch.undo()
        assert await ask(chain) == 1
