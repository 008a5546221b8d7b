# SPDX-License-Identifier: Apache-2.0
"""Invocation counters when the store and the meter disagree."""

from pathlib import Path

import pytest
from sqlalchemy import update

from chain import Chain, running_chain
from loops import in_loop
from openami.dlms.apdu.faults import ExceptionResponse, ServiceError, StateError
from openami.dlms.errors import DlmsError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.headend.associations import MeterSession
from openami.headend.reading import read_control_state
from openami.headend.sessions import Urgency
from openami.runtime.errors import UserError
from openami.store import counters, tables
from openami.store.database import transaction

EXCEPTION_RESPONSE = b"\xd8"


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


async def start_over(chain: Chain) -> None:
    """Let the head-end forget its associations, and take its counters back."""
    await chain.headend.sessions.stop()
    chain.headend.sessions._stopping = False
    restore_older_store(chain)


@in_loop
async def test_a_meter_that_does_not_say_why_is_asked_by_the_public_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many meters leave a request with an old counter unanswered."""
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.routes.answer_timeout_s = 0.5
        await chain.attach()
        assert await ask(chain) == 1
        seen = chain.meters[1].ciphering.window.expected
        await start_over(chain)
        wire = chain.meters[1].wire
        assert wire is not None
        genuine = wire.send

        def silent_refusals(source: int, to: int, apdu: bytes) -> None:
            if apdu[:1] != EXCEPTION_RESPONSE:
                genuine(source, to, apdu)

        monkeypatch.setattr(wire, "send", silent_refusals)
        assert await ask(chain) == 1
        assert counters.next_counter(chain.engine, 1, 1) > seen


@in_loop
async def test_a_public_counter_is_not_believed_without_bound(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        held = meter.ciphering.cipher
        meter.ciphering.cipher = Cipher(
            KeySet(encryption_key=bytes(16), authentication_key=bytes(16))
        )
        meter.ciphering.window.expected = 2**31
        with pytest.raises(UserError, match="is not believed"):
            await ask(chain)
        assert counters.next_counter(chain.engine, 1, 1) < 1000
        meter.ciphering.cipher, meter.ciphering.window.expected = held, 0
        assert await ask(chain) == 1


@in_loop
async def test_a_lower_counter_changes_nothing(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        assert await ask(chain) == 1
        await chain.headend.sessions.stop()
        chain.headend.sessions._stopping = False
        before = counters.next_counter(chain.engine, 1, 1)
        meter = chain.meters[1]
        held, expected = meter.ciphering.cipher, meter.ciphering.window.expected
        meter.ciphering.cipher = Cipher(
            KeySet(encryption_key=bytes(16), authentication_key=bytes(16))
        )
        meter.ciphering.window.expected = 1
        with pytest.raises(DlmsError):
            await ask(chain)
        assert counters.next_counter(chain.engine, 1, 1) >= before
        meter.ciphering.cipher, meter.ciphering.window.expected = held, expected
        assert await ask(chain) == 1
