# SPDX-License-Identifier: Apache-2.0
"""Parts of the meters in `chain`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from openami.cosem.classes.disconnect import ControlState
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.push import (
    MESSAGE_A_XDR,
    TRANSPORT_TCP,
    PushSetup,
    SendDestinationAndMethod,
)
from openami.cosem.classes.time_event import Clock, ClockBase
from openami.cosem.model import InterfaceClass
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import OctetString, VisibleString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
PUSH_SETUP: Final = Obis(0, 0, 25, 9, 0, 255)
NEVER: Final = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)


def identity(ldn: str, now: datetime, pushed: Obis) -> Iterator[InterfaceClass]:
    """Return what tells who a meter is, what time it is there, and what it pushes."""
    yield Data(Obis(0, 0, 42, 0, 0, 255), value=OctetString(ldn.encode()))
    yield Data(Obis(0, 0, 96, 1, 0, 255), value=VisibleString(ldn[3:]))
    yield Clock(
        CLOCK,
        time=CosemDateTime.from_utc(now),
        time_zone=0,
        status=0,
        daylight_savings_begin=NEVER,
        daylight_savings_end=NEVER,
        daylight_savings_deviation=0,
        daylight_savings_enabled=False,
        clock_base=ClockBase.INTERNAL_CRYSTAL,
    )
    yield PushSetup(
        PUSH_SETUP,
        push_object_list=(CaptureObject(class_id=7, instance_id=pushed, attribute_id=2),),
        send_destination_and_method=SendDestinationAndMethod(TRANSPORT_TCP, b"", MESSAGE_A_XDR),
        communication_window=(),
        randomisation_start_interval=0,
        number_of_retries=0,
        repetition_delay=0,
    )


class Switch:
    """The breaker of a test meter."""

    def __init__(self) -> None:
        self.closed = True
        self.moves: list[ControlState] = []

    def is_closed(self) -> bool:
        return self.closed

    def move(self, state: ControlState) -> None:
        self.moves.append(state)
        self.closed = state is ControlState.CONNECTED


class Counter:
    """Invocation counters of a test meter, in memory."""

    def __init__(self) -> None:
        self.next = 1

    def reserve(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first
