# SPDX-License-Identifier: Apache-2.0
"""What the concentrator does on a line: carry requests, ask for events, find out who is there.

Links belong to a client and a meter and stay while they are used; an association opened over one is
the head-end's.  An AARQ gets a fresh link where one is under way already, as nothing of an older
association may be left.  Nothing is read but what stands in the clear: the tag of an APDU, and
whether a block of a general block transfer is the last of its row.
"""

import asyncio
import os
from typing import Final, NamedTuple, TypeVar

from openami.concentrator.lines.bus import Begin, Bus, Wanted
from openami.concentrator.lines.config import LineConfig
from openami.concentrator.lines.roster import Request, Station
from openami.cosem.classes.access_control import SecuritySetup
from openami.cosem.classes.measurement import Data
from openami.cosem.client import Client, ClientParameters
from openami.cosem.refusals import AccessError
from openami.dlms.conversation import Conversation
from openami.dlms.errors import DlmsError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.link import Connected, Disconnected, Event, Message
from openami.dlms.hdlc.primary import PrimaryLink
from openami.dlms.hdlc.states import State
from openami.dlms.obis import Obis
from openami.dlms.sap import PUBLIC_CLIENT
from openami.exchange.uplink import PUSH_CLIENT
from openami.transport.wire import WireError

T = TypeVar("T")

LOGICAL_DEVICE_NAME: Final = Obis(0, 0, 42, 0, 0, 255)
SECURITY_SETUP: Final = Obis(0, 0, 43, 0, 0, 255)
AARQ: Final = 0x60
RLRE: Final = 0x63
GENERAL_BLOCK_TRANSFER: Final = 0xE0
LAST_BLOCK: Final = 0x80
STREAMING: Final = 0x40
TITLE_OCTETS: Final = 8
MAKER: Final = b"OAM"
"""Whose logical device names end in the number that their system titles end in, too."""


class NoAnswerError(WireError):
    """Nobody said anything."""


class Named(NamedTuple):
    """Who a meter says it is."""

    name: str  # logical device name
    title: bytes  # empty: it does not say, and nothing else tells


class Asker:
    """Speaks with the meters of one line, one at a time."""

    def __init__(self, config: LineConfig, bus: Bus) -> None:
        self._config = config
        self._bus = bus

    async def request(self, station: Station, request: Request) -> list[bytes]:
        """Carry a request to a meter; return the APDUs that answer it.

        Raises:
            NoAnswerError: The meter said nothing at all.
            WireError: It has no answer: the link is refused or broken, or the line is gone.
        """
        link = await self._link(station, request.client, fresh=request.apdu[0] == AARQ)
        awaited = not _streams(request.apdu)

        def begin(now_s: float) -> None:
            link.send(request.apdu, now_s, answered=awaited)

        wanted = _has_message if awaited else lambda _events: link.has_word
        answers = _messages(await self._speak(station, link, begin, wanted))
        while answers and _streams(answers[-1]):
            answers += _messages(await self._speak(station, link, link.expect, _has_message))
        if answers and answers[-1][:1] == bytes((RLRE,)):
            await self._hang_up(station, request.client)
        return answers

    def tell(self, station: Station, request: Request) -> None:
        """Tell a meter something in UI frames."""
        link = self._spare(station.address, request.client)
        link.send_unnumbered(request.apdu, asyncio.get_running_loop().time())
        self._bus.tell(link)

    async def announce(self, client: int, apdu: bytes) -> None:
        """Tell all meters of the line something in UI frames, which nobody answers.

        Raises:
            WireError: The line is gone.
        """
        link = self._spare(self._config.everybody, client)
        link.send_unnumbered(apdu, asyncio.get_running_loop().time())
        await self._bus.announce(link, self._config.octet_s)

    async def events(self, station: Station) -> list[bytes]:
        """Ask a meter for what it has to tell; return the APDUs that came on the link.

        What comes in UI frames the bus hears, whoever sent it.  The link makes a meter without
        news say so at once, and lets one with long news send it in segments.

        Raises:
            NoAnswerError: The meter said nothing at all.
            WireError: It refuses, or the line is gone.
        """
        link = await self._link(station, PUSH_CLIENT, fresh=False)
        return _messages(
            await self._speak(station, link, link.poll_events, lambda _: link.has_word)
        )

    async def who(self, station: Station) -> Named:
        """Find out who is at an address.

        Raises:
            NoAnswerError: Nobody is.
            WireError: The link or the association is refused, or the line is gone.
        """
        client = Client(
            ClientParameters(
                client_sap=PUBLIC_CLIENT, server_sap=self._config.logical, general_blocks=False
            ),
            entropy=os.urandom,
        )
        try:
            await self._converse(station, client.associate())
            name = await self._converse(station, client.get(Data.value, at=LOGICAL_DEVICE_NAME))
            title = self._config.titles.get(station.address.lower, b"")
            if not title:
                title = await self._title(station, client) or title_of(_text(name))
            await self._converse(station, client.release())
        except DlmsError as error:
            raise WireError(f"it does not say who it is: {error}") from error
        finally:
            await self._hang_up(station, PUBLIC_CLIENT)
        return Named(_text(name), title)

    async def _title(self, station: Station, client: Client) -> bytes:
        """Ask for the system title; a meter that tells it to nobody is none the worse."""
        asked = client.get(SecuritySetup.server_system_title, at=SECURITY_SETUP)
        try:
            found = bytes(await self._converse(station, asked))
        except AccessError:
            return b""
        return found if len(found) == TITLE_OCTETS else b""

    async def _converse(self, station: Station, conversation: Conversation[T]) -> T:
        try:
            apdu = next(conversation)
            while True:
                request = Request(PUBLIC_CLIENT, self._config.logical, bytes(apdu))
                answers = await self.request(station, request)
                apdu = conversation.send(answers[-1])
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _link(self, station: Station, client: int, *, fresh: bool) -> PrimaryLink:
        link = station.links.get(client)
        if link is None:
            link = station.links[client] = self._spare(station.address, client)
        link.tick(asyncio.get_running_loop().time())  # one that was idle for long is gone
        if fresh and link.state is not State.NDM:
            await self._hang_up(station, client)
        if link.state is not State.NRM:
            await self._speak(station, link, link.connect, _is_connected)
        return link

    async def _hang_up(self, station: Station, client: int) -> None:
        link = station.links.get(client)
        if link is None or link.state is State.NDM:
            return
        await self._bus.speak(link, link.disconnect, lambda _events: link.state is State.NDM)

    def _spare(self, address: Address, client: int) -> PrimaryLink:
        config = self._config
        return PrimaryLink(Address.client(client), address, config.parameters, config.timings)

    async def _speak(
        self, station: Station, link: PrimaryLink, begin: Begin, wanted: Wanted
    ) -> list[Event]:
        try:
            events = await self._bus.speak(link, begin, wanted)
        except WireError:
            station.drop(link)  # somewhere in the middle: nobody knows where
            raise
        if self._bus.round_trip_s is not None:
            station.timed(self._bus.round_trip_s)
        if gone := [event for event in events if isinstance(event, Disconnected)]:
            if not self._bus.heard:
                raise NoAnswerError(gone[0].reason)
            if not _has_message(events):
                raise WireError(gone[0].reason)
        return events


def title_of(name: str) -> bytes:
    """Return the system title that belongs to one of our logical device names; else nothing.

    docs/architecture.md, 3: `OAM` and 13 digits; the title ends in the same number.
    """
    digits = name[len(MAKER) :]
    if not name.encode().startswith(MAKER) or len(digits) != 13 or not digits.isdecimal():
        return b""
    number = int(digits)
    return MAKER + number.to_bytes(5) if number < 2**40 else b""


def _text(name: object) -> str:
    octets = bytes(name) if isinstance(name, bytes | bytearray) else str(name).encode()
    return octets.decode("utf-8", errors="replace")


def _streams(apdu: bytes) -> bool:
    """Tell whether an APDU is a block behind which the sender goes on by itself."""
    return apdu[:1] == bytes((GENERAL_BLOCK_TRANSFER,)) and (
        apdu[1:2] != b"" and apdu[1] & (LAST_BLOCK | STREAMING) == STREAMING
    )


def _has_message(events: list[Event]) -> bool:
    return any(isinstance(event, Message) for event in events)


def _is_connected(events: list[Event]) -> bool:
    return any(isinstance(event, Connected) for event in events)


def _messages(events: list[Event]) -> list[bytes]:
    return [event.apdu for event in events if isinstance(event, Message)]
