# SPDX-License-Identifier: Apache-2.0
"""AES-GCM protection: published examples, every mode, every flipped bit, every truncation."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import Cipher, unwrap_key, wrap_key
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from vectors import vectors

TITLE = b"OAM\x00\x00\x00\x00\x01"
KEYS = KeySet(encryption_key=bytes(range(16)), authentication_key=bytes(range(0xD0, 0xE0)))
GET_RESPONSE = bytes.fromhex("c401c1000600001234")
CONTROLS = [SecurityControl(octet) for octet in (0x10, 0x20, 0x30)]

suites = st.sampled_from(SecuritySuite)


@st.composite
def key_sets(draw: st.DrawFn) -> KeySet:
    suite = draw(suites)
    key = st.binary(min_size=suite.key_octets, max_size=suite.key_octets)
    return KeySet(
        suite=suite,
        encryption_key=draw(key),
        authentication_key=draw(key),
        broadcast_key=draw(key),
    )


SUITE_0 = vectors("dlms/security/suite-0.toml")
WRAPPED = vectors("dlms/security/key-wrap.toml")


@pytest.mark.parametrize("row", SUITE_0, ids=[row["name"] for row in SUITE_0])
def test_published_example(row: dict[str, Any]) -> None:
    cipher = Cipher(
        KeySet(
            encryption_key=bytes.fromhex(row["encryption_key"]),
            authentication_key=bytes.fromhex(row["authentication_key"]),
        )
    )
    control = SecurityControl(row["security_control"])
    title, plain = bytes.fromhex(row["system_title"]), bytes.fromhex(row["plain"])
    ciphered = row["octets"][2:]

    assert cipher.seal(control, row["invocation_counter"], title, plain) == ciphered
    assert cipher.open(ciphered, title) == (control, row["invocation_counter"], plain)


@given(
    keys=key_sets(),
    authenticated=st.booleans(),
    broadcast=st.booleans(),
    counter=st.integers(0, 2**32 - 1),
    apdu=st.binary(max_size=300),
    header=st.binary(max_size=40),
)
def test_open_inverts_seal_and_any_gcm_agrees(
    *, keys: KeySet, authenticated: bool, broadcast: bool, counter: int, apdu: bytes, header: bytes
) -> None:
    cipher = Cipher(keys)
    control = SecurityControl.of(
        keys.suite, authenticated=authenticated, encrypted=True, broadcast=broadcast
    )

    sealed = cipher.seal(control, counter, TITLE, apdu, aad_prefix=header)

    assert cipher.open(sealed, TITLE, aad_prefix=header) == (control, counter, apdu)
    key = keys.broadcast_key if broadcast else keys.encryption_key
    assert key is not None
    aad = bytes([control]) + keys.authentication_key + header if authenticated else None
    peer = AESGCM(key).encrypt(TITLE + counter.to_bytes(4), apdu, aad)
    assert sealed[5:] == (peer[:-4] if authenticated else peer[:-16])


@pytest.mark.parametrize("control", [0x10, 0x30])
def test_every_flipped_bit_is_noticed(control: int) -> None:
    cipher = Cipher(KEYS)
    sealed = cipher.seal(SecurityControl(control), 7, TITLE, GET_RESPONSE)

    for position in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        if altered[0] == 0x20:
            continue  # the octet now says that no tag follows: the policy refuses that
        with pytest.raises(SecurityError):
            cipher.open(bytes(altered), TITLE)


@pytest.mark.parametrize("control", CONTROLS, ids=repr)
def test_every_truncation_is_refused(control: SecurityControl) -> None:
    cipher = Cipher(KEYS)
    sealed = cipher.seal(control, 7, TITLE, GET_RESPONSE)
    shortest = 17 if control.authenticated else 5

    for length in range(len(sealed)):
        if length < shortest:
            with pytest.raises(DecodeError) as caught:
                cipher.open(sealed[:length], TITLE)
            assert caught.value.offset == length
        elif control.authenticated:
            with pytest.raises(SecurityError, match="tag does not match"):
                cipher.open(sealed[:length], TITLE)


@pytest.mark.parametrize("control", [0x10, 0x30])
@pytest.mark.parametrize("wrong", ["encryption_key", "authentication_key"])
def test_a_wrong_key_is_a_sentence_without_keys(control: int, wrong: str) -> None:
    sealed = Cipher(KEYS).seal(SecurityControl(control), 9, TITLE, GET_RESPONSE)
    keys = replace(KEYS, **{wrong: bytes(16)})  # type: ignore[arg-type]

    with pytest.raises(SecurityError) as caught:
        Cipher(keys).open(sealed, TITLE)

    assert str(caught.value) == (
        "the tag does not match: the key or the system title is wrong, or octets were altered, "
        "at invocation counter 9 of 4F414D0000000001 (DLMS UA 1000-2 Ed. 10, 9.2.3.3.7)"
    )


@pytest.mark.parametrize("control", [0x10, 0x30])
def test_another_title_is_refused(control: int) -> None:
    cipher = Cipher(KEYS)
    sealed = cipher.seal(SecurityControl(control), 9, TITLE, GET_RESPONSE)

    with pytest.raises(SecurityError, match="tag does not match"):
        cipher.open(sealed, TITLE[::-1])
    with pytest.raises(SecurityError, match="0 octets, not 8, at system title"):
        cipher.open(sealed, b"")
    with pytest.raises(SecurityError, match="7 octets, not 8"):
        cipher.seal(SecurityControl(control), 9, TITLE[:7], GET_RESPONSE)


@pytest.mark.parametrize(
    ("octet", "sentence"),
    [
        (0xB0, "compressed; V.44 is not offered"),
        (0x33, "suite 3 does not exist"),
        (0x31, "suite is 1, the keys are of suite 0"),
        (0x70, "no broadcast key"),
        (0x00, "neither bit of protection"),
    ],
)
def test_a_control_octet_without_a_key_is_refused(octet: int, sentence: str) -> None:
    with pytest.raises(SecurityError, match=sentence):
        Cipher(KEYS).open(bytes([octet]) + bytes(40), TITLE)


def test_encryption_alone_needs_no_authentication_key() -> None:
    cipher = Cipher(KeySet(encryption_key=bytes(16)))
    sealed = cipher.seal(SecurityControl(0x20), 1, TITLE, GET_RESPONSE)

    assert cipher.open(sealed, TITLE)[2] == GET_RESPONSE
    with pytest.raises(SecurityError, match="no authentication key"):
        cipher.seal(SecurityControl(0x30), 1, TITLE, GET_RESPONSE)


def test_keys_are_never_shown() -> None:
    keys = KeySet(
        encryption_key=b"secret-secret-se",
        authentication_key=b"hidden-hidden-hi",
        broadcast_key=b"covert-covert-co",
    )

    assert repr(keys) == "KeySet(suite=<SecuritySuite.AES_GCM_128: 0>)"
    assert pickle.loads(pickle.dumps(keys)) == keys


@pytest.mark.parametrize("name", ["encryption_key", "authentication_key", "broadcast_key"])
def test_a_key_of_another_size_is_refused(name: str) -> None:
    with pytest.raises(SecurityError, match=r"has 15 octets, not 16, at key set"):
        replace(KEYS, **{name: bytes(15)})  # type: ignore[arg-type]


@pytest.mark.parametrize("row", WRAPPED, ids=[row["name"] for row in WRAPPED])
def test_key_wrap(row: dict[str, Any]) -> None:
    master, key = bytes.fromhex(row["key_encryption_key"]), bytes.fromhex(row["key"])

    assert wrap_key(master, key) == row["octets"]
    assert unwrap_key(master, row["octets"]) == key
    for position in range(len(row["octets"])):
        altered = bytearray(row["octets"])
        altered[position] ^= 0x80
        with pytest.raises(SecurityError, match="does not open"):
            unwrap_key(master, bytes(altered))
    with pytest.raises(SecurityError, match="wrapped key of 3 octets"):
        unwrap_key(master, b"\x00" * 3)


class RecordingService:
    """A key service that writes down what it is asked, and knows one body."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def seal(self, control: SecurityControl, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        self.asked.append(("seal", control, nonce, apdu, header))
        return b"body"

    def open(
        self, control: SecurityControl, nonce: bytes, body: bytes, header: bytes
    ) -> bytes | None:
        self.asked.append(("open", control, nonce, body, header))
        return b"apdu" if body[:4] == b"body" else None

    def with_encryption_key(self, dedicated_key: bytes) -> "RecordingService":
        self.asked.append(("dedicated", dedicated_key))
        return self


@pytest.mark.parametrize("control", CONTROLS)
def test_a_key_service_seals_and_opens_in_place_of_keys(control: SecurityControl) -> None:
    service = RecordingService()
    cipher = Cipher(KEYS, service)
    nonce = TITLE + b"\x00\x00\x00\x05"
    assert cipher.seal(control, 5, TITLE, b"apdu", aad_prefix=b"h") == (
        bytes((control, 0, 0, 0, 5)) + b"body"
    )
    body = b"body" + bytes(12)
    sealed = bytes((control, 0, 0, 0, 5)) + body
    assert cipher.open(sealed, TITLE, aad_prefix=b"h") == (control, 5, b"apdu")
    assert service.asked == [
        ("seal", control, nonce, b"apdu", b"h"),
        ("open", control, nonce, body, b"h"),
    ]
    with pytest.raises(SecurityError, match="the tag does not match"):
        cipher.open(bytes((control, 0, 0, 0, 5)) + bytes(16), TITLE)
    with pytest.raises(SecurityError, match="neither bit of protection"):
        cipher.open(bytes(21), TITLE)
    with pytest.raises(SecurityError, match="security suite is 1"):
        cipher.open(bytes((0x31, *bytes(20))), TITLE)
    if control.authenticated:
        with pytest.raises(DecodeError, match="tag needs 12 octets"):
            cipher.open(bytes((control, 0, 0, 0, 5)) + b"short", TITLE)
    assert cipher.common is None
    dedicated = cipher.with_encryption_key(bytes(16))
    assert service.asked[-1] == ("dedicated", bytes(16))
    assert dedicated.keys.encryption_key == bytes(16)
    assert dedicated.seal(control, 5, TITLE, b"apdu")[5:] == b"body"
