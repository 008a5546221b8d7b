# SPDX-License-Identifier: Apache-2.0
"""Objects as a dump gives them, brought to life with the ports of a host."""

from typing import Any

import pytest

from cosem.behaviour.life import NOON, World
from cosem.behaviour.pushers import WHERE, Line, column, setup
from cosem.behaviour.test_calling import Dialler
from cosem.behaviour.test_data_protection import Ring, Scope
from cosem.behaviour.test_layers import BOTH, ends, layer
from cosem.behaviour.test_mbus import CLIENT, HEADER, RECORDS, WATER, Bus
from cosem.behaviour.test_networks import Server
from openami.cosem.behaviour.bindings import BEHAVIOURS
from openami.cosem.behaviour.calling import Answering, Connecting
from openami.cosem.behaviour.hosted_payment import LivingAccount, LivingGateway
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.mbus_client import MbusSlave
from openami.cosem.behaviour.networks import Diagnosis
from openami.cosem.behaviour.port_protection import PortProtection
from openami.cosem.behaviour.pushing import Pushing
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociatedPartners,
    AssociationLn,
    SapAssignment,
    SapName,
)
from openami.cosem.classes.cellular import GsmDiagnostic, RegistrationStatus
from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.classes.internet import Ipv4Setup, Ipv6Setup, NtpSetup, TcpUdpSetup
from openami.cosem.classes.mbus import MBusClientV1
from openami.cosem.classes.measurement import Data, ExtendedRegister, Register, ScalerUnit
from openami.cosem.classes.payment import (
    Account,
    AccountModeAndStatus,
    AccountStatus,
    Charge,
    Currency,
    CurrencyUnit,
    PaymentMode,
    TokenGateway,
    TokenStatusCode,
)
from openami.cosem.classes.protection import (
    ArrayManager,
    AttributesToGet,
    CommunicationPortProtection,
    DataProtection,
    FunctionControl,
    FunctionStatus,
    PortProtectionMode,
)
from openami.cosem.classes.push import PushSetup
from openami.cosem.classes.setup_ports import AutoAnswer, AutoConnect, NumberOfRings
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import (
    Array,
    DoubleLongUnsigned,
    Enum,
    LongUnsigned,
    OctetString,
    VisibleString,
)
from openami.dlms.obis import Obis
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from prepayment import (
    ACCOUNT,
    EMERGENCY,
    ENERGY,
    ENERGY_CHARGE,
    GATEWAY,
    NO_TIME,
    STANDING_CHARGE,
    TOKEN_CREDIT,
    Tokens,
    charges,
    emergency_credit,
    token_credit,
)

NAME = Obis(0, 0, 42, 0, 0, 255)
UNIT = Obis(0, 0, 96, 3, 10, 255)


class _Ports(dict[Obis, object]):
    def __call__(self, at: Obis) -> object | None:
        return self.get(at)


def prepaid(**changes: Any) -> list[InterfaceClass]:
    values: dict[str, Any] = {
        "account_mode_and_status": AccountModeAndStatus(PaymentMode.PREPAYMENT, AccountStatus.NEW),
        "credit_reference_list": (TOKEN_CREDIT, EMERGENCY),
        "charge_reference_list": (ENERGY_CHARGE, STANDING_CHARGE),
        "account_activation_time": NO_TIME,
        "account_closure_time": NO_TIME,
        "currency": Currency("EUR", -2, CurrencyUnit.MONETARY),
    }
    register = Register(
        ENERGY.logical_name, value=DoubleLongUnsigned(1_000), scaler_unit=ScalerUnit(0, 30)
    )
    return [
        TokenGateway(GATEWAY),
        Account(ACCOUNT, **(values | changes)),
        token_credit(),
        emergency_credit(),
        *charges(),
        register,
        DisconnectControl(UNIT, control_mode=6, control_state=1),
    ]


def test_a_prepayment_meter_from_its_objects() -> None:
    tokens = Tokens()
    world = World(prepaid(), port=_Ports({GATEWAY: tokens}))
    device = world.device
    account, gateway, unit = device[ACCOUNT], device[GATEWAY], device[UNIT]
    assert isinstance(account, Account)
    assert isinstance(gateway, TokenGateway)
    assert isinstance(unit, DisconnectControl)
    world.tick()
    account.invocations[1](0)
    assert unit.control_state == 2
    gateway.invocations[1](tokens.make(1, 100))
    assert gateway.token_status.status_code is TokenStatusCode.EXECUTION_OK
    assert unit.control_state == 1
    assert account.available_credit == 100

    energy = device[ENERGY.logical_name]
    energy.values[2] = DoubleLongUnsigned(3_000)
    world.run_to(NOON + 120 * SECOND_US)
    assert account.available_credit == 40
    assert account.amount_to_clear == 0

    # A restart: what was paid is not lost, and not charged twice.
    again = World(prepaid(), port=_Ports({GATEWAY: tokens}), now_us=world.calendar.at_us)
    again.life.restore(world.life.state())
    again.device[ENERGY.logical_name].values[2] = DoubleLongUnsigned(4_000)
    again.tick(again.calendar.at_us + 60 * SECOND_US)
    after = again.device[ACCOUNT]
    assert isinstance(after, Account)
    assert after.available_credit == 10


def test_what_a_payment_meter_lacks_is_reported() -> None:
    objects = [each for each in prepaid() if each.values[1] != EMERGENCY]
    standing = next(each for each in objects if each.values[1] == STANDING_CHARGE)
    del standing.values[8]
    world = World(objects)
    sentences = [each.what for each in world.reports]
    assert f"there is no object {EMERGENCY}" in sentences
    assert any("no value for attribute 8: it rests" in each for each in sentences)
    assert any("no decoder of tokens: it rests" in each for each in sentences)
    found = world.life.acting[ACCOUNT]
    assert isinstance(found, LivingAccount)
    assert found.accounting is not None
    assert [each.name for each in found.accounting.charges] == [ENERGY_CHARGE]
    assert isinstance(world.life.acting[GATEWAY], LivingGateway)
    world.tick()
    world.life.restore(world.life.state())


def test_codes_that_are_none_known_let_an_object_rest() -> None:
    objects = {each.values[1]: each for each in prepaid()}
    objects[TOKEN_CREDIT].values[8] = 77
    objects[STANDING_CHARGE].values[3] = 77
    world = World(objects.values())
    assert sum("77 of" in each.what for each in world.reports) == 2
    account = objects[ACCOUNT]
    account.invocations[1](0)
    world.tick(NOON + SECOND_US)
    energy = objects[ENERGY_CHARGE]
    for code, known in ((1, True), (77, False)):
        if known:
            energy.write(Charge.charge_type, Enum(code))
        else:
            with pytest.raises(Refused):
                energy.write(Charge.charge_type, Enum(code))
    world.tick(NOON + 2 * SECOND_US)
    strange = {each.values[1]: each for each in prepaid()}
    strange[ACCOUNT].values[2] = AccountModeAndStatus(9, 9)
    world = World(strange.values())
    world.tick()
    assert "mode 9 and status 9 are none known: it rests" in {each.what for each in world.reports}


def test_an_image_is_kept_in_memory_where_there_is_no_flash() -> None:
    image = ImageTransfer(Obis(0, 0, 44, 0, 0, 255), image_block_size=4)
    World([image])
    with pytest.raises(Refused):
        image.invocations[1](ImageInitiation(b"big", 2**30))
    image.invocations[1](ImageInitiation(b"v2", 6))
    image.invocations[2](ImageBlock(0, b"1234"))
    image.invocations[2](ImageBlock(1, b"56"))
    image.invocations[3](0)
    assert image.image_to_activate_info[0].image_size == 6
    image.invocations[4](0)
    assert image.image_transfer_status is ImageTransferStatus.ACTIVATION_SUCCESSFUL


def test_a_push_setup_pushes_over_the_transport_of_the_host() -> None:
    line = Line()
    name = Data(NAME, value=VisibleString("m"))
    thing = PushSetup(
        Obis(0, 0, 25, 9, 0, 255),
        push_object_list=(column(1, NAME, 2),),
        send_destination_and_method=WHERE,
    )
    world = World([name, thing], port=_Ports({thing.logical_name: line}))
    thing.invocations[1](0)
    world.tick()
    assert len(line.sent) == 1
    acting = world.life.acting[thing.logical_name]
    assert isinstance(acting, Pushing)
    acting.failed(world.calendar.at_us)
    assert any("given up" in each.what for each in world.reports)


def test_pushes_are_protected_with_the_keys_of_the_host() -> None:
    ours, theirs = ends()

    class Port(Line, Ring):
        def __init__(self) -> None:
            Line.__init__(self)
            Ring.__init__(self, ours)

    asked = layer(BOTH)
    options = asked.protection_options._replace(recipient_system_title=theirs.own_title)
    thing = setup(1, push_protection_parameters=(asked._replace(protection_options=options),))
    port = Port()
    world = World([thing], port=_Ports({thing.logical_name: port}))
    thing.invocations[1](0)
    world.tick()
    apdu, _ = open_envelope(theirs.cipher, decode_envelope(port.sent[0]))
    assert apdu[0] == 0x0F


def test_a_push_setup_with_a_sink_of_the_host() -> None:
    heard: list[int] = []

    class Sink:
        def push(self) -> None:
            heard.append(1)

    thing = setup(2)
    World([thing], push=lambda _at: Sink())
    thing.invocations[1](0)
    assert heard == [1]
    other = setup(0)
    World([other])
    assert 1 not in other.invocations


def test_protection_functions_and_arrays() -> None:
    held, _ = ends()

    class Port(Ring, Scope):
        def __init__(self) -> None:
            Ring.__init__(self, held)
            Scope.__init__(self)

    name = Data(NAME, value=Array((OctetString(b"a"),)))
    protection = DataProtection(Obis(0, 0, 43, 2, 0, 255), required_protection=0)
    functions = FunctionControl(
        Obis(0, 0, 44, 1, 0, 255),
        activation_status=(FunctionStatus(b"f", function_status=False),),
    )
    arrays = ArrayManager(Obis(0, 0, 18, 0, 0, 255), array_object_list=Array())
    world = World(
        [name, protection, functions, arrays], port=_Ports({protection.logical_name: Port()})
    )
    assert protection.invocations[1](AttributesToGet((), ())).protected_data == b"\x02\x00"
    functions.invocations[1]((FunctionStatus(b"f", function_status=True),))
    again = FunctionControl(functions.logical_name)
    World([again]).life.restore(world.life.state())
    assert again.activation_status == (FunctionStatus(b"f", function_status=True),)
    with pytest.raises(Refused):
        arrays.invocations[1](1)
    bare = DataProtection(Obis(0, 0, 43, 2, 0, 255), required_protection=0)
    World([bare])
    assert bare.invocations == {}


def test_ports_are_guarded() -> None:
    thing = CommunicationPortProtection(
        Obis(0, 0, 44, 2, 0, 255),
        protection_mode=PortProtectionMode.LOCKED_ON_FAILED_ATTEMPTS,
        allowed_failed_attempts=0,
        initial_lockout_time=5,
        steepness_factor=1,
        max_lockout_time=5,
    )
    world = World([thing])
    guard = world.life.acting[thing.logical_name]
    assert isinstance(guard, PortProtection)
    guard.failed(NOON)
    world.run_to(NOON + 5 * SECOND_US)
    assert [each.what for each in world.reports] == [
        "the port is locked for 5 s after 1 failed attempts",
        "the lock-out of the port is over",
    ]


def test_associations_and_logical_devices() -> None:
    own = AssociationLn(CURRENT_ASSOCIATION, associated_partners_id=AssociatedPartners(1, 1))
    other = AssociationLn(
        Obis(0, 0, 40, 0, 1, 255), associated_partners_id=AssociatedPartners(1, 1)
    )
    saps = SapAssignment(Obis(0, 0, 41, 0, 0, 255), sap_assignment_list=())
    World([own, other, saps])
    assert own.invocations == {}
    with pytest.raises(Refused) as caught:
        other.invocations[2](b"secret")
    assert caught.value.result == ActionResult.OBJECT_UNAVAILABLE  # there is no such client
    saps.invocations[1](SapName(16, b"sub"))
    assert saps.sap_assignment_list == (SapName(16, b"sub"),)


def test_an_m_bus_slave_fills_its_value_objects() -> None:
    client = MBusClientV1(CLIENT, capture_definition=(WATER,), capture_period=0)
    value = ExtendedRegister(
        Obis(0, 1, 24, 2, 1, 255), value=LongUnsigned(0), scaler_unit=ScalerUnit(-3, 13)
    )
    world = World([client, value], port=_Ports({CLIENT: Bus()}))
    slave = world.life.acting[CLIENT]
    assert isinstance(slave, MbusSlave)
    client.invocations[1](1)
    slave.installed(1, HEADER)
    slave.answered(HEADER, RECORDS, NOON)
    assert value.value == 12345678
    assert value.capture_time.hour == 12
    world.device[value.logical_name].values.clear()
    deaf = MBusClientV1(CLIENT, capture_definition=(WATER,), capture_period=0)
    World([deaf])
    assert deaf.invocations == {}


def test_modems_and_networks() -> None:
    caller = AutoConnect(
        Obis(0, 0, 2, 1, 0, 255),
        mode=1,
        repetitions=0,
        repetition_delay=0,
        calling_window=(),
        destination_list=(b"x",),
    )
    answerer = AutoAnswer(
        Obis(0, 0, 2, 2, 0, 255),
        mode=0,
        listening_window=(),
        number_of_calls=0,
        number_of_rings=NumberOfRings(1, 1),
        list_of_allowed_callers=(),
    )
    ntp = NtpSetup(Obis(0, 0, 25, 10, 0, 255), activated=True, server_address=b"s")
    gsm = GsmDiagnostic(Obis(0, 0, 25, 6, 0, 255))
    v4, v6 = Ipv4Setup(Obis(0, 0, 25, 1, 0, 255)), Ipv6Setup(Obis(0, 0, 25, 7, 0, 255))
    dialler, server = Dialler(), Server()
    world = World(
        [caller, answerer, ntp, gsm, v4, v6],
        port=_Ports({caller.logical_name: dialler, ntp.logical_name: server}),
    )
    caller.invocations[1](0)
    world.tick()
    assert dialler.calls == [b"x"]
    assert isinstance(world.life.acting[caller.logical_name], Connecting)
    answering = world.life.acting[answerer.logical_name]
    assert isinstance(answering, Answering)
    assert answering.called(b"", NOON) is not None
    ntp.invocations[1](0)
    assert server.asked == [b"s"]
    modem = world.life.acting[gsm.logical_name]
    assert isinstance(modem, Diagnosis)
    modem.tell(NOON, status=RegistrationStatus.HOME_NETWORK)
    assert gsm.status is RegistrationStatus.HOME_NETWORK
    assert v4.invocations[3](0) == 0
    lonely = NtpSetup(ntp.logical_name, activated=True)
    World([lonely, AutoConnect(caller.logical_name)])
    with pytest.raises(Refused) as caught:
        lonely.invocations[1](0)
    assert caught.value.result == ActionResult.OBJECT_UNAVAILABLE


class Applier:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def apply(self, attribute: Any, value: Any) -> None:
        if value == 0:
            raise Refused(ActionResult.OTHER_REASON)
        self.heard.append((attribute.name, value))


def test_a_host_applies_what_is_set_up() -> None:
    tcp = TcpUdpSetup(Obis(0, 0, 25, 0, 0, 255), tcp_udp_port=4059)
    v4 = Ipv4Setup(Obis(0, 0, 25, 1, 0, 255), ip_address=1)
    host = Applier()
    world = World([tcp, v4], port=_Ports({tcp.logical_name: host, v4.logical_name: host}))
    world.life.inside.write(41, tcp.logical_name, 2, LongUnsigned(4060))
    with pytest.raises(Refused):
        world.life.inside.write(41, tcp.logical_name, 2, LongUnsigned(0))
    v4.invocations[1](0xE0000001)
    world.life.inside.write(42, v4.logical_name, 3, DoubleLongUnsigned(7))
    assert host.heard == [
        ("tcp_udp_port", 4060),
        ("multicast_ip_address", (0xE0000001,)),
        ("ip_address", 7),
    ]
    assert (tcp.tcp_udp_port, v4.ip_address) == (4060, 7)


def test_classes_of_this_module_have_their_rows() -> None:
    mine = {15, 17, 18, 28, 29, 30, 40, 42, 47, 48, 72, 77, 100, 111, 115, 122, 123, 124, 151, 153}
    assert mine <= BEHAVIOURS.keys()
