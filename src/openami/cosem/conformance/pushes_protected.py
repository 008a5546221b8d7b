# SPDX-License-Identifier: Apache-2.0
"""Cases on the layers of protection that a push setup asks for (class 40 from version 1 on).

DLMS UA 1000-1 Ed. 12, 4.4.8 and 4.4.9.  The push setup is given a list of layers, and the push must
come in them.  What else a meter puts around them is its own: more protection is no fault.  How the
layers of a list follow each other our sources do not say, so their order is not judged.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from openami.cosem.behaviour.layers import BITS
from openami.cosem.classes.protection import (
    PROTECTION_PARAMETERS,
    IdentifiedKey,
    ProtectionOptions,
    ProtectionParameters,
    ProtectionType,
)
from openami.cosem.classes.push import PushSetupV1
from openami.cosem.conformance.case import Failed, Need, NotApplicable, Script
from openami.cosem.conformance.data_writing import keep, read_row, write_row
from openami.cosem.conformance.pushes import (
    AT_ONCE,
    CLAUSE,
    declared_push,
    heard,
    opened,
    push,
    push_case,
    push_row,
    unwrapped,
    written,
)
from openami.cosem.conformance.trial import Trial
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED

GLOBAL_KEY: Final = 0
_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        AUTHENTICATED: "authentication",
        ENCRYPTED: "encryption",
        AUTHENTICATED | ENCRYPTED: "authentication and encryption",
        SIGNED: "a signature",
    }
)
LISTS: Final[Mapping[str, tuple[tuple[ProtectionType, ...], tuple[Need, ...]]]] = MappingProxyType(
    {
        "AUTHENTICATION": ((ProtectionType.AUTHENTICATION,), (Need.CIPHERED,)),
        "ENCRYPTION": ((ProtectionType.ENCRYPTION,), (Need.CIPHERED,)),
        "BOTH": ((ProtectionType.AUTHENTICATION_AND_ENCRYPTION,), (Need.CIPHERED,)),
        "SIGNED": ((ProtectionType.DIGITAL_SIGNATURE,), (Need.CIPHERED, Need.PAIRS)),
        "SIGNED_AND_BOTH": (
            (ProtectionType.DIGITAL_SIGNATURE, ProtectionType.AUTHENTICATION_AND_ENCRYPTION),
            (Need.CIPHERED, Need.PAIRS),
        ),
    }
)


def _parameters(
    trial: Trial, meter: bytes, types: tuple[ProtectionType, ...]
) -> tuple[ProtectionParameters, ...]:
    options = ProtectionOptions(
        transaction_id=b"",
        originator_system_title=meter,
        recipient_system_title=trial.aa.client_title,
        other_information=b"",
        key_info=IdentifiedKey(GLOBAL_KEY),
    )
    return tuple(ProtectionParameters(each, options) for each in types)


def _layered(types: tuple[ProtectionType, ...]) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        client, version = yield from opened(trial)
        if version < PushSetupV1.version or client.channel is None:
            raise NotApplicable(f"layers come with version 1; the push setup is version {version}")
        yield from written(trial, client, AT_ONCE)
        row = push_row(trial, PushSetupV1.push_protection_parameters.index)
        former = yield from read_row(trial, client, row)
        layers = _parameters(trial, client.channel.peer_title, types)
        result = yield from write_row(trial, client, row, PROTECTION_PARAMETERS.to_data(layers))
        if result != DataAccessResult.SUCCESS:
            raise NotApplicable(f"{row} may not be written: {result}")
        keep(trial, row, former)
        yield from push(trial, client)
        octets = yield from heard("after method push", declared_push(trial).within_s)
        _, found = unwrapped(trial, octets)
        came = Counter(layer.bits for layer in found)
        missing = Counter(BITS[each] for each in types) - came
        if missing:
            names = " and ".join(_NAMES[bits] for bits in missing)
            layers_shown = ", ".join(f"{layer.tag:02X}" for layer in found) or "none"
            raise Failed(f"the push lacks a layer of {names}; its envelopes are: {layers_shown}")
        return f"the push came in {', '.join(f'{layer.tag:02X}' for layer in found)}"

    return script


CASES: Final = tuple(
    push_case(
        f"P5_{name}",
        f"a push in a layer of {' and one of '.join(_NAMES[BITS[each]] for each in types)}",
        CLAUSE,
        "SET push_protection_parameters; push",
        "a notification in these layers, under the global key and the meter's signing key",
        _layered(types),
        Need.SET,
        *needs,
        changes=True,
    )
    for name, (types, needs) in LISTS.items()
)
