# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from cosem.behaviour.test_layers import BOTH, CENTRE, KEY_INFOS, METER, ends, layer
from openami.cosem.behaviour.data_protection import Protecting, data_protection
from openami.cosem.behaviour.layers import LayerKeys, put_on, take_off
from openami.cosem.classes.measurement import Data, Register, ScalerUnit
from openami.cosem.classes.protection import (
    AgreedKey,
    AttributesToGet,
    DataProtection,
    IdentifiedKey,
    KeyInfo,
    ProtectedAttributes,
    ProtectedCall,
    ProtectedData,
    ProtectionParameters,
    ProtectionType,
)
from openami.cosem.classes.references import AttributeReference, ByEntryNumber, RestrictedAttribute
from openami.cosem.device import LogicalDevice
from openami.cosem.model import Refused
from openami.dlms import data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import DoubleLongUnsigned, Integer, OctetString, Structure, Unsigned
from openami.dlms.errors import SecurityError
from openami.dlms.obis import Obis

PROTECTION = Obis(0, 0, 43, 2, 0, 255)
NAME, ENERGY = Obis(0, 0, 96, 1, 0, 255), Obis(1, 0, 1, 8, 0, 255)
REQUEST_AND_RESPONSE = 0x04 | 0x08 | 0x20 | 0x40


class Ring:
    def __init__(self, held: LayerKeys) -> None:
        self.held = held

    def keys(self, peer_title: bytes) -> LayerKeys:
        if peer_title != self.held.peer_title:
            raise SecurityError("nobody", "ring", "")
        return self.held


class Scope:
    """Everything but the methods and attributes in `closed`."""

    def __init__(self) -> None:
        self.closed: set[tuple[str, int, Obis, int]] = set()

    def may_read(self, class_id: int, at: Obis, attribute: int) -> bool:
        return ("read", class_id, at, attribute) not in self.closed

    def may_write(self, class_id: int, at: Obis, attribute: int) -> bool:
        return ("write", class_id, at, attribute) not in self.closed

    def may_invoke(self, class_id: int, at: Obis, method: int) -> bool:
        return ("invoke", class_id, at, method) not in self.closed


class Meter:
    def __init__(self, required: int = REQUEST_AND_RESPONSE) -> None:
        held, self.centre = ends()
        self.name = Data(NAME, value=OctetString(b"old"))
        self.energy = Register(ENERGY, value=DoubleLongUnsigned(12), scaler_unit=ScalerUnit(0, 30))

        def reset(_argument: int) -> None:
            self.energy.value = DoubleLongUnsigned(0)

        self.energy.bind_method(Register.reset, reset)
        self.scope = Scope()
        self.thing = DataProtection(
            PROTECTION,
            required_protection=required,
            protection_object_list=(listed(1, NAME, 2),),
            protection_parameters_get=(layer(BOTH),),
            protection_parameters_set=(),
        )
        device = LogicalDevice(objects=(self.name, self.energy, self.thing), associations=())
        data_protection(
            Protecting(thing=self.thing, device=device, ring=Ring(held), scope=self.scope)
        )

    def call(self, method: int, argument: Any) -> Any:
        return self.thing.invocations[method](argument)

    def refused(self, method: int, argument: Any) -> ActionResult:
        with pytest.raises(Refused) as caught:
            self.call(method, argument)
        assert isinstance(caught.value.result, ActionResult)
        return caught.value.result


def listed(class_id: int, at: Obis, attribute: int, data_index: int = 0) -> RestrictedAttribute:
    return RestrictedAttribute(class_id, at, attribute, data_index, None)


def to_meter(kind: ProtectionType = BOTH) -> ProtectionParameters:
    """A layer of the answer, from the meter to the centre."""
    made = layer(kind)
    options = made.protection_options._replace(recipient_system_title=CENTRE)
    return made._replace(protection_options=options)


def test_attributes_come_protected() -> None:
    meter = Meter()
    found = meter.call(
        1,
        AttributesToGet(
            (listed(1, NAME, 2), listed(3, ENERGY, 3, 2), listed(3, ENERGY, 0)),
            (to_meter(ProtectionType.DIGITAL_SIGNATURE), to_meter()),
        ),
    )
    assert isinstance(found, ProtectedData)
    values = data.decode(take_off(meter.centre, found.protection_parameters, found.protected_data))
    assert isinstance(values, Structure)
    assert values[:2] == (OctetString(b"old"), 30)
    assert len(values[2]) == 3  # type: ignore[arg-type]


def test_attributes_are_set_protected() -> None:
    meter = Meter()
    value = data.encode(Structure((OctetString(b"new"),)))
    told, octets = put_on(meter.centre, (layer(BOTH),), value)
    meter.call(2, ProtectedAttributes((listed(1, NAME, 2),), told, octets))
    assert meter.name.value == b"new"
    assert (
        meter.refused(2, ProtectedAttributes((listed(1, NAME, 2),), told, octets))
        == ActionResult.OTHER_REASON
    )  # a replay


def test_a_method_is_invoked_protected() -> None:
    meter = Meter()
    told, octets = put_on(meter.centre, (layer(BOTH),), data.encode(Integer(0)))
    call = ProtectedCall(AttributeReference(3, ENERGY, 1), told, octets)
    found = meter.call(3, call)
    assert meter.energy.value == 0
    assert found.protection_parameters[0].protection_options.originator_system_title == METER
    result = take_off(meter.centre, found.protection_parameters, found.protected_data)
    assert data.decode(result) is None


@pytest.mark.parametrize("key_info", KEY_INFOS, ids=repr)
def test_an_answer_has_keys_of_its_own(key_info: KeyInfo) -> None:
    meter = Meter()
    layers = (layer(ProtectionType.DIGITAL_SIGNATURE), layer(BOTH, key_info))
    told, octets = put_on(meter.centre, layers, data.encode(Integer(0)))
    found = meter.call(3, ProtectedCall(AttributeReference(3, ENERGY, 1), told, octets))
    asked, answered = told[1].protection_options, found.protection_parameters[1].protection_options
    assert answered.transaction_id == asked.transaction_id
    assert type(answered.key_info) is type(key_info)
    if key_info != IdentifiedKey(0) and key_info != AgreedKey(b"\x02", b""):
        assert answered.key_info != asked.key_info
    result = take_off(meter.centre, found.protection_parameters, found.protected_data)
    assert data.decode(result) is None


def test_less_than_the_required_protection_is_denied() -> None:
    denied = ActionResult.READ_WRITE_DENIED
    meter = Meter(REQUEST_AND_RESPONSE | 0x10 | 0x80)
    assert meter.refused(1, AttributesToGet((listed(1, NAME, 2),), (to_meter(),))) == denied
    told, octets = put_on(meter.centre, (layer(BOTH),), data.encode(Integer(0)))
    assert meter.refused(2, ProtectedAttributes((listed(1, NAME, 2),), told, octets)) == denied
    call = ProtectedCall(AttributeReference(3, ENERGY, 1), told, octets)
    assert meter.refused(3, call) == denied
    assert meter.refused(2, ProtectedAttributes((), (), b"\x02\x00")) == denied
    open_meter = Meter(0)
    found = open_meter.call(1, AttributesToGet((listed(1, NAME, 2),), ()))
    assert found == ProtectedData((), data.encode(Structure((OctetString(b"old"),))))
    open_meter.call(
        2,
        ProtectedAttributes(
            (listed(1, NAME, 2),), (), data.encode(Structure((OctetString(b"new"),)))
        ),
    )
    assert open_meter.name.value == b"new"


def test_the_scope_is_kept() -> None:
    meter = Meter(0)
    meter.scope.closed = {("read", 1, NAME, 2), ("write", 1, NAME, 2), ("invoke", 3, ENERGY, 1)}
    denied = ActionResult.READ_WRITE_DENIED
    assert meter.refused(1, AttributesToGet((listed(1, NAME, 2),), ())) == denied
    value = data.encode(Structure((OctetString(b"new"),)))
    assert meter.refused(2, ProtectedAttributes((listed(1, NAME, 2),), (), value)) == denied
    call = ProtectedCall(AttributeReference(3, ENERGY, 1), (), data.encode(Integer(0)))
    assert meter.refused(3, call) == denied
    assert meter.name.value == b"old"


@pytest.mark.parametrize(
    ("element", "octets", "result"),
    [
        (listed(1, NAME, 2), b"\xff", ActionResult.TYPE_UNMATCHED),
        (listed(1, NAME, 2), b"\x00", ActionResult.TYPE_UNMATCHED),
        (listed(1, NAME, 2), data.encode(Structure(())), ActionResult.TYPE_UNMATCHED),
        (
            listed(1, NAME, 2),
            data.encode(Structure((Unsigned(1),))),
            ActionResult.TYPE_UNMATCHED,
        ),
        (
            listed(1, NAME, 2, 1),
            data.encode(Structure((Unsigned(1),))),
            ActionResult.READ_WRITE_DENIED,
        ),
        (
            listed(1, ENERGY, 2),
            data.encode(Structure((Unsigned(1),))),
            ActionResult.OBJECT_CLASS_INCONSISTENT,
        ),
    ],
)
def test_what_cannot_be_set(
    element: RestrictedAttribute, octets: bytes, result: ActionResult
) -> None:
    assert Meter(0).refused(2, ProtectedAttributes((element,), (), octets)) == result


def test_what_cannot_be_had() -> None:
    meter = Meter()
    for element, result in (
        (listed(1, Obis(9, 9, 9, 9, 9, 9), 2), ActionResult.OBJECT_UNDEFINED),
        (listed(1, NAME, 7), ActionResult.OBJECT_UNAVAILABLE),
        (listed(1, NAME, 2, 1), ActionResult.SCOPE_OF_ACCESS_VIOLATED),
        (
            listed(1, NAME, 2)._replace(restriction=ByEntryNumber(1, 2)),
            ActionResult.SCOPE_OF_ACCESS_VIOLATED,
        ),
        (listed(1, NAME, 0, 1), ActionResult.SCOPE_OF_ACCESS_VIOLATED),
    ):
        assert meter.refused(1, AttributesToGet((element,), (to_meter(),))) == result
    asked = AttributesToGet((listed(1, NAME, 2),), (layer(BOTH),))  # for nobody
    assert meter.refused(1, asked) == ActionResult.OTHER_REASON
    strange = (to_meter()._replace(protection_type=9),)
    wanted = AttributesToGet((listed(1, NAME, 2),), strange)
    assert meter.refused(1, wanted) == ActionResult.OTHER_REASON


def test_the_buffer_shows_what_is_listed() -> None:
    meter = Meter()
    with pytest.raises(Refused) as caught:
        _ = meter.thing.protection_buffer
    assert caught.value.result == DataAccessResult.OTHER_REASON  # no recipient is told
    meter.thing.protection_parameters_get = (to_meter(),)
    assert meter.thing.protection_buffer[:1] == b"\x31"


def test_what_is_written_to_the_buffer_sets_what_is_listed() -> None:
    meter = Meter()
    value = data.encode(Structure((OctetString(b"new"),)))
    told, octets = put_on(meter.centre, (layer(BOTH),), value)
    row = DataProtection.protection_buffer
    with pytest.raises(Refused) as caught:
        meter.thing.write(row, OctetString(octets))
    assert caught.value.result == DataAccessResult.READ_WRITE_DENIED  # no layers are set
    meter.thing.protection_parameters_set = told
    meter.thing.write(row, OctetString(octets))
    assert meter.name.value == b"new"
    number = data.encode(Structure((Unsigned(1),)))
    told, octets = put_on(meter.centre, (layer(BOTH),), number)
    meter.thing.protection_parameters_set = told
    with pytest.raises(Refused) as caught:
        meter.thing.write(row, OctetString(octets))
    assert caught.value.result == DataAccessResult.TYPE_UNMATCHED
