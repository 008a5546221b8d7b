# SPDX-License-Identifier: Apache-2.0
"""The object that describes a short name association to its own client: class 12 at FA00.

DLMS UA 1000-1 Ed. 12, 4.4.3.  Each association has one of its own, made when it opens; its version
is that of `short_names.ShortNames`.  `own_association` is the same for logical names.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from openami.cosem.behaviour.administration import Administration, users
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, UserListEntry
from openami.cosem.classes.associations import (
    SHORT_NAME_ELEMENT,
    AccessDescription,
    AccessRightsElement,
    AssociationSn,
    AssociationSnV1,
    AssociationSnV2,
    AssociationSnV3,
    AssociationSnV4,
    AttributeIdentification,
    ObjectIdentification,
    ShortNameElement,
)
from openami.cosem.device import AssociationPolicy
from openami.cosem.model import InterfaceClass, Refused
from openami.cosem.rights import Exchange, Rights, View, object_list_element, readable, rights_of
from openami.cosem.serving.own_association import NO_USER
from openami.cosem.serving.short_names import CURRENT_ASSOCIATION_NAME, ShortNames
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.data import Array, BitString, Data, FixedInteger, Structure
from openami.dlms.hls import HLS_WITH_SECRET, Mechanism
from openami.dlms.obis import Obis

BY_CLASS: Final = 1
"""Selector of object_list: an array of class_ids."""
BY_OBJECT: Final = 2
"""Selector of object_list: class_id and logical name; gives one element."""

LIST_BY_CLASSID: Final = AssociationSn.getlist_by_classid.index
OBJECT_BY_LOGICALNAME: Final = AssociationSn.getobj_by_logicalname.index
READ_BY_LOGICALNAME: Final = AssociationSn.read_by_logicalname.index
ATTRIBUTES_AND_METHODS: Final = AssociationSn.get_attributes_and_methods.index
CHANGE_LLS_SECRET: Final = AssociationSn.change_lls_secret.index
CHANGE_HLS_SECRET: Final = AssociationSn.change_hls_secret.index
REPLY_TO_HLS: Final = AssociationSn.reply_to_hls_authentication.index

AssociationObject: TypeAlias = (
    AssociationSn | AssociationSnV1 | AssociationSnV2 | AssociationSnV3 | AssociationSnV4
)

_VERSIONS: Final = (
    AssociationSn,
    AssociationSnV1,
    AssociationSnV2,
    AssociationSnV3,
    AssociationSnV4,
)


class Actions(NamedTuple):
    """What the object asks of the association that it describes, and does to it."""

    reply_to_hls: Callable[[bytes], bytes]
    """Checks f(StoC) and returns f(CtoS)."""
    administration: Administration
    """Changes what the client finds when it associates next."""
    user: UserListEntry = NO_USER
    """Whom the AARQ named."""


class OwnAssociation:
    """The object, and what its client may do with it before and after pass 3 of HLS.

    Attributes:
        thing: The object of class 12.
        pending: Rights while pass 3 is due: reply_to_HLS_authentication alone.
        associated: Rights afterwards.
    """

    def __init__(
        self,
        policy: AssociationPolicy,
        names: ShortNames,
        view: View,
        exchange: Exchange,
        actions: Actions,
    ) -> None:
        """Make the object of one association.

        Args:
            policy: Of the client.
            names: The base names of all objects that the client sees.
            view: Those objects.
            exchange: The protection of the request that is being answered.
            actions: What the association itself knows and does.
        """
        self._names, self._view, self._exchange = names, view, exchange
        self.thing: AssociationObject = _VERSIONS[names.version](CURRENT_ASSOCIATION)
        own = self.thing
        readable_rows = frozenset(row.index for row in own.attributes())
        self.pending = Rights(frozenset(), frozenset(), frozenset({REPLY_TO_HLS}))
        self._bind_attributes(policy, actions.user)
        self._bind_methods()
        questions = frozenset(own.invocations)
        own.bind_method(AssociationSn.reply_to_hls_authentication, actions.reply_to_hls)
        changes = self._bind_changes(policy, actions.administration)
        declared: Any = type(own)  # mypy looks for __hash__ where a class object has its own
        granted = rights_of(declared, CURRENT_ASSOCIATION, changes, policy.grants)
        self.associated = Rights(
            readable_rows,
            frozenset(),
            questions | granted.invoke,
            methods=granted.methods,
        )

    def _bind_changes(
        self, policy: AssociationPolicy, administration: Administration
    ) -> frozenset[int]:
        """Bind what changes the association for the next time, and return its methods."""
        own = self.thing
        if policy.keeper is None:
            return frozenset()
        changes: set[int] = set()
        if policy.mechanism is Mechanism.LLS:
            own.bind_method(AssociationSn.change_lls_secret, administration.change_secret)
            changes.add(CHANGE_LLS_SECRET)
        elif policy.mechanism in HLS_WITH_SECRET:  # keys are changed by the security setup
            own.bind_method(AssociationSn.change_hls_secret, administration.change_secret)
            changes.add(CHANGE_HLS_SECRET)
        if isinstance(own, AssociationSnV3):
            users(own, administration.change_users)
            changes |= {type(own).add_user.index, type(own).remove_user.index}
        return frozenset(changes)

    def _bind_attributes(self, policy: AssociationPolicy, user: UserListEntry) -> None:
        own = self.thing
        own.bind(AssociationSn.object_list, lambda: tuple(self._elements()))
        own.bind_selection(AssociationSn.object_list, self._select)
        if isinstance(own, AssociationSnV2):
            own.bind(AssociationSnV2.access_rights_list, lambda: tuple(self._access_rights()))
            own.security_setup_reference = policy.security_setup
        if isinstance(own, AssociationSnV3):
            own.user_list, own.current_user = policy.user_list, user

    def _bind_methods(self) -> None:
        own = self.thing
        if isinstance(own, AssociationSn):
            own.bind_method(AssociationSn.getlist_by_classid, self._of_class)
            own.bind_method(AssociationSn.getobj_by_logicalname, self._of_name)
        own.bind_method(AssociationSn.read_by_logicalname, self._read_by_logicalname)
        own.bind_method(AssociationSn.get_attributes_and_methods, self._describe)

    def _things(self) -> Iterator[tuple[int, InterfaceClass, Rights]]:
        yield CURRENT_ASSOCIATION_NAME, self.thing, self.associated
        for thing in self._view.visible():
            logical_name: Obis = thing.values[1]
            # What is added meanwhile is named when the next association opens.
            if logical_name in self._names and logical_name != CURRENT_ASSOCIATION:
                yield self._names.base_name(logical_name), thing, self._view.rights(thing)

    def _elements(self) -> Iterator[ShortNameElement]:
        for base_name, thing, _ in self._things():
            yield ShortNameElement(base_name, thing.class_id, thing.version, thing.values[1])

    def _access_rights(self) -> Iterator[AccessRightsElement]:
        for base_name, thing, rights in self._things():
            yield AccessRightsElement(base_name, *object_list_element(thing, rights).access_rights)

    def _of_class(self, class_id: int) -> tuple[ShortNameElement, ...]:
        return tuple(each for each in self._elements() if each.class_id == class_id)

    def _of_name(self, logical_name: Obis) -> ShortNameElement:
        for each in self._elements():
            if each.logical_name == logical_name:
                return each
        raise Refused(ActionResult.OBJECT_UNDEFINED)

    def _select(self, access: SelectiveAccess) -> bytes:
        match access:
            case SelectiveAccess(selector=1, parameters=Array() as classes):
                wanted = {int(each) for each in classes if isinstance(each, FixedInteger)}
                chosen = (each for each in self._elements() if each.class_id in wanted)
                return axdr_data.encode(Array(map(SHORT_NAME_ELEMENT.to_data, chosen)))
            case SelectiveAccess(
                selector=2,
                parameters=Structure((FixedInteger() as class_id, bytes() as logical_name)),
            ):
                for each in self._elements():
                    if (each.class_id, bytes(each.logical_name)) == (class_id, logical_name):
                        return axdr_data.encode(SHORT_NAME_ELEMENT.to_data(each))
                raise Refused(DataAccessResult.OBJECT_UNDEFINED)
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)

    def _find(self, class_id: int, logical_name: Obis) -> tuple[InterfaceClass, Rights]:
        for _, thing, rights in self._things():
            if thing.class_id == class_id and thing.values[1] == logical_name:
                return thing, rights
        raise Refused(ActionResult.OBJECT_UNDEFINED)

    def _read_by_logicalname(self, wanted: Sequence[AttributeIdentification]) -> Data:
        """Return the values; null-data for one that may not be read, a structure for index 0."""
        values: list[Data] = []
        for class_id, logical_name, index in wanted:
            thing, rights = self._find(class_id, logical_name)
            if index:
                values.append(self._value(thing, rights, index))
                continue
            rows = thing.attributes()
            values.append(Structure(self._value(thing, rights, row.index) for row in rows))
        return Array(values)

    def _value(self, thing: InterfaceClass, rights: Rights, index: int) -> Data:
        try:
            return axdr_data.decode(readable(thing, rights, index, self._exchange)())
        except Refused:
            return None

    def _describe(self, wanted: Sequence[ObjectIdentification]) -> tuple[AccessDescription, ...]:
        found = []
        for class_id, logical_name in wanted:
            thing, rights = self._find(class_id, logical_name)
            attributes = [row.index for row in thing.attributes()]
            methods = [row.index for row in thing.methods()]
            found.append(
                AccessDescription(
                    _bits(attributes, rights.read),
                    _bits(attributes, rights.write),
                    _bits(methods, rights.invoke),
                )
            )
        return tuple(found)


def _bits(indexes: Sequence[int], granted: frozenset[int]) -> BitString:
    return BitString.from_bits("".join("01"[index in granted] for index in indexes))
