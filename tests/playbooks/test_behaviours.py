# SPDX-License-Identifier: Apache-2.0
"""A client of ours uses what objects do by themselves: payment, images, pushes, functions."""

from collections.abc import Iterable
from typing import Any

import pytest

from cosem.behaviour.life import Calendar
from cosem.behaviour.pushers import WHERE, Line, setup
from cosem.behaviour.test_hosted import prepaid
from cosem.behaviour.test_image import GOOD, Flash
from cosem.behaviour.test_mbus import CLIENT, HEADER, RECORDS, WATER, Bus
from openami.cosem.behaviour.bindings import bring_to_life
from openami.cosem.behaviour.host import Host, Life
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.mbus_client import MbusSlave
from openami.cosem.behaviour.pushing import Pushing
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.classes.mbus import MBusClientV1
from openami.cosem.classes.measurement import ExtendedRegister, ScalerUnit
from openami.cosem.classes.payment import (
    Account,
    Credit,
    CreditStatus,
    TokenGateway,
    TokenStatusCode,
)
from openami.cosem.classes.protection import (
    CommunicationPortProtection,
    FunctionControl,
    FunctionDefinition,
    FunctionStatus,
    PortProtectionMode,
)
from openami.cosem.classes.push import PushSetupV2, SendDestinationAndMethod
from openami.cosem.classes.tariff import ActionSpecification, Script, ScriptTable
from openami.cosem.classes.time_event import ExecutionTime, ScheduledScript, SingleActionSchedule
from openami.cosem.model import InterfaceClass
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import DoubleLongUnsigned, Integer, OctetString, Structure
from openami.dlms.datetimes import CosemDate, CosemTime
from openami.dlms.obis import Obis
from playbooks.demo_meter import LDN, NAME, DemoMeter, Link
from prepayment import ACCOUNT, DEBT, EMERGENCY, GATEWAY, TOKEN_CREDIT, Tokens

IMAGE = Obis(0, 0, 44, 0, 0, 255)
NOON = 1_767_268_800 * SECOND_US  # 2026-01-01T12:00 UTC


class Scene:
    """The demo meter with more objects, brought to life, and a client that may do all."""

    def __init__(self, objects: Iterable[InterfaceClass], **ports: Any) -> None:
        self.calendar = Calendar(NOON)
        meter = DemoMeter()
        more = list(objects)
        for each in more:
            meter.add(each)
        known = ports.pop("known", {})
        host = Host(clock=self.calendar, entropy=bytes, port=known.get, **ports)
        self.life: Life = bring_to_life(meter, host)
        self.link = Link(meter)
        self.link.run(self.link.client.associate())

    def act(self, method: Any, argument: Any, at: Obis) -> Any:
        return self.link.run(self.link.client.act(method, argument, at=at))

    def get(self, attribute: Any, at: Obis) -> Any:
        return self.link.run(self.link.client.get(attribute, at=at))

    def all_of(self, declared: type[InterfaceClass], at: Obis) -> dict[str, Any]:
        """Read each attribute by itself, so that each is encoded and read back."""
        return {row.name: self.get(row, at) for row in declared.attributes()}

    def refused(self, method: Any, argument: Any, at: Obis) -> ActionResult:
        with pytest.raises(AccessError) as caught:
            self.act(method, argument, at)
        assert isinstance(caught.value.result, ActionResult)
        return caught.value.result

    def run_to(self, end_us: int) -> None:
        """Let time pass, stopping whenever an actor is due."""
        while self.calendar.at_us < end_us:
            due = self.life.actors.due_us()
            step = end_us if due is None else min(end_us, max(due, self.calendar.at_us + 1))
            self.calendar.at_us = step
            self.life.actors.tick(step)


def test_prepayment_over_an_association() -> None:
    tokens = Tokens()
    objects = [each for each in prepaid() if each.class_id not in {3, 70}]  # the meter has its own
    scene = Scene(objects, known={GATEWAY: tokens})
    scene.run_to(NOON + SECOND_US)
    scene.act(Account.activate_account, 0, ACCOUNT)
    scene.act(TokenGateway.enter, tokens.make(1, 1_000), GATEWAY)
    status = scene.get(TokenGateway.token_status, GATEWAY)
    assert status.status_code is TokenStatusCode.EXECUTION_OK
    account = scene.all_of(Account, ACCOUNT)
    assert account["available_credit"] == 1_000
    assert account["current_credit_in_use"] == 1
    assert account["current_credit_status"].bits == "1010000"
    for each in objects:
        if each.logical_name != DEBT:  # no charge of this account
            scene.all_of(type(each), each.logical_name)
    assert scene.refused(Credit.invoke_credit, 0, EMERGENCY) == ActionResult.TEMPORARY_FAILURE
    scene.act(Credit.set_amount_to_value, 50, TOKEN_CREDIT)
    assert scene.get(Credit.credit_status, EMERGENCY) == CreditStatus.SELECTABLE
    scene.act(Credit.invoke_credit, 0, EMERGENCY)
    assert scene.get(Credit.current_credit_amount, EMERGENCY) == 500
    assert scene.refused(Account.reset_account, 0, ACCOUNT) == ActionResult.READ_WRITE_DENIED


def scheduled(at_time: str, service: int, class_id: int, name: Obis) -> list[InterfaceClass]:
    """A schedule at a time of day that invokes the method `service` of an object."""
    table = Obis(0, 0, 10, 0, 107, 255)
    hour, minute = map(int, at_time.split(":"))
    time = CosemTime(hour=hour, minute=minute).encode()
    day = CosemDate(year=None, month=None, day=None).encode()
    step = ActionSpecification(2, class_id, name, service, Integer(0))
    return [
        ScriptTable(table, scripts=(Script(1, (step,)),)),
        SingleActionSchedule(
            Obis(0, 0, 15, 0, 2, 255),
            executed_script=ScheduledScript(table, 1),
            type=1,
            execution_time=(ExecutionTime(time, day),),
        ),
    ]


def test_an_image_is_sent_verified_and_activated_at_night() -> None:
    flash = Flash(rounds=1)
    image = ImageTransfer(IMAGE, image_block_size=16)
    scene = Scene([image, *scheduled("02:00", 4, 18, IMAGE)], image=lambda _at: flash)
    size = scene.get(ImageTransfer.image_block_size, IMAGE)
    scene.act(ImageTransfer.image_transfer_initiate, ImageInitiation(b"m", len(GOOD)), IMAGE)
    for number in (0, 2, 3, 5, 6):
        value = GOOD[number * size : (number + 1) * size]
        scene.act(ImageTransfer.image_block_transfer, ImageBlock(number, value), IMAGE)
    missing = scene.get(ImageTransfer.image_transferred_blocks_status, IMAGE)
    assert missing.bits == "1011011"
    assert scene.refused(ImageTransfer.image_verify, 0, IMAGE) == (
        ActionResult.DATA_BLOCK_UNAVAILABLE
    )
    while (number := scene.get(ImageTransfer.image_first_not_transferred_block_number, IMAGE)) < 7:
        value = GOOD[number * size : (number + 1) * size]
        scene.act(ImageTransfer.image_block_transfer, ImageBlock(number, value), IMAGE)
    assert scene.refused(ImageTransfer.image_verify, 0, IMAGE) == ActionResult.TEMPORARY_FAILURE
    scene.run_to(NOON + 2 * SECOND_US)
    known = scene.all_of(ImageTransfer, IMAGE)
    assert known["image_transfer_status"] is ImageTransferStatus.VERIFICATION_SUCCESSFUL
    assert known["image_to_activate_info"][0].image_size == len(GOOD)
    scene.run_to(NOON + 15 * 3600 * SECOND_US)
    status = scene.get(ImageTransfer.image_transfer_status, IMAGE)
    assert status is ImageTransferStatus.ACTIVATION_SUCCESSFUL


def test_a_schedule_pushes_and_the_push_is_confirmed() -> None:
    line = Line()
    thing = setup(
        2,
        port_reference=LDN,
        push_client_sap=1,
        push_object_list=setup(2).push_object_list[:1],
        send_destination_and_method=SendDestinationAndMethod(*WHERE),
    )
    at = thing.logical_name
    scene = Scene([thing, *scheduled("13:00", 1, 40, at)], known={at: line})
    scene.run_to(NOON + 3601 * SECOND_US)
    apdu = DataNotification.decode(line.sent[-1])
    assert apdu.long_invoke_id_and_priority.confirmed
    assert apdu.notification_body == Structure((OctetString(NAME),))
    pushing = scene.life.acting[at]
    assert isinstance(pushing, Pushing)
    pushing.sent(scene.calendar.at_us)
    pushing.confirmed(int(apdu.long_invoke_id_and_priority), scene.calendar.at_us)
    known = scene.all_of(PushSetupV2, at)
    assert known["last_confirmation_date_time"].hour == 13


def test_functions_ports_and_m_bus() -> None:
    functions = FunctionControl(Obis(0, 0, 44, 1, 0, 255))
    port = CommunicationPortProtection(
        Obis(0, 0, 44, 2, 0, 255),
        protection_mode=PortProtectionMode.LOCKED_ON_FAILED_ATTEMPTS,
        allowed_failed_attempts=3,
        initial_lockout_time=10,
        steepness_factor=2,
        max_lockout_time=60,
        port_reference=Obis(0, 0, 20, 0, 0, 255),
    )
    client = MBusClientV1(
        CLIENT,
        capture_definition=(WATER,),
        capture_period=0,
        mbus_port_reference=Obis(0, 0, 24, 6, 0, 255),
    )
    value = ExtendedRegister(
        Obis(0, 1, 24, 2, 1, 255),
        value=DoubleLongUnsigned(0),
        scaler_unit=ScalerUnit(-3, 13),
        status=None,
    )
    scene = Scene([functions, port, client, value], known={CLIENT: Bus()})
    name = functions.logical_name
    scene.act(FunctionControl.add_function, FunctionDefinition(b"f", ()), name)
    scene.act(
        FunctionControl.set_function_status, (FunctionStatus(b"f", function_status=True),), name
    )
    assert scene.all_of(FunctionControl, name)["activation_status"] == (
        FunctionStatus(b"f", function_status=True),
    )
    assert scene.all_of(CommunicationPortProtection, port.logical_name)["failed_attempts"] == 0
    scene.act(MBusClientV1.slave_install, 1, CLIENT)
    slave = scene.life.acting[CLIENT]
    assert isinstance(slave, MbusSlave)
    slave.installed(1, HEADER)
    slave.answered(HEADER, RECORDS, NOON)
    assert scene.all_of(MBusClientV1, CLIENT)["primary_address"] == 1
    assert scene.get(ExtendedRegister.value, value.logical_name) == 12345678
