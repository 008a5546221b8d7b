# SPDX-License-Identifier: Apache-2.0
"""Who may call what over the wall, and how much of it.

The caller is the user that the system names for its socket (SO_PEERCRED); nothing that it says of
itself counts.  Callers of the non-secure world have negative client ids, partitions of the secure
one positive ones (PSA Certified Firmware Framework for M, 3.3.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from openami.device.secure.calls import Group
from openami.psa.attributes import BUILTIN_IDS


class Caller(IntEnum):
    """Client ids of those outside of the process."""

    NON_SECURE = -1
    POWER = -2
    """Who gives the device its power: asks what it is, and uses nothing."""
    TLS = 1
    """The partition where TLS ends."""


ACCESS: Final[Mapping[Caller, frozenset[Group]]] = MappingProxyType(
    {
        Caller.NON_SECURE: frozenset(Group),
        Caller.POWER: frozenset({Group.ATTESTATION, Group.LIFE_CYCLE}),
        Caller.TLS: frozenset({Group.CRYPTO, Group.ITS, Group.LIFE_CYCLE}),
    }
)

LINK_KEY_ID: Final = BUILTIN_IDS.start + 1
"""The device's own key on the link to its other module: the non-secure world agrees with it."""

KEYLESS: Final = frozenset({Group.LIFE_CYCLE})
"""What is left where the life cycle permits no use of keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much callers may take.

    Attributes:
        connections: Of one caller at a time.
        operations: Open at a time in one connection.
        channels: Open at a time in one connection.
        volatile_keys: Of one caller at a time.
        stored_octets: Of one caller, of its entries and persistent keys with their names.
    """

    connections: int = 8
    operations: int = 16
    channels: int = 64
    volatile_keys: int = 64
    stored_octets: int = 2048


LIMITS: Final = Limits()
