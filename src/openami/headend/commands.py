# SPDX-License-Identifier: Apache-2.0
"""Commands carried out as durable intents (docs/architecture.md, 7).

::

    requested -> reserved -> sent -> confirmed | refused | failed | in doubt

Before anything is sent, the command's block of invocation counters is durable in its row.  After a
failure, and after a restart, the meter is asked for its state.  That question travels under higher
counters than the command's, and a meter accepts rising counters only: once it is answered, the
command can not be carried out any more, so a state other than the one asked for proves that it was
not done.  While the meter cannot be asked, the command is in doubt and shown so; it is never sent
a second time.

A command is worked on under a lease.  Whose worker dies or loses its way to the meter is taken over
by the one that has the way; it asks the meter, and never sends again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.refusals import AccessError
from openami.dlms.errors import DlmsError
from openami.exchange.commands import TRANSITIONS, CommandKind, CommandState
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.config import CommandSettings
from openami.headend.eventlog import fetch_events
from openami.headend.holdings import Holdings
from openami.headend.reading import DISCONNECT, REGISTERS, read_control_state, read_registers
from openami.headend.sessions import Sessions, Urgency
from openami.headend.watch import NAMES, store_live
from openami.headend.worklist import Sort, Worklist, pause_s
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import commands as store
from openami.store import live, registry
from openami.store.commands import BEGUN, Argument, Command
from openami.store.database import Database, transaction
from openami.store.leases import Lease, LostLeaseError, Worker

log = logging.getLogger(__name__)

LOOK_S: Final = 0.2
COUNTERS: Final = 16  # of a command: the service, its read-back, and some to spare
AT_ONCE: Final = 200  # commands that are worked on
DOUBT_AFTER_S: Final = 20.0  # without an answer to the read-back
ASK_FIRST_S: Final = 1.0
ASK_MOST_S: Final = 60.0
LOOKED_BACK: Final = 100  # commands of a meter, when earlier ones are settled

WANTED: Final = {
    CommandKind.CONNECT: ControlState.CONNECTED,
    CommandKind.DISCONNECT: ControlState.DISCONNECTED,
}
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
        reachable: Callable[[int], bool],
        now_us: Callable[[], int],
    ) -> None:
        self.doubt_after_s = DOUBT_AFTER_S
        self.ask_first_s = ASK_FIRST_S
        self.settings = settings
        self._books = books
        self._reachable = reachable
        self._sessions = sessions
        self._now_us = now_us
        self.work: Worklist[Command] = Worklist(
            "command",
            [Sort(_claim_requested, self._carry_out), Sort(self._claim_unsettled, self._left)],
            books,
            holdings,
            parallel=AT_ONCE,
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
                now = await self._books.run(store.command, self._books.engine, command.command_id)
                await self._settle(now, lease, str(error))
            else:
                log.info("command %s waits: %s", command.command_id, error)
                await self._postpone(command, lease, str(error))

    async def _postpone(self, command: Command, lease: Lease, cause: str) -> None:
        """Try later what reached no meter, with growing pauses; give up after many attempts."""
        rest_s = pause_s(self.settings, command.attempts)
        engine = self._books.engine
        attempts = await self._books.run(store.postpone, engine, command.command_id, rest_s)
        if attempts >= self.settings.attempts_most:
            note = f"given up after {attempts} attempts to reach the meter; the last: {cause}"
            requested = {CommandState.REQUESTED}
            await self._step(command, requested, CommandState.FAILED, note, lease=lease)

    async def _settle_earlier(self, command: Command, session: MeterSession) -> None:
        """Read back what earlier commands came to, before this one changes it."""
        known = await self._books.run(
            store.commands, self._books.engine, meter_id=command.meter_id, limit=LOOKED_BACK
        )
        earlier = [
            found
            for found in known
            if found.state in UNSETTLED
            and found.command_id != command.command_id
            and found.kind in WANTED
        ]
        if earlier:
            state = await read_control_state(session)
            for found in earlier:
                await self._judge(found, state)

    async def _send(self, command: Command, session: MeterSession, lease: Lease) -> None:
        if command.valid_until_real_us < real_us():
            note = "its validity ended before it was sent"
            await self._step(
                command, {CommandState.RESERVED}, CommandState.FAILED, note, lease=lease
            )
            return
        note = f"sent through {session.hops}"
        await self._step(command, {CommandState.RESERVED}, CommandState.SENT, note, lease=lease)
        if command.kind is CommandKind.READ:
            await self._read(command, session)
            return
        wanted = WANTED[command.kind]
        method = (
            DisconnectControl.remote_reconnect
            if wanted is ControlState.CONNECTED
            else DisconnectControl.remote_disconnect
        )
        try:
            await session.run(session.client.act(method, 0, at=DISCONNECT))
        except AccessError as refusal:
            await self._step(command, {CommandState.SENT}, CommandState.REFUSED, str(refusal))
            return
        await self._judge(command, await read_control_state(session))
        try:
            await fetch_events(session, self._books, self._now_us())
        except (UserError, DlmsError) as error:  # the command is settled all the same
            log.info("meter %d: event log: %s", command.meter_id, error)

    async def _read(self, command: Command, session: MeterSession) -> None:
        values = await read_registers(session, REGISTERS)
        await self._books.run(
            store_live, self._books.engine, command.meter_id, dict(values), self._now_us()
        )
        result: Argument = {NAMES[channel]: value for channel, value in values.items()}
        await self._step(
            command, {CommandState.SENT}, CommandState.CONFIRMED, "registers read", result=result
        )

    async def _judge(self, command: Command, state: ControlState) -> None:
        """Close a command with the state that the meter was asked for."""
        await self._books.run(
            registry.set_breaker, self._books.engine, command.meter_id, int(state), self._now_us()
        )
        result: Argument = {"control_state": int(state)}
        note = f"read back: the supply is {state.name.lower().replace('_', ' ')}"
        if state is WANTED[command.kind]:
            outcome = CommandState.CONFIRMED
        else:
            outcome = CommandState.FAILED
            if state is ControlState.READY_FOR_RECONNECTION:
                note += "; a person has to press the button at the meter"
            else:
                note += "; the command can not take effect any more"
        await self._step(command, UNSETTLED, outcome, note, result=result)

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
        doubtful = command.state is CommandState.IN_DOUBT
        rest_s = self.ask_first_s

        async def look(session: MeterSession) -> None:
            # Judged before the session is anybody else's: a later command may change the state.
            await self._judge(command, await read_control_state(session))

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
            doubt_us = real_us() - command.changed_real_us
            if not doubtful and doubt_us >= self.doubt_after_s * MICROSECONDS:
                doubtful = True
                note = f"neither proven done nor not done: {cause}"
                await self._step(command, BEGUN, CommandState.IN_DOUBT, note, lease=lease)
            if not self._reachable(command.meter_id):
                return  # whoever has the way to the meter asks it, or notes the doubt
            await asyncio.sleep(rest_s)
            rest_s = min(2 * rest_s, ASK_MOST_S)

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

        def advance() -> bool:
            with transaction(self._books.engine) as connection:
                allowed = {s for s in from_states if to_state in TRANSITIONS[s]}
                if not store.advance(
                    connection,
                    command.command_id,
                    allowed,
                    to_state,
                    note,
                    counters=counters,
                    result=result,
                    lease=lease,
                ):
                    return False
                body: live.Body = {
                    "command_id": command.command_id,
                    "kind": command.kind.value,
                    "state": to_state.value,
                    "note": note,
                }
                entry = live.Entry(
                    kind="command", meter_id=command.meter_id, at_us=self._now_us(), body=body
                )
                live.append_feed(connection, [entry])
            return True

        done = await self._books.run(advance)
        log.info("command %s: %s: %s", command.command_id, to_state.value, note)
        return done


def _claim_requested(
    database: Database, worker: Worker, *, seconds: float, limit: int
) -> list[tuple[Command, Lease]]:
    store.expire(database)
    return store.claim_requested(database, worker, seconds=seconds, limit=limit)
