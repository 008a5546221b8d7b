# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from openami.cosem.behaviour.administration import (
    Administration,
    administered,
    sap_assignment,
    users,
)
from openami.cosem.classes.access_control import (
    AccessRights,
    AssociationLn,
    AssociationLnV3,
    AttributeAccess,
    MethodAccess,
    ObjectListElement,
    SapAssignment,
    SapName,
    UserListEntry,
)
from openami.cosem.classes.associations import AssociationLnV2, AssociationSnV3
from openami.cosem.classes.measurement import Data, Register, ScalerUnit
from openami.cosem.device import AssociationPolicy, LogicalDevice
from openami.cosem.model import InterfaceClass, Refused
from openami.cosem.rights import READ_ALL, Grant, Rights, object_list_element
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import DoubleLongUnsigned, Structure, VisibleString
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityPolicy

ASSOCIATION = Obis(0, 0, 40, 0, 1, 255)
NAME, ENERGY = Obis(0, 0, 96, 1, 0, 255), Obis(1, 0, 1, 8, 0, 255)
READER, MANAGER = 2, 1
SIGNED = SecurityPolicy.DIGITALLY_SIGNED_REQUEST


class Kept:
    def __init__(self) -> None:
        self.policies: list[AssociationPolicy] = []
        self.refuses = False

    def keep(self, client_sap: int, policy: AssociationPolicy) -> None:
        assert client_sap == READER
        if self.refuses:
            raise Refused(ActionResult.HARDWARE_FAULT)
        self.policies.append(policy)


class World:
    def __init__(
        self, declared: Any = AssociationLn, *, grants: tuple[Grant, ...] = READ_ALL
    ) -> None:
        self.thing = declared(ASSOCIATION)
        self.name = Data(NAME, value=VisibleString("n"))
        self.energy = Register(ENERGY, value=DoubleLongUnsigned(1), scaler_unit=ScalerUnit(0, 30))
        self.energy.bind_method(Register.reset, lambda _argument: None)
        reader = AssociationPolicy(
            client_sap=READER, mechanism=Mechanism.LLS, secret=b"old", grants=grants
        )
        self.device = LogicalDevice(
            objects=(self.thing, self.name, self.energy), associations=(reader,)
        )
        self.kept = Kept()
        administered(
            self.thing,
            Administration(self.device, READER, keeper=self.kept, version=declared.version),
        )

    def rights(self, thing: InterfaceClass) -> Rights:
        return self.device.view(self.device.associations[READER]).rights(thing)

    def call(self, method: int, argument: Any) -> None:
        self.thing.invocations[method](argument)

    def refused(self, method: int, argument: Any) -> ActionResult:
        with pytest.raises(Refused) as caught:
            self.call(method, argument)
        assert isinstance(caught.value.result, ActionResult)
        return caught.value.result


def element(
    at: Obis = ENERGY, class_id: int = 3, value: int = 1, scaler: int = 0, reset: int = 0
) -> ObjectListElement:
    attributes = (AttributeAccess(2, value, None), AttributeAccess(3, scaler, None))
    rights = AccessRights(attributes, (MethodAccess(1, reset),))
    return ObjectListElement(class_id, 0, at, rights)


def test_a_secret_is_changed() -> None:
    world = World()
    world.call(2, b"new")
    assert world.device.associations[READER].secret == b"new"
    assert world.kept.policies[-1].secret == b"new"
    assert world.refused(2, b"") == ActionResult.READ_WRITE_DENIED
    world.thing.sinks[7](b"newer")
    assert world.device.associations[READER].secret == b"newer"
    world.kept.refuses = True
    assert world.refused(2, b"lost") == ActionResult.HARDWARE_FAULT
    assert world.device.associations[READER].secret == b"newer"
    world.device.associations.clear()
    assert world.refused(2, b"x") == ActionResult.OBJECT_UNAVAILABLE


def test_an_object_is_hidden_and_shown_again() -> None:
    world = World()
    before = world.rights(world.name)
    world.call(4, element())
    assert not world.rights(world.energy)
    assert world.rights(world.name) == before
    world.call(3, element(value=1, reset=1))
    assert world.rights(world.energy) == Rights(frozenset({2}), frozenset(), frozenset({1}))
    assert world.rights(world.name) == before


def test_adding_an_object_that_is_there_changes_its_rights() -> None:
    world = World()
    world.call(3, element(value=4, scaler=0))
    found = world.rights(world.energy)
    assert found.read == {2}
    assert found.attributes == {2: SecurityPolicy.AUTHENTICATED_REQUEST}


def test_demands_stay_when_another_object_changes() -> None:
    grants = (
        Grant(read=range(8), invoke=range(8)),
        Grant(at=ENERGY, read=(2,), invoke=(1,), protection=SIGNED),
    )
    world = World(AssociationLnV3, grants=grants)
    before = object_list_element(world.energy, world.rights(world.energy))
    assert before.access_rights.methods[0].access_mode == 1 | SIGNED
    world.call(4, element(NAME, 1))
    assert object_list_element(world.energy, world.rights(world.energy)) == before


def test_bits_of_version_3() -> None:
    world = World(AssociationLnV3)
    wanted = element(value=1 | SIGNED, scaler=1, reset=1 | SIGNED)
    world.call(3, wanted)
    found = object_list_element(world.energy, world.rights(world.energy))
    assert [each.access_mode for each in found.access_rights.attributes] == [0, 1 | SIGNED, 1]
    assert found.access_rights.methods == (MethodAccess(1, 1 | SIGNED),)


def test_objects_that_are_not_there() -> None:
    world = World()
    for method in (3, 4):
        strange = element(Obis(9, 9, 9, 9, 9, 9))
        assert world.refused(method, strange) == ActionResult.OBJECT_UNDEFINED
        other = element(class_id=4)
        assert world.refused(method, other) == ActionResult.OBJECT_CLASS_INCONSISTENT


@pytest.mark.parametrize("declared", [AssociationLnV2, AssociationLnV3, AssociationSnV3])
def test_users_come_and_go(declared: Any) -> None:
    thing = declared(ASSOCIATION)
    users(thing)
    add, remove = declared.add_user.index, declared.remove_user.index
    ada = UserListEntry(1, VisibleString("Ada"))
    thing.invocations[add](ada)
    with pytest.raises(Refused):
        thing.invocations[add](UserListEntry(1, VisibleString("Eve")))
    assert thing.user_list == (ada,)
    for name in (None, Structure((VisibleString("Eve"),))):
        with pytest.raises(Refused):
            thing.invocations[add](UserListEntry(2, name))
    with pytest.raises(Refused):
        thing.invocations[remove](UserListEntry(1, VisibleString("Eve")))
    thing.invocations[remove](ada)
    assert thing.user_list == ()


def test_users_are_bound_with_the_association() -> None:
    assert AssociationLnV3.add_user.index in World(AssociationLnV3).thing.invocations
    assert 5 not in World().thing.invocations


def test_a_service_access_point_belongs_to_one_device() -> None:
    heard: list[SapName] = []
    thing = sap_assignment(
        SapAssignment(Obis(0, 0, 41, 0, 0, 255), sap_assignment_list=(SapName(1, b"one"),)),
        heard.append,
    )
    connect = thing.invocations[1]
    for wanted, expected in (
        (SapName(2, b"two"), {1: b"one", 2: b"two"}),
        (SapName(3, b"one"), {2: b"two", 3: b"one"}),
        (SapName(2, b"three"), {3: b"one", 2: b"three"}),
        (SapName(0, b"one"), {2: b"three"}),
    ):
        connect(wanted)
        assert dict(thing.sap_assignment_list) == expected
        assert heard[-1] == wanted


@pytest.mark.parametrize(
    ("mode", "reads", "writes", "demands"),
    [
        (0, False, False, False),
        (1, True, False, False),
        (2, False, True, False),
        (3, True, True, False),
        (4, True, False, True),
        (5, False, True, True),
        (6, True, True, True),
    ],
)
def test_access_modes_of_versions_before_3(
    mode: int, *, reads: bool, writes: bool, demands: bool
) -> None:
    world = World()
    rights = AccessRights((AttributeAccess(2, mode, None),), ())
    world.call(3, ObjectListElement(1, 0, NAME, rights))
    found = world.rights(world.name)
    assert (2 in found.read, 2 in found.write) == (reads, writes)
    assert (2 in found.attributes) is (demands and (reads or writes))
