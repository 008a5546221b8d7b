# SPDX-License-Identifier: Apache-2.0
"""Envelopes of protected APDUs: every tag, every field, every truncation."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.ciphered import (
    BY_DED,
    BY_GLO,
    BY_PLAIN,
    SERVICE_TAGS,
    AgreedKey,
    AuthenticatedHeader,
    GeneralCiphering,
    GeneralDedCiphering,
    GeneralGloCiphering,
    IdentifiedKey,
    KeyId,
    ServiceCiphering,
    ServiceTags,
    WrappedKey,
)
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecuritySuite
from vectors import vectors

Apdu = ServiceCiphering | GeneralGloCiphering | GeneralCiphering

octets = st.binary(max_size=200)
titles = st.sampled_from([b"", b"OAM\x00\x00\x00\x00\x01"])
key_infos = st.none() | st.one_of(
    st.builds(IdentifiedKey, key_id=st.sampled_from(KeyId)),
    st.builds(WrappedKey, kek_id=st.integers(0, 255), key_ciphered_data=octets),
    st.builds(AgreedKey, key_parameters=st.binary(max_size=2), key_ciphered_data=octets),
)
apdus = st.one_of(
    st.builds(
        ServiceCiphering,
        tag=st.sampled_from([*BY_GLO, *BY_DED]),
        ciphered_service=octets,
    ),
    st.builds(GeneralGloCiphering, system_title=titles, ciphered_service=octets),
    st.builds(GeneralDedCiphering, system_title=titles, ciphered_service=octets),
    st.builds(
        GeneralCiphering,
        transaction_id=octets,
        originator_system_title=titles,
        recipient_system_title=titles,
        date_time=st.binary(max_size=12),
        other_information=octets,
        key_info=key_infos,
        ciphered_service=octets,
    ),
)
KINDS: list[type[Apdu]] = [
    ServiceCiphering,
    GeneralGloCiphering,
    GeneralDedCiphering,
    GeneralCiphering,
]


@given(apdus)
def test_decode_inverts_encode(apdu: Apdu) -> None:
    assert type(apdu).decode(apdu.encode()) == apdu


@given(apdus, st.data())
def test_every_truncation_names_the_octet(apdu: Apdu, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(apdu.encode()) - 1))

    with pytest.raises(DecodeError) as caught:
        type(apdu).decode(apdu.encode()[:cut])

    assert caught.value.offset <= cut


@given(st.sampled_from(KINDS), st.binary(max_size=64))
def test_any_octets_decode_or_raise_decode_error(kind: type[Apdu], found: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert kind.decode(found).encode()


@given(apdus)
def test_octets_after_the_end_are_refused(apdu: Apdu) -> None:
    with pytest.raises(DecodeError, match="after the end"):
        type(apdu).decode(apdu.encode() + b"\x00")


@pytest.mark.parametrize("row", SERVICE_TAGS, ids=lambda row: row.service)
def test_tags_of_a_service(row: ServiceTags) -> None:
    # Short tags move up by 20 and 40; the LN services by 8 and 10 (hexadecimal).
    if row.plain < 0x20:
        assert (row.glo, row.ded) == (row.plain + 0x20, row.plain + 0x40)
    else:
        assert (row.glo, row.ded) == (row.plain + 0x08, row.plain + 0x10)
    assert BY_PLAIN[row.plain] is BY_GLO[row.glo] is BY_DED[row.ded] is row


def test_no_tag_means_two_things() -> None:
    tags = [tag for row in SERVICE_TAGS for tag in (row.plain, row.glo, row.ded)]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(
    ("kind", "found", "sentence"),
    [
        (ServiceCiphering, "c00100", "C0 is no glo- or ded- tag, at octet 0 of 3"),
        (GeneralGloCiphering, "db0141000000", "system-title has 1 octet, neither 0 nor 8"),
        (GeneralCiphering, "dd0000000000010003", "key-id 3 does not exist, at octet 8"),
        (GeneralCiphering, "dd00000000000103", "key-info choice 3 is not 0 to 2, at octet 7"),
    ],
)
def test_a_refusal_is_a_sentence(kind: type[Apdu], found: str, sentence: str) -> None:
    with pytest.raises(DecodeError, match=sentence):
        kind.decode(bytes.fromhex(found))


ACCESS = vectors("dlms/security/general-ciphering.toml")


@pytest.mark.parametrize("row", ACCESS, ids=[row["name"] for row in ACCESS])
def test_published_general_ciphering(row: dict[str, Any]) -> None:
    apdu = GeneralCiphering.decode(row["octets"])

    assert apdu.encode() == row["octets"]
    assert apdu.transaction_id.hex() == row["transaction_id"]
    assert apdu.originator_system_title.hex() == row["originator"]
    assert apdu.recipient_system_title.hex() == row["recipient"]
    assert isinstance(apdu.key_info, AgreedKey)
    assert apdu.key_info.key_parameters.hex() == row["key_parameters"]
    assert len(apdu.key_info.key_ciphered_data) == row["key_ciphered_data_octets"]
    assert apdu.header() == row["octets"][1 : 1 + 9 + 9 + 9 + 1 + 1]
    assert apdu.header(AuthenticatedHeader.WITHOUT_HEADER) == b""

    # The printed tag is reproduced by nobody, so the ciphertext is opened without it.
    cipher = Cipher(
        KeySet(
            suite=SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256,
            encryption_key=bytes.fromhex(row["encryption_key"]),
            authentication_key=bytes(range(0xD0, 0xE0)),
        )
    )
    assert apdu.ciphered_service[0] == row["security_control"]
    encrypted = b"\x21" + apdu.ciphered_service[1:-12]
    _, counter, plain = cipher.open(encrypted, apdu.originator_system_title)
    assert counter == row["invocation_counter"]
    assert plain.hex() == row["plain"]
    with pytest.raises(SecurityError, match="tag does not match"):
        cipher.open(apdu.ciphered_service, apdu.originator_system_title, aad_prefix=apdu.header())
