# SPDX-License-Identifier: Apache-2.0
"""Dialling for ever: pauses, a peer that comes, goes and comes back."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.transport.endpoint import dial, listen
from openami.transport.reconnect import Backoff, Reconnector
from openami.transport.wire import Wire
from transport.parties import ANY_PORT, Party, echo

QUICK = Backoff(first_s=0.01, most_s=0.05, stable_s=0.02)


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()
    event.clear()


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_to_the_longest_and_never_beyond(failures: int, draw: float) -> None:
    backoff = Backoff(first_s=0.5, most_s=30.0)
    pause_s = backoff.pause_s(failures, draw)
    assert 0.25 <= pause_s <= 30.0
    assert pause_s <= backoff.pause_s(failures + 1, draw)


def test_pauses_are_spread_over_half_their_range() -> None:
    backoff = Backoff(first_s=1.0, most_s=30.0)
    assert [backoff.pause_s(n, 0.0) for n in (1, 2, 3, 6, 99)] == [0.5, 1.0, 2.0, 15.0, 15.0]
    assert backoff.pause_s(1, 0.5) == 0.75


def test_it_returns_after_the_peer_restarted() -> None:
    async def conversation() -> None:
        there = Party(echo)
        listener = await listen(ANY_PORT["tcp"], there.accept)
        attached, detached = asyncio.Event(), asyncio.Event()
        here = Party()
        reasons: list[str] = []

        def left(reason: str) -> None:
            reasons.append(reason)
            detached.set()

        reconnector = Reconnector(
            "the concentrator", lambda: dial(listener.url, here.accept), lambda: 0.5, QUICK
        )
        task = asyncio.create_task(reconnector.run(lambda _wire: attached.set(), left))
        await until(attached)
        await listener.close()
        await until(detached)
        assert reconnector.wire is None
        again = await listen(listener.url, there.accept)
        await until(attached)
        assert reconnector.wire is not None
        reconnector.wire.send(1, 1, b"back")
        await until(here.handlers[-1].arrived)
        assert reasons == ["the peer closed the connection"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(there.handlers[-1].ended)
        await again.close()

    asyncio.run(conversation())


def test_it_goes_on_while_nobody_is_there(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        listener = await listen(ANY_PORT["tcp"], Party().accept)
        await listener.close()
        tried = asyncio.Event()

        async def attempt() -> Wire:
            tried.set()
            return await dial(listener.url, Party().accept)

        reconnector = Reconnector("the head-end", attempt, lambda: 0.0, QUICK)
        task = asyncio.create_task(reconnector.run())
        for _ in range(4):
            await until(tried)
        assert reconnector.attempts >= 4
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    (record,) = caplog.records  # the same trouble is told once
    assert "the head-end not attached" in record.getMessage()
    assert "nothing listens there" in record.getMessage()


def test_a_peer_that_drops_at_once_is_not_hammered() -> None:
    async def conversation() -> None:
        def drop(wire: Wire, *_: object) -> None:
            wire.close()

        there = Party(drop)
        listener = await listen(ANY_PORT["tcp"], there.accept)
        pauses: list[int] = []

        class Counting(Backoff):
            def pause_s(self, failures: int, draw: float) -> float:
                pauses.append(failures)
                return 0.0 * draw

        enough = asyncio.Event()

        def say(wire: Wire) -> None:
            wire.send(1, 1, b"x")
            if len(pauses) >= 3:
                enough.set()

        reconnector = Reconnector(
            "it", lambda: dial(listener.url, Party().accept), lambda: 0.0, Counting()
        )
        task = asyncio.create_task(reconnector.run(say))
        await until(enough)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pauses[:3] == [1, 2, 3]
        await listener.close()

    asyncio.run(conversation())


def test_a_hint_ends_the_pause() -> None:
    async def conversation() -> None:
        listener = await listen(ANY_PORT["tcp"], Party().accept)
        url = listener.url
        await listener.close()
        tried, attached = asyncio.Event(), asyncio.Event()

        async def attempt() -> Wire:
            tried.set()
            return await dial(url, Party().accept)

        reconnector = Reconnector(
            "it", attempt, lambda: 0.5, Backoff(first_s=1000.0, most_s=1000.0)
        )
        task = asyncio.create_task(reconnector.run(lambda _wire: attached.set()))
        await until(tried)
        listener = await listen(url, Party().accept)
        async with asyncio.timeout(10):
            while not attached.is_set():
                reconnector.hurry()
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await listener.close()

    asyncio.run(conversation())
