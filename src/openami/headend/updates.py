# SPDX-License-Identifier: Apache-2.0
"""One meter's update, from what it runs to what it runs then, as far as it goes now.

::

    planned > transferring > transferred > verified > activating > trial > confirmed
                    |              |           |           |          |
                    +--------------+-----------+> failed   +----------+--> reverted, in doubt

What a meter has of an image is asked at the meter.  So whoever goes on after a kill, a lost link
or another client's association sends what is missing and nothing else.  Between blocks the meter,
and the way to it, are left to whoever is more urgent.  An activation is durable before it is sent;
what came of it is read back (`exchange.campaign.JUDGEMENT`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Final, TypeVar

from openami.cosem.asking import image as asking
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.errors import DlmsError
from openami.exchange.campaign import (
    ENDED,
    FOLLOWED,
    CampaignState,
    MeterState,
    Progress,
    Reason,
    Runs,
    judge,
)
from openami.exchange.waves import Plan
from openami.headend import firmware
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.config import CampaignSettings
from openami.headend.eventlog import fetch_events
from openami.headend.firmware import Objects
from openami.headend.groups import Groups
from openami.headend.holdings import MeterElsewhereError
from openami.headend.hours import Hours
from openami.headend.routes import DIRECT
from openami.headend.sessions import Sessions, Urgency
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import campaign_meters as store
from openami.store import releases
from openami.store.broadcasts import Listens
from openami.store.campaign_meters import NotRunningError, Target
from openami.store.campaigns import Campaign
from openami.store.leases import Lease, LostLeaseError
from openami.store.registry import Meter
from openami.store.releases import Release

log = logging.getLogger(__name__)

S: Final = MeterState
T = TypeVar("T")
ASK_MOST_S: Final = 60.0


class _Settled(Exception):  # noqa: N818  nobody's error
    """The meter was moved to another state, and this look at it is over."""


class Burst(Enum):
    """How a burst of blocks ended."""

    DONE = "the meter has all blocks"
    YIELDED = "somebody else's turn"
    LISTENING = "the meter waits for the broadcast to its group"
    PUT_DOWN = "not now: the campaign does not run, or it is not the hour"


@dataclass(slots=True)
class Job:
    """One look at one meter.

    Attributes:
        reached: Whether the meter answered in it.
        missing: Blocks to send over `session`, the next one last.
    """

    target: Target
    lease: Lease
    campaign: Campaign
    release: Release
    meter: Meter
    at: Objects
    reached: bool = False
    session: MeterSession | None = None
    missing: list[int] = field(default_factory=list)
    block_octets: int = 0
    image: bytes = field(default=b"", repr=False)
    noted_s: float = 0.0

    @property
    def plan(self) -> Plan:
        return self.campaign.plan


class Updates:
    """Speaks with the meters.

    Attributes:
        blocks: How many blocks were sent since the start.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: CampaignSettings,
        hours: Hours,
        books: Books,
        sessions: Sessions[MeterSession],
        reachable: Callable[[Meter], bool],
        groups: Groups,
    ) -> None:
        self.blocks = 0
        self._groups = groups
        self._settings = settings
        self._hours = hours
        self._books = books
        self._sessions = sessions
        self._reachable = reachable
        self._octets: dict[str, bytes] = {}
        self._steps: Mapping[MeterState, Callable[[Job], Awaitable[bool]]] = {
            S.PLANNED: self._begin,
            S.TRANSFERRING: self._transfer,
            S.TRANSFERRED: self._verify,
            S.VERIFIED: self._activate,
            **dict.fromkeys(FOLLOWED, self._ask),
        }

    def forget_images(self) -> None:
        """Give back the memory of images, when no campaign runs."""
        self._octets.clear()

    async def attempt(self, job: Job) -> None:
        """Take a meter as far as it goes now; what fails is tried again, so often and no more."""
        try:
            while job.target.state not in ENDED:
                if not await self._steps[job.target.state](job):
                    return
        except LostLeaseError:
            raise
        except _Settled:
            return
        except Exception as error:
            if not isinstance(error, UserError | DlmsError):
                log.exception("firmware of meter %d", job.target.meter_id)  # a fault of ours
            log.info("firmware of meter %d waits: %s", job.target.meter_id, error)
            await self._failed(job, error)

    async def _failed(self, job: Job, error: Exception) -> None:
        cause, tries, target = str(error) or repr(error), job.plan.tries, job.target
        if target.state in FOLLOWED:
            await self._still_unproven(job, cause)
            return
        if isinstance(error, MeterElsewhereError | NotRunningError):  # nothing was tried
            await self._postpone(job, cause, self._settings.later_s, target.attempts)
            return
        attempts = target.attempts + 1
        if attempts >= tries.attempts_most:
            reason = Reason.ATTEMPTS if job.reached else Reason.UNREACHABLE
            note = f"given up after {attempts} attempts that brought nothing; the last: {cause}"
            await self._advance(job, S.FAILED, note, reason=reason)
            return
        await self._postpone(job, cause, tries.pause_s(target.attempts), attempts)

    # The steps: each returns whether to go on at once ------------------------------------------

    async def _begin(self, job: Job) -> bool:
        async def look(session: MeterSession) -> firmware.Said:
            job.reached = True
            said = await firmware.read_said(session, job.at)
            await firmware.read_progress(session, job.at)
            await self._note_firmware(job, said)
            return said

        try:
            said = await self._in_session(job, look)
        except AccessError as error:
            if not firmware.is_missing(error):
                raise
            await self._advance(job, S.SKIPPED, str(error), reason=Reason.NO_OBJECT)
            return False
        plan = job.plan
        seen = {"version_before": said.version}
        if said.runs(job.release, plan, "") is Runs.RELEASE:
            note = f"it says {said.version}"
            await self._advance(
                job, S.SKIPPED, note, reason=Reason.RUNS_ALREADY, version_after=said.version, **seen
            )
            return False
        if plan.from_versions and said.version not in plan.from_versions:
            note = f"it runs {said.version}, not {' or '.join(plan.from_versions)}"
            await self._advance(job, S.SKIPPED, note, reason=Reason.OTHER_VERSION, **seen)
            return False
        note = f"it runs {said.version}"
        await self._advance(job, S.TRANSFERRING, note, began_real_us=real_us(), **seen)
        return True

    async def _transfer(self, job: Job) -> bool:
        await self._load(job)
        while True:
            match await self._in_session(job, partial(self._burst, job)):
                case Burst.DONE:
                    note = f"all {job.target.blocks} blocks are there"
                    await self._advance(
                        job,
                        S.TRANSFERRED,
                        note,
                        attempts=job.target.attempts,
                        transferred_real_us=real_us(),
                    )
                    return True
                case Burst.PUT_DOWN:
                    note = f"put down at block {job.target.blocks_there} of {job.target.blocks}"
                    await self._postpone(job, note, self._settings.later_s, job.target.attempts)
                    return False
                case Burst.LISTENING:
                    return False
                case Burst.YIELDED:
                    pass

    async def _burst(self, job: Job, session: MeterSession) -> Burst:
        """Send blocks until all are there, somebody is more urgent, or the burst was long."""
        job.reached = True
        if session is not job.session:
            await self._take_stock(job, session)
            job.session = session
            if await self._listens(job, session):
                return Burst.LISTENING
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._settings.burst_s
        while job.missing:
            if not await self._may_go_on(job):
                return Burst.PUT_DOWN
            if loop.time() >= end_s or self._sessions.outranked(
                job.target.meter_id, Urgency.UPDATE
            ):
                await self._note(job)
                return Burst.YIELDED
            number = job.missing[-1]
            sent = await session.run(
                asking.send_block(
                    session.client, job.image, number, job.block_octets, at=job.at.transfer
                )
            )
            job.missing.pop()
            self.blocks += 1
            target = job.target
            job.target = replace(
                target,
                blocks_there=target.blocks_there + 1,
                blocks_sent=target.blocks_sent + 1,
                octets_sent=target.octets_sent + sent,
                attempts=0,
            )
        await self._note(job)
        return Burst.DONE

    async def _take_stock(self, job: Job, session: MeterSession) -> None:
        """Ask which blocks are missing, after initiating where ours is not under way."""
        at, meter_id = job.at, job.target.meter_id
        job.block_octets = await firmware.block_octets(session, at)
        blocks = -(-job.release.size // max(1, job.block_octets))
        progress = await firmware.read_progress(session, at)
        if progress in {Progress.CHECKING, Progress.ACTIVATING}:
            raise UserError(f"meter {meter_id} is busy: {progress.value}")
        there = ""
        if progress is Progress.CHECKED and await self._is_ours(job, session):
            there = "1" * blocks  # verified by somebody already
        elif progress is Progress.RECEIVING and job.target.initiated:
            there = await session.run(asking.received(session.client, at=at.transfer))
        if len(there) != blocks:
            if job.target.blocks_heard:
                await self._groups.put_out(session)
            await firmware.enable(session, at)
            there = await self._initiated(job, session)
        if len(there) != blocks:
            raise UserError(f"meter {meter_id} tells of {len(there)} blocks, not of {blocks}")
        if job.target.listens == Listens.OVER:
            heard = max(0, there.count("1") - job.target.blocks_there)
            job.target = await self._groups.alone(job.target, job.lease, heard)
        job.missing = [number for number, mark in enumerate(there) if mark == "0"][::-1]
        job.target = replace(job.target, blocks=blocks, blocks_there=blocks - len(job.missing))
        await self._note(job)

    async def _listens(self, job: Job, session: MeterSession) -> bool:
        """Let a meter wait for the broadcast to its group, where there is to be one."""
        if not (job.missing and job.plan.broadcast and job.target.listens == Listens.NOT_YET):
            return False
        through = session.hops != DIRECT
        octets = job.block_octets
        if through and await self._groups.waits(job.target, session, octets, job.lease):
            return True
        job.target = await self._groups.alone(job.target, job.lease)
        return False

    async def _is_ours(self, job: Job, session: MeterSession) -> bool:
        return await firmware.holds_verified(session, job.at, job.release)

    async def _initiated(self, job: Job, session: MeterSession) -> str:
        """Initiate the transfer; return which blocks the meter has."""
        release, client, at = job.release, session.client, job.at.transfer
        job.target = await self._books.run(
            store.initiates, self._books.engine, job.target, lease=job.lease
        )
        try:
            await session.run(asking.initiate(client, release.identifier, release.size, at=at))
        except AccessError as error:
            if error.result is ActionResult.TEMPORARY_FAILURE:
                raise
            await self._advance(job, S.FAILED, str(error), reason=Reason.REFUSED)
            raise _Settled from error
        return await session.run(asking.received(client, at=at))

    async def _may_go_on(self, job: Job) -> bool:
        """Note how far the transfer is, now and then; tell whether it may go on."""
        most = round(job.plan.tries.octets_times * job.release.size)
        if job.target.octets_sent > most:
            note = f"{job.target.octets_sent} octets were sent of an image of {job.release.size}"
            await self._advance(job, S.FAILED, note, reason=Reason.OCTETS)
            raise _Settled
        now_s = asyncio.get_running_loop().time()
        if now_s - job.noted_s < self._settings.flush_s:
            return True
        return await self._note(job) and self._hours.allow(job.plan)

    async def _note(self, job: Job) -> bool:
        """Write how far the transfer is; tell whether its campaign runs."""
        state = await self._books.run(
            store.progress, self._books.engine, job.target, lease=job.lease
        )
        job.noted_s = asyncio.get_running_loop().time()
        return state is CampaignState.RUNNING

    async def _verify(self, job: Job) -> bool:
        async def look(session: MeterSession) -> tuple[bool, str]:
            job.reached = True
            try:
                if not await session.run(asking.verify(session.client, at=job.at.transfer)):
                    return False, ""
            except AccessError as error:
                return False, str(error)
            if not await self._is_ours(job, session):
                return False, "it has verified another image than ours"
            return True, ""

        good, refusal = await self._in_session(job, look)
        target = job.target
        if good:
            due_us = self._hours.activation_us(job.plan)
            note = f"the meter found the image good; to be started at {self._hours.text(due_us)}"
            await self._advance(job, S.VERIFIED, note, attempts=target.attempts, activate_us=due_us)
            return due_us <= self._hours.now_us()
        if not refusal:
            raise UserError("the meter is verifying the image")
        if target.blocks_sent < target.blocks and target.initiated < 2:
            # Blocks of somebody else's transfer were among ours: once more, all from us.
            job.session = None  # it is asked again what it has, also where the association stands
            again = target.attempts + 1
            await self._advance(job, S.TRANSFERRING, f"begun anew: {refusal}", attempts=again)
            return True
        await self._advance(job, S.FAILED, refusal, reason=Reason.NOT_VERIFIED)
        return False

    async def _activate(self, job: Job) -> bool:
        """Have the image started.  From here on only what is read back counts."""
        attempts = job.target.attempts
        if attempts >= job.plan.tries.attempts_most:
            note = f"asked {attempts} times to start the image, it stays where it was"
            await self._advance(job, S.FAILED, note, reason=Reason.NOT_ACTIVATED)
            return False
        sent = False

        async def start(session: MeterSession) -> None:
            nonlocal sent
            job.reached = True
            progress = await firmware.read_progress(session, job.at)
            if progress is not Progress.CHECKED or not await self._is_ours(job, session):
                note = f"it has lost the image: {progress.value}"
                await self._advance(job, S.TRANSFERRING, note, attempts=attempts + 1)
                raise _Settled
            note = f"told to start it, through {session.hops}"
            await self._advance(
                job,
                S.ACTIVATING,
                note,
                attempts=attempts + 1,
                activated_real_us=real_us(),
                pause_s=self._settings.ask_s,
                only_running=True,
            )
            sent = True
            session.retire()  # the meter restarts under it
            await session.run(asking.activate(session.client, at=job.at.transfer))

        try:
            await self._in_session(job, start)
        except (DlmsError, UserError) as error:
            if not sent or isinstance(error, LostLeaseError):
                raise
            log.info("activation at meter %d: %s", job.target.meter_id, error)
        return False

    async def _ask(self, job: Job) -> bool:
        """Read back what an activation came to."""

        async def look(session: MeterSession) -> tuple[MeterState, firmware.Said, str]:
            job.reached = True
            said = await firmware.read_said(session, job.at)
            progress = await firmware.read_progress(session, job.at)
            await self._note_firmware(job, said)
            runs = said.runs(job.release, job.plan, job.target.version_before)
            found = judge(job.target.state, runs, progress)
            if found in ENDED:
                try:  # alarms are to be known when the rules are looked at
                    await fetch_events(session, self._books, self._hours.now_us())
                except (UserError, DlmsError) as error:
                    log.info("meter %d: event log: %s", job.target.meter_id, error)
            return found, said, f"it runs {said.version}; {progress.value}"

        found, said, note = await self._in_session(job, look)
        attempts = job.target.attempts
        if found is job.target.state:
            await self._postpone(job, note, self._pause_s(job), attempts)
            return False
        pause_s = 0.0 if found is S.VERIFIED else self._settings.ask_s
        seen = {"version_after": said.version, "attempts": attempts}
        await self._advance(job, found, note, pause_s=pause_s, **seen)
        return False

    async def _still_unproven(self, job: Job, cause: str) -> None:
        target = job.target
        since_s = (real_us() - (target.activated_real_us or real_us())) / MICROSECONDS
        if target.state is not S.IN_DOUBT and since_s >= job.plan.silence_s:
            note = f"neither proven done nor not done, {since_s:.0f} s after it was told: {cause}"
            await self._advance(
                job, S.IN_DOUBT, note, pause_s=self._pause_s(job), attempts=target.attempts
            )
        else:
            await self._postpone(job, cause, self._pause_s(job), target.attempts)

    def _pause_s(self, job: Job) -> float:
        """Return how long to wait before an activation is asked after again: as long as it took."""
        since_us = real_us() - (job.target.activated_real_us or real_us())
        return min(max(since_us / MICROSECONDS / 4, self._settings.ask_s), ASK_MOST_S)

    # Inside ------------------------------------------------------------------------------------

    async def _in_session(self, job: Job, work: Callable[[MeterSession], Awaitable[T]]) -> T:
        if not self._reachable(job.meter):
            raise UserError(f"meter {job.target.meter_id} has no route now")
        return await self._sessions.run(job.target.meter_id, Urgency.UPDATE, work)

    async def _load(self, job: Job) -> None:
        name = job.release.release_id
        if name not in self._octets:
            found = await self._books.run(releases.octets_of, self._books.engine, name)
            self._octets[name] = found
        job.image = self._octets[name]

    async def _note_firmware(self, job: Job, said: firmware.Said) -> None:
        await self._books.run(
            releases.note_firmware,
            self._books.engine,
            job.target.meter_id,
            said.version,
            said.signature,
        )

    async def _advance(self, job: Job, state: MeterState, note: str, **values: object) -> None:
        advance = partial(store.advance, lease=job.lease, **values)  # type: ignore[arg-type]
        job.target = await self._books.run(advance, self._books.engine, job.target, state, note)
        now = job.target
        log.info("firmware of meter %d: %s: %s", now.meter_id, now.state.value, now.note)

    async def _postpone(self, job: Job, note: str, pause_s: float, attempts: int) -> None:
        await self._books.run(
            store.postpone,
            self._books.engine,
            job.target,
            note,
            pause_s=pause_s,
            attempts=attempts,
            lease=job.lease,
        )
