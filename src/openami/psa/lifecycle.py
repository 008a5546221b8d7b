# SPDX-License-Identifier: Apache-2.0
"""The security life cycle of a device: states that only go one way.

PSA Certified Level 1 (security goal 2) and RFC 9783, 4.3.1 (the claim's values).  Arm's model lets
a device come back from debugging; a meter does not: whoever opened it cannot prove what happened
inside, so it is provisioned anew or scrapped.  Each step clears one-time-programmable bits, which
no software can set again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from openami.psa.status import PsaError, Status


class LifeCycle(IntEnum):
    """The security life cycle claim; the low octet is left to the implementation, here 0."""

    UNKNOWN = 0x0000
    ASSEMBLY_AND_TEST = 0x1000
    PSA_ROT_PROVISIONING = 0x2000
    SECURED = 0x3000
    NON_PSA_ROT_DEBUG = 0x4000
    RECOVERABLE_PSA_ROT_DEBUG = 0x5000
    DECOMMISSIONED = 0x6000

    @classmethod
    def of_claim(cls, claim: int) -> "LifeCycle":
        """Return the state of a claim, whose low octet says what the implementation likes."""
        try:
            return cls(claim & 0xFF00)
        except ValueError:
            return cls.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a state permits.

    Attributes:
        fuses: The one-time-programmable octet that says so; bits only ever go from 1 to 0.
        following: Where a device can go from here.
        debug_non_secure: The non-secure world may be debugged.
        debug_secure: The secure world may be debugged.
        provisioning: Keys of the root of trust and the device's identity may be written.
        keys: The device's keys may be used; where not, they are destroyed on the way in.
        trustworthy: A verifier may believe what an attestation says.
    """

    fuses: int
    following: frozenset[LifeCycle]
    debug_non_secure: bool = False
    debug_secure: bool = False
    provisioning: bool = False
    keys: bool = False
    trustworthy: bool = False


STAGES: Final[Mapping[LifeCycle, Stage]] = MappingProxyType(
    {
        LifeCycle.ASSEMBLY_AND_TEST: Stage(
            fuses=0b11111111,
            following=frozenset({LifeCycle.PSA_ROT_PROVISIONING, LifeCycle.DECOMMISSIONED}),
            debug_non_secure=True,
            debug_secure=True,
        ),
        LifeCycle.PSA_ROT_PROVISIONING: Stage(
            fuses=0b11111110,
            following=frozenset({LifeCycle.SECURED, LifeCycle.DECOMMISSIONED}),
            provisioning=True,
            keys=True,
        ),
        LifeCycle.SECURED: Stage(
            fuses=0b11111100,
            following=frozenset(
                {
                    LifeCycle.NON_PSA_ROT_DEBUG,
                    LifeCycle.RECOVERABLE_PSA_ROT_DEBUG,
                    LifeCycle.DECOMMISSIONED,
                }
            ),
            keys=True,
            trustworthy=True,
        ),
        LifeCycle.NON_PSA_ROT_DEBUG: Stage(
            fuses=0b11111000,
            following=frozenset({LifeCycle.RECOVERABLE_PSA_ROT_DEBUG, LifeCycle.DECOMMISSIONED}),
            debug_non_secure=True,
            keys=True,
            trustworthy=True,
        ),
        LifeCycle.RECOVERABLE_PSA_ROT_DEBUG: Stage(
            fuses=0b11110000,
            following=frozenset({LifeCycle.DECOMMISSIONED}),
            debug_non_secure=True,
            debug_secure=True,
        ),
        LifeCycle.DECOMMISSIONED: Stage(fuses=0b00000000, following=frozenset()),
        LifeCycle.UNKNOWN: Stage(fuses=-1, following=frozenset()),
    }
)
"""The one table.  UNKNOWN has no fuses: it is what any other pattern of bits means."""

_BY_FUSES: Final = {stage.fuses: state for state, stage in STAGES.items()}


def of_fuses(octet: int) -> LifeCycle:
    """Return the state that the fuses say; UNKNOWN permits nothing."""
    return _BY_FUSES.get(octet, LifeCycle.UNKNOWN)


def advance(state: LifeCycle, to: LifeCycle) -> int:
    """Return the fuses with which a device in `state` goes to another.

    Raises:
        PsaError: NOT_PERMITTED, there is no way.
    """
    if to not in STAGES[state].following:
        problem = f"no way leads to {to.name.lower()}"
        raise PsaError(Status.NOT_PERMITTED, problem, f"life cycle {state.name.lower()}")
    return STAGES[to].fuses
