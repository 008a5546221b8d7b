# SPDX-License-Identifier: Apache-2.0
"""Collection by plan: sealed requests go to their meters when due, answers into the journal.

Neither request nor answer can be read here.  An answer belongs to its request by the transaction-id
that stands in the clear, waits in the journal beside the pushes, and leaves it by the same end
receipt.  A request is sent once: whether a meter that did not answer has carried it out nobody here
can tell, and it would refuse the same counter; the next request of the plan asks for the same
time again.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.concentrator.journal import Outcome, Put, long_invoke_id
from openami.concentrator.owntime import OwnTime
from openami.concentrator.plans import Due, Plans, RequestState
from openami.concentrator.registry import Registry
from openami.concentrator.relay import Keep, Relay
from openami.exchange.field import NoticeCode
from openami.exchange.orders import Plan
from openami.exchange.uplink import COLLECTION_CLIENT, MANAGEMENT_SERVER

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
ANSWER_S: Final = 60.0  # after it a meter holds up no other; on a slow line an answer may come yet
MOST_AT_ONCE: Final = 32  # meters that are asked at a time
MOST_OF_ONE: Final = 8  # requests of a meter whose answers may yet come


@dataclass(slots=True)
class _Asked:
    """A request under way."""

    number: int
    since_s: float


Asking = tuple[bytes, int]  # meter and transaction-id: two requests of a meter may be under way


class Collection:
    """Carries out plans.

    Attributes:
        look_s: From one look for what is due to the next.
        answer_s: How long an answer is waited for before others are asked instead; one that comes
            later is kept all the same, as the meter takes that request no second time.
        collected: Answers that are in the journal.
        refused: Requests that a meter refused, or answered with something else.
    """

    look_s = LOOK_S
    answer_s = ANSWER_S

    def __init__(  # noqa: PLR0913  its ports
        self,
        plans: Plans,
        relay: Relay,
        registry: Registry,
        *,
        keep: Keep,
        is_online: Callable[[], bool],
        time: OwnTime,
    ) -> None:
        """Bind the ports; call inside a running loop.

        Args:
            plans: What is to be asked.
            relay: The ways to the meters.
            registry: Takes notices.
            keep: Queues an answer for the journal.
            is_online: Tells whether the head-end is in reach.
            time: Tells what is due, in the time of the head-end that said when.
        """
        self.collected = self.refused = 0
        self._plans = plans
        self._relay = relay
        self._registry = registry
        self._keep = keep
        self._is_online = is_online
        self._time = time
        self._loop = asyncio.get_running_loop()
        self._asked: dict[Asking, _Asked] = {}
        self._noting: set[asyncio.Task[None]] = set()
        relay.on_collected = self._answered

    async def take(self, plan: Plan) -> bool:
        """Store a plan; tell whether it will outlive a power cut."""
        try:
            await asyncio.to_thread(self._plans.replace, plan)
        except sqlite3.Error as error:
            log.error("plan of meter %s is not stored: %s", plan.title.hex().upper(), error)  # noqa: TRY400
            return False
        for asking in [each for each in self._asked if each[0] == plan.title]:
            del self._asked[asking]
        return True

    async def run(self) -> None:
        """Ask what is due until cancelled."""
        while True:
            try:
                await self.look()
            except sqlite3.Error as error:
                log.error("plans cannot be carried out now: %s", error)  # noqa: TRY400
            await asyncio.sleep(self.look_s)

    async def look(self) -> None:
        """Ask what is due now."""
        late_s = self._loop.time() - self.answer_s
        waited_for = {title for (title, _), one in self._asked.items() if one.since_s > late_s}
        most = MOST_AT_ONCE - len(waited_for)
        due = await asyncio.to_thread(
            self._plans.due,
            self._time.now_us(),
            offline=not self._is_online(),
            most=MOST_AT_ONCE * 8,
        )
        ready = [d for d in due if d.title not in waited_for and self._relay.is_attached(d.title)]
        for each in ready[:most]:
            await self._ask(each)

    async def _ask(self, due: Due) -> None:
        """Send one request, once it is noted that it goes."""
        await asyncio.to_thread(self._plans.note, due.title, due.number, RequestState.SENT)
        asking = due.title, int.from_bytes(due.octets[2:6])
        self._forget_oldest(due.title)
        self._asked[asking] = _Asked(due.number, self._loop.time())
        if not self._relay.ask(due.title, COLLECTION_CLIENT, MANAGEMENT_SERVER, due.octets):
            del self._asked[asking]

    def _forget_oldest(self, title: bytes) -> None:
        """Keep room for one more request of a meter that answers none."""
        own = [each for each in self._asked if each[0] == title]
        for asking in own[: max(0, len(own) + 1 - MOST_OF_ONE)]:
            del self._asked[asking]

    def _answered(self, title: bytes, apdu: bytes) -> None:
        """Take what a meter said to the client of sealed requests."""
        own = [asking for asking in self._asked if asking[0] == title]
        if not own:
            return  # nobody waits for it any more
        sealed = apdu[:1] == b"\xdd"
        asking = (title, long_invoke_id(apdu) if sealed else None)
        found = next((each for each in own if each == asking), None)
        if found is None:
            self.refused += 1
            text = f"it answered {apdu[:8].hex(' ').upper()}" + (" …" if len(apdu) > 8 else "")
            self._registry.note(NoticeCode.REQUEST_REFUSED, self._time.now(), title, text)
            if not sealed:  # it names no request: it is about the newest
                self._note(title, self._asked.pop(own[-1]).number, RequestState.REFUSED)
            return
        number = self._asked.pop(found).number

        def kept(outcome: Outcome | None) -> None:
            if outcome in {Outcome.STORED, Outcome.KNOWN}:
                self.collected += 1
                self._relay.on_kept()
                self._note(title, number, RequestState.ANSWERED)

        self._keep(Put(title, found[1], apdu, self._time.now_us()), kept)

    def _note(self, title: bytes, number: int, state: RequestState) -> None:
        async def note() -> None:
            try:
                await asyncio.to_thread(self._plans.note, title, number, state)
            except sqlite3.Error as error:
                log.error("what became of a sealed request is not noted: %s", error)  # noqa: TRY400

        task = self._loop.create_task(note())
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """Finish what is being noted, and close the file."""
        await asyncio.gather(*self._noting)
        await asyncio.to_thread(self._plans.close)
