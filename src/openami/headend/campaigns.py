# SPDX-License-Identifier: Apache-2.0
"""Firmware campaigns carried out: whose turn it is, and what follows from how a wave stands.

Every head-end over the store conducts: it opens the next wave, or stops the campaign
(`store.campaigns.conduct`).  Each works on the meters that it can reach, under leases; what is said
to one of them is in `updates`.  Meters that were told to start an image are followed to their end
also where the campaign is paused, stopped or cancelled.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from zoneinfo import ZoneInfo

from openami.exchange.campaign import FOLLOWED, CampaignState, MeterState, Reason
from openami.exchange.waves import Next
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.broadcasting import Broadcasting
from openami.headend.config import CampaignSettings
from openami.headend.directory import Directory
from openami.headend.firmware import Objects
from openami.headend.groups import Groups
from openami.headend.holdings import Holdings
from openami.headend.hours import Hours
from openami.headend.key_changes import KeyWrap
from openami.headend.sessions import Sessions
from openami.headend.updates import Job, Updates
from openami.headend.uplinks import Uplinks
from openami.headend.worklist import Sort, Worklist
from openami.runtime.errors import UserError
from openami.store import campaign_meters as store
from openami.store import campaigns, releases
from openami.store.campaign_meters import Target
from openami.store.campaigns import Campaign
from openami.store.database import Database
from openami.store.leases import Lease, Worker
from openami.store.registry import Meter

log = logging.getLogger(__name__)


class Campaigns:
    """All campaigns of the store, as far as this head-end reaches their meters.

    Attributes:
        work: The meters under way.
        following: Those that were told to start an image: many that are silent keep no place
            from those that are still to get it.
        updates: Speaks with them.
        broadcasting: Speaks to many of them at once.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: CampaignSettings,
        zone: str,
        books: Books,
        holdings: Holdings,
        directory: Directory,
        sessions: Sessions[MeterSession],
        reachable: Callable[[Meter], bool],
        now_us: Callable[[], int],
        *,
        own_title: bytes,
        uplinks: Uplinks,
        custody: KeyWrap,
    ) -> None:
        self._settings = settings
        self._books = books
        self._directory = directory
        self._hours = Hours(ZoneInfo(zone), now_us)
        groups = Groups(books, custody)
        self.updates = Updates(settings, self._hours, books, sessions, reachable, groups)
        self.broadcasting = Broadcasting(
            settings,
            own_title,
            books=books,
            holdings=holdings,
            uplinks=uplinks,
            groups=groups,
            custody=custody,
            allow=self._hours.allow,
        )
        self._carrying: Counter[tuple[str, bytes]] = Counter()  # campaign and concentrator
        self._places: dict[tuple[str, bytes], asyncio.Semaphore] = {}
        self.work: Worklist[Target] = Worklist(
            "firmware",
            [Sort(partial(self._claim, follow=False), self._try)],
            books,
            holdings,
            parallel=settings.parallel,
            look_s=settings.look_s,
        )
        self.following: Worklist[Target] = Worklist(
            "firmware that was started",
            [Sort(partial(self._claim, follow=True), self._try)],
            books,
            holdings,
            parallel=settings.follow_parallel,
            look_s=settings.look_s,
        )

    async def run(self) -> None:
        """Conduct and work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.work.run())
            tasks.create_task(self.following.run())
            tasks.create_task(self.broadcasting.run())
            tasks.create_task(self._conduct())

    async def _conduct(self) -> None:
        while True:
            try:
                running = await self._books.run(self._running, self._books.engine)
                for found in running:
                    name = found.campaign_id
                    done = await self._books.run(campaigns.conduct, self._books.engine, name)
                    if done.next is not Next.WAIT:
                        log.info("campaign %s: %s: %s", found.name, done.next.value, done.why)
                if not running:
                    self.updates.forget_images()
            except UserError as error:
                log.warning("campaigns wait: %s", error)
            await asyncio.sleep(self._settings.look_s)

    @staticmethod
    def _running(database: Database) -> list[Campaign]:
        return campaigns.campaigns(database, states=[CampaignState.RUNNING])

    # Which meters ------------------------------------------------------------------------------

    def _claim(
        self, database: Database, worker: Worker, *, seconds: float, limit: int, follow: bool
    ) -> list[tuple[Target, Lease]]:
        running = {found.campaign_id: found.plan for found in self._running(database)}
        return store.claim(
            database,
            worker,
            seconds=seconds,
            limit=limit,
            follow=follow,
            sending=[name for name, plan in running.items() if self._hours.allow(plan)],
            calendar_us=self._hours.now_us(),
            full=[
                concentrator
                for (name, concentrator), count in list(self._carrying.items())
                if name in running and count >= running[name].per_concentrator
            ],
        )

    async def _try(self, target: Target, lease: Lease) -> None:
        job = await self._job(target, lease)
        if job is None:
            return
        if target.state in FOLLOWED or target.state is MeterState.VERIFIED:
            await self.updates.attempt(job)
            return
        place = target.campaign_id, job.meter.concentrator
        slots = self._places.setdefault(place, asyncio.Semaphore(job.plan.per_concentrator))
        self._carrying[place] += 1
        try:
            async with slots:
                await self.updates.attempt(job)
        finally:
            self._carrying[place] -= 1
            if not self._carrying[place]:  # nobody has a place, or waits for one
                del self._carrying[place], self._places[place]

    async def _job(self, target: Target, lease: Lease) -> Job | None:
        run, engine = self._books.run, self._books.engine
        campaign = await run(campaigns.campaign, engine, target.campaign_id)
        release = await run(releases.release, engine, campaign.release_id)
        meter = self._directory.by_id(target.meter_id)
        at = Objects.of(self._directory.companion(meter).objects)
        if at is None:
            note = "its companion profile names no image transfer, or no firmware version"
            await run(
                store.advance,
                engine,
                target,
                MeterState.SKIPPED,
                note,
                lease=lease,
                reason=Reason.NO_OBJECT,
            )
            return None
        return Job(target, lease, campaign, release, meter, at)
