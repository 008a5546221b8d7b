# SPDX-License-Identifier: Apache-2.0
"""HDLC over TCP and over a serial line: sessions, refusals, ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openami.cosem.classes.measurement import ProfileGeneric, Register
from openami.cosem.client import ClientParameters
from openami.dlms.association import State
from openami.dlms.hdlc.address import Station
from openami.dlms.hdlc.link import LinkTimings
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hls import Mechanism
from openami.dlms.mode_e import IdentificationMessage, ServerOpening, with_even_parity
from openami.runtime.errors import UserError
from openami.transport.client import open_session
from openami.transport.hdlc import HdlcClientWire, HdlcServerWire, HdlcSettings
from openami.transport.hdlcpoint import (
    SerialPort,
    TcpLine,
    dial_hdlc,
    link_pair,
    listen_hdlc,
    serve_line,
)
from openami.transport.serial import PtyLine, SerialLine
from openami.transport.session import SessionHandler
from openami.transport.url import Url
from openami.transport.wire import Limits, WireError
from playbooks.demo_meter import ENERGY, LOAD_PROFILE, PASSWORD, READER, DemoMeter
from transport.hdlcmeter import Lines, until
from transport.parties import Remembering

ANY_PORT = Url("hdlc+tcp", "127.0.0.1", 0)
PARAMETERS = ClientParameters(client_sap=READER, mechanism=Mechanism.LLS, secret=PASSWORD)
STATION = Station.of([1], 17)
SETTINGS = HdlcSettings(physical=17)


@asynccontextmanager
async def meter(
    station: Station = STATION, settings: HdlcSettings = SETTINGS
) -> AsyncIterator[tuple[Url, Lines]]:
    lines = Lines(DemoMeter(rows=100))
    listener = await listen_hdlc(ANY_PORT, lines.accept, station, settings=settings)
    try:
        yield listener.url, lines
    finally:
        await listener.close()


@pytest.mark.parametrize("window", [1, 3, 7])
@pytest.mark.parametrize(("physical", "size"), [(0, 1), (17, 2), (17, 4), (4000, None)])
def test_a_session_over_tcp(physical: int, size: int | None, window: int) -> None:
    settings = HdlcSettings(
        physical=physical,
        address_octets=size,
        parameters=LinkParameters.symmetric(128, window),
    )

    async def conversation() -> None:
        station = Station.of([1], physical, size)
        async with (
            meter(station) as (url, _),
            open_session(url, PARAMETERS, hdlc=settings) as found,
        ):
            assert await found.run(found.client.get(Register.value, at=ENERGY)) == 123_456
            rows = await found.run(found.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE))
            assert isinstance(rows, list)
            assert len(rows) == 100

    asyncio.run(conversation())


def test_the_end_of_a_link_is_the_end_of_its_association() -> None:
    async def conversation() -> None:
        async with meter() as (url, lines):
            async with open_session(url, PARAMETERS, hdlc=SETTINGS):
                assert lines.serving[0].server.state(READER) is State.ASSOCIATED
            assert lines.serving[0].gone == [READER]
            assert lines.serving[0].server.state(READER) is State.IDLE
            await until(lambda: bool(lines.serving[0].reasons))
            assert lines.serving[0].reasons == ["the peer closed the connection"]

    asyncio.run(conversation())


async def linked(url: Url, limits: Limits | None = None) -> tuple[HdlcClientWire, Remembering]:
    handlers: list[Remembering] = []

    def accept(wire: HdlcClientWire) -> Remembering:
        handlers.append(Remembering(wire))  # type: ignore[arg-type]  # any carrier will do
        return handlers[0]

    pair = link_pair(16, 1, SETTINGS)
    wire = await dial_hdlc(
        url,
        accept,  # type: ignore[arg-type]
        pair,
        settings=SETTINGS,
        limits=limits or Limits(),
    )
    return wire, handlers[0]


def test_a_listener_that_stops_ends_the_link() -> None:
    async def conversation() -> None:
        async with meter() as (url, _):
            wire, handler = await linked(url)
            assert wire.is_open
        await wire.gone()
        assert handler.reasons == ["the peer closed the connection"]
        with pytest.raises(WireError, match=r"nothing can be sent to .*1/17.*closed"):
            wire.send(16, 1, b"\xc0")

    asyncio.run(conversation())


def test_a_link_is_between_two_only() -> None:
    async def conversation() -> None:
        async with meter() as (url, _):
            wire, _ = await linked(url)
            with pytest.raises(WireError, match="from client 16 to server 1 only"):
                wire.send(32, 1, b"\xc0")
            wire.close()
            await wire.gone()

    asyncio.run(conversation())


def test_a_server_with_another_address_does_not_answer() -> None:
    async def conversation() -> None:
        async with meter(Station.of([1], 18)) as (url, _):
            with pytest.raises(WireError, match=r"server 1/17 did not answer within 0\.2 s: check"):
                await linked(url, Limits(connect_timeout_s=0.2))

    asyncio.run(conversation())


def test_nobody_there() -> None:
    async def conversation() -> None:
        async with meter() as (url, _):
            pass
        with pytest.raises(WireError, match="refused the connection: nothing listens there"):
            await linked(url)

    asyncio.run(conversation())


def test_a_port_that_is_taken() -> None:
    async def conversation() -> None:
        async with meter() as (url, lines):
            with pytest.raises(UserError, match="is in use by another process"):
                await listen_hdlc(url, lines.accept, STATION)

    asyncio.run(conversation())


def test_an_address_that_does_not_fit() -> None:
    with pytest.raises(UserError, match="logical address 200 does not fit into an address of 1"):
        link_pair(200, 1, SETTINGS)
    with pytest.raises(UserError, match="physical address 17 needs an address of 2 or 4"):
        link_pair(16, 1, HdlcSettings(physical=17, address_octets=1))


def test_garbage_is_not_answered_and_does_not_end_the_line() -> None:
    async def conversation() -> None:
        async with meter() as (url, lines):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 40)
            await writer.drain()
            async with open_session(url, PARAMETERS, hdlc=SETTINGS) as found:
                assert await found.run(found.client.get(Register.value, at=ENERGY)) == 123_456
            assert lines.serving[0].wire.is_open
            writer.close()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    asyncio.run(conversation())


def test_a_push_goes_to_a_client_without_a_link() -> None:
    async def conversation() -> None:
        notified: list[bytes] = []
        async with meter() as (url, lines):
            pair = link_pair(64, 1, SETTINGS)
            handler: list[SessionHandler] = []

            def accept(wire: HdlcClientWire) -> SessionHandler:
                handler.append(SessionHandler(wire, 64, 1))
                return handler[0]

            wire = HdlcClientWire(
                pair,
                SETTINGS,
                "the meter",
                accept,  # type: ignore[arg-type]
                lambda found: notified.append(found.apdu),
            )
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: TcpLine(wire), url.host, url.port)
            await until(lambda: bool(lines.serving))
            lines.serving[0].wire.send(1, 64, b"\x0f" + bytes(300))
            await until(lambda: bool(notified))
            assert notified == [b"\x0f" + bytes(300)]
            wire.close()
            await wire.gone()

    asyncio.run(conversation())


def test_a_session_over_a_serial_line(tmp_path: Path) -> None:
    async def conversation() -> None:
        lines = Lines()
        path = tmp_path / "line"
        served = serve_line(PtyLine, path, lines.accept, STATION, SETTINGS)
        async with open_session(Url.serial(str(path)), PARAMETERS, hdlc=SETTINGS) as found:
            assert await found.run(found.client.get(Register.value, at=ENERGY)) == 123_456
            await found.run(found.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE))
        assert lines.serving[0].gone == [READER]
        served.close()
        await served.gone()
        assert lines.serving[0].reasons == ["closed here"]

    asyncio.run(conversation())


class OpticalMeter:
    """A meter that wants to be opened in mode E."""

    def __init__(self, path: Path, lines: Lines, identification: IdentificationMessage) -> None:
        self.wire = HdlcServerWire(STATION, SETTINGS, str(path), lines.accept)
        self.opening = ServerOpening(identification)
        self.speed: int | None = None
        self.line: SerialLine = PtyLine(path, self.receive, 300)
        SerialPort(self.wire, self.line)
        self.line.open()

    def receive(self, octets: bytes) -> None:
        if self.speed is not None:
            self.wire.octets(octets)
            return
        answer, self.speed = self.opening.receive(octets)
        if self.speed is not None:
            self.line.set_speed(self.speed)
        self.line.send(with_even_parity(answer))


def test_an_optical_port_is_opened_in_mode_e(tmp_path: Path) -> None:
    async def conversation() -> None:
        lines = Lines()
        quick = IdentificationMessage(manufacturer="OAm", baud="5", identification="7")
        optical = OpticalMeter(tmp_path / "head", lines, quick)
        settings = HdlcSettings(physical=17, mode_e=True, baud=19200)
        url = Url.serial(str(tmp_path / "head"))
        async with open_session(url, PARAMETERS, hdlc=settings) as found:
            assert await found.run(found.client.get(Register.value, at=ENERGY)) == 123_456
        assert optical.speed == 9600
        optical.wire.close()
        await optical.wire.gone()

    asyncio.run(conversation())


def test_a_pseudo_terminal_is_served_as_an_optical_port_too(tmp_path: Path) -> None:
    async def conversation() -> None:
        lines = Lines()
        path = tmp_path / "line"
        served = serve_line(PtyLine, path, lines.accept, STATION, SETTINGS)
        for mode_e in (True, False, True):
            settings = HdlcSettings(physical=17, mode_e=mode_e, baud=19200)
            async with open_session(Url.serial(str(path)), PARAMETERS, hdlc=settings) as found:
                assert await found.run(found.client.get(Register.value, at=ENERGY)) == 123_456
        served.close()
        await served.gone()

    asyncio.run(conversation())


def test_a_head_that_sits_on_nothing(tmp_path: Path) -> None:
    async def conversation() -> None:
        silent: SerialLine = PtyLine(tmp_path / "head", lambda _octets: None, 300)
        silent.open()
        pair = link_pair(READER, 1, SETTINGS)
        settings = HdlcSettings(physical=17, mode_e=True)
        with pytest.raises(WireError, match="called in mode E, at 300 baud, did not answer"):
            await dial_hdlc(
                Url.serial(str(tmp_path / "head")),
                lambda _wire: Remembering(),
                pair,
                settings=settings,
                limits=Limits(connect_timeout_s=0.1),
            )
        silent.close()

    asyncio.run(conversation())


def test_a_meter_that_knows_no_mode_e(tmp_path: Path) -> None:
    async def conversation() -> None:
        other = IdentificationMessage(manufacturer="OAM", modes="", identification="X")
        optical = OpticalMeter(tmp_path / "head", Lines(), other)
        settings = HdlcSettings(physical=17, mode_e=True)
        with pytest.raises(WireError, match="meter OAM 'X' offers no mode E"):
            async with open_session(Url.serial(str(tmp_path / "head")), PARAMETERS, hdlc=settings):
                pass
        optical.wire.close()
        await optical.wire.gone()

    asyncio.run(conversation())


def test_a_line_on_which_nobody_speaks_is_closed() -> None:
    async def conversation() -> None:
        lines = Lines()
        limits = Limits(idle_timeout_s=0.05, max_connections=1)
        listener = await listen_hdlc(ANY_PORT, lines.accept, STATION, limits=limits)
        port = listener.url.host, listener.url.port
        silent, held = await asyncio.open_connection(*port)
        refused, other = await asyncio.open_connection(*port)
        assert await refused.read() == b"", "one line at a time"
        assert await silent.read() == b""
        assert lines.serving[0].reasons == ["no octet for 0.05 s"]
        held.close()
        other.close()
        await listener.close()

    asyncio.run(conversation())


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    async def conversation() -> None:
        with pytest.raises(WireError, match="cannot be opened: check that the device is there"):
            async with open_session(Url.serial(str(tmp_path / "none")), PARAMETERS):
                pass

    asyncio.run(conversation())


def test_a_silent_line_ends_on_both_sides() -> None:
    settings = HdlcSettings(physical=17, timings=LinkTimings(inactivity_s=0.05))

    async def conversation() -> None:
        async with meter(settings=settings) as (url, lines):
            wire, _ = await linked(url)
            await until(lambda: bool(lines.serving[0].gone))
            assert lines.serving[0].gone == [16]
            wire.close()
            await wire.gone()

    asyncio.run(conversation())
