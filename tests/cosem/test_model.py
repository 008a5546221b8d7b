# SPDX-License-Identifier: Apache-2.0
"""The registry of interface classes, checked as a whole, and how objects hold values."""

from typing import Any

import pytest

from openami.cosem import model
from openami.cosem.classes.associations import AssociationSnV4
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.push import PushSetup, PushSetupV1
from openami.cosem.kinds import KindError
from openami.cosem.model import REGISTRY, Attribute, InterfaceClass, Method, Refused, latest
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import DoubleLongUnsigned, Integer, LongUnsigned, OctetString
from openami.dlms.obis import Obis

ENERGY = Obis.parse("1.0.1.8.0.255")


def energy() -> Register:
    return Register(ENERGY, value=DoubleLongUnsigned(1234), scaler_unit=ScalerUnit(0, 30))


def test_a_class_describes_and_an_object_holds() -> None:
    held = energy()

    assert isinstance(Register.value, Attribute)
    assert isinstance(Register.reset, Method)
    assert Register.value.index == 2
    assert Register.logical_name.owner is Register
    assert held.value == 1234
    assert held.logical_name == ENERGY
    assert REGISTRY[3, 0] is Register
    assert latest(3) is Register
    assert latest(9999) is None
    assert repr(held) == "<Register 1.0.1.8.0.255>"


def test_one_number_one_class() -> None:
    with pytest.raises(TypeError, match="already Register"):
        type("Impostor", (InterfaceClass,), {}, class_id=3, version=0)
    assert REGISTRY[3, 0] is Register


def test_a_version_that_adds_rows_has_rows_of_its_own() -> None:
    assert PushSetupV1.push.owner is PushSetupV1
    assert PushSetup.push.owner is PushSetup
    assert PushSetupV1.push.index == PushSetup.push.index == 1
    assert [row.name for row in PushSetupV1.attributes()][-1] == "push_protection_parameters"
    assert len(list(PushSetup.attributes())) == 7


def test_a_version_nobody_declared_is_read_as_the_highest_known() -> None:
    assert model.declared(40, 1) is PushSetupV1
    assert model.declared(40, 99) is latest(40)
    assert model.declared(3, 1) is Register
    assert model.declared(9999, 0) is None


def test_short_names_of_rows() -> None:
    assert Register.short_name_offset(Register.logical_name) == 0
    assert Register.short_name_offset(Register.value) == 0x08
    assert Register.short_name_offset(Register.reset) == 0x28
    assert ProfileGeneric.short_name_offset(ProfileGeneric.capture) == 0x60
    reply = AssociationSnV4.reply_to_hls_authentication
    assert AssociationSnV4.short_name_offset(reply) == 0x58
    assert PushSetupV1.short_name_offset(PushSetupV1.push) is None


def test_a_value_that_no_row_declares_is_refused() -> None:
    with pytest.raises(TypeError, match="Register has no attribute 'valeu'"):
        Register(ENERGY, valeu=1)


def test_a_value_that_was_never_set_is_named() -> None:
    with pytest.raises(
        AttributeError, match=r"<Register 1\.0\.1\.8\.0\.255> has no value for value"
    ):
        _ = Register(ENERGY).value


def test_stored_values_are_encoded_anew_when_they_change() -> None:
    held = energy()
    read = held.reader(2)
    assert read is not None

    assert axdr_data.decode(read()) == 1234
    assert read() is read(), "octets of an unchanged value are kept"
    held.value = DoubleLongUnsigned(5)
    assert axdr_data.decode(read()) == 5


def test_readers_follow_what_is_bound() -> None:
    held = energy()
    values = iter((DoubleLongUnsigned(1), DoubleLongUnsigned(2)))
    held.bind(Register.value, lambda: next(values))
    read = held.reader(2)
    assert read is not None
    assert [axdr_data.decode(read()), held.value] == [1, 2]

    held.bind_octets(Register.value, lambda: b"\x06\x00\x00\x00\x09")
    read = held.reader(2)
    assert read is not None
    assert read() == b"\x06\x00\x00\x00\x09"


def test_attributes_without_a_value_have_no_reader() -> None:
    assert Register(ENERGY).reader(2) is None
    assert energy().reader(17) is None


def test_writing_keeps_the_type_of_a_choice() -> None:
    note = Data(ENERGY, value=OctetString(b"one"))

    note.write(Data.value, OctetString(b"two"))
    assert note.value == b"two"
    with pytest.raises(KindError, match="OctetString, as now"):
        note.write(Data.value, LongUnsigned(3))
    assert note.value == b"two"


def test_a_sink_hears_a_write_and_may_refuse_it() -> None:
    note = Data(ENERGY, value=LongUnsigned(1))
    heard: list[object] = []

    def sink(value: axdr_data.Data) -> None:
        if value == 13:
            raise Refused(DataAccessResult.OTHER_REASON)
        heard.append(value)

    note.bind_sink(Data.value, sink)
    note.write(Data.value, LongUnsigned(2))
    with pytest.raises(Refused, match="other-reason"):
        note.write(Data.value, LongUnsigned(13))

    assert heard == [2]
    assert note.value == 2


def test_a_bound_attribute_is_written_through_its_sink_only() -> None:
    note = Data(ENERGY)
    store = [LongUnsigned(1)]

    def sink(value: axdr_data.Data) -> None:
        assert isinstance(value, LongUnsigned)
        store[0] = value

    note.bind(Data.value, lambda: store[0])
    with pytest.raises(Refused, match="read-write-denied"):
        note.write(Data.value, LongUnsigned(2))
    note.bind(Data.value, lambda: store[0], sink)
    note.write(Data.value, LongUnsigned(2))

    assert note.value == 2


def test_methods_take_and_give_what_their_row_declares() -> None:
    held = energy()
    with pytest.raises(Refused, match="object-unavailable") as refused:
        held.invoke(Register.reset, Integer(0))
    assert refused.value.result is ActionResult.OBJECT_UNAVAILABLE

    calls: list[int] = []
    held.bind_method(Register.reset, calls.append)
    assert held.invoke(Register.reset, Integer(0)) is None
    with pytest.raises(KindError, match="where the class declares Integer"):
        held.invoke(Register.reset, OctetString(b""))
    assert calls == [0]


@pytest.mark.parametrize("declared", REGISTRY.values(), ids=lambda c: c.__name__)
def test_no_row_hides_what_every_object_has(declared: type[InterfaceClass]) -> None:
    plumbing = set(vars(declared(ENERGY))) | set(vars(InterfaceClass))
    rows: list[Any] = [*declared.attributes(), *declared.methods()]
    assert not plumbing & {row.name for row in rows if row.index != 1 or isinstance(row, Method)}
