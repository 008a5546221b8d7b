# SPDX-License-Identifier: Apache-2.0
"""A client that administers its own association: secret, objects that it sees, users."""

from dataclasses import replace
from typing import Any

import pytest

from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AccessRights,
    AssociationLn,
    AssociationLnV3,
    AttributeAccess,
    MethodAccess,
    ObjectListElement,
    UserListEntry,
)
from openami.cosem.classes.associations import AssociationSnV3, AssociationSnV4
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.device import AssociationPolicy
from openami.cosem.refusals import AccessError, AssociationError, AuthenticationError
from openami.cosem.rights import ALL, FULL_ACCESS, READ_ALL, Grant
from openami.dlms.data import OctetString, VisibleString
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityPolicy
from playbooks.demo_meter import CLIENT_TITLE, ENERGY, NOTE, READER, DemoMeter, Link
from playbooks.keeper import Keeper
from playbooks.named_meter import NamedMeter
from playbooks.named_meter import associated as associated_by_short_name

ADMINISTRATOR = (*READ_ALL, Grant(at=CURRENT_ASSOCIATION, write=(7,), invoke=range(2, 7)))
ADA, BOB = UserListEntry(1, VisibleString("Ada")), UserListEntry(2, VisibleString("Bob"))
HASHED = (Mechanism.HLS, Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256)


class World:
    """The reader of a demo meter, which keeps what it changes."""

    def __init__(self, **policy: Any) -> None:
        self.keeper = Keeper()
        self.meter = DemoMeter()
        told: dict[str, Any] = {
            "mechanism": Mechanism.HLS_SHA256,
            "secret": b"secret",
            "keeper": self.keeper,
            "grants": ADMINISTRATOR,
        }
        self.told = told | policy
        self.meter.associations[READER] = AssociationPolicy(client_sap=READER, **self.told)

    def link(self, **client: Any) -> Link:
        told: dict[str, Any] = {
            "mechanism": self.told["mechanism"],
            "secret": self.policy.secret,
            "system_title": CLIENT_TITLE,
        }
        link = Link(self.meter, READER, **(told | client))
        link.run(link.client.associate())
        return link

    @property
    def policy(self) -> AssociationPolicy:
        return self.meter.associations[READER]


def act(link: Link, method: Any, argument: Any) -> None:
    link.run(link.client.act(method, argument, at=CURRENT_ASSOCIATION))


def element(at: Obis, class_id: int, **modes: int) -> ObjectListElement:
    rights = AccessRights(
        (AttributeAccess(2, modes.get("value", 0), None),),
        (MethodAccess(1, modes.get("method", 0)),),
    )
    return ObjectListElement(class_id, 0, at, rights)


@pytest.mark.parametrize("mechanism", HASHED)
def test_a_secret_of_hls_is_changed_for_the_next_association(mechanism: Mechanism) -> None:
    world = World(mechanism=mechanism)
    link = world.link()
    act(link, AssociationLnV3.change_hls_secret, b"new secret")
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456, "this one goes on"
    assert world.keeper.secrets == [b"new secret"]
    with pytest.raises(AuthenticationError):
        world.link(secret=b"secret")
    world.link(secret=b"new secret")


def test_a_password_is_written() -> None:
    world = World(mechanism=Mechanism.LLS)
    link = world.link()
    link.run(link.client.set(AssociationLn.secret, b"password 2", at=CURRENT_ASSOCIATION))
    assert world.keeper.secrets == [b"password 2"]
    with pytest.raises(AssociationError, match="authentication-failure"):
        world.link(secret=b"secret")
    link = world.link(secret=b"password 2")
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.get(AssociationLn.secret, at=CURRENT_ASSOCIATION))


def test_a_secret_that_mechanism_2_cannot_use() -> None:
    link = World(mechanism=Mechanism.HLS).link()
    with pytest.raises(AccessError, match="read-write-denied"):
        act(link, AssociationLnV3.change_hls_secret, bytes(17))


def test_what_is_not_kept_is_not_changed() -> None:
    world = World()
    world.keeper.refuses = True
    link = world.link()
    for method, argument in (
        (AssociationLnV3.change_hls_secret, b"new"),
        (AssociationLnV3.remove_object, element(NOTE, 1)),
        (AssociationLnV3.add_user, ADA),
    ):
        with pytest.raises(AccessError, match="temporary-failure"):
            act(link, method, argument)
    assert world.policy.secret == b"secret"
    assert world.policy.grants == ADMINISTRATOR
    assert world.policy.user_list == ()
    assert link.run(link.client.get(AssociationLnV3.user_list, at=CURRENT_ASSOCIATION)) == ()


def test_objects_are_hidden_and_shown_and_the_administrator_stays_one() -> None:
    world = World()
    act(world.link(), AssociationLnV3.remove_object, element(NOTE, 1))
    link = world.link()
    with pytest.raises(AccessError, match="object-undefined"):
        link.run(link.client.get(Data.value, at=NOTE))
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    act(link, AssociationLnV3.add_object, element(NOTE, 1, value=3))
    link = world.link()
    link.run(link.client.set(Data.value, OctetString(b"mine"), at=NOTE))
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"mine"
    with pytest.raises(AccessError, match="object-undefined"):
        act(link, AssociationLnV3.add_object, element(CURRENT_ASSOCIATION, 15, method=1))


def test_users_must_be_named_from_the_first_on() -> None:
    world = World()
    link = world.link()
    act(link, AssociationLnV3.add_user, ADA)
    act(link, AssociationLnV3.add_user, BOB)
    get = link.client.get
    assert link.run(get(AssociationLnV3.user_list, at=CURRENT_ASSOCIATION)) == (ADA, BOB)
    assert world.policy.user_list == (ADA, BOB)
    with pytest.raises(AssociationError):
        world.link()
    link = world.link(user_id=2)
    assert link.run(link.client.get(AssociationLnV3.current_user, at=CURRENT_ASSOCIATION)) == BOB
    act(link, AssociationLnV3.remove_user, ADA)
    with pytest.raises(AssociationError):
        world.link(user_id=1)
    world.link(user_id=2)


@pytest.mark.parametrize("keeps", [True, False])
def test_what_no_grant_gives_or_no_keeper_keeps_is_refused(*, keeps: bool) -> None:
    world = World()
    grants, keeper = (READ_ALL, world.keeper) if keeps else (FULL_ACCESS, None)
    world.meter.associations[READER] = replace(world.policy, grants=grants, keeper=keeper)
    link = world.link()
    for row in AssociationLnV3.methods():
        if row.index > 1:
            with pytest.raises(AccessError, match="read-write-denied"):
                link.run(link.client.act_data(15, CURRENT_ASSOCIATION, row.index, None))
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.set(AssociationLn.secret, b"x", at=CURRENT_ASSOCIATION))
    assert world.keeper.kept == []


def test_the_list_tells_what_may_be_done() -> None:
    def modes(world: World) -> list[int]:
        link = world.link()
        listed = link.run(link.client.get(AssociationLn.object_list, at=CURRENT_ASSOCIATION))
        own = listed[0]
        assert own.logical_name == CURRENT_ASSOCIATION
        return [each.access_mode for each in own.access_rights.methods]

    assert modes(World()) == [0, 1, 1, 1, 1, 1]
    assert modes(World(keeper=None)) == [0, 0, 0, 0]
    signed = SecurityPolicy.DIGITALLY_SIGNED_REQUEST
    grants = (
        *READ_ALL,
        Grant(at=CURRENT_ASSOCIATION, write=(7,), invoke=(2,), protection=signed),
    )
    world = World(grants=grants)
    assert modes(world)[1] == 1 | signed
    link = world.link()
    with pytest.raises(AccessError, match="read-write-denied"):
        act(link, AssociationLnV3.change_hls_secret, b"unsigned")
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.set(AssociationLn.secret, b"unsigned", at=CURRENT_ASSOCIATION))


def test_nothing_is_administered_before_the_proof() -> None:
    world = World()
    link = Link(world.meter, READER, mechanism=Mechanism.HLS_SHA256, system_title=CLIENT_TITLE)
    steps = link.client.associate()
    link.send(next(steps))
    # ACTION of change_HLS_secret with three octets.
    answer = link.send(bytes.fromhex("c301c1000f0000280000ff02010903000000"))
    assert answer[:1] in {b"\xd8", b"\x0e"} or answer[3] != 0
    assert world.keeper.kept == []


def test_users_by_short_names() -> None:
    keeper = Keeper()
    meter = NamedMeter()
    grants = (*READ_ALL, Grant(at=CURRENT_ASSOCIATION, invoke=ALL))
    meter.change(READER, grants=grants, keeper=keeper)
    link = associated_by_short_name(READER, meter=meter)
    act(link, AssociationSnV4.add_user, ADA)
    assert [policy.user_list for _, policy in keeper.kept] == [(ADA,)]
    with pytest.raises(AssociationError):
        associated_by_short_name(READER, meter=meter)
    link = associated_by_short_name(READER, meter=meter, user_id=1)
    act(link, AssociationSnV3.remove_user, ADA)
    associated_by_short_name(READER, meter=meter)
    meter.change(READER, grants=READ_ALL)
    link = associated_by_short_name(READER, meter=meter)
    with pytest.raises(AccessError, match="read-write-denied"):
        act(link, AssociationSnV4.add_user, ADA)
