# SPDX-License-Identifier: Apache-2.0
"""Other keys of a group for broadcasts, asked for by page or program, drawn where the keystore is.

Each meter is given them by `headend.groups` before it listens the next time; a broadcast that is
under way ends, and its meters are sent what they lack alone.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final

from openami.headend.books import Books
from openami.headend.config import WorklistSettings
from openami.headend.key_changes import KEY_OCTETS, KeyWrap
from openami.headend.worklist import pause_s
from openami.runtime.errors import UserError
from openami.store import group_changes as store
from openami.store.database import Database
from openami.store.group_changes import GroupChange

log = logging.getLogger(__name__)

AT_ONCE: Final = 100


class GroupKeyChanges:
    """Carries out what the store says is wanted.

    Attributes:
        changed: How many groups were given other keys.
    """

    def __init__(self, settings: WorklistSettings, books: Books, custody: KeyWrap) -> None:
        self.changed = 0
        self._settings = settings
        self._books = books
        self._custody = custody

    async def run(self) -> None:
        """Draw until cancelled."""
        while True:
            try:
                await self.look()
            except UserError as error:
                log.warning("changes of groups' keys wait: %s", error)
            await asyncio.sleep(self._settings.look_s)

    async def look(self) -> None:
        """Carry out what is due.

        Raises:
            UserError: The store cannot be used.
        """
        run, engine = self._books.run, self._books.engine
        for change in await run(store.due, engine, AT_ONCE):
            name = change.concentrator.hex().upper()
            try:
                epoch = await run(draw, engine, self._custody.wrap, change)
            except UserError as error:
                log.warning("keys of group %s: %s", name, error)
                rest_s = pause_s(self._settings, change.attempts)
                await run(store.postpone, engine, change.change_id, str(error), pause_s=rest_s)
                continue
            if epoch is not None:
                self.changed += 1
                log.info("group %s has other keys, epoch %d: %s", name, epoch, change.reason)


def draw(database: Database, wrap: Callable[[bytes], bytes], change: GroupChange) -> int | None:
    """Draw keys for a group, wrapped by `wrap`; return their epoch, None where it did not come.

    Raises:
        UserError: The keystore or the store cannot be used.
    """
    # The keystore may be a token that is slow: it is asked before the store is held.
    encryption, authentication = wrap(os.urandom(KEY_OCTETS)), wrap(os.urandom(KEY_OCTETS))
    return store.carry_out(database, change, encryption, authentication)
