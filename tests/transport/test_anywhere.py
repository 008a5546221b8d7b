# SPDX-License-Identifier: Apache-2.0
"""The same session over every bearer, to a meter and to one behind a gateway."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from openami.cosem.classes.measurement import ProfileGeneric, Register
from openami.cosem.client import ClientParameters
from openami.cosem.refusals import ExceptionResponseError
from openami.dlms.gateway import GatewayRoute
from openami.dlms.hdlc.address import Station
from openami.dlms.hls import Mechanism
from openami.dlms.sap import ALL_STATION
from openami.transport.anywhere import SERVED, OpenPort, listen_anywhere
from openami.transport.carrier import AcceptCarrier, Carrier
from openami.transport.client import dial_carrier, open_session
from openami.transport.hdlc import HdlcSettings
from openami.transport.hdlcpoint import listen_hdlc
from openami.transport.session import SessionTimeoutError
from openami.transport.url import Url
from openami.transport.wire import WireError
from playbooks.demo_meter import ENERGY, LOAD_PROFILE, PASSWORD, READER, DemoMeter
from transport.gateway import ADDRESS, Gateway
from transport.hdlcmeter import until
from transport.parties import Party, Pki, Remembering, echo
from transport.test_udp import Serving

PARAMETERS = ClientParameters(client_sap=READER, mechanism=Mechanism.LLS, secret=PASSWORD)
ROUTE = GatewayRoute(3, ADDRESS)
HDLC = HdlcSettings(physical=17)


def play(act: Callable[[], Coroutine[None, None, None]]) -> None:
    async def to_the_end() -> None:
        await act()
        await asyncio.sleep(0.01)

    asyncio.run(to_the_end())


async def opened(scheme: str, accept: AcceptCarrier, pki: Pki) -> OpenPort:
    url = Url(scheme, "127.0.0.1", 0)  # type: ignore[arg-type]
    if scheme == "hdlc+tcp":
        return await listen_hdlc(url, accept, Station.of([1], 17))  # type: ignore[arg-type]
    return await listen_anywhere(url, accept, secured=pki.concentrator())


@pytest.mark.parametrize("scheme", sorted(SERVED))
def test_a_load_profile_over_every_bearer(pki: Pki, scheme: str) -> None:
    async def act() -> None:
        meter = DemoMeter(rows=500)
        port = await opened(scheme, lambda wire: Serving(wire, meter), pki)
        async with open_session(port.url, PARAMETERS, secured=pki.meter()) as session:
            rows = await session.run(session.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE))
            assert isinstance(rows, list)
            assert len(rows) == 500
        await port.close()

    play(act)


@pytest.mark.parametrize("scheme", [*sorted(SERVED), "hdlc+tcp"])
def test_a_meter_behind_a_gateway(pki: Pki, scheme: str) -> None:
    async def act() -> None:
        port = await opened(scheme, Gateway, pki)
        async with open_session(
            port.url, PARAMETERS, secured=pki.meter(), hdlc=HDLC, route=ROUTE
        ) as session:
            got = await session.run(session.client.get(Register.value, at=ENERGY))
            assert got == 123_456
        await port.close()

    play(act)


@pytest.mark.parametrize("scheme", ["tcp", "hdlc+tcp"])
@pytest.mark.parametrize("route", [GatewayRoute(3, b"other"), GatewayRoute(2, ADDRESS), None])
def test_a_meter_that_is_not_behind_the_gateway(
    pki: Pki, scheme: str, route: GatewayRoute | None
) -> None:
    async def act() -> None:
        port = await opened(scheme, Gateway, pki)
        with pytest.raises(ExceptionResponseError, match="operation"):
            async with open_session(port.url, PARAMETERS, hdlc=HDLC, route=route):
                pass
        await port.close()

    play(act)


def test_an_answer_of_another_meter_is_not_taken(pki: Pki) -> None:
    async def act() -> None:
        def accept(wire: object) -> Gateway:
            gateway = Gateway(wire)  # type: ignore[arg-type]
            send = gateway.wire.send
            gateway.wire.send = lambda source, destination, apdu: send(  # type: ignore[method-assign]
                source, destination, apdu.replace(ADDRESS, b"somebody")
            )
            return gateway

        port = await opened("tcp", accept, pki)
        with pytest.raises(SessionTimeoutError):
            async with open_session(port.url, PARAMETERS, timeout_s=0.3, route=ROUTE):
                pass
        await port.close()

    play(act)


def test_a_gateway_whose_header_is_cut_off(pki: Pki) -> None:
    async def act() -> None:
        def accept(wire: object) -> Gateway:
            gateway = Gateway(wire)  # type: ignore[arg-type]
            send = gateway.wire.send
            gateway.wire.send = (
                lambda source, destination, apdu: send(  # type: ignore[method-assign]
                    source, destination, apdu[:5]
                )
            )
            return gateway

        port = await opened("tcp", accept, pki)
        with pytest.raises(WireError, match="physical address"):
            async with open_session(port.url, PARAMETERS, route=ROUTE):
                pass
        await port.close()

    play(act)


def test_a_bearer_that_is_not_served() -> None:
    async def act() -> None:
        url = Url("hdlc+tcp", "127.0.0.1", 0)
        with pytest.raises(ValueError, match="is no bearer that is served here"):
            await listen_anywhere(url, Gateway)

    play(act)


class OnlyYou(Remembering):
    """A server that does what everybody is told, and answers only what it is told itself."""

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        self.answer = None if destination == ALL_STATION else echo
        super().frame(source, destination, apdu)


@pytest.mark.parametrize("client", [16, ALL_STATION])
@pytest.mark.parametrize("scheme", ["tcp", "udp", "dtls", "coap"])
def test_what_is_said_to_everybody_is_done_and_not_answered(
    pki: Pki, scheme: str, client: int
) -> None:
    async def act() -> None:
        there: list[OnlyYou] = []

        def accept(wire: Carrier) -> OnlyYou:
            there.append(OnlyYou(wire))  # type: ignore[arg-type]
            return there[-1]

        here = Party()
        port = await opened(scheme, accept, pki)
        wire = await dial_carrier(port.url, here.accept, (client, 1), secured=pki.meter())  # type: ignore[arg-type]
        wire.send(client, ALL_STATION, b"everybody")
        wire.send(client, 1, b"you")
        await until(lambda: bool(here.handlers[0].frames))
        # A client may have the number that means everybody among servers.
        assert there[0].frames == [(client, ALL_STATION, b"everybody"), (client, 1, b"you")]
        assert here.handlers[0].frames == [(1, client, b"you")]
        wire.close()
        await wire.gone()
        await port.close()

    play(act)


@pytest.mark.parametrize("scheme", ["udp", "dtls"])
def test_answers_longer_than_a_datagram_are_asked_for_in_blocks(pki: Pki, scheme: str) -> None:
    async def act() -> None:
        meter = DemoMeter(rows=4320)
        port = await opened(scheme, lambda wire: Serving(wire, meter), pki)
        async with open_session(port.url, PARAMETERS, secured=pki.meter()) as session:
            rows = await session.run(session.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE))
            assert isinstance(rows, list)
            assert len(rows) == 4320
        await port.close()

    play(act)


@pytest.mark.parametrize("scheme", ["udp", "dtls", "coap"])
def test_an_answer_that_does_not_fit_is_told_in_the_log(
    pki: Pki, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    def too_long(wire: Carrier, source: int, destination: int, apdu: bytes) -> None:
        wire.send(destination, source, apdu * 70_000)

    async def act() -> None:
        there, here = Party(too_long), Party()  # type: ignore[arg-type]
        port = await opened(scheme, there.accept, pki)  # type: ignore[arg-type]
        wire = await dial_carrier(port.url, here.accept, (16, 1), secured=pki.meter())  # type: ignore[arg-type]
        wire.send(16, 1, b"x")
        await until(lambda: "is not answered: an APDU of 70000 octets" in caplog.text)
        assert wire.is_open
        wire.close()
        await wire.gone()
        await port.close()

    play(act)
