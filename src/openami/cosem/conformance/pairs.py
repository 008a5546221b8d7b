# SPDX-License-Identifier: Apache-2.0
"""Cases on key pairs: signed services, and keys that travel with an APDU (suites 1 and 2).

DLMS UA 1000-2 Ed. 10, 9.2.3.4 and 9.2.7.2.  Ours, as our sources give no abstract tests of these
suites: what SYMSEC_0 asks of shared keys is asked of key pairs.  HLS by ECDSA is in `hls`, the
agreement on global keys in `pairs_keys`, certificates in `pairs_certificates`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from openami.cosem.client import Client
from openami.cosem.conformance.case import (
    Failed,
    Family,
    Group,
    Inconclusive,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.symsec import GET_OWN_NAME, NO_DATA, no_data, served
from openami.cosem.conformance.trial import Trial, shown
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import DlmsError
from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.credentials import Credentials, KeyScheme, MasterKey
from openami.dlms.security.envelopes import Envelope, Signature
from openami.dlms.security.signing import SigningKey

SIGNING: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2.5"
GENERAL: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2.4"
SCHEMES: Final[Mapping[str, tuple[KeyScheme, str]]] = MappingProxyType(
    {
        "IDENTIFIED": (KeyScheme.IDENTIFIED, "the global key"),
        "WRAPPED": (KeyScheme.WRAPPED, "a wrapped key"),
        "ONE_PASS": (KeyScheme.ONE_PASS, "a key agreed by C(1e, 1s)"),
        "STATIC": (KeyScheme.STATIC_UNIFIED, "a key agreed by C(0e, 2s)"),
    }
)
NEEDED: Final[Mapping[KeyScheme, tuple[Need, ...]]] = MappingProxyType(
    {
        KeyScheme.IDENTIFIED: (),
        KeyScheme.WRAPPED: (Need.MASTER_KEY,),
        KeyScheme.ONE_PASS: (Need.AGREEMENT,),
        KeyScheme.STATIC_UNIFIED: (Need.AGREEMENT,),
    }
)
SOUND: Final = "a sound GET"
Forged = Callable[[Trial, SecureChannel], bytes]


def credentials_of(trial: Trial) -> Credentials:
    """Return our key pairs and the meter's public keys."""
    found = trial.aa.credentials
    if found is None:
        raise NotApplicable("no key pairs are declared")
    return found


def _channel(client: Client) -> SecureChannel:
    if client.channel is None:
        raise Inconclusive("the association has no ciphering")
    return client.channel


def _data(client: Client, answer: bytes | None, said: str) -> tuple[Envelope, Signature, object]:
    """Hold an answer to data; return how it was protected."""
    if answer is None:
        raise Failed(f"silence came to {said}; data is due")
    try:
        plain, protection = _channel(client).unprotect(answer)
    except DlmsError as error:
        raise Failed(f"the answer to {said} cannot be opened: {error}") from None
    if plain[:1] != b"\xc4" or plain[3:4] != b"\x00":
        raise Failed(f"{shown(plain)} came to {said}; data is due")
    return protection.envelope, protection.signature, protection.scheme


def _signed(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened(sign=True)
    said = "a signed GET"
    answer = yield from trial.ask(_channel(client).protect(GET_OWN_NAME))
    _, signature, _ = _data(client, answer, said)
    if signature is Signature.NONE:
        raise Failed(f"an answer without a signature came to {said}")
    return None


def _by_another(trial: Trial, channel: SecureChannel) -> bytes:
    held = credentials_of(trial)
    forging = replace(held, signer=SigningKey.fresh(held.suite, trial.entropy))
    return replace(channel, credentials=forging).protect(GET_OWN_NAME)


def _altered(
    change: Callable[[GeneralSigning], GeneralSigning],
) -> Forged:
    """Change what is signed, outermost: the ciphering inside stays sound."""

    def forge(trial: Trial, channel: SecureChannel) -> bytes:
        inside = trial.sealed(GET_OWN_NAME, signed=False)
        terms = GeneralSigning(
            transaction_id=channel.counters.next().to_bytes(8),
            originator_system_title=channel.own_title,
            recipient_system_title=channel.peer_title,
            content=inside,
        )
        signed = replace(terms, signature=credentials_of(trial).sign(terms.signed_octets()))
        return change(signed).encode()

    return forge


def _turned(octets: bytes) -> bytes:
    return octets[:-1] + bytes((octets[-1] ^ 0x01,))


WRONG_SIGNATURES: Final[Mapping[str, Forged]] = MappingProxyType(
    {
        "GET signed with another key": _by_another,
        "GET with a wrong signature": _altered(
            lambda signed: replace(signed, signature=_turned(signed.signature))
        ),
        "GET without a signature in general-signing": _altered(
            lambda signed: replace(signed, signature=b"")
        ),
        "GET with another transaction-id than was signed": _altered(
            lambda signed: replace(signed, transaction_id=_turned(signed.transaction_id))
        ),
    }
)


def _wrongly(forged: Mapping[str, Forged], **changes: object) -> Callable[[Trial], Script[str]]:
    def script(trial: Trial) -> Script[str]:
        last = ""
        for said, make in forged.items():
            client = yield from trial.opened(**changes)
            answer = yield from trial.ask(make(trial, _channel(client)))
            last = no_data(client, answer, said)
        yield from served(trial)
        return f"the last of {len(forged)}: {last}"

    return script


def _signed_twice(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened(sign=True)
    octets = _channel(client).protect(GET_OWN_NAME)
    _data(client, (yield from trial.ask(octets)), "a signed GET")
    again = yield from trial.ask(octets)
    return no_data(client, again, "the same signed GET once more")


def _general(scheme: KeyScheme, what: str) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        client = yield from trial.opened(scheme=scheme)
        said = f"GET in general-ciphering under {what}"
        answer = yield from trial.ask(_channel(client).protect(GET_OWN_NAME))
        envelope, _, found = _data(client, answer, said)
        if envelope is not Envelope.GENERAL or found is not scheme:
            raise Failed(f"an answer in {envelope.name}, key {found}, came to {said}")
        return None

    return script


def _general_twice(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened(scheme=KeyScheme.STATIC_UNIFIED)
    octets = _channel(client).protect(GET_OWN_NAME)
    _data(client, (yield from trial.ask(octets)), "GET in general-ciphering")
    again = yield from trial.ask(octets)
    return no_data(client, again, "the same general-ciphering once more")


def _forging(scheme: KeyScheme, change: Callable[[Credentials, Trial], Credentials]) -> Forged:
    """Send under a scheme with other credentials than those declared."""

    def forge(trial: Trial, channel: SecureChannel) -> bytes:
        other = change(credentials_of(trial), trial)
        return replace(channel, credentials=other, scheme=scheme).protect(GET_OWN_NAME)

    return forge


def _spoilt(_: Trial, channel: SecureChannel) -> bytes:
    return _turned(replace(channel, scheme=KeyScheme.STATIC_UNIFIED).protect(GET_OWN_NAME))


def _for_another(_: Trial, channel: SecureChannel) -> bytes:
    other = replace(
        channel, peer_title=_turned(channel.peer_title), scheme=KeyScheme.STATIC_UNIFIED
    )
    return other.protect(GET_OWN_NAME)


WRONG_CIPHERING: Final[Mapping[str, Forged]] = MappingProxyType(
    {
        "GET with a wrong tag": _spoilt,
        "GET for another recipient": _for_another,
        "GET under a static key that nobody certified": _forging(
            KeyScheme.STATIC_UNIFIED,
            lambda held, trial: replace(
                held, agreement=AgreementKey.fresh(held.suite, trial.entropy)
            ),
        ),
        "GET under an ephemeral key that another signed": _forging(
            KeyScheme.ONE_PASS,
            lambda held, trial: replace(held, signer=SigningKey.fresh(held.suite, trial.entropy)),
        ),
        "GET under a key that another master key wraps": _forging(
            KeyScheme.WRAPPED,
            lambda held, trial: replace(
                held, master_key=MasterKey(trial.entropy(held.suite.key_octets))
            ),
        ),
    }
)


pairs_case = Family(
    prefix="SYMSEC_12_", group=Group.PAIRS, needs=(Need.LN, Need.CIPHERED, Need.PAIRS)
).case


CASES: Final = (
    pairs_case(
        "Sign_P1",
        "a signed service is answered signed",
        SIGNING,
        "GET in general-signing, ciphered as the policy asks",
        "data, signed by the meter's key",
        _signed,
        Need.GET,
    ),
    pairs_case(
        "Sign_N1",
        "a service that is signed wrongly",
        SIGNING,
        "; ".join((*WRONG_SIGNATURES, SOUND)),
        NO_DATA,
        _wrongly(WRONG_SIGNATURES, sign=True),
        Need.GET,
    ),
    pairs_case(
        "Sign_N2",
        "a signed service serves once",
        SIGNING,
        "a signed GET; the same octets again",
        f"data; {NO_DATA}",
        _signed_twice,
        Need.GET,
    ),
    *(
        pairs_case(
            f"GenCiph_P_{name}",
            f"general-ciphering under {what}",
            GENERAL,
            f"GET in general-ciphering under {what}",
            "data in general-ciphering, its key by the same scheme",
            _general(scheme, what),
            Need.GET,
            *NEEDED[scheme],
        )
        for name, (scheme, what) in SCHEMES.items()
    ),
    pairs_case(
        "GenCiph_N1",
        "general-ciphering that is wrong",
        GENERAL,
        "; ".join((*WRONG_CIPHERING, SOUND)),
        NO_DATA,
        _wrongly(WRONG_CIPHERING),
        Need.GET,
        Need.AGREEMENT,
    ),
    pairs_case(
        "GenCiph_N2",
        "general-ciphering serves once",
        GENERAL,
        "GET in general-ciphering; the same octets again",
        f"data; {NO_DATA}",
        _general_twice,
        Need.GET,
        Need.AGREEMENT,
    ),
)
