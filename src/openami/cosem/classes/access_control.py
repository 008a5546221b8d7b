# SPDX-License-Identifier: Apache-2.0
"""Interface classes of access control and management (DLMS UA 1000-1 Ed. 12, 4.4).

`server` answers for the current association itself, because its values belong to one connection;
the other classes are ordinary objects of a logical device.
"""

from enum import IntEnum
from typing import NamedTuple, TypeAlias

from openami.cosem.kinds import (
    ANY,
    BITS,
    ENUM,
    INTEGER,
    LOGICAL_NAME,
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
from openami.dlms.data import BitString, Data, Enum, Structure
from openami.dlms.obis import Obis
from openami.dlms.security.certificates import CertificateEntity, CertificateType

CURRENT_ASSOCIATION = Obis(0, 0, 40, 0, 0, 255)
"""Logical name under which every association finds itself."""


class AttributeAccess(NamedTuple):
    """What this association may do with one attribute.

    ``access_mode`` is the code of versions 0 to 2: 0 none, 1 read, 2 write, 3 both, and 4 to 6
    the same with an authenticated request.  In version 3 it is bits: 0 read, 1 write, and what must
    protect: 2 authenticated, 3 encrypted, 4 signed requests, 5 to 7 the same of responses.
    """

    attribute_id: int
    access_mode: int
    access_selectors: Data


class MethodAccess(NamedTuple):
    """What this association may do with one method: 0 nothing, 1 invoke, 2 if authenticated.

    In version 3 ``access_mode`` is bits: 0 invoke, 2 to 7 as for attributes.
    """

    method_id: int
    access_mode: int


class AccessRights(NamedTuple):
    """The rights of this association to one object."""

    attributes: tuple[AttributeAccess, ...]
    methods: tuple[MethodAccess, ...]


class ObjectListElement(NamedTuple):
    """One object that this association can see."""

    class_id: int
    version: int
    logical_name: Obis
    access_rights: AccessRights


def _mode_to(value: int) -> Data:
    return ENUM.to_data(value)


def _mode_from(data: Data) -> int:
    # Version 0 says whether a method may be invoked with a boolean.
    return int(data) if isinstance(data, bool) else ENUM.from_data(data)


MODE: Kind[int] = Kind("access mode", _mode_to, _mode_from)
ACCESS_RIGHTS = structure(
    AccessRights,
    array(structure(AttributeAccess, INTEGER, MODE, ANY)),
    array(structure(MethodAccess, INTEGER, MODE)),
)
OBJECT_LIST_ELEMENT = structure(
    ObjectListElement, LONG_UNSIGNED, UNSIGNED, LOGICAL_NAME, ACCESS_RIGHTS
)


class AssociatedPartners(NamedTuple):
    """The two service access points of an association."""

    client_sap: int
    server_sap: int


class XdlmsContextInfo(NamedTuple):
    """What was negotiated: conformance in 24 bits, sizes in octets."""

    conformance: BitString
    max_receive_pdu_size: int
    max_send_pdu_size: int
    dlms_version_number: int
    quality_of_service: int
    cyphering_info: bytes


class AssociationStatus(IntEnum):
    """How far an association has come."""

    NON_ASSOCIATED = 0
    ASSOCIATION_PENDING = 1
    ASSOCIATED = 2


class AssociationLn(InterfaceClass, class_id=15, version=1, methods_at=0x60):
    """An application association that refers to objects by logical name (4.4.4).

    Version 1 of the class: names of context and mechanism as octet-strings, access modes as enum.
    """

    object_list = Attribute(2, array(OBJECT_LIST_ELEMENT))
    associated_partners_id = Attribute(3, structure(AssociatedPartners, INTEGER, LONG_UNSIGNED))
    application_context_name = Attribute(4, ANY)
    xdlms_context_info = Attribute(
        5,
        structure(XdlmsContextInfo, BITS, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, INTEGER, OCTETS),
    )
    authentication_mechanism_name = Attribute(6, ANY)
    secret = Attribute(7, OCTETS, access=Access.WRITE)
    association_status = Attribute(8, enumeration(AssociationStatus))
    security_setup_reference = Attribute(9, LOGICAL_NAME)

    reply_to_hls_authentication = Method(1, OCTETS, OCTETS)
    change_hls_secret = Method(2, OCTETS)
    add_object = Method(3, OBJECT_LIST_ELEMENT)
    remove_object = Method(4, OBJECT_LIST_ELEMENT)


class UserListEntry(NamedTuple):
    """A person or program that uses this association; the name is a visible or octet string."""

    user_id: int
    user_name: Data


_USER = structure(UserListEntry, UNSIGNED, ANY)


class AssociationLnV3(InterfaceClass, class_id=15, version=3, methods_at=0x60):
    """Version 3: access modes say which protection each row demands (4.4.4, version 3)."""

    object_list = Attribute(2, array(OBJECT_LIST_ELEMENT))
    associated_partners_id = Attribute(3, structure(AssociatedPartners, INTEGER, LONG_UNSIGNED))
    application_context_name = Attribute(4, ANY)
    xdlms_context_info = Attribute(
        5,
        structure(XdlmsContextInfo, BITS, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, INTEGER, OCTETS),
    )
    authentication_mechanism_name = Attribute(6, ANY)
    secret = Attribute(7, OCTETS, access=Access.WRITE)
    association_status = Attribute(8, enumeration(AssociationStatus))
    security_setup_reference = Attribute(9, LOGICAL_NAME)
    user_list = Attribute(10, array(_USER))
    current_user = Attribute(11, _USER)

    reply_to_hls_authentication = Method(1, OCTETS, OCTETS)
    change_hls_secret = Method(2, OCTETS)
    add_object = Method(3, OBJECT_LIST_ELEMENT)
    remove_object = Method(4, OBJECT_LIST_ELEMENT)
    add_user = Method(5, _USER)
    remove_user = Method(6, _USER)


class SapName(NamedTuple):
    """A logical device and its service access point."""

    sap: int
    logical_device_name: bytes


class SapAssignment(InterfaceClass, class_id=17, version=0, methods_at=0x20):
    """The logical devices of a physical device (4.4.5)."""

    sap_assignment_list = Attribute(2, array(structure(SapName, LONG_UNSIGNED, OCTETS)))

    connect_logical_device = Method(1, structure(SapName, LONG_UNSIGNED, OCTETS))


class KeyId(IntEnum):
    """The keys that `SecuritySetup.key_transfer` can replace."""

    GLOBAL_UNICAST_ENCRYPTION_KEY = 0
    GLOBAL_BROADCAST_ENCRYPTION_KEY = 1
    AUTHENTICATION_KEY = 2
    MASTER_KEY = 3


class WrappedKey(NamedTuple):
    """A key wrapped with the master key (RFC 3394)."""

    key_id: KeyId
    key_wrapped: bytes


_WRAPPED_KEYS = array(structure(WrappedKey, enumeration(KeyId), OCTETS))


class SecuritySetup(InterfaceClass, class_id=64, version=0, methods_at=0x28):
    """Which protection an association demands, and the keys behind it (4.4.7, version 0).

    ``security_policy``: 0 none, 1 authenticated, 2 encrypted, 3 both.
    """

    security_policy = Attribute(2, ENUM)
    security_suite = Attribute(3, ENUM)
    client_system_title = Attribute(4, OCTETS, dynamic=True)
    server_system_title = Attribute(5, OCTETS)

    security_activate = Method(1, ENUM)
    key_transfer = Method(2, _WRAPPED_KEYS)


class KeyData(NamedTuple):
    """One end's half of the agreement on a global key: ephemeral public key and signature."""

    key_id: KeyId
    key_data: bytes


class CertificateInfo(NamedTuple):
    """A certificate that the server holds.

    ``serial_number`` is the content of its DER integer; the names are DER too.
    """

    certificate_entity: CertificateEntity
    certificate_type: CertificateType
    serial_number: bytes
    issuer: bytes
    subject: bytes
    subject_alt_name: bytes


class CertificateByEntity(NamedTuple):
    """A certificate named by whose it is and what for."""

    certificate_entity: CertificateEntity
    certificate_type: CertificateType
    system_title: bytes


class CertificateBySerial(NamedTuple):
    """A certificate named by its number and who gave it, as `CertificateInfo` shows them."""

    serial_number: bytes
    issuer: bytes


CertificateName: TypeAlias = CertificateByEntity | CertificateBySerial

_ENTITY = enumeration(CertificateEntity)
_TYPE = enumeration(CertificateType)
_KEY_DATA = array(structure(KeyData, enumeration(KeyId), OCTETS))
_BY_ENTITY = structure(CertificateByEntity, _ENTITY, _TYPE, OCTETS)
_BY_SERIAL = structure(CertificateBySerial, OCTETS, OCTETS)
_NAME_TYPE = "structure of enum 0 by entity or 1 by serial number, and a structure"


def _name_to(value: CertificateName) -> Data:
    if isinstance(value, CertificateByEntity):
        return Structure((Enum(0), _BY_ENTITY.to_data(value)))
    return Structure((Enum(1), _BY_SERIAL.to_data(value)))


def _name_from(data: Data) -> CertificateName:
    if isinstance(data, Structure) and len(data) == 2:
        match data[0]:
            case Enum(0):
                return _BY_ENTITY.from_data(data[1])
            case Enum(1):
                return _BY_SERIAL.from_data(data[1])
    raise KindError(_NAME_TYPE, describe(data))


_CERTIFICATE_NAME: Kind[CertificateName] = Kind(_NAME_TYPE, _name_to, _name_from)


class SecuritySetupV1(InterfaceClass, class_id=64, version=1, methods_at=0x30):
    """Version 1: a policy by direction with signatures, key agreement and certificates (4.4.7).

    ``security_policy`` is the bits of `SecurityPolicy`.
    """

    security_policy = Attribute(2, ENUM)
    security_suite = Attribute(3, ENUM)
    client_system_title = Attribute(4, OCTETS, dynamic=True)
    server_system_title = Attribute(5, OCTETS)
    certificates = Attribute(
        6,
        array(structure(CertificateInfo, _ENTITY, _TYPE, OCTETS, OCTETS, OCTETS, OCTETS)),
        dynamic=True,
    )

    security_activate = Method(1, ENUM)
    key_transfer = Method(2, _WRAPPED_KEYS)
    key_agreement = Method(3, _KEY_DATA, _KEY_DATA)
    generate_key_pair = Method(4, _TYPE)
    generate_certificate_request = Method(5, _TYPE, OCTETS)
    import_certificate = Method(6, OCTETS)
    export_certificate = Method(7, _CERTIFICATE_NAME, OCTETS)
    remove_certificate = Method(8, _CERTIFICATE_NAME)
