# SPDX-License-Identifier: Apache-2.0
"""General blocks and notifications over real carriers: TCP, UDP with losses, HDLC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import pytest

from openami.cosem.asking.association import ALL_SERVICES
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register
from openami.cosem.client import ClientParameters
from openami.cosem.rights import FULL_ACCESS
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.notification import EventNotification
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString
from openami.dlms.hdlc.address import Station
from openami.dlms.hls import Mechanism
from openami.transport.carrier import Awaited, Carrier
from openami.transport.client import OpenSession, open_session
from openami.transport.coapwire import listen_coap
from openami.transport.endpoint import listen
from openami.transport.hdlcpoint import listen_hdlc
from openami.transport.udp import listen_udp
from openami.transport.url import Url
from playbooks.demo_meter import (
    ENERGY,
    LOAD_PROFILE,
    NOTE,
    PASSWORD,
    READER,
    DemoMeter,
    row,
)
from transport.hdlcmeter import Serving, until

PARAMETERS: Final = ClientParameters(
    client_sap=READER,
    mechanism=Mechanism.LLS,
    secret=PASSWORD,
    conformance=ALL_SERVICES,
    max_receive_pdu_octets=200,
    block_window=5,
)
WHOLE: Final = Array(row(index) for index in range(100))
LONG: Final = OctetString(bytes(range(256)) * 20)
EVENT: Final = EventNotification(
    attribute=AttributeDescriptor(class_id=3, instance_id=ENERGY, attribute_id=2),
    value=DoubleLongUnsigned(7),
)


class Losing(Serving):
    """Serves, and loses every so many answers and requests."""

    every = 0

    def __init__(self, wire: Carrier, meter: DemoMeter) -> None:
        super().__init__(wire, meter)  # type: ignore[arg-type]  # any carrier will do
        self.count = 0

    def loses(self, apdu: bytes) -> bool:
        """Only blocks: nobody repeats an APDU in one piece."""
        self.count += apdu[:1] == b"\xe0"
        return bool(self.every) and apdu[:1] == b"\xe0" and self.count % self.every == 0

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        if self.loses(apdu):
            return
        answer = self.server.receive(source, apdu)
        if answer is None and isinstance(self.wire, Awaited):
            self.wire.silent(destination, source)
        while answer is not None:
            if not self.loses(answer):
                self.wire.send(destination, source, answer)
            answer = self.server.following()


@asynccontextmanager
async def served(scheme: str, made: list[Serving]) -> AsyncIterator[Url]:
    meter = DemoMeter()
    meter.associations[READER] = replace(meter.associations[READER], grants=FULL_ACCESS)

    def accept(wire: Carrier) -> Serving:
        made.append(Losing(wire, meter))
        return made[-1]

    url = Url(scheme, "127.0.0.1", 0)
    if scheme == "udp":
        port = await listen_udp(url, accept)
        yield port.url
        await port.close()
    elif scheme == "coap":
        datagrams = await listen_coap(url, accept)
        yield datagrams.url
        await datagrams.close()
    elif scheme == "tcp":
        listener = await listen(url, accept)
        yield listener.url
        await listener.close()
    else:
        line = await listen_hdlc(url, accept, Station.of([1], 0, 1))
        yield line.url
        await line.close()


def hold(scheme: str, talk: Callable[[OpenSession, list[Serving]], object]) -> None:
    async def scenario() -> None:
        made: list[Serving] = []
        async with (
            served(scheme, made) as url,
            open_session(url, PARAMETERS, timeout_s=0.3) as meter,
        ):
            await talk(meter, made)  # type: ignore[misc]

    asyncio.run(scenario())


@pytest.mark.parametrize("scheme", ["tcp", "udp", "coap", "hdlc+tcp"])
def test_long_values_go_both_ways(scheme: str) -> None:
    async def talk(meter: OpenSession, _made: list[Serving]) -> None:
        assert await meter.run(meter.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)) == WHOLE
        await meter.run(meter.client.set(Data.value, LONG, at=NOTE))
        assert await meter.run(meter.client.get(Data.value, at=NOTE)) == LONG
        assert await meter.run(meter.client.get(Register.value, at=ENERGY)) == 123_456

    hold(scheme, talk)


def test_datagrams_that_are_lost_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(meter: OpenSession, _made: list[Serving]) -> None:
        await meter.run(meter.client.get(Register.value, at=ENERGY))
        monkeypatch.setattr(Losing, "every", 7)
        await meter.run(meter.client.set(Data.value, LONG, at=NOTE))
        assert await meter.run(meter.client.get(Data.value, at=NOTE)) == LONG
        monkeypatch.setattr(Losing, "every", 0)

    hold("udp", talk)


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_an_event_reaches_a_client_that_asks_nothing(scheme: str) -> None:
    async def talk(meter: OpenSession, made: list[Serving]) -> None:
        found: list[object] = []
        meter.client.notified = found.append
        (serving,) = made
        (event,) = serving.server.notify(READER, EVENT)
        serving.wire.send(1, READER, event)
        await until(lambda: bool(found))
        assert found == [EVENT]
        serving.wire.send(1, READER, b"\xc4\x01\xc1\x00\x00")  # unasked, and no notification
        serving.wire.send(1, READER, event)
        await until(lambda: len(found) == 2)
        assert await meter.run(meter.client.get(Register.value, at=ENERGY)) == 123_456

    hold(scheme, talk)
