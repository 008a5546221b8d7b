# SPDX-License-Identifier: Apache-2.0
"""Commands carried out as durable intents (docs/architecture.md, 7).

::

    requested -> reserved -> sent -> confirmed | refused | failed | in doubt

Before anything is sent, the command's block of invocation counters is durable in its row.  After a
failure, and after a restart, the meter is asked for its state (`conduct`).  That question travels
under higher counters than the command's, and a meter accepts rising counters only: once it is
answered, the command can not be carried out any more, so a state other than the one asked for
proves that it was not done.  While the meter cannot be asked, the command is in doubt and shown so;
it is never sent a second time.

A command is worked on under a lease.  Whose worker dies or loses its way to the meter is taken over
by the one that has the way; it asks the meter, and never sends again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from sqlalchemy import Connection

from openami.cosem.refusals import AccessError
from openami.dlms.errors import DlmsError
from openami.exchange.commands import TRANSITIONS, CommandKind, CommandState
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.conduct import Conduct, Json, NotAllowedError, Outcome
from openami.headend.conductor import Conductor
from openami.headend.config import CommandSettings
from openami.headend.eventlog import fetch_events
from openami.headend.holdings import Holdings
from openami.headend.ledger import Ledger, items_of
from openami.headend.orders import Order, OrderError, order_of
from openami.headend.sessions import Sessions, Urgency
from openami.headend.worklist import Sort, Worklist, pause_s
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import commands as store
from openami.store import live
from openami.store.commands import BEGUN, Argument, Command
from openami.store.database import Database
from openami.store.leases import Lease, LostLeaseError, Worker

log = logging.getLogger(__name__)

LOOK_S: Final = 0.2
COUNTERS: Final = 16  # of a command: the service, its read-back, and some to spare
DOUBT_AFTER_S: Final = 20.0  # without an answer to the read-back
ASK_FIRST_S: Final = 1.0
ASK_MOST_S: Final = 60.0
LOOKED_BACK: Final = 100  # commands of a meter, when earlier ones are settled

UNSETTLED: Final = BEGUN | {CommandState.IN_DOUBT}


class Commands:
    """Carries out what pages and tools ask for.

    Attributes:
        work: What is under way.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: CommandSettings,
        books: Books,
        holdings: Holdings,
        sessions: Sessions[MeterSession],
        conductor: Conductor,
        reachable: Callable[[int], bool],
        now_us: Callable[[], int],
    ) -> None:
        self.doubt_after_s = DOUBT_AFTER_S
        self.ask_first_s = ASK_FIRST_S
        self.settings = settings
        self._books = books
        self._conductor = conductor
        self._sending: set[str] = set()
        self._reachable = reachable
        self._sessions = sessions
        self._now_us = now_us
        self.work: Worklist[Command] = Worklist(
            "command",
            [Sort(_claim_requested, self._carry_out), Sort(self._claim_unsettled, self._left)],
            books,
            holdings,
            parallel=settings.parallel,
            look_s=LOOK_S,
        )

    def _claim_unsettled(
        self, database: Database, worker: Worker, *, seconds: float, limit: int
    ) -> list[tuple[Command, Lease]]:
        doubt_s = self.doubt_after_s
        return store.claim_unsettled(
            database, worker, seconds=seconds, limit=limit, doubt_after_s=doubt_s
        )

    async def _carry_out(self, command: Command, lease: Lease) -> None:
        """Do one command; leave it requested when its meter could not be reached."""
        began = False

        async def job(session: MeterSession) -> None:
            nonlocal began
            await self._settle_earlier(command, session)
            block = await session.reserve(COUNTERS)
            note = f"invocation counters {block.start} to {block.stop - 1} reserved"
            began = await self._step(
                command,
                {CommandState.REQUESTED},
                CommandState.RESERVED,
                note,
                lease=lease,
                counters=block,
            )
            if began:
                await self._send(command, session, lease)

        try:
            await self._sessions.run(command.meter_id, Urgency.of(command.priority), job)
        except LostLeaseError:
            raise
        except Exception as error:
            if not isinstance(error, UserError | DlmsError):
                log.exception("command %s", command.command_id)  # a fault of ours
            if began:
                log.warning("command %s: %s; asking the meter", command.command_id, error)
                await self._broke_off(command, lease, str(error) or repr(error))
            else:
                log.info("command %s waits: %s", command.command_id, error)
                await self._postpone(command, lease, str(error))

    async def _broke_off(self, command: Command, lease: Lease, cause: str) -> None:
        """End what was never sent; ask the meter about what may have been."""
        now = await self._books.run(store.command, self._books.engine, command.command_id)
        if now.state is not CommandState.RESERVED:
            await self._settle(now, lease, cause)
            return
        note = f"it was never sent: {cause}"
        await self._step(now, {CommandState.RESERVED}, CommandState.FAILED, note, lease=lease)

    async def _postpone(self, command: Command, lease: Lease, cause: str) -> None:
        """Try later what reached no meter, with growing pauses; give up after many attempts."""
        rest_s = pause_s(self.settings, command.attempts)
        engine = self._books.engine
        attempts = await self._books.run(store.postpone, engine, command.command_id, rest_s, lease)
        if attempts >= self.settings.attempts_most:
            note = f"given up after {attempts} attempts to reach the meter; the last: {cause}"
            requested = {CommandState.REQUESTED}
            await self._step(command, requested, CommandState.FAILED, note, lease=lease)

    async def _settle_earlier(self, command: Command, session: MeterSession) -> None:
        """Read back what earlier commands came to, before this one changes it."""
        known = await self._books.run(
            store.commands,
            self._books.engine,
            meter_id=command.meter_id,
            states=UNSETTLED,
            limit=LOOKED_BACK,
        )
        for found in reversed(known):
            # One that gives way to us in its own association has nothing open.
            if found.command_id in self._sending or found.kind is CommandKind.READ:
                continue
            try:
                await self._judge(found, session, "it was settled before the next command")
            except (UserError, DlmsError) as error:
                if isinstance(error, LostLeaseError) or not session.usable:
                    raise
                # The meter answers, and does not tell: that must not keep it from all that follows.
                note = f"neither proven done nor not done: {error}"
                await self._step(found, BEGUN, CommandState.IN_DOUBT, note)

    async def _send(self, command: Command, session: MeterSession, lease: Lease) -> None:
        reserved = {CommandState.RESERVED}
        if command.valid_until_real_us < real_us():
            note = "its validity ended before it was sent"
            await self._step(command, reserved, CommandState.FAILED, note, lease=lease)
            return
        try:
            order = order_of(command.kind, command.argument)
        except OrderError as error:
            await self._step(command, reserved, CommandState.FAILED, str(error), lease=lease)
            return
        ledger = Ledger(command.kind, order)
        self._sending.add(command.command_id)
        try:
            changed = await self._send_each(command, order, ledger, session, lease)
        finally:
            self._sending.discard(command.command_id)
        await self._close(command, ledger, {CommandState.RESERVED, CommandState.SENT})
        if not changed:
            return
        try:
            await fetch_events(session, self._books, self._now_us())
        except (UserError, DlmsError) as error:  # the command is settled all the same
            log.info("meter %d: event log: %s", command.meter_id, error)

    async def _send_each(
        self,
        command: Command,
        order: Order,
        ledger: Ledger,
        session: MeterSession,
        lease: Lease,
    ) -> bool:
        """Do one order after another; tell whether the meter may be another than before."""
        changed = sent = False
        for number, (kind, each) in enumerate(items_of(command.kind, order)):
            if number:
                await self._sessions.give_way(command.meter_id, Urgency.of(command.priority))
            try:
                conduct = await self._conductor.of(kind, each, session, command.asked_by)
                before = await conduct.before(session)
            except (NotAllowedError, AccessError) as error:
                ledger.end(number, Outcome(CommandState.FAILED, str(error), {}))
            else:
                ledger.sent(number, before)
                await self._about_to_send(command, ledger, session, lease, first=not sent)
                sent, changed = True, changed or conduct.changes
                ledger.end(number, await _sent(conduct, session, before))
            if ledger.stops(number):
                break
        return changed

    async def _about_to_send(
        self, command: Command, ledger: Ledger, session: MeterSession, lease: Lease, *, first: bool
    ) -> None:
        """Make durable that an order is sent, and what has to be known to prove it."""
        kept = ledger.as_json()
        if not first:
            engine, command_id = self._books.engine, command.command_id
            await self._books.run(store.progress, engine, command_id, kept, lease)
            return
        note, reserved = f"sent through {session.hops}", {CommandState.RESERVED}
        if not await self._step(
            command, reserved, CommandState.SENT, note, lease=lease, result=kept
        ):
            raise LostLeaseError(f"command {command.command_id} was settled by another worker")

    async def _judge(self, command: Command, session: MeterSession, cause: str) -> None:
        """Close a command with what the meter says of itself."""
        engine, command_id = self._books.engine, command.command_id
        now = await self._books.run(store.command, engine, command_id)
        if now.state not in UNSETTLED:
            return
        order = order_of(now.kind, now.argument)
        ledger = Ledger.kept(now.kind, order, now.result)
        for number, (kind, each) in enumerate(items_of(now.kind, order)):
            if ledger.is_open(number):
                conduct = await self._conductor.of(kind, each, session, now.asked_by)
                outcome = Outcome(CommandState.FAILED, f"not read: {cause}", {})
                if conduct.changes:
                    outcome = await conduct.prove(session, ledger.entries[number].before)
                ledger.end(number, outcome)
        await self._close(now, ledger, UNSETTLED)

    async def _close(
        self, command: Command, ledger: Ledger, from_states: Collection[CommandState]
    ) -> None:
        outcome = ledger.outcome()
        await self._step(command, from_states, outcome.state, outcome.note, result=outcome.result)

    async def _left(self, command: Command, lease: Lease) -> None:
        """Ask what became of a command of a worker that died, or lost its way to the meter."""
        log.warning(
            "command %s (%s of meter %d) was left %s: asking the meter",
            command.command_id,
            command.kind.value,
            command.meter_id,
            command.state.value,
        )
        await self._settle(command, lease)

    async def _settle(
        self, command: Command, lease: Lease, cause: str = "the head-end was restarted"
    ) -> None:
        """Ask the meter for its state until it answers; say after a while that we do not know."""
        if command.kind is CommandKind.READ:
            note = f"not read: {cause}"
            await self._step(command, BEGUN, CommandState.FAILED, note, lease=lease)
            return
        rest_s = self.ask_first_s

        async def look(session: MeterSession) -> None:
            # Judged before the session is anybody else's: a later command may change the state.
            await self._judge(command, session, cause)

        while True:
            try:
                await self._sessions.run(command.meter_id, Urgency.of(command.priority), look)
            except LostLeaseError:
                raise
            except Exception as error:
                # Whatever it was: a command that may have been sent is never forgotten.
                if not isinstance(error, UserError | DlmsError):
                    log.exception("command %s", command.command_id)
                cause = str(error) or repr(error)
            else:
                return
            if await self._is_in_doubt(command, lease, cause):
                return
            if not self._reachable(command.meter_id):
                return  # whoever has the way to the meter asks it, or notes the doubt
            await asyncio.sleep(rest_s)
            rest_s = min(2 * rest_s, ASK_MOST_S)

    async def _is_in_doubt(self, command: Command, lease: Lease, cause: str) -> bool:
        """Tell whether its meter has been silent for long; its place is for others then.

        It is asked again later, the later the longer it has been silent.
        """
        silent_s = (real_us() - command.changed_real_us) / MICROSECONDS
        if command.state is not CommandState.IN_DOUBT:
            if silent_s < self.doubt_after_s:
                return False
            note = f"neither proven done nor not done: {cause}"
            await self._step(command, BEGUN, CommandState.IN_DOUBT, note, lease=lease)
        rest_s = max(self.ask_first_s, min(silent_s / 4, ASK_MOST_S))
        await self._books.run(store.rest, self._books.engine, command.command_id, rest_s, lease)
        return True

    async def _step(  # noqa: PLR0913  a step has these fields
        self,
        command: Command,
        from_states: Collection[CommandState],
        to_state: CommandState,
        note: str,
        *,
        lease: Lease | None = None,
        counters: range | None = None,
        result: Argument | None = None,
    ) -> bool:
        """Advance a command and tell the pages; False when another worker was first.

        Raises:
            LostLeaseError: `lease`, of the command, is another worker's.
            StoreUnavailableError: The store cannot be written.
        """

        def advance(connection: Connection) -> bool:
            allowed = {s for s in from_states if to_state in TRANSITIONS[s]}
            return store.advance(
                connection,
                command.command_id,
                allowed,
                to_state,
                note,
                counters=counters,
                result=result,
                noted=False,
            )

        step = store.Step(
            command_id=command.command_id, at_real_us=real_us(), state=to_state, note=note
        )
        body: live.Body = {
            "command_id": command.command_id,
            "kind": command.kind.value,
            "state": to_state.value,
            "note": note,
        }
        entry = live.Entry(
            kind="command", meter_id=command.meter_id, at_us=self._now_us(), body=body
        )
        done = await self._books.write(
            command.meter_id, advance, lease=lease, told=[entry], steps=[step]
        )
        log.info("command %s: %s: %s", command.command_id, to_state.value, note)
        return done


def _claim_requested(
    database: Database, worker: Worker, *, seconds: float, limit: int
) -> list[tuple[Command, Lease]]:
    store.expire(database)
    return store.claim_requested(database, worker, seconds=seconds, limit=limit)


async def _sent(conduct: Conduct, session: MeterSession, before: Json) -> Outcome:
    """Send an order and look what came of it."""
    try:
        await conduct.send(session)
    except AccessError as refusal:
        return Outcome(CommandState.REFUSED, str(refusal), {})
    return await conduct.prove(session, before)
