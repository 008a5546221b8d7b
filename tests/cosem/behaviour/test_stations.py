# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from cosem.behaviour.life import Calendar, World
from openami.cosem.behaviour.bindings import bring_to_life
from openami.cosem.behaviour.host import Host
from openami.cosem.behaviour.stations import STATIONS
from openami.cosem.classes.lpwan import LoRaWanSetup
from openami.cosem.classes.zigbee import ZigbeeNetworkControl
from openami.cosem.device import LogicalDevice
from openami.cosem.model import REGISTRY, Attribute, InterfaceClass, Method, Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Data, LongUnsigned, OctetString
from openami.dlms.obis import Obis

NAME = Obis(0, 0, 30, 3, 0, 255)
CLASSES = [of for (class_id, _), of in sorted(REGISTRY.items()) if class_id in STATIONS]


class Modem:
    """Remembers what it was asked; says no to whatever begins with `un`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Data]] = []
        self.written: list[str] = []

    def perform(self, thing: InterfaceClass, method: Method[Any, Any], argument: Data) -> Data:
        if method.name.startswith("un"):
            raise Refused(DataAccessResult.HARDWARE_FAULT)
        assert method in thing.methods()
        self.asked.append((method.name, argument))
        return None

    def apply(self, row: Attribute[Any], value: object) -> None:
        del value
        self.written.append(row.name)


def hosted(thing: InterfaceClass) -> Modem:
    modem = Modem()
    host = Host(clock=Calendar(), entropy=bytes, port=lambda name: modem if name == NAME else None)
    bring_to_life(LogicalDevice(objects=[thing], associations=()), host)
    return modem


@pytest.mark.parametrize("declared", CLASSES, ids=lambda of: f"{of.class_id}v{of.version}")
def test_every_method_of_a_station_reaches_its_modem(declared: type[InterfaceClass]) -> None:
    thing = declared(NAME)
    modem = hosted(thing)
    wanted = [row for row in declared.methods() if not row.name.startswith("un")]
    for row in wanted:
        thing.invoke(row, row.argument.to_data(0) if row.argument.name == "Integer" else None)

    assert [name for name, _ in modem.asked] == [row.name for row in wanted]


def test_a_modem_takes_the_argument_as_it_came_and_may_refuse() -> None:
    thing = ZigbeeNetworkControl(NAME, join_timeout=1)
    modem = hosted(thing)
    thing.invoke(ZigbeeNetworkControl.register_device, OctetString(b"12345678"))
    thing.write(ZigbeeNetworkControl.join_timeout, LongUnsigned(60))
    with pytest.raises(Refused) as caught:
        thing.invoke(ZigbeeNetworkControl.unregister_device, None)

    assert modem.asked == [("register_device", OctetString(b"12345678"))]
    assert modem.written == ["join_timeout"]
    assert caught.value.result == ActionResult.HARDWARE_FAULT


def test_nobody_carries_out_what_has_no_modem() -> None:
    thing = LoRaWanSetup(NAME)
    World([thing])
    with pytest.raises(Refused) as caught:
        thing.invoke(LoRaWanSetup.change_class, None)
    assert caught.value.result == ActionResult.OBJECT_UNAVAILABLE
