# SPDX-License-Identifier: Apache-2.0
"""Broadcasts to the meters of a group, seen from one meter: its keys, and whether it listens.

A meter listens when a transfer was initiated at it and it holds the keys that its group has now;
they are transferred over its own association, wrapped with its master key.  What it heard is
asked at the meter like all else.  One that does not take the keys is sent everything alone.
"""

import logging
import os
from typing import Final

from openami.cosem.classes.access_control import KeyId, SecuritySetup
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import wrap_keys
from openami.dlms.security.credentials import MasterKey
from openami.exchange.uplink import BROADCAST_SETUP
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.key_changes import COUNTERS, KEY_OCTETS, KeyWrap
from openami.store import broadcasts as store
from openami.store import keys
from openami.store.broadcasts import GroupState, Listens
from openami.store.campaign_meters import Target
from openami.store.database import Database
from openami.store.leases import Lease

log = logging.getLogger(__name__)

PUT_OUT: Final = 0  # epoch of a meter whose keys nobody else has


class Groups:
    """Brings meters into their groups, and out."""

    def __init__(self, books: Books, custody: KeyWrap) -> None:
        self._books = books
        self._custody = custody

    def fresh(self) -> bytes:
        """Draw a key, wrapped."""
        return self._custody.wrap(os.urandom(KEY_OCTETS))

    def group(self, database: Database, concentrator: bytes) -> store.Group:
        """Return the keys of a group, wrapped; drawn now where it has none."""
        return store.group(database, concentrator, self.fresh)

    async def waits(
        self, target: Target, session: MeterSession, block_octets: int, lease: Lease
    ) -> bool:
        """Let a meter listen; False where it is to be sent its blocks alone."""
        run, engine, concentrator = self._books.run, self._books.engine, session.meter.concentrator
        begun = await run(store.run_of, engine, target, concentrator)
        if begun is not None and begun.state is not GroupState.GATHERING:
            return False
        found = await run(self.group, engine, concentrator)
        if not await self._has_keys(found, session):
            return False
        return await run(store.wait, engine, target, concentrator, block_octets, lease)

    async def alone(self, target: Target, lease: Lease, heard: int | None = None) -> Target:
        """Write that a meter is sent what it lacks alone from here on."""
        count = target.blocks_heard if heard is None else heard
        return await self._books.run(
            store.settle, self._books.engine, target, Listens.ALONE, count, lease
        )

    async def put_out(self, session: MeterSession) -> None:
        """Give a meter keys that nobody else has: what it heard was not good, whoever said it."""
        meter_id = session.meter.meter_id
        log.warning("meter %d may have heard blocks that are not ours: out of its group", meter_id)
        if await self._transfer(session, os.urandom(KEY_OCTETS), os.urandom(KEY_OCTETS)):
            await self._note(session, PUT_OUT)

    async def _has_keys(self, found: store.Group, session: MeterSession) -> bool:
        """Transfer the keys of the group where the meter has not said that it has them."""
        meter_id = session.meter.meter_id
        if await self._books.run(store.holds, self._books.engine, meter_id, found):
            return True
        encryption = self._custody.unwrap(found.encryption)
        authentication = self._custody.unwrap(found.authentication)
        if not await self._transfer(session, encryption, authentication):
            return False
        await self._note(session, found.epoch)
        return True

    async def _note(self, session: MeterSession, epoch: int) -> None:
        meter = session.meter
        await self._books.run(
            store.note_member, self._books.engine, meter.meter_id, meter.concentrator, epoch
        )

    async def _transfer(
        self, session: MeterSession, encryption: bytes, authentication: bytes
    ) -> bool:
        """Transfer keys of a group; False where the meter refuses them."""
        meter_id = session.meter.meter_id
        known = await self._books.run(keys.epochs, self._books.engine, meter_id)
        held = next(each for each in known if each.epoch == session.epoch)
        argument = wrap_keys(
            MasterKey(self._custody.unwrap(held.master_key)),
            {
                KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY: encryption,
                KeyId.AUTHENTICATION_KEY: authentication,
            },
        )
        await session.reserve(COUNTERS)
        act = session.client.act(SecuritySetup.key_transfer, argument, at=BROADCAST_SETUP)
        try:
            await session.run(act)
        except AccessError as error:
            log.info("meter %d takes no keys of a group: %s", meter_id, error)
            return False
        return True
