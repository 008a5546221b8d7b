# SPDX-License-Identifier: Apache-2.0
"""Interface classes of protected data, functions, arrays and ports.

DLMS UA 1000-1 Ed. 12, 4.4.9 to 4.4.12.  They are declared here; what protects is
`dlms.security`.  `PROTECTION_PARAMETERS` also serves the push setup.
"""

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from openami.cosem.choices import RAW, choice, coded, labelled
from openami.cosem.classes.references import (
    ATTRIBUTE_REFERENCE,
    OBJECT_REFERENCE,
    RESTRICTED_ATTRIBUTE,
    AttributeReference,
    ObjectReference,
    RestrictedAttribute,
)
from openami.cosem.kinds import (
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    Kind,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Data

_RW: Final = Access.READ_WRITE
_METHODS_UNSURE: Final = "structure of argument and result: single source"


class ProtectionType(IntEnum):
    """What one layer of protection does."""

    AUTHENTICATION = 0
    ENCRYPTION = 1
    AUTHENTICATION_AND_ENCRYPTION = 2
    DIGITAL_SIGNATURE = 3


class KeyInfoType(IntEnum):
    """How the key of a layer is told."""

    IDENTIFIED = 0
    WRAPPED = 1
    AGREED = 2


class IdentifiedKey(NamedTuple):
    """A key both ends have: 0 the global unicast, 1 the global broadcast encryption key."""

    key_id: int


class WrappedKeyInfo(NamedTuple):
    """A key that travels, wrapped with the key-encryption key `kek_id` (0: the master key)."""

    kek_id: int
    key_ciphered_data: bytes


class AgreedKey(NamedTuple):
    """What both ends need to agree on a key."""

    key_parameters: bytes
    key_ciphered_data: bytes


KeyInfo: TypeAlias = IdentifiedKey | WrappedKeyInfo | AgreedKey

KEY_INFO: Kind[KeyInfo] = choice(
    "key_info",
    (IdentifiedKey, labelled(KeyInfoType.IDENTIFIED, structure(IdentifiedKey, ENUM))),
    (WrappedKeyInfo, labelled(KeyInfoType.WRAPPED, structure(WrappedKeyInfo, ENUM, OCTETS))),
    (AgreedKey, labelled(KeyInfoType.AGREED, structure(AgreedKey, OCTETS, OCTETS))),
)


class ProtectionOptions(NamedTuple):
    """The header of one layer, as in a general-ciphering APDU."""

    transaction_id: bytes
    originator_system_title: bytes
    recipient_system_title: bytes
    other_information: bytes
    key_info: KeyInfo


class ProtectionParameters(NamedTuple):
    """One layer of protection."""

    protection_type: int
    protection_options: ProtectionOptions


PROTECTION_PARAMETERS: Kind[tuple[ProtectionParameters, ...]] = array(
    structure(
        ProtectionParameters,
        coded(ProtectionType),
        structure(ProtectionOptions, OCTETS, OCTETS, OCTETS, OCTETS, KEY_INFO),
    )
)


class AttributesToGet(NamedTuple):
    """Which attributes to return, protected how."""

    object_list: tuple[RestrictedAttribute, ...]
    protection_parameters: tuple[ProtectionParameters, ...]


class ProtectedAttributes(NamedTuple):
    """Attributes to set, protected."""

    object_list: tuple[RestrictedAttribute, ...]
    protection_parameters: tuple[ProtectionParameters, ...]
    protected_attributes: bytes


class ProtectedCall(NamedTuple):
    """A method to invoke, with its argument protected."""

    object_method: AttributeReference
    protection_parameters: tuple[ProtectionParameters, ...]
    protected_argument: bytes


class ProtectedData(NamedTuple):
    """What comes back, protected."""

    protection_parameters: tuple[ProtectionParameters, ...]
    protected_data: bytes


_OBJECTS = array(RESTRICTED_ATTRIBUTE)
_PROTECTED_DATA = structure(ProtectedData, PROTECTION_PARAMETERS, OCTETS)


class DataProtection(InterfaceClass, class_id=30, version=0):
    """Attributes and methods of other objects behind layers of protection (4.4.9).

    ``required_protection`` has the bits 2 to 7 of the access modes of associations of version 3.
    """

    protection_buffer = Attribute(
        2, OCTETS, dynamic=True, access=_RW, unsure="that it is written: memory only"
    )
    protection_object_list = Attribute(3, _OBJECTS, access=_RW)
    protection_parameters_get = Attribute(4, PROTECTION_PARAMETERS, access=_RW)
    protection_parameters_set = Attribute(5, PROTECTION_PARAMETERS, access=_RW)
    required_protection = Attribute(6, ENUM, access=_RW)

    get_protected_attributes = Method(
        1,
        structure(AttributesToGet, _OBJECTS, PROTECTION_PARAMETERS),
        _PROTECTED_DATA,
        unsure=_METHODS_UNSURE,
    )
    set_protected_attributes = Method(
        2,
        structure(ProtectedAttributes, _OBJECTS, PROTECTION_PARAMETERS, OCTETS),
        unsure=_METHODS_UNSURE,
    )
    invoke_protected_method = Method(
        3,
        structure(ProtectedCall, ATTRIBUTE_REFERENCE, PROTECTION_PARAMETERS, OCTETS),
        _PROTECTED_DATA,
        unsure=_METHODS_UNSURE,
    )


class FunctionStatus(NamedTuple):
    """A function and whether it is active."""

    function_name: bytes
    function_status: bool


class FunctionDefinition(NamedTuple):
    """A function and the objects that carry it out."""

    function_name: bytes
    function_specifications: tuple[ObjectReference, ...]


_FUNCTION_STATUSES = array(structure(FunctionStatus, OCTETS, BOOLEAN))
_FUNCTION = structure(FunctionDefinition, OCTETS, array(OBJECT_REFERENCE))


class FunctionControl(InterfaceClass, class_id=122, version=0):
    """Which functions of the meter are active (4.4.10)."""

    activation_status = Attribute(2, _FUNCTION_STATUSES, dynamic=True)
    function_list = Attribute(3, array(_FUNCTION), unsure="element as add_function takes it")

    set_function_status = Method(1, _FUNCTION_STATUSES)
    add_function = Method(2, _FUNCTION)
    remove_function = Method(3, OCTETS)


class EntryNumbers(NamedTuple):
    """Elements of an array from one number to another, both included."""

    from_index: int
    to_index: int


class ArrayRange(NamedTuple):
    """A part of one managed array."""

    array_object_id: int
    entries: EntryNumbers


class ArrayElement(NamedTuple):
    """An element and where it stands."""

    entry_index: int
    element: Data


class ArrayEntry(NamedTuple):
    """An element of one managed array."""

    array_object_id: int
    entry: ArrayElement


_RANGE = structure(ArrayRange, UNSIGNED, structure(EntryNumbers, LONG_UNSIGNED, LONG_UNSIGNED))
_ENTRY = structure(ArrayEntry, UNSIGNED, structure(ArrayElement, LONG_UNSIGNED, RAW))


class ArrayManager(InterfaceClass, class_id=123, version=0):
    """Reads and changes single elements of attributes that are arrays (4.4.11)."""

    array_object_list = Attribute(2, RAW, access=_RW)

    retrieve_number_of_entries = Method(1, UNSIGNED, RAW)
    retrieve_entries = Method(2, _RANGE, RAW)
    insert_entry = Method(3, _ENTRY)
    update_entry = Method(4, _ENTRY)
    remove_entries = Method(5, _RANGE)


class PortProtectionMode(IntEnum):
    """When a port is locked."""

    LOCKED = 0
    LOCKED_ON_FAILED_ATTEMPTS = 1
    UNLOCKED = 2


class PortProtectionStatus(IntEnum):
    """Whether a port is locked now."""

    UNLOCKED = 0
    TEMPORARILY_LOCKED = 1
    LOCKED = 2


class CommunicationPortProtection(InterfaceClass, class_id=124, version=0, methods_at=0x50):
    """Locks a port after failed attempts to associate (4.4.12).

    The lock-out time grows with each further failure, by `steepness_factor`, up to its maximum.
    """

    protection_mode = Attribute(2, coded(PortProtectionMode), access=_RW)
    allowed_failed_attempts = Attribute(3, LONG_UNSIGNED, access=_RW)
    initial_lockout_time = Attribute(4, DOUBLE_LONG_UNSIGNED, access=_RW)  # seconds
    steepness_factor = Attribute(5, UNSIGNED, access=_RW)
    max_lockout_time = Attribute(6, DOUBLE_LONG_UNSIGNED, access=_RW)  # seconds
    port_reference = Attribute(7, LOGICAL_NAME, access=_RW)
    protection_status = Attribute(8, coded(PortProtectionStatus), dynamic=True)
    failed_attempts = Attribute(9, DOUBLE_LONG_UNSIGNED, dynamic=True)
    cumulative_failed_attempts = Attribute(10, DOUBLE_LONG_UNSIGNED, dynamic=True)

    reset = Method(1)
