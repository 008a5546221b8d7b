# SPDX-License-Identifier: Apache-2.0
"""Meters' keys are changed while reading goes on: by group, one by one, resumable at every step.

::

    nothing -> prepared -> sent -> active       DLMS UA 1000-1 Ed. 12, 4.4.7 (key_transfer)
               (durable)   (CAS)   (proven by an association under the new keys)

In suites 1 and 2 a new master key is agreed on (key_agreement) where the companion profile says
that the meter does so, and wraps the keys that are transferred next, in the same association.  An
answer that is lost leaves a master key that only the meter knows.  Nothing but a transfer needs
it: the keys of associations hold, and the next try agrees anew.

A change goes on where its epoch stands (`store.keys`), whoever began it.  Nothing is concluded from
a refusal, a lost answer or an answer that does not open: once keys were sent, the next association
is tried under both epochs, and what the meter answers under is what it holds.  So a head-end that
is killed at any step, or a meter that loses its power there, leaves two epochs of which one holds.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from openami.cosem.classes.access_control import KeyId, SecuritySetup, SecuritySetupV1
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import KeyOffer, wrap_keys
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.agreement import Parties
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.suites import SecuritySuite
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.config import WorklistSettings
from openami.headend.directory import Directory
from openami.headend.holdings import Holdings
from openami.headend.sessions import Sessions, Urgency
from openami.headend.worklist import Sort, Trying, Worklist
from openami.runtime.errors import UserError
from openami.store import key_changes as store
from openami.store import keys
from openami.store.key_changes import ChangeState, KeyChange
from openami.store.keys import KeyEpoch, KeyState
from openami.store.leases import Lease
from openami.store.registry import Meter

log = logging.getLogger(__name__)

KEY_OCTETS: Final = 16  # of the keys of groups, which are of suite 0 whatever a meter is of
COUNTERS: Final = 8  # of a transfer or an agreement: the service, and some to spare
TRANSFER: Final = 'if its model never does, say [keys] master_key = "transferred" in its profile'
KEY_IDS: Final = {
    "guek": KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY,
    "gak": KeyId.AUTHENTICATION_KEY,
    "kek": KeyId.MASTER_KEY,
}


class KeyWrap(Protocol):
    """Custody of the head-end's keys: `access.custody`."""

    def wrap(self, key: bytes) -> bytes:
        """Return a key as it may rest in the database."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the key inside."""


@dataclass(slots=True)
class Attempt:
    """One look at a change.

    Attributes:
        epoch: Prepared for it; None: not yet.
        refusal: What the meter said when they were sent.
    """

    epoch: int | None
    refusal: str = ""

    def give_up(self, change: KeyChange) -> None:
        """Let another epoch be prepared, after a pause if this one was sent just now.

        Raises:
            UserError: It was.
        """
        if self.epoch != change.epoch:
            raise UserError(f"meter {change.meter_id} did not take epoch {self.epoch} over")
        self.epoch = None


class KeyChanges:
    """Carries out the open changes of the store.

    Attributes:
        changed: How many meters have answered under new keys.
        work: The open changes.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: WorklistSettings,
        books: Books,
        directory: Directory,
        sessions: Sessions[MeterSession],
        custody: KeyWrap,
        reachable: Callable[[Meter], bool],
        holdings: Holdings,
    ) -> None:
        self.changed = 0
        self._settings = settings
        self._books = books
        self._directory = directory
        self._sessions = sessions
        self._custody = custody
        self._reachable = reachable
        self.work: Worklist[KeyChange] = Worklist(
            "key change",
            [Sort(store.claim, self._try)],
            books,
            holdings,
            parallel=settings.parallel,
            look_s=settings.look_s,
        )

    async def _try(self, change: KeyChange, lease: Lease) -> None:
        postpone = partial(store.postpone, self._books.engine, change.change_id, lease=lease)
        what = f"key change of meter {change.meter_id}"
        trying = Trying(what, self._settings, change.attempts, postpone)
        await trying.run(self._books, lambda: self._go_on(change))

    async def _go_on(self, change: KeyChange) -> None:
        attempt = Attempt(change.epoch)

        async def transfer(session: MeterSession) -> None:
            await self._transfer(change, session, attempt)

        while True:
            match await self._stands(change.meter_id, attempt.epoch):
                case None:
                    attempt.epoch = await self._prepare(change)
                case KeyState.PREPARED:
                    await self._in_session(change, transfer)
                case KeyState.SENT:
                    self._directory.forget_keys(change.meter_id)
                    await self._in_session(change, self._look_which_holds)
                case KeyState.VOID if attempt.refusal:
                    await self._end(change, ChangeState.REFUSED, attempt.refusal)
                    return
                case KeyState.VOID:
                    attempt.give_up(change)
                case KeyState.ACTIVE | KeyState.RETIRED:
                    await self._end(change, ChangeState.CHANGED, f"epoch {attempt.epoch} holds")
                    self.changed += 1
                    return

    async def _stands(self, meter_id: int, epoch: int | None) -> KeyState | None:
        if epoch is None:
            return None
        known = await self._books.run(keys.epochs, self._books.engine, meter_id)
        return next(each.state for each in known if each.epoch == epoch)

    async def _prepare(self, change: KeyChange) -> int:
        *_, active = self._directory.sealing_ciphers(change.meter_id)
        octets = active.cipher.keys.suite.key_octets
        fresh = {name: self._custody.wrap(os.urandom(octets)) for name in change.key_names}
        return await self._books.run(store.prepare, self._books.engine, change, fresh)

    async def _in_session(
        self, change: KeyChange, job: Callable[[MeterSession], Awaitable[None]]
    ) -> None:
        if not self._reachable(self._directory.by_id(change.meter_id)):
            raise UserError(f"meter {change.meter_id} cannot be reached now")
        await self._sessions.run(change.meter_id, Urgency.BACKFILL, job)

    async def _transfer(self, change: KeyChange, session: MeterSession, attempt: Attempt) -> None:
        """Send the prepared keys, wrapped by the master key that the meter holds."""
        known = await self._books.run(keys.epochs, self._books.engine, change.meter_id)
        fresh = next((each for each in known if each.state is KeyState.PREPARED), None)
        held = next(each for each in known if each.epoch == session.epoch)
        if fresh is None:
            return  # another worker was first
        if held.state is not KeyState.ACTIVE:
            session.retire()
            raise UserError(f"meter {change.meter_id}: the association is under former keys")
        setup = self._directory.companion(session.meter).objects.get("security_setup")
        if setup is None:
            raise UserError(
                f"the companion profile of meter {change.meter_id} has no security setup"
            )
        master_key, names = self._custody.unwrap(held.master_key), change.key_names
        if self._agrees(change, session, held):
            try:
                master_key = await self._agree(session, fresh, setup)
            except AccessError as refusal:
                attempt.refusal = f"the meter agrees on no master key ({refusal}): {TRANSFER}"
                await self._books.run(
                    keys.void_unsent,
                    self._books.engine,
                    fresh.meter_id,
                    fresh.epoch,
                    attempt.refusal,
                )
                return
            names = tuple(name for name in names if name != keys.MASTER_KEY)
        argument = wrap_keys(
            MasterKey(master_key),
            {KEY_IDS[name]: self._custody.unwrap(fresh.wrapped[name]) for name in names},
        )
        block = await session.reserve(COUNTERS)
        note = f"sent through {session.hops}, invocation counters from {block.start}"
        if not await self._sent(fresh, note):
            return
        session.retire()
        self._directory.forget_keys(change.meter_id)
        try:
            await session.run(session.client.act(SecuritySetup.key_transfer, argument, at=setup))
        except AccessError as refusal:
            attempt.refusal = str(refusal)
        except (DlmsError, UserError) as error:
            # Lost, or answered under keys that we did not expect: which hold is looked at next.
            log.info("key transfer to meter %d: %s", change.meter_id, error)

    def _agrees(self, change: KeyChange, session: MeterSession, held: KeyEpoch) -> bool:
        """Tell whether a master key is agreed on: it is to be new, or nobody here knows it."""
        cipher = session.client.parameters.cipher
        able = cipher is not None and cipher.keys.suite != SecuritySuite.AES_GCM_128
        wanted = keys.MASTER_KEY in change.key_names or held.master_key_in_doubt
        return able and wanted and self._directory.companion(session.meter).agrees

    async def _agree(self, session: MeterSession, fresh: KeyEpoch, setup: Obis) -> bytes:
        """Agree on a master key, and put it into the epoch `fresh`.

        Raises:
            AccessError: The meter refuses.
            DlmsError: Its half is not signed by it.
            UserError: Its answer is lost, or another worker was first.
        """
        channel = session.client.channel
        if channel is None or channel.credentials is None:
            raise UserError(f"meter {fresh.meter_id}: the association has no key pairs to agree by")
        parties = Parties(u=channel.own_title, v=channel.peer_title)
        offer = KeyOffer.of(KeyId.MASTER_KEY, parties, channel.credentials)
        engine, meter_id = self._books.engine, fresh.meter_id
        block = await session.reserve(COUNTERS)
        note = f"agreeing on a master key through {session.hops}, counters from {block.start}"
        await self._books.run(keys.begin_agreement, engine, session.lease, meter_id, note)
        act = session.client.act(SecuritySetupV1.key_agreement, (offer.data,), at=setup)
        master_key = offer.key(await session.run(act))
        wrapped, note = self._custody.wrap(master_key), "its master key is agreed on"
        if not await self._books.run(
            keys.end_agreement, engine, session.lease, meter_id, fresh.epoch, wrapped, note
        ):
            raise UserError(f"the key change of meter {meter_id} was withdrawn: ask anew")
        return master_key

    async def _sent(self, fresh: KeyEpoch, note: str) -> bool:
        return await self._books.run(
            keys.step,
            self._books.engine,
            fresh.meter_id,
            fresh.epoch,
            {KeyState.PREPARED},
            KeyState.SENT,
            note,
        )

    async def _look_which_holds(self, session: MeterSession) -> None:
        """Need an association that was opened after the keys were sent: opening it proves."""
        if KeyState.SENT in {
            each.state for each in self._directory.ciphers(session.meter.meter_id)
        }:
            session.retire()

    async def _end(self, change: KeyChange, state: ChangeState, note: str) -> None:
        await self._books.run(store.end, self._books.engine, change.change_id, state, note)
        log.info("keys of meter %d: %s: %s", change.meter_id, state.value, note)
