# SPDX-License-Identifier: Apache-2.0
"""Firmware of concentrators: each by itself, at a person's word, over its own uplink.

States, proofs and requests are those of meters in a campaign (`exchange.campaign`, `firmware`):
which blocks it has is asked at the concentrator, an activation is durable before it is sent, and
what came of it is read back.  The head-end that has the uplink does it, nobody else can.  Of those
that were asked for together one goes after the other, and the first that comes to nothing good ends
it (`store.concentrator_devices`): its meters keep what they measure meanwhile.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from openami.cosem.asking import image as asking
from openami.cosem.client import Client, ClientParameters, Steps
from openami.cosem.refusals import AccessError
from openami.dlms.errors import DlmsError
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import CLIENT_MANAGEMENT_PROCESS, PUBLIC_CLIENT
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet
from openami.exchange.campaign import FOLLOWED, MeterState, Progress, Runs, judge
from openami.exchange.waves import Plan
from openami.headend import firmware
from openami.headend.books import Books
from openami.headend.firmware import Objects, T
from openami.headend.frame_counter import read_frame_counter
from openami.headend.uplinks import Uplinks
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import concentrator_devices as store
from openami.store import releases
from openami.store.concentrator_devices import ConcentratorUpdate
from openami.store.releases import Release
from openami.transport.session import DlmsSession

log = logging.getLogger(__name__)

S: Final = MeterState
AT: Final = Objects(
    asking.IMAGE, version=Obis(1, 0, 0, 2, 0, 255), signature=Obis(1, 0, 0, 2, 8, 255)
)
FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)
LOOK_S: Final = 1.0
ASK_S: Final = 5.0  # from one question after an activation to the next
ANSWER_S: Final = 30.0
COUNTERS_A_SESSION: Final = 4096
ATTEMPTS_MOST: Final = 10  # in a row that bring no block
LONGEST_PAUSE_S: Final = 60.0
SILENCE_S: Final = 900.0  # after an activation, until it is in doubt


class ConcentratorSession:
    """An association with a concentrator itself, over its uplink."""

    def __init__(self, session: DlmsSession, client: Client) -> None:
        self._session = session
        self.client = client

    async def run(self, steps: Steps[T]) -> T:
        """Hold a conversation."""
        return await self._session.run(steps)


class ConcentratorUpdates:
    """All updates of concentrators that are wanted, as far as this head-end has their uplinks.

    Attributes:
        look_s: From one look at what is wanted to the next.
        ask_s: From one question after an activation to the next.
    """

    look_s = LOOK_S
    ask_s = ASK_S

    def __init__(
        self, books: Books, uplinks: Uplinks, unwrap: Callable[[bytes], bytes], title: bytes
    ) -> None:
        """Bind the ports.

        Args:
            books: The store.
            uplinks: The ways to concentrators.
            unwrap: Takes a key out of its wrapping.
            title: The head-end's.
        """
        self._books, self._uplinks, self._unwrap, self._title = books, uplinks, unwrap, title
        self._busy: set[bytes] = set()
        self._next_s: dict[bytes, float] = {}
        self._there: dict[bytes, tuple[int, int]] = {}  # blocks, of how many

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    await self._look(tasks)
                except UserError as error:
                    log.warning("firmware of concentrators waits: %s", error)
                await asyncio.sleep(self.look_s)

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        now_s = asyncio.get_running_loop().time()
        found_open = await self._books.run(store.updates, self._books.engine, only_open=True)
        for found in store.in_turn(found_open):
            title = found.title
            if title in self._there and title in self._busy:
                there, blocks = self._there[title]
                await self._advance(
                    found, found.state, found.note, blocks=blocks, blocks_there=there
                )
            if title in self._busy or now_s < self._next_s.get(title, 0.0):
                continue
            if self._uplinks.stands(title):
                self._busy.add(title)
                tasks.create_task(self._attempt(found))
            elif found.state in FOLLOWED:
                await self._silent(found, "its uplink is down")

    async def _attempt(self, found: ConcentratorUpdate) -> None:
        title = found.title
        pause_s = self.ask_s
        try:
            if found.state in FOLLOWED:
                await self._ask(found)
            else:
                await self._bring(found)
        except Exception as error:
            if not isinstance(error, UserError | DlmsError):
                log.exception("firmware of concentrator %s", title.hex().upper())  # ours
            log.info("firmware of concentrator %s waits: %s", title.hex().upper(), error)
            pause_s = await self._failed(title, str(error) or repr(error))
        finally:
            self._there.pop(title, None)
            self._next_s[title] = asyncio.get_running_loop().time() + pause_s
            self._busy.discard(title)

    async def _failed(self, title: bytes, cause: str) -> float:
        """Note what an attempt failed of; return how long to wait for the next."""
        rows = await self._books.run(store.updates, self._books.engine, only_open=True)
        found = next((row for row in rows if row.title == title), None)
        if found is None:
            return self.ask_s
        if found.state in FOLLOWED:
            await self._silent(found, cause)
            return self.ask_s
        there, blocks = self._there.get(title, (found.blocks_there, found.blocks))
        attempts = 1 if there > found.blocks_there else found.attempts + 1
        state, note = found.state, cause
        if attempts >= ATTEMPTS_MOST:
            state, note = S.FAILED, f"given up after {attempts} attempts; the last: {cause}"
        await self._advance(
            found, state, note, attempts=attempts, blocks=blocks, blocks_there=there
        )
        return float(min(self.ask_s * 2 ** (attempts - 1), LONGEST_PAUSE_S))

    async def _silent(self, found: ConcentratorUpdate, cause: str) -> None:
        since_s = (real_us() - (found.activated_real_us or real_us())) / MICROSECONDS
        if found.state is not S.IN_DOUBT and since_s >= SILENCE_S:
            note = f"neither proven done nor not done, {since_s:.0f} s after it was told: {cause}"
            await self._advance(found, S.IN_DOUBT, note)

    # The steps ---------------------------------------------------------------------------------

    async def _bring(self, found: ConcentratorUpdate) -> None:
        """Send what is missing, have it verified and started."""
        release = await self._books.run(releases.release, self._books.engine, found.release_id)
        image = await self._books.run(releases.octets_of, self._books.engine, found.release_id)
        async with self._session(found.title) as session:
            await self._brought(session, found, release, image)

    async def _brought(
        self,
        session: ConcentratorSession,
        found: ConcentratorUpdate,
        release: Release,
        image: bytes,
    ) -> None:
        said = await firmware.read_said(session, AT)
        if said.runs(release, Plan(), "") is Runs.RELEASE:
            await self._advance(found, S.SKIPPED, f"it runs {said.version} already")
            return
        note = f"it runs {said.version}"
        moved = await self._move(found, S.TRANSFERRING, note, version_before=said.version)
        if moved is None:
            return
        try:
            await self._send(session, moved, release, image)
        except AccessError as error:
            await self._advance(moved, S.FAILED, f"it refuses the image: {error}")
            return
        note = "it found the image good, and is told to start it"
        if await self._move(moved, S.ACTIVATING, note, activated_real_us=real_us()) is None:
            return  # cancelled meanwhile
        with suppress(DlmsError, UserError):  # from here on only what is read back counts
            await session.run(asking.activate(session.client))

    async def _send(
        self,
        session: ConcentratorSession,
        found: ConcentratorUpdate,
        release: Release,
        image: bytes,
    ) -> None:
        def told(there: int, blocks: int) -> None:
            self._there[found.title] = there, blocks

        progress = await firmware.read_progress(session, AT)
        held = progress is Progress.CHECKED
        if not (held and await firmware.holds_verified(session, AT, release)):
            client = session.client
            await session.run(asking.transfer(client, release.identifier, image, told=told))
        if not await session.run(asking.verify(session.client)):
            raise UserError("the concentrator is verifying the image")

    async def _ask(self, found: ConcentratorUpdate) -> None:
        """Read back what an activation came to."""
        release = await self._books.run(releases.release, self._books.engine, found.release_id)
        async with self._session(found.title) as session:
            said = await firmware.read_said(session, AT)
            progress = await firmware.read_progress(session, AT)
        proven = judge(found.state, said.runs(release, Plan(), found.version_before), progress)
        note = f"it runs {said.version}; {progress.value}"
        await self._advance(found, proven, note, version_after=said.version)

    # Inside ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _session(self, title: bytes) -> AsyncIterator[ConcentratorSession]:
        """Open an association with a concentrator, with counters above those it has taken."""
        keys = await self._books.run(store.keys_of, self._books.engine, title)
        public = self._wired(title, PUBLIC_CLIENT)
        try:
            least = await read_frame_counter(public, FRAME_COUNTER) or 1
        finally:
            self._uplinks.close_session(title, PUBLIC_CLIENT)
        counters = await self._books.run(
            store.reserve, self._books.engine, title, least, COUNTERS_A_SESSION
        )
        parameters = ClientParameters(
            client_sap=CLIENT_MANAGEMENT_PROCESS,
            mechanism=Mechanism.HLS_GMAC,
            cipher=Cipher(
                KeySet(
                    encryption_key=self._unwrap(keys.guek),
                    authentication_key=self._unwrap(keys.gak),
                )
            ),
            system_title=self._title,
            server_title=title,
        )
        block = CounterBlock(counters.start, counters.stop)
        client = Client(parameters, entropy=os.urandom, counters=block)
        session = ConcentratorSession(self._wired(title, CLIENT_MANAGEMENT_PROCESS), client)
        try:
            await session.run(client.associate())
            yield session
            with suppress(DlmsError, UserError):  # it may have begun its new start
                await session.run(client.release())
        finally:
            self._uplinks.close_session(title, CLIENT_MANAGEMENT_PROCESS)

    def _wired(self, title: bytes, client_sap: int) -> DlmsSession:
        session = DlmsSession(lambda apdu: send(apdu), "the concentrator", ANSWER_S)  # noqa: PLW0108
        send = self._uplinks.open_session(title, client_sap, session.feed, session.detach)
        return session

    async def _advance(
        self, found: ConcentratorUpdate, state: MeterState, note: str, **values: object
    ) -> bool:
        done = await self._books.run(
            store.advance, self._books.engine, found, state, note, **values
        )
        if done and state is not found.state:
            title = found.title.hex().upper()
            log.info("firmware of concentrator %s: %s: %s", title, state.value, note)
        return done

    async def _move(
        self, found: ConcentratorUpdate, state: MeterState, note: str, **values: object
    ) -> ConcentratorUpdate | None:
        """Move an update on; return it as it is now, None where somebody else moved it."""
        if not await self._advance(found, state, note, **values):
            return None
        rows = await self._books.run(store.updates, self._books.engine, only_open=True)
        return next((row for row in rows if row.title == found.title), None)
