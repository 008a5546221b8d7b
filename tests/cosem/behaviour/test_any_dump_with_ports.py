# SPDX-License-Identifier: Apache-2.0
"""As `test_any_dump`, for objects that need ports of the host or each other."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, World
from cosem.behaviour.pushers import Line
from cosem.behaviour.test_any_dump import MOMENTS, attempt, fresh
from cosem.behaviour.test_calling import Dialler
from cosem.behaviour.test_data_protection import Ring, Scope
from cosem.behaviour.test_image import Flash
from cosem.behaviour.test_layers import ends
from cosem.behaviour.test_mbus import HEADER, RECORDS, Bus
from cosem.behaviour.test_networks import Server
from kindvalues import sent
from openami.cosem.behaviour.calling import Answering, Connecting
from openami.cosem.behaviour.mbus_client import MbusSlave
from openami.cosem.behaviour.port_protection import PortProtection
from openami.cosem.behaviour.pushing import Pushing
from openami.cosem.classes.image_transfer import ImageTransfer
from openami.cosem.classes.internet import NtpSetup
from openami.cosem.classes.mbus import MBusClient, MBusClientV1
from openami.cosem.classes.payment import Account, Charge, Credit, TokenGateway
from openami.cosem.classes.protection import CommunicationPortProtection, DataProtection
from openami.cosem.classes.push import PushSetup, PushSetupV1, PushSetupV2, PushSetupV3
from openami.cosem.classes.setup_ports import AutoAnswer, AutoConnect
from openami.cosem.model import InterfaceClass
from openami.dlms.obis import Obis
from prepayment import ACCOUNT, GATEWAY, Tokens

CREDITS = tuple(Obis(0, 0, 19, 10, number, 255) for number in range(3))
CHARGES = tuple(Obis(0, 0, 19, 20, number, 255) for number in range(2))


class Everything(Line, Dialler, Bus, Server, Flash, Ring, Scope):
    """Every port at once; it takes whatever comes."""

    def __init__(self) -> None:
        held, _ = ends()
        Dialler.__init__(self)
        Bus.__init__(self)
        Server.__init__(self)
        Flash.__init__(self, rounds=1)
        Ring.__init__(self, held)
        Scope.__init__(self)
        self.asked: list[Any] = []

    def send(self, destination: Any, octets: bytes) -> None:
        del destination, octets


def tell(acting: object, now_us: int) -> None:
    """What a host tells an object."""
    match acting:
        case Pushing():
            acting.failed(now_us)
        case Connecting():
            acting.failed(now_us)
        case Answering():
            acting.called(b"", now_us)
        case PortProtection():
            acting.failed(now_us)
        case MbusSlave():
            acting.installed(1, HEADER)
            acting.answered(HEADER, RECORDS, now_us)
        case _:
            pass


def live(  # noqa: C901  one life
    world: World, things: list[InterfaceClass], data: st.DataObject
) -> None:
    """Let time pass, invoke and write everything once, restart, and read all."""
    for now_us in MOMENTS:
        world.life.actors.due_us()
        world.tick(now_us)
    for thing in things:
        for row in type(thing).methods():
            argument = sent(row.argument, data)
            attempt(lambda thing=thing, row=row, argument=argument: thing.invoke(row, argument))
            tell(world.life.acting.get(thing.values[1]), world.calendar.at_us)
        for attribute in type(thing).attributes():
            value = sent(attribute.kind, data)
            if attribute.index > 1 and attribute.index in thing.values | dict(thing.sources):
                attempt(lambda thing=thing, row=attribute, value=value: thing.write(row, value))
    world.life.restore(world.life.state())
    for now_us in MOMENTS:
        world.life.actors.due_us()
        world.tick(now_us)
        for acting in world.life.acting.values():
            tell(acting, now_us)
    for thing in things:
        for attribute in type(thing).attributes():
            read = thing.reader(attribute.index)
            if read is not None:
                attempt(read)


@pytest.mark.parametrize(
    "of",
    [
        AutoAnswer,
        AutoConnect,
        CommunicationPortProtection,
        DataProtection,
        ImageTransfer,
        MBusClient,
        MBusClientV1,
        NtpSetup,
        PushSetup,
        PushSetupV1,
        PushSetupV2,
        PushSetupV3,
    ],
    ids=lambda of: str(of.__name__),
)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_life_goes_on_with_ports(of: type[InterfaceClass], data: st.DataObject) -> None:
    port = Everything()
    thing = fresh(data, of)
    world = World([thing], zone=BERLIN, port=lambda _at: port, image=lambda _at: port)
    live(world, [thing], data)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_payment_goes_on(data: st.DataObject) -> None:
    things: list[InterfaceClass] = []
    names = (
        (Account, (ACCOUNT,)),
        (Credit, CREDITS),
        (Charge, CHARGES),
        (TokenGateway, (GATEWAY,)),
    )
    for of, known in names:
        for name in known:
            thing = fresh(data, of)
            thing.values[1] = name
            things.append(thing)
    things[0].values |= {9: CREDITS, 10: CHARGES}
    tokens = Tokens()
    ports = {GATEWAY: tokens}
    world = World(things, zone=BERLIN, port=ports.get)
    world.tick()
    if 1 in things[0].invocations:
        attempt(lambda: things[0].invocations[1](0))
    gateway = things[-1]
    if 1 in gateway.invocations:
        gateway.invocations[1](tokens.make(1, data.draw(st.integers(0, 2**32 - 1))))
    live(world, things, data)
