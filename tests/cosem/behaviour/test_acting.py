# SPDX-License-Identifier: Apache-2.0
import pytest

from openami.cosem.behaviour.acting import Actors, Inside
from openami.cosem.classes.measurement import Data, Register, ScalerUnit
from openami.cosem.device import LogicalDevice
from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import DoubleLongUnsigned, Integer, Unsigned, VisibleString
from openami.dlms.obis import Obis

NAME = Obis(0, 0, 96, 1, 0, 255)
ENERGY = Obis(1, 0, 1, 8, 0, 255)


class At:
    """Is due at a time; remembers what it was told."""

    def __init__(self, due_us: int | None) -> None:
        self.due = due_us
        self.told: list[int] = []

    def due_us(self) -> int | None:
        return self.due

    def tick(self, now_us: int) -> None:
        self.told.append(now_us)


@pytest.fixture
def register() -> Register:
    register = Register(ENERGY, scaler_unit=ScalerUnit(0, 30), value=DoubleLongUnsigned(7))

    def reset(_argument: int) -> None:
        register.value = DoubleLongUnsigned(0)

    register.bind_method(Register.reset, reset)
    return register


@pytest.fixture
def inside(register: Register) -> Inside:
    name = Data(NAME, value=VisibleString("one"))
    return Inside(LogicalDevice(objects=(name, register), associations=()))


def test_the_first_actor_makes_all_due() -> None:
    actors = Actors([At(None), At(30)])
    assert Actors().due_us() is None
    assert actors.due_us() == 30
    early = At(20)
    actors.add(early)
    assert actors.due_us() == 20
    actors.tick(25)
    assert early.told == [25]


def test_reads_writes_and_invokes(inside: Inside, register: Register) -> None:
    assert inside.read(3, ENERGY, 2) == DoubleLongUnsigned(7)
    inside.write(1, NAME, 2, VisibleString("two"))
    assert inside.read(1, NAME, 2) == VisibleString("two")
    assert inside.invoke(3, ENERGY, 1, Integer(0)) is None
    assert register.value == 0


def test_what_is_not_there_is_refused(inside: Inside) -> None:
    for class_id, at, attribute, result in (
        (3, Obis(1, 0, 2, 8, 0, 255), 2, DataAccessResult.OBJECT_UNDEFINED),
        (1, ENERGY, 2, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
        (3, ENERGY, 9, DataAccessResult.OBJECT_UNAVAILABLE),
    ):
        with pytest.raises(Refused) as caught:
            inside.read(class_id, at, attribute)
        assert caught.value.result == result
    with pytest.raises(Refused) as caught:
        inside.write(3, ENERGY, 9, Unsigned(1))
    assert caught.value.result == DataAccessResult.OBJECT_UNDEFINED
    with pytest.raises(Refused) as caught:
        inside.invoke(1, NAME, 1, Integer(0))
    assert caught.value.result == ActionResult.OBJECT_UNDEFINED


def test_a_value_of_another_type_is_refused(inside: Inside) -> None:
    with pytest.raises(KindError):
        inside.write(1, NAME, 2, Unsigned(1))
