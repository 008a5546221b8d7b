# SPDX-License-Identifier: Apache-2.0
"""Protection outside associations: pushes of real meters, and our own general-ciphering."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.ciphered import (
    AgreedKey,
    AuthenticatedHeader,
    GeneralCiphering,
    GeneralGloCiphering,
    IdentifiedKey,
    KeyId,
    WrappedKey,
)
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.envelopes import (
    Envelope,
    GeneralTerms,
    Protection,
    decode_envelope,
    open_envelope,
    seal_general,
)
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl
from vectors import vectors

METER, HEAD_END = b"OAM\x00\x00\x00\x00\x01", b"OAM\xe0\x00\x00\x00\x01"
KEYS = KeySet(
    encryption_key=bytes(range(16)),
    authentication_key=bytes(range(0xD0, 0xE0)),
    broadcast_key=bytes(range(0x20, 0x30)),
)
CIPHER = Cipher(KEYS)
TERMS = GeneralTerms(transaction_id=b"\x00\x00\x00\x07", originator=METER, recipient=HEAD_END)
NOTIFICATION = bytes.fromhex("0f00000007 00 0907 4f414d30303031")

TELEGRAMS = vectors("dlms/security/telegrams.toml")


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_push_of_a_meter_in_the_field(row: dict[str, Any]) -> None:
    control = SecurityControl(row["security_control"])
    keys = KeySet(
        suite=control.suite,
        encryption_key=bytes.fromhex(row["encryption_key"]),
        authentication_key=bytes.fromhex(row["authentication_key"]),
    )
    envelope = decode_envelope(row["octets"])

    apdu, protection = open_envelope(Cipher(keys), envelope, required=control & 0x30)

    title = bytes.fromhex(row["system_title"])
    counter = row["invocation_counter"]
    assert apdu.hex() == row["plain"]
    assert protection == Protection(
        control, Envelope.GENERAL_GLO, title, InvocationCounter(counter)
    )
    sealed = Cipher(keys).seal(control, counter, title, apdu)
    again = GeneralGloCiphering(system_title=title, ciphered_service=sealed)
    assert again.encode() in (row["octets"], long_length(again))


def long_length(apdu: GeneralGloCiphering) -> bytes:
    """One of the meters writes two octets of length where one is enough."""
    title, sealed = apdu.system_title, apdu.ciphered_service
    return b"\xdb\x08" + title + b"\x82" + len(sealed).to_bytes(2) + sealed


@given(
    apdu=st.binary(min_size=1, max_size=300),
    transaction_id=st.binary(max_size=8),
    octet=st.sampled_from([0x10, 0x20, 0x30, 0x70]),
    form=st.sampled_from(AuthenticatedHeader),
    counter=st.integers(0, 2**32 - 1),
)
def test_open_inverts_seal(
    apdu: bytes, transaction_id: bytes, octet: int, form: AuthenticatedHeader, counter: int
) -> None:
    control = SecurityControl(octet)
    terms = replace(TERMS, transaction_id=transaction_id, control=control, form=form)

    envelope = decode_envelope(seal_general(CIPHER, counter, apdu, terms))
    opened, protection = open_envelope(CIPHER, envelope, required=octet & 0x30, form=form)

    assert opened == apdu
    assert protection == Protection(
        control, Envelope.GENERAL, METER, InvocationCounter(counter), transaction_id
    )


def test_what_a_concentrator_sees_of_a_push() -> None:
    envelope = decode_envelope(seal_general(CIPHER, 5, NOTIFICATION, TERMS))

    assert isinstance(envelope, GeneralCiphering)
    assert envelope.transaction_id == NOTIFICATION[1:5]
    assert envelope.originator_system_title == METER
    assert envelope.recipient_system_title == HEAD_END
    assert envelope.key_info == IdentifiedKey(key_id=KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY)
    assert NOTIFICATION not in envelope.ciphered_service


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_id": b"\x00\x00\x00\x08"},
        {"transaction_id": b"\x00\x00\x00\x07\x08"},
        {"recipient_system_title": METER},
        {"originator_system_title": HEAD_END},
        {"date_time": b"\x00"},
        {"other_information": b"\x00"},
    ],
    ids=str,
)
def test_every_field_of_the_header_is_under_the_tag(change: dict[str, bytes]) -> None:
    envelope = decode_envelope(seal_general(CIPHER, 5, NOTIFICATION, TERMS))
    assert isinstance(envelope, GeneralCiphering)
    open_envelope(CIPHER, envelope)

    with pytest.raises(SecurityError, match="tag does not match"):
        open_envelope(CIPHER, replace(envelope, **change))  # type: ignore[arg-type]


def test_a_meter_that_leaves_the_header_out_is_a_choice() -> None:
    form = AuthenticatedHeader.WITHOUT_HEADER
    envelope = decode_envelope(seal_general(CIPHER, 5, NOTIFICATION, replace(TERMS, form=form)))

    assert open_envelope(CIPHER, envelope, form=form)[0] == NOTIFICATION
    with pytest.raises(SecurityError, match="tag does not match"):
        open_envelope(CIPHER, envelope)


@pytest.mark.parametrize(("octet", "missing"), [(0x10, "encryption"), (0x20, "authentication")])
def test_weak_protection_is_refused(octet: int, missing: str) -> None:
    terms = replace(TERMS, control=SecurityControl(octet))
    envelope = decode_envelope(seal_general(CIPHER, 5, NOTIFICATION, terms))

    with pytest.raises(SecurityError, match=f"policy asks for {missing}, which the APDU lacks"):
        open_envelope(CIPHER, envelope)


@pytest.mark.parametrize(
    ("key_info", "sentence"),
    [
        (IdentifiedKey(key_id=KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY), "key-id 1 contradicts"),
        (WrappedKey(key_ciphered_data=bytes(24)), "needs credentials"),
        (AgreedKey(key_parameters=b"\x02", key_ciphered_data=b""), "needs credentials"),
    ],
)
def test_a_key_that_is_not_held_is_refused(
    key_info: IdentifiedKey | WrappedKey | AgreedKey, sentence: str
) -> None:
    envelope = decode_envelope(seal_general(CIPHER, 5, NOTIFICATION, TERMS))
    assert isinstance(envelope, GeneralCiphering)

    with pytest.raises(SecurityError, match=sentence):
        open_envelope(CIPHER, replace(envelope, key_info=key_info))
    assert open_envelope(CIPHER, replace(envelope, key_info=None))[0] == NOTIFICATION


@pytest.mark.parametrize("octets", [b"", b"\xc0\x01", NOTIFICATION])
def test_only_the_general_kinds_stand_alone(octets: bytes) -> None:
    with pytest.raises(DecodeError, match="neither general-glo-ciphering DB nor"):
        decode_envelope(octets)
