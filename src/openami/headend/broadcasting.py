# SPDX-License-Identifier: Apache-2.0
"""Blocks of an image go to the meters of a group together, as often as the plan says.

Each block is sealed once a round, under the group's keys, and handed to the concentrator, which
confirms it when it has left: that is the pace.  How far it is stands in the store, so whoever goes
on after a kill repeats a few blocks at most.  Nothing is concluded from it: each meter is asked
what it lacks, and is sent that alone.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from openami.cosem.asking.image import unconfirmed_block
from openami.dlms.errors import DlmsError
from openami.dlms.security.broadcast import GroupKeys, seal_broadcast
from openami.dlms.security.counters import InvocationCounter
from openami.exchange.campaign import CampaignState
from openami.exchange.orders import Broadcast, encode_broadcast
from openami.exchange.uplink import BROADCAST_CLIENT
from openami.exchange.waves import Plan
from openami.headend.books import Books
from openami.headend.config import CampaignSettings
from openami.headend.groups import Groups
from openami.headend.holdings import Holdings, MeterElsewhereError
from openami.headend.key_changes import KeyWrap
from openami.headend.uplinks import Uplinks
from openami.runtime.errors import UserError
from openami.store import broadcasts as store
from openami.store import campaigns, releases, supply
from openami.store.broadcasts import GroupState, Run
from openami.store.campaigns import Campaign
from openami.store.leases import Kind, Lease

log = logging.getLogger(__name__)

COUNTERS: Final = 64  # reserved at a time
LEAST: Final = 2  # meters; one is told as well alone, and answers


class Broadcasting:
    """Sends what is to be broadcast through the concentrators that are connected here.

    Attributes:
        blocks: How many blocks were handed over since the start.
    """

    def __init__(  # noqa: PLR0913  its ports, bound in one place
        self,
        settings: CampaignSettings,
        own_title: bytes,
        *,
        books: Books,
        holdings: Holdings,
        uplinks: Uplinks,
        groups: Groups,
        custody: KeyWrap,
        allow: Callable[[Plan], bool],
    ) -> None:
        """Bind the ports.

        Args:
            settings: How long to wait for what.
            own_title: The originator's.
            books: The store.
            holdings: Keeps the leases.
            uplinks: The ways to concentrators.
            groups: Have the keys.
            custody: Opens them.
            allow: Tells whether a plan lets blocks be sent now.
        """
        self.blocks = 0
        self._settings = settings
        self._own_title = own_title
        self._books = books
        self._holdings = holdings
        self._uplinks = uplinks
        self._groups = groups
        self._custody = custody
        self._allow = allow
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._stood: dict[int, tuple[int, float]] = {}  # by run: position, and since when
        self._later_s: dict[int, float] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except UserError as error:
                    log.warning("broadcasts wait: %s", error)
                await asyncio.sleep(self._settings.look_s)
        finally:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        found = await self._books.run(store.open_runs, self._books.engine)
        due = []
        stood = {}
        for one in found:
            campaign = await self._books.run(
                campaigns.campaign, self._books.engine, one.campaign_id
            )
            if self._allow(campaign.plan):
                due.append((one, campaign))
                stood[one.group_id] = self._since(one, now_s)
        self._stood = stood  # what is not due now begins to be late when it is
        for one, campaign in due:
            number = one.group_id
            if number not in self._under_way and self._later_s.get(number, 0.0) <= now_s:
                late = now_s - stood[number][1] >= self._settings.broadcast_wait_s
                task = asyncio.create_task(self._try(one, campaign, late=late))
                self._under_way[number] = task
                task.add_done_callback(partial(self._ended, number))

    def _since(self, one: Run, now_s: float) -> tuple[int, float]:
        position, since_s = self._stood.get(one.group_id, (one.position, now_s))
        return (position, since_s) if position == one.position else (one.position, now_s)

    def _ended(self, number: int, task: "asyncio.Task[None]") -> None:
        del self._under_way[number]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("broadcast %d", number, exc_info=error)  # a fault of ours

    async def _try(self, one: Run, campaign: Campaign, *, late: bool) -> None:
        """Take a broadcast as far as it goes now."""
        if not self._uplinks.stands(one.concentrator) and not late:
            return
        try:
            gathering = one.state is GroupState.GATHERING and not late
            if gathering and await self._books.run(store.gathers, self._books.engine, one):
                return
            lease = await self._holdings.take(Kind.BROADCAST, str(one.group_id))
        except MeterElsewhereError:
            return
        except UserError as error:
            log.info("broadcast %d waits: %s", one.group_id, error)
            return
        try:
            # Somebody else may have gone on with it between our look and our lease.
            seen_at = one.position
            (one,) = await self._books.run(store.run_again, self._books.engine, one)
            if one.state is GroupState.DONE:
                return
            if self._uplinks.stands(one.concentrator):
                await self._send(one, campaign, lease)
            elif one.position == seen_at and not await self._books.run(
                supply.is_up, self._books.engine, one.concentrator
            ):
                await self._end(one, "its concentrator did not come back", lease)
        except (DlmsError, UserError) as error:
            log.info("broadcast %d waits: %s", one.group_id, error)
            now_s = asyncio.get_running_loop().time()
            self._later_s[one.group_id] = now_s + self._settings.later_s
        finally:
            await self._holdings.give_back(lease)

    async def _send(self, one: Run, campaign: Campaign, lease: Lease) -> None:
        run, engine, loop = self._books.run, self._books.engine, asyncio.get_running_loop()
        image = await run(releases.octets_of, engine, campaign.release_id)
        keys = await run(self._groups.group, engine, one.concentrator)
        cipher = GroupKeys(
            encryption=self._custody.unwrap(keys.encryption),
            authentication=self._custody.unwrap(keys.authentication),
        ).cipher()
        titles = tuple(await run(store.listeners, engine, one, keys.epoch))
        await run(store.note_run, engine, one, lease)
        log.info("broadcast %d: %d meters, from %d", one.group_id, len(titles), one.position)
        counters, noted_s = range(0), loop.time()
        while len(titles) >= LEAST and one.position < one.blocks * campaign.plan.broadcast:
            if not counters:
                first = await run(store.reserve, engine, keys.concentrator, keys.epoch, COUNTERS)
                counters = range(first, first + COUNTERS)
            block = one.position % one.blocks
            apdu = unconfirmed_block(image, block, one.block_octets)
            sealed = seal_broadcast(cipher, InvocationCounter(counters[0]), self._own_title, apdu)
            counters = counters[1:]
            order = Broadcast(client=BROADCAST_CLIENT, apdu=sealed, titles=titles)
            try:
                await self._uplinks.order(
                    one.concentrator,
                    partial(encode_broadcast, order),
                    self._settings.broadcast_confirm_s,
                )
            except DlmsError:
                await run(store.note_run, engine, one, lease)
                raise
            self.blocks += 1
            one = replace(
                one,
                position=one.position + 1,
                blocks_sent=one.blocks_sent + 1,
                octets_sent=one.octets_sent
                + min(one.block_octets, len(image) - block * one.block_octets),
            )
            if loop.time() - noted_s >= self._settings.flush_s:
                noted_s = loop.time()
                state = await run(store.note_run, engine, one, lease)
                if state is not CampaignState.RUNNING or not self._allow(campaign.plan):
                    log.info("broadcast %d is put down at %d", one.group_id, one.position)
                    return
        await self._end(one, f"{one.blocks_sent} blocks to {len(titles)} meters", lease)

    async def _end(self, one: Run, note: str, lease: Lease) -> None:
        count = await self._books.run(store.end_run, self._books.engine, one, note, lease)
        log.info("broadcast %d is over, %d meters are asked: %s", one.group_id, count, note)
