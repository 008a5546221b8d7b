# SPDX-License-Identifier: Apache-2.0
"""Cases on dedicated keys (SYMSEC_0 DedKey; DLMS UA 1000-2 Ed. 10, 9.2.5)."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from openami.cosem.client import Client
from openami.cosem.conformance.answers import not_opened
from openami.cosem.conformance.case import Failed, Need, NotApplicable, Script
from openami.cosem.conformance.symsec import (
    AUTHENTICATED,
    ENCRYPTED,
    FRESHNESS,
    GET_OWN_NAME,
    NO_DATA,
    no_data,
    security_case,
    served,
)
from openami.cosem.conformance.trial import BOTH, Trial, shown
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.suites import SecurityControl

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.5"


class Offer(NamedTuple):
    """How a dedicated key is offered: protection of the InitiateRequest, and its size.

    `more` octets more than a key has in the suite; None for no octet at all.
    """

    control: SecurityControl | None
    more: int | None = 0


WRONG_OFFERS: Final[Mapping[str, Offer]] = MappingProxyType(
    {
        "with a dedicated key and no ciphering": Offer(None),
        "with a dedicated key under encryption alone": Offer(ENCRYPTED),
        "with a dedicated key under authentication alone": Offer(AUTHENTICATED),
        "with a dedicated key of 0 octets": Offer(BOTH, None),
        "with a dedicated key of an octet less": Offer(BOTH, -1),
        "with a dedicated key of an octet more": Offer(BOTH, 1),
    }
)


DEDICATED: Final = frozenset({0xD4, 0xDC})
"""ded-get-response; signed it comes in general-ded-ciphering."""


def dedicated_cipher(trial: Trial, key: bytes) -> Cipher:
    """Return the protection under a dedicated key."""
    cipher = trial.aa.cipher
    if cipher is None:
        raise NotApplicable("the association has no keys")
    return cipher.with_encryption_key(key)


def _key_octets(trial: Trial) -> int:
    keys = trial.aa.keys
    if keys is None:
        raise NotApplicable("the association has no keys")
    return keys.suite.key_octets


def _opened(trial: Trial) -> Script[tuple[Client, bytes]]:
    key = trial.entropy(_key_octets(trial))
    client = yield from trial.opened(dedicated_key=key)
    return client, key


def _get(trial: Trial, key: bytes) -> bytes:
    return trial.sealed(GET_OWN_NAME, cipher=dedicated_cipher(trial, key), dedicated=True)


def _used(trial: Trial) -> Script[str | None]:
    _, key = yield from _opened(trial)
    answer = yield from trial.ask(_get(trial, key))
    if answer is None or answer[0] not in DEDICATED:
        raise Failed(f"{shown(answer)} came to ded-get-request; ded-get-response is due")
    client, key = yield from _opened(trial)
    yield from trial.alive(client)
    return None


def _replayed(trial: Trial) -> Script[str | None]:
    client, key = yield from _opened(trial)
    octets = _get(trial, key)
    answer = yield from trial.ask(octets)
    if answer is None or answer[0] not in DEDICATED:
        raise Failed(f"{shown(answer)} came to ded-get-request; ded-get-response is due")
    again = yield from trial.ask(octets)
    return no_data(client, again, "the same GET under the same frame counter")


def _offered(trial: Trial) -> Script[str | None]:
    last = ""
    for said, offer in WRONG_OFFERS.items():
        octets = 0 if offer.more is None else _key_octets(trial) + offer.more
        plain = trial.initiate(dedicated_key=trial.entropy(octets)).encode()
        sealed = plain if offer.control is None else trial.sealed(plain, control=offer.control)
        yield from trial.connect()
        answer = yield from trial.ask(trial.aarq(user_information=sealed))
        last = not_opened(answer, said)
    yield from trial.opened()  # who opens for nobody refuses nothing
    return f"the last of {len(WRONG_OFFERS)}: {last}"


def _without(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.ask(_get(trial, trial.entropy(_key_octets(trial))))
    said = no_data(client, answer, "ded-get-request without a dedicated key")
    yield from served(trial)
    return said


def _old(trial: Trial) -> Script[str | None]:
    _, old = yield from _opened(trial)
    client, _ = yield from _opened(trial)
    answer = yield from trial.ask(_get(trial, old))
    said = no_data(client, answer, "ded-get-request under the key of the association before")
    yield from served(trial)
    return said


def _global(trial: Trial) -> Script[str | None]:
    keys = trial.aa.keys
    if keys is None:
        raise NotApplicable("the association has no keys")
    client, _ = yield from _opened(trial)
    octets = trial.sealed(GET_OWN_NAME, cipher=Cipher(replace(keys)), dedicated=True)
    answer = yield from trial.ask(octets)
    said = no_data(client, answer, "ded-get-request under the global key")
    yield from served(trial)
    return said


CASES: Final = (
    security_case(
        "FraCount_1_DEK",
        "a frame counter serves once under the dedicated key",
        FRESHNESS,
        "AARQ with a dedicated key; ded-GET; the same octets again",
        f"data; {NO_DATA}",
        _replayed,
        Need.GET,
    ),
    security_case(
        "DedKey_P_USE",
        "services under a dedicated key",
        CLAUSE,
        "AARQ with a dedicated key; ded-GET; the same in a second association",
        "ded-get-response with data",
        _used,
        Need.GET,
    ),
    security_case(
        "DedKey_N1_OFFER",
        "a dedicated key that is offered wrongly",
        CLAUSE,
        "AARQ " + "; ".join(WRONG_OFFERS) + "; a sound AARQ",
        "the association does not open",
        _offered,
    ),
    security_case(
        "DedKey_N1_NONE",
        "ded- without a dedicated key",
        CLAUSE,
        "AARQ without a dedicated key; ded-GET; a sound GET",
        NO_DATA,
        _without,
        Need.GET,
    ),
    security_case(
        "DedKey_N1_OLD",
        "a dedicated key ends with its association",
        CLAUSE,
        "AARQ with a dedicated key; AARQ with another; ded-GET under the first; a sound GET",
        NO_DATA,
        _old,
        Need.GET,
    ),
    security_case(
        "DedKey_N1_GLOBAL",
        "ded- under the global key",
        CLAUSE,
        "AARQ with a dedicated key; ded-GET under GUEK; a sound GET",
        NO_DATA,
        _global,
        Need.GET,
    ),
)
