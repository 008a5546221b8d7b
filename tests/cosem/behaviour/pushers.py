# SPDX-License-Identifier: Apache-2.0
"""A meter with a push setup of any version, and a line on which its pushes go."""

from typing import Any

from cosem.behaviour.life import at
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.pushing import (
    NEVER,
    Pushing,
    push,
)
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.push import (
    ConfirmationParameters,
    MessageType,
    PushObject,
    PushOperationMethod,
    PushSetup,
    PushSetupV1,
    PushSetupV2,
    PushSetupV3,
    RepetitionDelay,
    SendDestinationAndMethod,
    TransportService,
)
from openami.cosem.classes.references import Window
from openami.cosem.device import LogicalDevice
from openami.cosem.model import Refused
from openami.cosem.serving.profile import MemoryBuffer, profile_generic
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    DoubleLongUnsigned,
    OctetString,
    Structure,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

PUSH = Obis(0, 0, 25, 9, 0, 255)
NAME, ENERGY = Obis(0, 0, 42, 0, 0, 255), Obis(1, 0, 1, 8, 0, 255)
PROFILE, CLOCK = Obis(1, 0, 99, 1, 0, 255), Obis(0, 0, 1, 0, 0, 255)
NOW = at("2026-03-02T10:00")
WHERE = SendDestinationAndMethod(TransportService.TCP, b"centre:4059", MessageType.A_XDR)


def column(class_id: int, name: Obis, attribute: int, index: int = 0) -> CaptureObject:
    return CaptureObject(
        class_id=class_id, instance_id=name, attribute_id=attribute, data_index=index
    )


LIST = (column(1, NAME, 2), column(40, PUSH, 1), column(3, ENERGY, 3, 2))
CLOCK_COLUMN, ENERGY_COLUMN = column(8, CLOCK, 2), column(3, ENERGY, 2)
TIME = {"year": None, "month": None, "day": None}
NIGHT = Window(CosemDateTime(**TIME, hour=2, minute=0), CosemDateTime(**TIME, hour=2, minute=10))


class Line:
    """A transport that remembers what was sent, and how it is to go."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.refuses = False

    def send(self, destination: SendDestinationAndMethod, octets: bytes) -> None:
        assert destination == WHERE
        if self.refuses:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        self.sent.append(octets)

    @property
    def last(self) -> DataNotification:
        return DataNotification.decode(self.sent[-1])


def setup(version: int = 0, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "push_object_list": LIST,
        "send_destination_and_method": WHERE,
        "communication_window": (),
        "randomisation_start_interval": 0,
        "number_of_retries": 2,
        "repetition_delay": 60,
    }
    if version >= 1:
        values["push_protection_parameters"] = ()
    if version >= 2:
        values |= {
            "push_object_list": tuple(
                PushObject(c.class_id, c.instance_id, c.attribute_id, c.data_index, None, ())
                for c in LIST
            ),
            "repetition_delay": RepetitionDelay(10, 200, 35),
            "push_operation_method": PushOperationMethod.CONFIRMED,
            "confirmation_parameters": ConfirmationParameters(NEVER, 0),
        }
    classes = (PushSetup, PushSetupV1, PushSetupV2, PushSetupV3)
    return classes[version](PUSH, **(values | changes))


class Meter:
    def __init__(self, thing: Any, entropy: int = 0, **ports: Any) -> None:
        self.thing, self.line = thing, Line()
        self.name = Data(NAME, value=VisibleString("meter"))
        self.heard: list[str] = []
        profile = ProfileGeneric(
            PROFILE, capture_objects=(CLOCK_COLUMN, ENERGY_COLUMN), capture_period=900
        )
        rows = MemoryBuffer(10)
        for number in range(4):
            time_us = NOW + number * 900 * SECOND_US
            clock = CosemDateTime(
                year=2026, month=3, day=2, hour=10, minute=15 * number, deviation_minutes=0
            )
            rows.append(
                time_us, Structure((OctetString(clock.encode()), DoubleLongUnsigned(number)))
            )
        profile_generic(profile, rows)
        energy = Register(ENERGY, value=DoubleLongUnsigned(7), scaler_unit=ScalerUnit(0, 30))
        self.device = LogicalDevice(objects=(self.name, profile, energy, thing), associations=())
        self.pushing = push(
            Pushing(
                thing,
                self.device,
                self.line,
                entropy=entropy.to_bytes,
                heard=self.heard.append,
                **ports,
            )
        )

    def push(self, now_us: int = NOW) -> None:
        self.thing.invocations[1](0)
        self.pushing.tick(now_us)

    @property
    def due_s(self) -> float:
        """Seconds from now to when it is due."""
        due = self.pushing.due_us()
        assert due is not None
        return (due - NOW) / SECOND_US
