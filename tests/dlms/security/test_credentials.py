# SPDX-License-Identifier: Apache-2.0
"""Keys that travel with an APDU: the published example, every scheme, every missing key."""

from typing import Any

import pytest

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, SUITES, credentials, seeded
from openami.dlms.apdu.ciphered import AgreedKey, GeneralCiphering, IdentifiedKey, KeyId, WrappedKey
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import AgreementKey, Parties
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import Credentials, KeyScheme, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.signing import VerifyingKey
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from vectors import vectors

CLIENT, SERVER = b"OAM\xe0\x00\x00\x00\x01", b"OAM\x00\x00\x00\x00\x01"
TO_SERVER = Parties(u=CLIENT, v=SERVER)
TRAVELLING = (KeyScheme.WRAPPED, KeyScheme.ONE_PASS, KeyScheme.STATIC_UNIFIED)
(EXAMPLE,) = vectors("dlms/security/general-ciphering.toml")
ROWS = {row["name"]: row for row in vectors("dlms/security/suites-1-2.toml")}


def example_server() -> Credentials:
    """The server of the published examples."""
    static = ROWS["p256-server-static-key-agreement"]
    return Credentials(
        suite=SUITE_1,
        entropy=seeded(1),
        agreement=AgreementKey.from_octets(SUITE_1, bytes.fromhex(static["private"])),
        peer_signing=VerifyingKey.from_octets(
            SUITE_1, ROWS["p256-client-signing-keypair"]["octets"]
        ),
        peer_agreement=ROWS["p256-client-static-key-agreement"]["octets"],
    )


def test_key_of_the_published_access_request() -> None:
    envelope = GeneralCiphering.decode(EXAMPLE["octets"])
    title = envelope.originator_system_title
    parties = Parties(u=title, v=envelope.recipient_system_title)
    assert envelope.key_info is not None

    scheme, key = example_server().receive_key(envelope.key_info, parties, envelope.transaction_id)

    assert (scheme, key.hex()) == (KeyScheme.ONE_PASS, EXAMPLE["encryption_key"])
    # The printed tag is reproduced by no one: only the ciphertext is compared.
    cipher = Cipher(KeySet(suite=SUITE_1, encryption_key=key))
    encrypted = cipher.seal(SecurityControl(0x21), 0, title, bytes.fromhex(EXAMPLE["plain"]))
    assert encrypted[5:] == envelope.ciphered_service[5:-12]


def test_key_and_ciphertext_of_the_published_static_unified_example() -> None:
    title = bytes.fromhex("4d4d4d0000bc614e")
    parties = Parties(u=title, v=bytes.fromhex("4d4d4d0000000001"))
    info = AgreedKey(key_parameters=b"\x02", key_ciphered_data=b"")

    scheme, key = example_server().receive_key(info, parties, bytes.fromhex("0102030405060708"))

    assert (scheme, key) == (KeyScheme.STATIC_UNIFIED, ROWS["static-unified"]["octets"])
    cipher = Cipher(KeySet(suite=SUITE_1, encryption_key=key))
    encrypted = cipher.seal(SecurityControl(0x21), 0, title, bytes.fromhex(EXAMPLE["plain"]))
    assert encrypted[5:15].hex() == "607581d83815281b5619"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("scheme", TRAVELLING)
def test_both_ends_have_the_key(suite: SecuritySuite, scheme: KeyScheme) -> None:
    client, server = credentials(suite, 1, 2), credentials(suite, 2, 1)

    info, key = client.send_key(scheme, TO_SERVER, b"12345678")
    assert server.receive_key(info, TO_SERVER, b"12345678") == (scheme, key)
    assert len(key) == suite.key_octets
    again, another = client.send_key(scheme, TO_SERVER, b"12345679")
    assert another != key
    assert server.receive_key(again, TO_SERVER, b"12345679") == (scheme, another)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("scheme", [KeyScheme.ONE_PASS, KeyScheme.STATIC_UNIFIED])
def test_another_party_has_another_key(suite: SecuritySuite, scheme: KeyScheme) -> None:
    info, key = credentials(suite, 1, 2).send_key(scheme, TO_SERVER, b"12345678")
    server = credentials(suite, 2, 1)
    strangers = Parties(u=CLIENT, v=CLIENT)

    assert server.receive_key(info, strangers, b"12345678")[1] != key
    stranger = credentials(suite, 3, 1)
    assert stranger.receive_key(info, TO_SERVER, b"12345678")[1] != key


def test_a_wrapped_key_needs_no_curve() -> None:
    held = Credentials(suite=SUITE_0, entropy=seeded(1), master_key=MasterKey(bytes(16)))
    info, key = held.send_key(KeyScheme.WRAPPED, TO_SERVER, b"")

    assert held.receive_key(info, TO_SERVER, b"") == (KeyScheme.WRAPPED, key)
    other = Credentials(suite=SUITE_0, entropy=seeded(1), master_key=MasterKey(bytes(15) + b"\x01"))
    with pytest.raises(SecurityError, match="does not open with this key encryption key"):
        other.receive_key(info, TO_SERVER, b"")


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        (WrappedKey(kek_id=1, key_ciphered_data=bytes(24)), "only the master key 0 wraps keys"),
        (WrappedKey(key_ciphered_data=bytes(24)), "does not open"),
        (AgreedKey(key_parameters=b"\x03", key_ciphered_data=b""), "03 name no scheme"),
        (AgreedKey(key_parameters=b"", key_ciphered_data=b""), r"\(none\) name no scheme"),
        (AgreedKey(key_parameters=b"\x02", key_ciphered_data=b"\x00"), "02 name no scheme"),
        (AgreedKey(key_parameters=b"\x01", key_ciphered_data=b""), "it has 0 octets, not 192"),
    ],
)
def test_key_info_that_cannot_be_is_refused(info: Any, sentence: str) -> None:
    with pytest.raises(SecurityError, match=sentence):
        credentials(SUITE_2, 2, 1).receive_key(info, TO_SERVER, b"12345678")


@pytest.mark.parametrize(
    ("scheme", "missing", "sentence"),
    [
        (KeyScheme.WRAPPED, {"master_key": None}, "no master key is known"),
        (KeyScheme.ONE_PASS, {"signer": None}, "no signing key of our own"),
        (KeyScheme.ONE_PASS, {"peer_agreement": b""}, "no public key agreement key of the peer"),
        (KeyScheme.STATIC_UNIFIED, {"agreement": None}, "no key agreement key of our own"),
        (KeyScheme.STATIC_UNIFIED, {"peer_agreement": b""}, "key agreement key of the peer"),
    ],
)
def test_what_is_missing_is_named(
    scheme: KeyScheme, missing: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SecurityError, match=sentence):
        credentials(SUITE_1, 1, 2, **missing).send_key(scheme, TO_SERVER, b"12345678")


@pytest.mark.parametrize(
    ("scheme", "missing", "sentence"),
    [
        (KeyScheme.WRAPPED, {"master_key": None}, "no master key is known"),
        (KeyScheme.ONE_PASS, {"peer_signing": None}, "no public signing key of the peer"),
        (KeyScheme.ONE_PASS, {"agreement": None}, "no key agreement key of our own"),
    ],
)
def test_what_is_missing_at_the_recipient_is_named(
    scheme: KeyScheme, missing: dict[str, Any], sentence: str
) -> None:
    info, _ = credentials(SUITE_1, 1, 2).send_key(scheme, TO_SERVER, b"12345678")

    with pytest.raises(SecurityError, match=sentence):
        credentials(SUITE_1, 2, 1, **missing).receive_key(info, TO_SERVER, b"12345678")


def test_a_global_key_does_not_travel() -> None:
    held = credentials(SUITE_1, 1, 2)
    with pytest.raises(ValueError, match="not made for one APDU"):
        held.send_key(KeyScheme.IDENTIFIED, TO_SERVER, b"")
    with pytest.raises(ValueError, match="not received"):
        held.receive_key(IdentifiedKey(key_id=KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY), TO_SERVER, b"")


def test_secrets_are_never_shown() -> None:
    assert "60616263" not in repr(credentials(SUITE_1, 1, 2)).lower()
    assert "60616263" not in repr(MasterKey(bytes.fromhex("60616263") * 4)).lower()
