# SPDX-License-Identifier: Apache-2.0
"""One link at a time speaks on a line; what others say meanwhile is heard and kept apart.

A turn begins with silence: what a meter that was given up still says is over before another one is
asked.  It ends when the link has what was wanted, or is gone.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from openami.concentrator.lines.config import LineConfig
from openami.concentrator.lines.port import Port
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address  # noqa: TC001  its neighbours are not typing only
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import Disconnected, Event, Unnumbered, UnnumberedAssembly
from openami.dlms.hdlc.primary import PrimaryLink
from openami.dlms.hdlc.reader import FrameReader
from openami.transport.wire import WireError

CONTENT: Final = frozenset({Kind.I, Kind.UI, Kind.UA})
MOST_HEARD_OCTETS: Final = 65_536  # between two looks of whoever drives a link
QUIET_MOST: Final = 50  # quiet times after which a line that never rests is spoken on all the same

Begin = Callable[[float], None]
Wanted = Callable[[list[Event]], bool]


class Bus:
    """The octets of one line, and who speaks on it now.

    Attributes:
        port: Where the octets go; set by whoever opens it.
        heard: Whether the meter whose turn it is said anything; who begins a turn sets it to False.
        faults: Faulty frames and runs of noise since the start.
        unasked: Called with what came in UI frames, whoever had the word.
    """

    port: Port

    def __init__(self, config: LineConfig, unasked: Callable[[Unnumbered], None]) -> None:
        self.heard = False
        self.faults = 0
        self.unasked = unasked
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._octets = bytearray()
        self._news = asyncio.Event()
        self._progress_s = 0.0  # when more came than a word of patience
        self._last_s = self._loop.time()  # of the last octet that came
        self._asked_s: float | None = None  # our last octet, while no answer has come since
        self.round_trip_s: float | None = None  # of this turn
        self._reader = FrameReader()
        self._assembly = UnnumberedAssembly()
        self._asked: Address | None = None  # whose turn it is

    def octets(self, octets: bytes) -> None:
        """Take what the line brought."""
        now_s = self._loop.time()
        if now_s - self._last_s > self._config.timings.inter_octet_s:
            self._reader.expire()
        self._last_s = now_s
        if self._asked is not None and len(self._octets) < MOST_HEARD_OCTETS:
            self._octets += octets
            self._news.set()
        for found in self._reader.feed(octets):
            if isinstance(found, DecodeError):
                self.faults += 1
                continue
            if found.source == self._asked:
                self._answered(found, now_s)
            if found.control.kind is Kind.UI and (whole := self._assembly.accept(found)):
                self.unasked(whole)

    def reopened(self) -> None:
        """Learn that the line was opened: what it had kept for us is old, and passes first."""
        self._last_s = self._loop.time()

    async def speak(
        self, link: PrimaryLink, begin: Callable[[float], None], wanted: Wanted
    ) -> list[Event]:
        """Let a link speak until its events are what was wanted, or it is gone.

        Args:
            link: Whose turn it is.
            begin: Asks the link for something; given the time.
            wanted: Tells whether the events so far will do.

        Raises:
            WireError: The line is gone.
        """
        self.round_trip_s = self._asked_s = None
        await self._silence()
        self._octets.clear()
        self._asked = link.pair.server
        try:
            self._progress_s = self._loop.time()
            begin(self._progress_s)
            return await self._listen(link, wanted)
        finally:
            self._asked = None

    def tell(self, link: PrimaryLink) -> None:
        """Put what a link wants to say on the line; nobody answers."""
        octets = link.data_to_send()
        if octets:
            self.port.send(octets)

    async def announce(self, link: PrimaryLink, octet_s: float) -> None:
        """Put what is for all on the line, when it rests, and wait until it has gone out.

        Args:
            link: Whose words these are.
            octet_s: How long the line takes for an octet.

        Raises:
            WireError: The line is gone.
        """
        await self._silence()
        octets = link.data_to_send()
        if not self.port.is_open:
            raise WireError("the line is gone")
        self.port.send(octets)
        await asyncio.sleep(len(octets) * octet_s)

    async def _listen(self, link: PrimaryLink, wanted: Wanted) -> list[Event]:
        events: list[Event] = []
        while True:
            octets = link.data_to_send()
            if octets:
                if not self.port.is_open:
                    raise WireError("the line is gone")
                self.port.send(octets)
                sending_s = len(octets) * self._config.timings.octet_s
                self._asked_s = self._loop.time() + sending_s
            if wanted(events) or any(isinstance(event, Disconnected) for event in events):
                return events
            self._be_impatient()
            await self._until(link.deadline)
            heard = bytes(self._octets)
            self._octets.clear()
            now_s = self._loop.time()
            events += link.receive(heard, now_s) if heard else link.tick(now_s)

    def _answered(self, frame: Frame, now_s: float) -> None:
        self.heard = True
        if frame.control.kind in CONTENT:
            self._progress_s = now_s
        if self._asked_s is not None:
            self.round_trip_s, self._asked_s = max(0.0, now_s - self._asked_s), None

    def _be_impatient(self) -> None:
        """Give up a meter that says for too long that it has no answer yet.

        Raises:
            WireError: It is.
        """
        patience_s = self._config.answer_s
        late = self._loop.time() - self._progress_s > patience_s
        if late and not self._reader.is_within_frame:
            raise WireError(f"no answer within {patience_s:g} s")

    async def _until(self, deadline_s: float | None) -> None:
        """Wait for octets, or for the deadline."""
        if deadline_s is None:
            await self._news.wait()
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    await self._news.wait()
        self._news.clear()

    async def _silence(self) -> None:
        """Wait until nobody has spoken for the quiet time."""
        quiet_s = self._config.quiet_s
        for _ in range(QUIET_MOST):
            rest_s = self._last_s + quiet_s - self._loop.time()
            if rest_s <= 0:
                return
            await asyncio.sleep(rest_s)
