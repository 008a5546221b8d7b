# SPDX-License-Identifier: Apache-2.0
"""Abbreviated handshakes: who gets one, who does not, and that nobody slips in by one."""

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from openami.transport.tls import Expected, Role, Secured, client_tls, server_tls
from openami.transport.tlspolicy import SESSION_LIFETIME_S
from transport.encounters import KINDS, Kind, meet, refused
from transport.parties import CONCENTRATOR, METER, Pki, dialler

kinds = pytest.mark.parametrize("kind", KINDS, ids=str)
ROUNDS = 5


@kinds
def test_each_further_connection_is_resumed(kind: Kind, pki: Pki) -> None:
    async def conversation() -> None:
        there, here = pki.concentrator(kind.policy), pki.meter(kind.policy)
        async with kind.listening(there) as url:
            found = [await meet(kind, url, here) for _ in range(ROUNDS)]
        assert found == [False] + [True] * (ROUNDS - 1)
        assert (there.tls.tally.full, there.tls.tally.resumed) == (1, ROUNDS - 1)

    asyncio.run(conversation())


@kinds
@pytest.mark.parametrize("who", ["dialler", "listener"])
def test_a_policy_without_resumption_wants_each_proof(kind: Kind, who: str, pki: Pki) -> None:
    async def conversation() -> None:
        without = replace(kind.policy, resumption=False)
        there = pki.concentrator(without if who == "listener" else kind.policy)
        here = pki.meter(without if who == "dialler" else kind.policy)
        async with kind.listening(there) as url:
            assert [await meet(kind, url, here) for _ in range(3)] == [False] * 3
        assert (there.tls.tally.full, there.tls.tally.resumed) == (3, 0)

    asyncio.run(conversation())


@kinds
def test_a_listener_that_was_started_anew_knows_no_old_ticket(kind: Kind, pki: Pki) -> None:
    async def conversation() -> None:
        here = pki.meter(kind.policy)
        identity = pki.identity(CONCENTRATOR, Role.CONCENTRATOR, policy=kind.policy)
        there = Secured(server_tls(identity), Expected(roles=frozenset({"meter"})))
        async with kind.listening(there) as url:
            assert not await meet(kind, url, here)
        again = Secured(server_tls(identity), there.expected)
        async with kind.listening(again) as other:
            name = next(iter(here.tls._sessions))
            here.tls._sessions[name.replace(str(url.port), str(other.port))] = (
                here.tls._sessions.pop(name)
            )
            assert not await meet(kind, other, here), "the ticket is shown, and of no use"
            assert await meet(kind, other, here)

    asyncio.run(conversation())


@kinds
def test_a_session_does_not_outlive_its_certificate(
    kind: Kind, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    moved = timedelta()

    def now() -> datetime:
        return datetime.now(UTC) + moved

    async def conversation() -> None:
        nonlocal moved
        short = pki.identity(METER, Role.METER, age=timedelta(0), policy=kind.policy)
        identity = pki.identity(CONCENTRATOR, Role.CONCENTRATOR, policy=kind.policy)
        there = Secured(server_tls(identity, now), Expected(roles=frozenset({"meter"})))
        here = dialler(short)
        async with kind.listening(there) as url:
            await meet(kind, url, here)
            assert await meet(kind, url, here)
            moved = timedelta(days=2)
            await refused(kind, url, here)
        assert "it has expired" in caplog.text

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())


@kinds
def test_a_session_says_who_its_owner_is(kind: Kind, pki: Pki) -> None:
    """A listener that wants another title or role refuses an abbreviated handshake likewise."""

    async def conversation() -> None:
        identity = pki.identity(CONCENTRATOR, Role.CONCENTRATOR, policy=kind.policy)
        tls = server_tls(identity)
        here = dialler(pki.identity(METER, Role.METER, policy=kind.policy))
        async with kind.listening(Secured(tls, Expected(roles=frozenset({"meter"})))) as url:
            await meet(kind, url, here)
            assert await meet(kind, url, here)
        for expected in (
            Expected(roles=frozenset({"client"})),
            Expected(roles=frozenset({"meter"}), title=bytes(8)),
        ):
            async with kind.listening(Secured(tls, expected)) as other:
                name = next(iter(here.tls._sessions))
                here.tls._sessions[name.replace(str(url.port), str(other.port))] = (
                    here.tls._sessions[name]
                )
                assert "accept us" in await refused(kind, other, here) or (
                    "closed the association" in await refused(kind, other, here)
                )

    asyncio.run(conversation())


@kinds
def test_who_turned_us_away_is_shown_our_certificate_again(kind: Kind, pki: Pki) -> None:
    async def conversation() -> None:
        there = pki.concentrator(kind.policy)
        here = dialler(pki.identity(METER, Role.CLIENT, policy=kind.policy))
        async with kind.listening(there) as url:
            await refused(kind, url, here)
            await refused(kind, url, here)
        assert there.tls.tally.resumed == 0
        assert not here.tls._sessions

    asyncio.run(conversation())


def test_sessions_are_kept_for_so_many_addresses_and_no_more(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def conversation() -> None:
        kind = KINDS[0]
        monkeypatch.setattr("openami.transport.tls.SESSIONS_KEPT", 2)
        here = Secured(
            client_tls(pki.identity(METER, Role.METER, policy=kind.policy)),
            Expected(roles=frozenset({"concentrator"})),
        )
        for _ in range(4):
            async with kind.listening(pki.concentrator(kind.policy)) as url:
                await meet(kind, url, here)
        assert len(here.tls._sessions) == 2

    asyncio.run(conversation())


@kinds
def test_keys_of_tickets_are_made_anew_and_files_read_again(
    kind: Kind, pki: Pki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    later_s = 0.0
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + later_s)
    monkeypatch.setattr("openami.transport.tlsengine.time", later)

    async def conversation() -> None:
        nonlocal later_s
        there, here = pki.concentrator(kind.policy), pki.meter(kind.policy)
        key = there.tls.identity.key
        async with kind.listening(there) as url:
            await meet(kind, url, here)
            assert await meet(kind, url, here)
            later_s += SESSION_LIFETIME_S + 1
            assert not await meet(kind, url, here), "a ticket under a key that is gone"
            assert await meet(kind, url, here)
            key.rename(key.with_suffix(".away"))
            later_s += SESSION_LIFETIME_S + 1
            await meet(kind, url, here)
            assert "what was read before is used until then" in caplog.text

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
