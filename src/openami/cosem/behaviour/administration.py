# SPDX-License-Identifier: Apache-2.0
"""Associations that are administered: secrets, objects that can be seen, users.

DLMS UA 1000-1 Ed. 12, 4.4.3 to 4.4.5.  An association object stands for one client of the device;
what its methods change holds from the next association of that client on.  What must be durable
before a method answers, a `Keeper` of the host keeps.

`sap_assignment` is the same for logical devices: a name is connected to a service access point.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from openami.cosem.access_modes import (
    access_of,
    demand_of_attribute,
    demand_of_method,
    invokes,
    is_sound,
)
from openami.cosem.behaviour.results import as_action
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociationLn,
    AssociationLnV3,
    ObjectListElement,
    SapAssignment,
    SapName,
    UserListEntry,
)
from openami.cosem.classes.associations import AssociationLnV2, AssociationSnV3
from openami.cosem.device import AssociationPolicy, Keeper, LogicalDevice
from openami.cosem.model import Access, InterfaceClass, Refused
from openami.cosem.rights import Grant, Rights
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import OctetString, VisibleString
from openami.dlms.errors import SecurityError
from openami.dlms.hls import HLS_WITH_SECRET, SHORTEST_CHALLENGE_OCTETS, Mechanism

_WITH_SECRET: Final = HLS_WITH_SECRET | {Mechanism.LLS}


class Forgetful:
    """Keeps nothing beyond the life of the process."""

    def keep(self, client_sap: int, policy: AssociationPolicy) -> None:
        del client_sap, policy


class Administration:
    """The methods of the association object of one client."""

    def __init__(
        self,
        device: LogicalDevice,
        client_sap: int,
        *,
        keeper: Keeper | None = None,
        version: int = AssociationLn.version,
    ) -> None:
        """Administer the association of one client.

        Args:
            device: With its table of associations.
            client_sap: Which of them.
            keeper: Keeps what is changed.
            version: Of its class 15: says what access modes mean.
        """
        self._device, self._client_sap = device, client_sap
        self._keeper, self._version = keeper or Forgetful(), version

    @property
    def policy(self) -> AssociationPolicy:
        """The client's terms as they are now.

        Raises:
            Refused: The device has no association with that client.
        """
        try:
            return self._device.associations[self._client_sap]
        except KeyError:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE) from None

    def _replace(self, policy: AssociationPolicy) -> None:
        self._keeper.keep(self._client_sap, policy)
        self._device.associations[self._client_sap] = policy

    def change_secret(self, secret: bytes) -> None:
        """Take another secret of HLS, or another password of LLS.

        Raises:
            Refused: The client authenticates without a secret, or the new one is empty, or longer
                than mechanism 2 can use.
        """
        policy = self.policy
        if policy.mechanism not in _WITH_SECRET or not secret:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        if policy.mechanism is Mechanism.HLS:
            try:
                policy.manufacturer(secret, bytes(SHORTEST_CHALLENGE_OCTETS))
            except SecurityError:
                raise Refused(ActionResult.READ_WRITE_DENIED) from None
        self._replace(replace(policy, secret=secret))

    def change_users(self, users: tuple[UserListEntry, ...]) -> None:
        """Let these users associate as the client; from the first on, an AARQ must name one."""
        self._replace(replace(self.policy, user_list=users))

    def add_object(self, element: ObjectListElement) -> None:
        """Let the client see an object with these rights, instead of those it had to it.

        Raises:
            Refused: The device has no such object.
        """
        thing = self._find(element)
        grants = [
            *self._grants(without=thing),
            *_grants_of(element, type(thing), self._version),
        ]
        self._replace(replace(self.policy, grants=tuple(grants)))

    def remove_object(self, element: ObjectListElement) -> None:
        """Hide an object from the client.

        Raises:
            Refused: The device has no such object.
        """
        grants = self._grants(without=self._find(element))
        self._replace(replace(self.policy, grants=tuple(grants)))

    def _find(self, element: ObjectListElement) -> InterfaceClass:
        try:
            thing = self._device[element.logical_name]
        except KeyError:
            raise Refused(ActionResult.OBJECT_UNDEFINED) from None
        if thing.class_id != element.class_id:
            raise Refused(ActionResult.OBJECT_CLASS_INCONSISTENT)
        return thing

    def _grants(self, *, without: InterfaceClass) -> Iterable[Grant]:
        """Return the rights to every object but one, object by object.

        The client's own association object is none of the device's: rights to it go on.
        """
        for grant in self.policy.grants:
            if grant.at in {None, CURRENT_ASSOCIATION}:
                yield replace(grant, at=CURRENT_ASSOCIATION)
        view = self._device.view(self.policy)
        for thing in view.visible():
            if thing is not without:
                yield from _explicit(thing, view.rights(thing))


def _explicit(thing: InterfaceClass, rights: Rights) -> Iterable[Grant]:
    at, of = thing.values[1], type(thing)
    yield Grant(at=at, of=of, read=rights.read, write=rights.write, invoke=rights.invoke)
    for index, demand in rights.attributes.items():
        one = frozenset({index})
        yield Grant(
            at=at,
            of=of,
            read=one & rights.read,
            write=one & rights.write,
            protection=demand,
        )
    for index, demand in rights.methods.items():
        yield Grant(at=at, of=of, invoke=frozenset({index}) & rights.invoke, protection=demand)


def _grants_of(
    element: ObjectListElement, of: type[InterfaceClass], version: int
) -> Iterable[Grant]:
    """Return the grants that an element of an object list means."""
    at = element.logical_name
    for attribute in element.access_rights.attributes:
        mode, one = attribute.access_mode, frozenset({attribute.attribute_id})
        access = access_of(mode, version) if is_sound(mode, version) else Access.NONE
        yield Grant(
            at=at,
            of=of,
            read=one if access & Access.READ else (),
            write=one if access & Access.WRITE else (),
            protection=demand_of_attribute(mode, version),
        )
    for method in element.access_rights.methods:
        mode = method.access_mode
        yield Grant(
            at=at,
            of=of,
            invoke=frozenset({method.method_id}) if invokes(mode, version) else (),
            protection=demand_of_method(mode, version),
        )


def administered(
    thing: AssociationLn | AssociationLnV3, administration: Administration
) -> Administration:
    """Bind the methods of an association object of class 15, version 1 to 3."""
    declared = AssociationLn  # the rows of later versions have the same numbers
    thing.bind_method(declared.change_hls_secret, as_action(administration.change_secret))
    thing.bind_method(declared.add_object, as_action(administration.add_object))
    thing.bind_method(declared.remove_object, as_action(administration.remove_object))
    thing.bind_sink(declared.secret, administration.change_secret)
    if isinstance(thing, AssociationLnV2 | AssociationLnV3):
        users(thing, administration.change_users)
    return administration


def users(
    thing: AssociationLnV2 | AssociationLnV3 | AssociationSnV3,
    changed: Callable[[tuple[UserListEntry, ...]], None] = lambda _users: None,
) -> None:
    """Bind the methods that add and remove users of an association.

    Args:
        thing: With its list.
        changed: Hears of the new list first, and may refuse it.
    """
    declared: Any = type(thing)
    thing.values.setdefault(declared.user_list.index, ())

    def change(listed: tuple[UserListEntry, ...]) -> None:
        changed(listed)
        thing.user_list = listed

    def add(user: UserListEntry) -> None:
        if not isinstance(user.user_name, VisibleString | OctetString):
            raise Refused(ActionResult.TYPE_UNMATCHED)
        if any(known.user_id == user.user_id for known in thing.user_list):
            raise Refused(ActionResult.OTHER_REASON)
        change((*thing.user_list, user))

    def remove(user: UserListEntry) -> None:
        if user not in thing.user_list:
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        change(tuple(known for known in thing.user_list if known != user))

    thing.bind_method(declared.add_user, as_action(add))
    thing.bind_method(declared.remove_user, as_action(remove))


def sap_assignment(
    thing: SapAssignment, connect: Callable[[SapName], None] = lambda _wanted: None
) -> SapAssignment:
    """Bind the method that connects a logical device to a service access point.

    A SAP belongs to one logical device: whoever had it loses it.  SAP 0 disconnects the device.

    Args:
        thing: With its list.
        connect: Hears of it first, and may refuse it.
    """

    def assign(wanted: SapName) -> None:
        connect(wanted)
        rest = tuple(
            each
            for each in thing.sap_assignment_list
            if each.logical_device_name != wanted.logical_device_name and each.sap != wanted.sap
        )
        thing.sap_assignment_list = (*rest, wanted) if wanted.sap else rest

    thing.bind_method(SapAssignment.connect_logical_device, as_action(assign))
    return thing
