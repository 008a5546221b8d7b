# SPDX-License-Identifier: Apache-2.0
"""One line of a concentrator: gives its meters their turns, and tells relay and registry of them.

Each line is a task of its own: while one waits for a slow meter the others go on.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from openami.concentrator.lines.asking import Asker, NoAnswerError
from openami.concentrator.lines.bus import Bus
from openami.concentrator.lines.config import LineConfig
from openami.concentrator.lines.port import port_of
from openami.concentrator.lines.roster import ROW, Request, Roster, Station, Turn, What
from openami.concentrator.registry import Registry, Seen
from openami.concentrator.relay import Relay
from openami.dlms.errors import DlmsError
from openami.dlms.hdlc.link import Unnumbered
from openami.exchange.field import NoticeCode
from openami.exchange.uplink import MANAGEMENT_SERVER, PUSH_CLIENT
from openami.transport.wire import WireError

log = logging.getLogger(__name__)

CLOSED_S: Final = 0.05  # from one look to the next at a line that is not there
MOST_CLIENT: Final = 0x7F  # the address of a client has 7 bits (IEC 62056-46, 6.4.2.2)
DOWN_AFTER_S: Final = 5.0  # a line that was gone for less is no news


class StationLine:
    """A meter on a line, as the relay sees it."""

    def __init__(self, station: Station, line: "HdlcLine") -> None:
        self.of = station
        self._line = line

    @property
    def address(self) -> str:
        """Where the meter is."""
        return f"{self._line.name} {self.of.address}"

    @property
    def bearer(self) -> str:
        """What carries it."""
        return self._line.bearer

    def send(self, source: int, destination: int, apdu: bytes) -> bool:
        return self._line.ask(self.of, Request(source, destination, apdu))

    def look(self) -> Seen:
        """Return what the line showed since the last look."""
        return self.of.look()

    def supersede(self) -> None:
        self._line.leave(self.of)

    @property
    def shared(self) -> "HdlcLine":
        """Where one word reaches all meters."""
        return self._line


class HdlcLine:
    """A line and its meters.

    Attributes:
        name: As configured.
        bearer: The scheme of its address.
        roster: Its meters.
    """

    def __init__(
        self,
        config: LineConfig,
        relay: Relay,
        registry: Registry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; call inside a running loop."""
        self.name = config.name
        self.bearer = config.url.scheme
        self._config = config
        self._relay = relay
        self._registry = registry
        self._now = now
        self._loop = asyncio.get_running_loop()
        self.roster = Roster(config, self._loop.time())
        self._bus = Bus(config, self._unasked)
        self._asker = Asker(config, self._bus)
        self._lines: dict[bytes, StationLine] = {}  # attached, by title
        self._wake = asyncio.Event()
        self._ended = False
        self._row = 0  # words for all since anything else had its turn
        self._announcements: deque[tuple[int, bytes, asyncio.Future[bool]]] = deque()
        self._down_s: float | None = self._loop.time()
        self._told_down = False
        self._pushes = 0
        self._said: dict[object, str] = {}  # the last trouble of an address: each is told once

    @property
    def is_up(self) -> bool:
        """Whether the line itself is there."""
        return self._down_s is None

    @property
    def faults(self) -> int:
        """Faulty frames and runs of noise since the start."""
        return self._bus.faults

    def ask(self, station: Station, request: Request) -> bool:
        """Queue an APDU for a meter; False where it cannot be asked."""
        if not station.is_there or not self.is_up or request.client > MOST_CLIENT:
            return False
        if request.client == PUSH_CLIENT:
            self.roster.tell(station, request)  # a receipt: nobody answers it
        elif not self.roster.ask(station, request):
            return False
        self._wake.set()
        return True

    def announce(self, client: int, apdu: bytes) -> asyncio.Future[bool]:
        """Queue a word for all meters; its future tells whether it went out."""
        gone: asyncio.Future[bool] = self._loop.create_future()
        if self._ended:
            gone.set_result(False)
            return gone
        self._announcements.append((client, apdu, gone))
        self._wake.set()
        return gone

    def leave(self, station: Station) -> None:
        """Forget that a meter hangs here: it came elsewhere."""
        self._lines.pop(station.title, None)
        self._give_up(station)

    async def run(self) -> None:
        """Give turns until cancelled."""
        self._bus.port = port_of(self._config, self._bus.octets)
        self._bus.port.open()
        try:
            while True:
                if not self._bus.port.is_open:
                    self._line_down()
                    await asyncio.sleep(CLOSED_S)
                    continue
                self._line_up()
                if await self._announce():
                    continue
                turn = self.roster.next(self._loop.time())
                if turn is not None:
                    await self._take(turn)
                elif not self._announcements:
                    await self._rest(self.roster.due_s())
        finally:
            self._ended = True
            self._drop_announcements()
            self._bus.port.close()
            self._detach_all()

    async def _announce(self) -> bool:
        """Say what is for all, unless it is somebody else's turn; tell whether it was ours.

        A request goes between any two words, and what else is due after a row of them.
        """
        if not self._announcements or self._row >= (1 if self.roster.has_requests else ROW):
            self._row = 0
            return False
        self._row += 1
        client, apdu, gone = self._announcements.popleft()
        went = False
        try:
            await self._asker.announce(client, apdu)
            went = True
        except WireError as error:
            log.info("line %s: a broadcast is lost: %s", self.name, error)
        finally:  # also where the line ends meanwhile: somebody waits for it
            if not gone.done():
                gone.set_result(went)
        return True

    def _drop_announcements(self) -> None:
        for _, _, gone in self._announcements:
            if not gone.done():
                gone.set_result(False)
        self._announcements.clear()

    async def _rest(self, due_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(due_s, self._loop.time() + 1.0)):
                await self._wake.wait()
        self._wake.clear()

    async def _take(self, turn: Turn) -> None:
        station = turn.station
        self._bus.heard = False
        try:
            match turn.what:
                case What.REQUEST:
                    await self._request(station, station.requests.popleft())
                case What.TELL:
                    self._asker.tell(station, station.tells.popleft())
                case What.EVENTS:
                    await self._events(station)
                case What.LOOK:
                    await self._look(station)
                case What.SEARCH:
                    await self._search(station)
        except NoAnswerError as error:
            self._missed(station, str(error))
        except (WireError, DlmsError) as error:
            self._say(station, str(error))
            if turn.what is What.LOOK:  # something is there, and it is not known to be the meter
                self._give_up(station)
            else:
                self.roster.answered(station, self._loop.time())
        if station.is_there and station.title not in self._lines:
            # It came elsewhere while it had its turn: here it is looked for, and not asked.
            self._give_up(station)

    async def _request(self, station: Station, request: Request) -> None:
        line = self._lines.get(station.title)
        try:
            answers = await self._asker.request(station, request)
        except (WireError, DlmsError):
            self._relay.unreachable(station.title, request.server, request.client)
            raise
        self.roster.answered(station, self._loop.time())
        for apdu in answers if line is not None else ():
            self._from_meter(station, request.server, request.client, apdu)

    async def _events(self, station: Station) -> None:
        before = self._pushes
        try:
            found = await self._asker.events(station)
        except NoAnswerError:
            raise
        except WireError as error:
            self._say(station, f"events cannot be asked for: {error}")
            found = []  # it is there, and may be asked for other things
        for apdu in found:
            self._push(station, apdu)
        self.roster.answered(station, self._loop.time(), again=self._pushes != before)

    async def _look(self, station: Station) -> None:
        named = await self._asker.who(station)
        if named.title and named.title != station.title:
            self._detach(station)  # another meter hangs there now
        self._found(station, named.name, named.title or station.title)

    async def _search(self, station: Station) -> None:
        now_s = self._loop.time()
        try:
            named = await self._asker.who(station)
        except NoAnswerError:
            self.roster.searched(station, now_s)
            return
        except WireError as error:
            self._say(station, f"something answers, and {error}")
            self.roster.searched(station, now_s)
            return
        if not named.title:
            sentence = f"meter {named.name!r} does not say its system title"
            remedy = f'add "{station.address.lower}=TITLE" to titles of [line.{self.name}]'
            self._say(station, f"{sentence}: {remedy}", NoticeCode.METER_WITHOUT_TITLE)
            self.roster.searched(station, now_s)
            return
        self.roster.met(station, now_s)
        self._found(station, named.name, named.title)

    def _found(self, station: Station, name: str, title: bytes) -> None:
        """Attach a meter, unless one of that title is attached by a better proof or elsewhere."""
        self.roster.answered(station, self._loop.time())
        station.name, station.title = name, title
        if title in self._lines and self._lines[title].of is station:
            return
        if self._relay.is_attached(title):
            sentence = f"{self.name} {station.address} says that it is this meter, which is"
            self._say(station, f"{sentence} attached elsewhere", NoticeCode.METER_TWICE)
            self.roster.missed(station, self._loop.time())
            return
        self._said.pop(station.address, None)
        line = self._lines[title] = StationLine(station, self)
        self._relay.attach(title, line)

    def _missed(self, station: Station, why: str) -> None:
        self._detach(station)
        self._give_up(station)
        self._say(station, why)

    def _give_up(self, station: Station) -> None:
        """Look for a meter again later, and answer for it what waited."""
        for request in self.roster.missed(station, self._loop.time()):
            self._relay.unreachable(station.title, request.server, request.client)

    def _detach(self, station: Station) -> None:
        line = self._lines.pop(station.title, None)
        if line is not None:
            self._relay.detach(station.title, line)

    def _detach_all(self) -> None:
        for station in self.roster.stations.values():
            self._detach(station)

    def _unasked(self, event: Unnumbered) -> None:
        """Take what came in UI frames: a push, whoever had the word."""
        station = self.roster.stations.get(event.source)
        if station is not None and event.destination.upper == PUSH_CLIENT:
            self._push(station, event.apdu)  # of one that nobody knows yet: it will come again

    def _push(self, station: Station, apdu: bytes) -> None:
        self._pushes += 1
        self._from_meter(station, MANAGEMENT_SERVER, PUSH_CLIENT, apdu)

    def _from_meter(self, station: Station, source: int, destination: int, apdu: bytes) -> None:
        line = self._lines.get(station.title)
        if line is None:
            return
        try:
            self._relay.from_meter(station.title, line, source, destination, apdu)
        except DlmsError as error:
            self._say(station, f"refused: {error}")

    def _line_down(self) -> None:
        self._drop_announcements()
        now_s = self._loop.time()
        if self._down_s is None:
            self._down_s = now_s
            for station in list(self.roster.present()):
                self._missed(station, "the line is gone")
                station.misses = 0
                station.due_s = 0.0
        if not self._told_down and now_s - self._down_s > DOWN_AFTER_S:
            self._told_down = True
            log.warning("line %s (%s) is gone; it is opened again", self.name, self._config.url)
            self._registry.note(NoticeCode.LINE_DOWN, self._now(), text=self.name)

    def _line_up(self) -> None:
        if self._down_s is not None:
            self._bus.reopened()
        self._down_s = None
        if self._told_down:
            self._told_down = False
            log.info("line %s is back", self.name)
            self._registry.note(NoticeCode.LINE_UP, self._now(), text=self.name)

    def _say(self, station: Station, sentence: str, code: NoticeCode | None = None) -> None:
        if self._said.get(station.address) == sentence:
            return
        self._said[station.address] = sentence
        log.info("line %s, address %s: %s", self.name, station.address, sentence)
        if code is not None:
            self._registry.note(code, self._now(), station.title, sentence)
