# SPDX-License-Identifier: Apache-2.0
"""Associations that refer by short name, and other versions of those by logical name.

DLMS UA 1000-1 Ed. 12, 4.4.3 and 4.4.4.  `access_control` has the versions of class 15 that the
server speaks.
"""

from typing import Final, NamedTuple

from openami.cosem.choices import RAW, untyped
from openami.cosem.classes.access_control import (
    MODE,
    AssociatedPartners,
    AssociationLn,
    AssociationStatus,
    AttributeAccess,
    MethodAccess,
    UserListEntry,
    XdlmsContextInfo,
)
from openami.cosem.kinds import (
    ANY,
    BITS,
    BOOLEAN,
    ENUM,
    INTEGER,
    LOGICAL_NAME,
    LONG,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    Kind,
    KindError,
    array,
    describe,
    enumeration,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Array, BitString, Data, FixedInteger, Long
from openami.dlms.obis import Obis

_USER = structure(UserListEntry, UNSIGNED, ANY)
_AS_LN: Final = "type as in class 15"
_RECALLED: Final = "types from one memory"


def _name_to(value: int) -> Data:
    return LONG.to_data(value - 0x10000 if value > Long.HIGH else value)


def _name_from(found: Data) -> int:
    if not isinstance(found, FixedInteger) or not Long.LOW <= found <= 0xFFFF:
        raise KindError(LONG.name, describe(found))
    return int(found) & 0xFFFF


SHORT_NAME: Final[Kind[int]] = Kind(LONG.name, _name_to, _name_from)
"""A short name 0 to FFFF; it travels as long, and some send it as long-unsigned."""


class ShortNameElement(NamedTuple):
    """One object and its short name: the address of its logical name attribute."""

    base_name: int
    class_id: int
    version: int
    logical_name: Obis


SHORT_NAME_ELEMENT = structure(ShortNameElement, SHORT_NAME, LONG_UNSIGNED, UNSIGNED, LOGICAL_NAME)
_SHORT_NAMES = array(SHORT_NAME_ELEMENT)


class AccessRightsElement(NamedTuple):
    """The rights of this association to the object with that base name."""

    base_name: int
    attribute_access: tuple[AttributeAccess, ...]
    method_access: tuple[MethodAccess, ...]


_RIGHTS = array(
    structure(
        AccessRightsElement,
        SHORT_NAME,
        array(structure(AttributeAccess, INTEGER, MODE, ANY)),
        array(structure(MethodAccess, INTEGER, MODE)),
    )
)


class AttributeIdentification(NamedTuple):
    """One attribute by logical name; index 0 means all of them."""

    class_id: int
    logical_name: Obis
    attribute_index: int


class ObjectIdentification(NamedTuple):
    """One object by logical name."""

    class_id: int
    logical_name: Obis


class AccessDescription(NamedTuple):
    """What this association may do with an object: a bit for each row, the first row first."""

    read_attributes: BitString
    write_attributes: BitString
    methods: BitString


_ATTRIBUTES = array(structure(AttributeIdentification, LONG_UNSIGNED, LOGICAL_NAME, INTEGER))
_OBJECTS = array(structure(ObjectIdentification, LONG_UNSIGNED, LOGICAL_NAME))
_ACCESS = array(structure(AccessDescription, BITS, BITS, BITS))


class AssociationSn(InterfaceClass, class_id=12, version=0, methods_at=0x20):
    """An application association that refers to objects by short name (4.4.3, version 0).

    It stands at short name FA00.  Methods 1, 2 and 7 went with this version.
    """

    object_list = Attribute(2, _SHORT_NAMES)

    getlist_by_classid = Method(1, LONG_UNSIGNED, _SHORT_NAMES, unsure=_RECALLED)
    getobj_by_logicalname = Method(2, LOGICAL_NAME, SHORT_NAME_ELEMENT, unsure=_RECALLED)
    read_by_logicalname = Method(3, _ATTRIBUTES, untyped(Array), unsure=_RECALLED)
    get_attributes_and_methods = Method(4, _OBJECTS, _ACCESS, unsure=_RECALLED)
    change_lls_secret = Method(5, OCTETS, unsure=_AS_LN)
    change_hls_secret = Method(6, OCTETS, unsure=_AS_LN)
    get_hls_challenge = Method(7, RAW, RAW)
    reply_to_hls_authentication = Method(8, OCTETS, OCTETS, unsure=_AS_LN)


class AssociationSnV1(InterfaceClass, class_id=12, version=1, methods_at=0x30):
    """Version 1: the first method is number 3 (4.4.3)."""

    object_list = Attribute(2, _SHORT_NAMES)

    read_by_logicalname = Method(3, _ATTRIBUTES, untyped(Array), unsure=_RECALLED)
    get_attributes_and_methods = Method(4, _OBJECTS, _ACCESS, unsure=_RECALLED)
    change_lls_secret = Method(5, OCTETS, unsure=_AS_LN)
    change_hls_secret = Method(6, OCTETS, unsure=_AS_LN)
    reply_to_hls_authentication = Method(8, OCTETS, OCTETS, unsure=_AS_LN)


class AssociationSnV2(AssociationSnV1, class_id=12, version=2, methods_at=0x30):
    """Version 2: with access rights and a security setup (4.4.3)."""

    access_rights_list = Attribute(3, _RIGHTS, unsure="rights as in class 15")
    security_setup_reference = Attribute(4, LOGICAL_NAME, unsure=_AS_LN)


class AssociationSnV3(AssociationSnV2, class_id=12, version=3, methods_at=0x30):
    """Version 3: with users (4.4.3)."""

    user_list = Attribute(5, array(_USER), unsure=_AS_LN)
    current_user = Attribute(6, _USER, unsure=_AS_LN)

    add_user = Method(9, _USER, unsure=_AS_LN)
    remove_user = Method(10, _USER, unsure=_AS_LN)


class AssociationSnV4(AssociationSnV3, class_id=12, version=4, methods_at=0x30):
    """Version 4: the rows of version 3 (4.4.3)."""


class MethodAccessV0(NamedTuple):
    """Whether this association may invoke one method."""

    method_id: int
    access_mode: bool


class AccessRightsV0(NamedTuple):
    """The rights of this association to one object."""

    attributes: tuple[AttributeAccess, ...]
    methods: tuple[MethodAccessV0, ...]


class ObjectListElementV0(NamedTuple):
    """One object that this association can see."""

    class_id: int
    version: int
    logical_name: Obis
    access_rights: AccessRightsV0


_ELEMENT_V0 = structure(
    ObjectListElementV0,
    LONG_UNSIGNED,
    UNSIGNED,
    LOGICAL_NAME,
    structure(
        AccessRightsV0,
        array(structure(AttributeAccess, INTEGER, ENUM, ANY)),
        array(structure(MethodAccessV0, INTEGER, BOOLEAN)),
    ),
)


class AssociationLnV0(InterfaceClass, class_id=15, version=0, methods_at=0x60):
    """Version 0: a method may be invoked or not, and no security setup (4.4.4)."""

    object_list = Attribute(2, array(_ELEMENT_V0))
    associated_partners_id = Attribute(3, structure(AssociatedPartners, INTEGER, LONG_UNSIGNED))
    application_context_name = Attribute(4, ANY)
    xdlms_context_info = Attribute(
        5,
        structure(XdlmsContextInfo, BITS, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, INTEGER, OCTETS),
    )
    authentication_mechanism_name = Attribute(6, ANY)
    secret = Attribute(7, OCTETS, access=Access.WRITE)
    association_status = Attribute(8, enumeration(AssociationStatus))

    reply_to_hls_authentication = Method(1, OCTETS, OCTETS)
    change_hls_secret = Method(2, OCTETS)
    add_object = Method(3, _ELEMENT_V0)
    remove_object = Method(4, _ELEMENT_V0)


class AssociationLnV2(AssociationLn, class_id=15, version=2, methods_at=0x60):
    """Version 2: version 1 with users (4.4.4)."""

    user_list = Attribute(10, array(_USER))
    current_user = Attribute(11, _USER)

    add_user = Method(5, _USER)
    remove_user = Method(6, _USER)
