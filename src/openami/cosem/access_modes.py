# SPDX-License-Identifier: Apache-2.0
"""What the access modes of an object list mean (class 15, DLMS UA 1000-1 Ed. 12, 4.4.4).

Which of two readings holds is told by the version of the association that shows the list::

    versions 0 to 2   attributes  0 none, 1 read, 2 write, 3 both, 4 to 6 the same if authenticated
                      methods     0 none, 1 invoke, 2 if authenticated
    version 3         bits        0 read or invoke, 1 write, 2 to 7 protection (`SecurityPolicy`)

A code above 6, which versions 0 to 2 do not have, is read as bits 0 and 1; nobody is granted
anything by it (`is_sound`).
"""

from typing import Final

from openami.cosem.model import Access
from openami.dlms.security.suites import NO_PROTECTION, SecurityPolicy

BITS_SINCE: Final = 3
"""The version of class 15 from which on an access mode is bits."""

_FROM_CODE: Final = (0, 1, 2, 3, 1, 2, 3)
_AUTHENTICATED: Final = frozenset({4, 5, 6})
_INVOKE, _INVOKE_AUTHENTICATED = 1, 2
_PROTECTION_BITS: Final = 0xFC


def access_of(mode: int, association_version: int) -> Access:
    """Return what the mode of an attribute allows; a demand for protection takes nothing away."""
    if association_version >= BITS_SINCE:
        return Access(mode & Access.READ_WRITE)
    return Access(_FROM_CODE[mode] if 0 <= mode < len(_FROM_CODE) else mode & Access.READ_WRITE)


def is_sound(mode: int, association_version: int) -> bool:
    """Tell whether the mode of an attribute is one that its version has."""
    return association_version >= BITS_SINCE or 0 <= mode < len(_FROM_CODE)


def invokes(mode: int, association_version: int) -> bool:
    """Tell whether the mode of a method lets it be invoked."""
    if association_version >= BITS_SINCE:
        return bool(mode & 1)
    return mode in {_INVOKE, _INVOKE_AUTHENTICATED}


def demand_of_attribute(mode: int, association_version: int) -> SecurityPolicy:
    """Return the protection that the mode of an attribute asks for beyond the client's policy."""
    if association_version >= BITS_SINCE:
        return SecurityPolicy(mode & _PROTECTION_BITS)
    return SecurityPolicy.AUTHENTICATED_REQUEST if mode in _AUTHENTICATED else NO_PROTECTION


def demand_of_method(mode: int, association_version: int) -> SecurityPolicy:
    """Return the protection that the mode of a method asks for beyond the client's policy."""
    if association_version >= BITS_SINCE:
        return SecurityPolicy(mode & _PROTECTION_BITS)
    authenticated = mode == _INVOKE_AUTHENTICATED
    return SecurityPolicy.AUTHENTICATED_REQUEST if authenticated else NO_PROTECTION
