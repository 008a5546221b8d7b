# SPDX-License-Identifier: Apache-2.0
"""Group commit: what arrives while one transaction runs goes into the next, together.

One thread writes; the event loop never waits for a disk.  An item is answered for after the commit
that holds it, never before.  The group grows with the load by itself, so there is no delay to
choose: an idle writer commits a single item at once.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

Done = Callable[[R | None], None]


class GroupCommit(Generic[T, R]):
    """Hands groups of items to `write` in a thread of its own.

    Attributes:
        failing: The sentence of the last failure, until a group succeeds again; else empty.
        groups: How many groups were committed.
        most_items: The largest group.
        pause_s: How long to rest after a failure, so that a full disk is not hammered.
        slow_s: A group that takes longer is told of: a disk that hangs fails nothing.
    """

    most_items = 2000
    pause_s = 1.0
    slow_s = 5.0

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[T]], Sequence[R]],
        *,
        expected: tuple[type[Exception], ...],
        most_waiting: int = 50_000,
    ) -> None:
        """Start the thread; call inside a running loop.

        Args:
            name: What is written, for the thread and for sentences.
            write: Commits a group durably and returns one result an item.  What it raises fails
                the whole group; it must leave no part of it behind.
            expected: What `write` may raise: a full disk, a database that is locked.  After
                anything else the items are written one by one, so that the one that cannot be
                written, by a fault of ours, does not stand in the way of the others.
            most_waiting: Above it `submit` refuses, and the sender is left to send again.
        """
        self.failing = ""
        self.groups = 0
        self._name = name
        self._write = write
        self._expected = expected
        self._most_waiting = most_waiting
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[T, Done[R]]] = []
        self._condition = threading.Condition()
        self._stopping = False
        self._begun_s: float | None = None  # when the group that is being written was begun
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many items wait to be written."""
        return len(self._waiting)

    @property
    def trouble(self) -> str:
        """Why nothing is confirmed now, or only slowly; empty where all is well."""
        begun_s = self._begun_s
        if self.failing or begun_s is None or time.monotonic() - begun_s <= self.slow_s:
            return self.failing
        slow = f"{self._name} has been waited for longer than {self.slow_s:g} s"
        return f"{slow}: its disk is slow or hangs; what is not confirmed is sent again"

    def submit(self, item: T, done: Done[R]) -> bool:
        """Queue `item`; `done` is called in the loop after its commit.

        `done` is given the result, or None when the group failed.  Returns False, and queues
        nothing, when too much waits already.
        """
        with self._condition:
            if self._stopping or len(self._waiting) >= self._most_waiting:
                return False
            self._waiting.append((item, done))
            if len(self._waiting) == 1:
                self._condition.notify()
        return True

    async def commit(self, item: T) -> R | None:
        """Queue `item` and wait for its result; None when it failed or could not be queued."""
        future: asyncio.Future[R | None] = self._loop.create_future()

        def done(result: R | None) -> None:
            if not future.done():
                future.set_result(result)

        return await future if self.submit(item, done) else None

    async def stop(self) -> None:
        """Write what waits, answer for it, and end the thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # what the thread handed to the loop last is answered first

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._stopping:
                    self._condition.wait()
                if not self._waiting:
                    return
                group = self._waiting[: self.most_items]
                del self._waiting[: self.most_items]
            self._begun_s = time.monotonic()
            self._commit(group)
            self._begun_s = None
            if self.failing and not self._stopping:
                with self._condition:
                    self._condition.wait_for(lambda: self._stopping, self.pause_s)

    def _commit(self, group: list[tuple[T, Done[R]]]) -> None:
        results: Sequence[R | None]
        try:
            results = self._write([item for item, _ in group])
        except self._expected as error:
            results = [None] * len(group)
            self._note_failure(error)
        except Exception as error:
            if len(group) > 1:
                for each in group:
                    self._commit([each])
                return
            log.exception("%s: one entry cannot be written", self._name)
            results = [None]
            self._note_failure(error)
        else:
            self.groups += 1
            if self.failing:
                log.warning("%s: written again", self._name)
                self.failing = ""
        self._hand_over(group, results)

    def _note_failure(self, error: Exception) -> None:
        sentence = f"{self._name} cannot be written ({error}): free space or permit writing"
        if not self.failing:
            log.error("%s; nothing is confirmed until then", sentence)
        self.failing = sentence

    def _hand_over(self, group: list[tuple[T, Done[R]]], results: Sequence[R | None]) -> None:
        def answer() -> None:
            for (_, done), result in zip(group, results, strict=True):
                done(result)

        try:
            self._loop.call_soon_threadsafe(answer)
        except RuntimeError:  # the loop is closed: the process ends, senders will send again
            log.debug("%s: %d items answered after the end", self._name, len(group))
