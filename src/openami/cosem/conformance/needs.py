# SPDX-License-Identifier: Apache-2.0
"""Whether a case applies: what it needs, looked up in the declaration."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from openami.cosem.conformance.case import Case, Group, Need
from openami.cosem.conformance.declaration import Declaration, DeclaredAssociation
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.hls import Mechanism

_OF_METER: Final[Mapping[Need, Callable[[Declaration], object]]] = MappingProxyType(
    {
        Need.HDLC: lambda meter: meter.link,
        Need.WRITABLE: lambda meter: meter.test_attribute,
        Need.PROFILE: lambda meter: meter.profile,
        Need.PUSH: lambda meter: meter.push,
        Need.PUSH_CONFIRM: lambda meter: meter.push and not meter.push.on_line,
        Need.PUSH_LINE: lambda meter: meter.push and meter.push.on_line,
        Need.CLIENTS: lambda meter: len({each.client_sap for each in meter.associations}) > 1,
    }
)


def _held(aa: DeclaredAssociation, *names: str) -> bool:
    """Tell whether key pairs are declared: ours, and the meter's public key."""
    return aa.credentials is not None and all(getattr(aa.credentials, name) for name in names)


_OF_ASSOCIATION: Final[Mapping[Need, Callable[[DeclaredAssociation], object]]] = MappingProxyType(
    {
        Need.LN: lambda aa: not aa.short_names,
        Need.SN: lambda aa: aa.short_names,
        Need.UNCIPHERED: lambda aa: not aa.is_ciphered,
        Need.CIPHERED: lambda aa: aa.is_ciphered,
        Need.AUTHENTICATED: lambda aa: aa.mechanism is not Mechanism.LOWEST,
        Need.LOWEST: lambda aa: aa.mechanism is Mechanism.LOWEST,
        Need.LLS: lambda aa: aa.mechanism is Mechanism.LLS,
        Need.HLS: lambda aa: aa.mechanism.is_hls,
        Need.UNPROVEN: lambda aa: not aa.mechanism.is_hls,
        Need.MASTER_KEY: lambda aa: aa.master_key,
        Need.SETUP: lambda aa: aa.security_setup,
        Need.USERS: lambda aa: aa.user_id is not None,
        Need.PAIRS: lambda aa: _held(aa, "signer", "peer_signing"),
        Need.AGREEMENT: lambda aa: _held(aa, "agreement", "peer_agreement"),
        Need.ECDSA: lambda aa: aa.mechanism is Mechanism.HLS_ECDSA,
    }
)

CONFORMANCE: Final[Mapping[Need, Conformance]] = MappingProxyType(
    {
        Need.GET: Conformance.GET,
        Need.SET: Conformance.SET,
        Need.ACTION: Conformance.ACTION,
        Need.READ: Conformance.READ,
        Need.WRITE: Conformance.WRITE,
        Need.ACCESS: Conformance.ACCESS,
        Need.UNCONFIRMED_WRITE: Conformance.UNCONFIRMED_WRITE,
        Need.GET_BLOCKS: Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ,
        Need.SET_BLOCKS: Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE,
        Need.GENERAL_BLOCKS: Conformance.GENERAL_BLOCK_TRANSFER,
        Need.MULTIPLE: Conformance.MULTIPLE_REFERENCES,
        Need.SELECTIVE: Conformance.SELECTIVE_ACCESS,
    }
)


def missing(
    case: Case, declaration: Declaration, association: DeclaredAssociation | None
) -> str | None:
    """Return why a case does not apply, as a sentence; None if it does."""
    for need in case.needs:
        if need in _OF_METER:
            there = _OF_METER[need](declaration)
        elif association is None:
            there = None
        elif need in CONFORMANCE:
            there = association.conformance & CONFORMANCE[need]
        else:
            there = _OF_ASSOCIATION[need](association)
        if not there:
            return f"the declaration has not what the case needs: {need.value}"
    if case.group is Group.HDLC and association is not None:
        return "the case is about the data link, not about an association"
    return None
