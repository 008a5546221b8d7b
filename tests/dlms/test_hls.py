# SPDX-License-Identifier: Apache-2.0
"""Authentication mechanisms: published passes, both ends, every way to fail."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmskeys import SUITES, credentials, pair
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.hls import Handshake, Mechanism, encrypted_challenge
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecuritySuite
from vectors import vectors

CLIENT, SERVER = b"OAM\xe0\x00\x00\x00\x01", b"OAM\x00\x00\x00\x00\x01"
CIPHER = Cipher(
    KeySet(encryption_key=bytes(range(16)), authentication_key=bytes(range(0xD0, 0xE0)))
)
SECRET = b"a secret of 16.."
OFFERED = [
    Mechanism.HLS,
    Mechanism.HLS_MD5,
    Mechanism.HLS_SHA1,
    Mechanism.HLS_GMAC,
    Mechanism.HLS_SHA256,
]

challenges = st.binary(min_size=8, max_size=64)

PASSES = vectors("dlms/security/hls-gmac.toml")


def ends(
    mechanism: Mechanism, ctos: bytes = b"CtoS-CtoS-CtoS-C", stoc: bytes = b"StoC-StoC-StoC-S"
) -> tuple[Handshake, Handshake]:
    client = Handshake(
        mechanism=mechanism,
        own_title=CLIENT,
        peer_title=SERVER,
        own_challenge=ctos,
        peer_challenge=stoc,
        secret=SECRET,
        cipher=CIPHER,
    )
    server = Handshake(
        mechanism=mechanism,
        own_title=SERVER,
        peer_title=CLIENT,
        own_challenge=stoc,
        peer_challenge=ctos,
        secret=SECRET,
        cipher=CIPHER,
    )
    return client, server


@pytest.mark.parametrize("row", PASSES, ids=[row["name"] for row in PASSES])
def test_published_pass(row: dict[str, Any]) -> None:
    keys = KeySet(
        encryption_key=bytes.fromhex(row["encryption_key"]),
        authentication_key=bytes.fromhex(row["authentication_key"]),
    )
    title, challenge = bytes.fromhex(row["system_title"]), bytes.fromhex(row["challenge"])
    author = Handshake(
        mechanism=Mechanism.HLS_GMAC,
        own_title=title,
        own_challenge=bytes(8),
        peer_challenge=challenge,
        cipher=Cipher(keys),
    )
    reader = Handshake(
        mechanism=Mechanism.HLS_GMAC,
        peer_title=title,
        own_challenge=challenge,
        peer_challenge=bytes(8),
        cipher=Cipher(keys),
    )

    assert author.reply(row["invocation_counter"]) == row["octets"]
    reader.verify(row["octets"])


@given(st.sampled_from(OFFERED), challenges, challenges, st.integers(0, 2**32 - 1))
def test_both_ends_agree_for_every_challenge(
    mechanism: Mechanism, ctos: bytes, stoc: bytes, counter: int
) -> None:
    if ctos == stoc:
        return
    client, server = ends(mechanism, ctos, stoc)

    server.verify(client.reply(counter))
    client.verify(server.reply(counter))


@pytest.mark.parametrize("mechanism", OFFERED)
def test_every_flipped_bit_and_truncation_fails(mechanism: Mechanism) -> None:
    client, server = ends(mechanism)
    reply = client.reply(3)

    for position in range(len(reply) * 8):
        altered = bytearray(reply)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(SecurityError, match="proof is wrong"):
            server.verify(bytes(altered))
    for length in range(len(reply)):
        with pytest.raises(SecurityError, match="proof is wrong"):
            server.verify(reply[:length])


@pytest.mark.parametrize("mechanism", OFFERED)
def test_the_proof_of_one_end_is_none_for_the_other(mechanism: Mechanism) -> None:
    client, _ = ends(mechanism)

    with pytest.raises(SecurityError, match="proof is wrong"):
        client.verify(client.reply(3))


@pytest.mark.parametrize("mechanism", OFFERED)
def test_a_reflected_challenge_is_refused(mechanism: Mechanism) -> None:
    with pytest.raises(SecurityError, match="repeats our own challenge"):
        ends(mechanism, bytes(16), bytes(16))


def test_gmac_neither_takes_encryption_nor_a_stranger() -> None:
    client, server = ends(Mechanism.HLS_GMAC)
    reply = client.reply(3)
    stranger = Handshake(
        mechanism=Mechanism.HLS_GMAC,
        own_title=SERVER,
        peer_title=b"OAM\xe0\x00\x00\x00\x02",
        own_challenge=server.own_challenge,
        peer_challenge=server.peer_challenge,
        cipher=CIPHER,
    )

    for control in (0x20, 0x30, 0x50, 0x11):
        with pytest.raises(SecurityError, match="proof is wrong"):
            server.verify(bytes([control]) + reply[1:])
    with pytest.raises(SecurityError, match="proof is wrong"):
        stranger.verify(reply)


def test_order_of_the_hashed_octets() -> None:
    ctos, stoc = b"CtoS-CtoS-CtoS-C", b"StoC-StoC-StoC-S"
    replies = {mechanism: ends(mechanism)[0].reply() for mechanism in OFFERED}

    assert replies[Mechanism.HLS_MD5] == hashlib.md5(stoc + SECRET).digest()  # noqa: S324
    assert replies[Mechanism.HLS_SHA1] == hashlib.sha1(stoc + SECRET).digest()  # noqa: S324
    assert (
        replies[Mechanism.HLS_SHA256]
        == hashlib.sha256(SECRET + CLIENT + SERVER + stoc + ctos).digest()
    )


@pytest.mark.parametrize("length", [0, 7, 65])
def test_a_challenge_is_8_to_64_octets(length: int) -> None:
    with pytest.raises(SecurityError, match=f"the own challenge has {length} octets, not 8 to 64"):
        ends(Mechanism.HLS_GMAC, bytes(length))
    with pytest.raises(SecurityError, match=f"the peer's challenge has {length} octets"):
        ends(Mechanism.HLS_GMAC, stoc=bytes(length))


@pytest.mark.parametrize("mechanism", Mechanism)
def test_every_mechanism_has_its_name(mechanism: Mechanism) -> None:
    assert mechanism.oid.hex() == f"608574050802{mechanism:02x}"
    assert Mechanism.from_oid(mechanism.oid) is mechanism
    assert mechanism.is_hls == (mechanism >= 2)


@pytest.mark.parametrize("name", ["", "60857405080208", "60857405080105", "608574050802"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="names no authentication mechanism"):
        Mechanism.from_oid(bytes.fromhex(name))


@pytest.mark.parametrize("mechanism", [Mechanism.LOWEST, Mechanism.LLS])
def test_other_mechanisms_say_that_they_are_not_offered(mechanism: Mechanism) -> None:
    client, server = ends(mechanism)

    with pytest.raises(
        SecurityError, match=f"not offered, at authentication mechanism {mechanism:d}"
    ):
        client.reply()
    with pytest.raises(SecurityError, match="not offered"):
        server.verify(bytes(16))


class TestManufacturer:
    """Mechanism 2: AES-128 in electronic codebook mode unless a manufacturer's own is given."""

    def test_one_block_is_that_of_fips_197(self) -> None:
        # FIPS 197, appendix C.1.
        challenge = bytes.fromhex("00112233445566778899aabbccddeeff")
        proof = encrypted_challenge(bytes(range(16)), challenge)
        assert proof.hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
        assert encrypted_challenge(bytes(range(16)), challenge * 2) == proof * 2

    def test_short_secrets_and_challenges_are_filled_up_with_zeros(self) -> None:
        filled = encrypted_challenge(b"short" + bytes(11), b"challenge" + bytes(7))
        assert encrypted_challenge(b"short", b"challenge") == filled

    def test_a_secret_is_no_longer_than_a_key(self) -> None:
        with pytest.raises(SecurityError, match="has 17 octets, not 16 or fewer"):
            encrypted_challenge(bytes(17), bytes(16))

    def test_a_manufacturer_may_compute_something_else(self) -> None:
        def own(secret: bytes, challenge: bytes) -> bytes:
            return hashlib.sha256(challenge + secret).digest()

        fields: dict[str, Any] = {"mechanism": Mechanism.HLS, "secret": SECRET, "manufacturer": own}
        client = Handshake(own_challenge=b"CtoS-CtoS", peer_challenge=b"StoC-StoC", **fields)
        server = Handshake(own_challenge=b"StoC-StoC", peer_challenge=b"CtoS-CtoS", **fields)
        assert client.reply() == own(SECRET, b"StoC-StoC")
        server.verify(client.reply())
        with pytest.raises(SecurityError, match="proof is wrong"):
            server.verify(encrypted_challenge(SECRET, b"StoC-StoC"))


@pytest.mark.parametrize("mechanism", OFFERED)
def test_without_secret_or_keys_nothing_starts(mechanism: Mechanism) -> None:
    with pytest.raises(SecurityError, match=r"no global keys|no HLS secret"):
        Handshake(mechanism=mechanism, own_challenge=bytes(8), peer_challenge=bytes(9))


class TestEcdsa:
    """Mechanism 7: the proof is a signature over both titles and both challenges."""

    ctos, stoc = b"CtoS" * 8, b"StoC" * 16

    def ends(self, suite: SecuritySuite, seed: int = 1) -> tuple[Handshake, Handshake]:
        client = Handshake(
            mechanism=Mechanism.HLS_ECDSA,
            own_title=CLIENT,
            peer_title=SERVER,
            own_challenge=self.ctos,
            peer_challenge=self.stoc,
            credentials=credentials(suite, seed, 2),
        )
        server = Handshake(
            mechanism=Mechanism.HLS_ECDSA,
            own_title=SERVER,
            peer_title=CLIENT,
            own_challenge=self.stoc,
            peer_challenge=self.ctos,
            credentials=credentials(suite, 2, 1),
        )
        return client, server

    @pytest.mark.parametrize("suite", SUITES)
    def test_both_ends_agree_on_what_is_signed(self, suite: SecuritySuite) -> None:
        client, server = self.ends(suite)
        passes = (client.reply(), server.reply())

        server.verify(passes[0])
        client.verify(passes[1])
        own, peer = pair(suite, 1).signing.public, pair(suite, 2).signing.public
        own.verify(passes[0], CLIENT + SERVER + self.stoc + self.ctos, "pass 3")
        peer.verify(passes[1], SERVER + CLIENT + self.ctos + self.stoc, "pass 4")

    @pytest.mark.parametrize("suite", SUITES)
    def test_every_altered_octet_and_every_other_signer_fails(self, suite: SecuritySuite) -> None:
        client, server = self.ends(suite)
        reply = client.reply()

        for octet in range(len(reply)):
            altered = bytearray(reply)
            altered[octet] ^= 0x01
            with pytest.raises(SecurityError, match=r"the signature is wrong.*peer's proof"):
                server.verify(bytes(altered))
        for wrong in (reply[:-1], b"", server.reply(), self.ends(suite, 3)[0].reply()):
            with pytest.raises(SecurityError, match="peer's proof"):
                server.verify(wrong)

    @pytest.mark.parametrize("length", [0, 8, 31, 65])
    def test_a_challenge_is_32_to_64_octets(self, length: int) -> None:
        for own, peer in ((bytes(length), self.stoc), (self.ctos, bytes(length))):
            with pytest.raises(SecurityError, match=f"has {length} octets, not 32 to 64"):
                Handshake(
                    mechanism=Mechanism.HLS_ECDSA,
                    own_challenge=own,
                    peer_challenge=peer,
                    credentials=credentials(SUITES[0], 1, 2),
                )

    def test_without_signing_keys_nothing_starts(self) -> None:
        with pytest.raises(SecurityError, match="no signing keys are known"):
            Handshake(
                mechanism=Mechanism.HLS_ECDSA, own_challenge=self.ctos, peer_challenge=self.stoc
            )

    def test_our_challenges_are_long_enough_for_each_mechanism(self) -> None:
        assert {each: each.challenge_octets for each in Mechanism if each.is_hls} == {
            each: 32 if each is Mechanism.HLS_ECDSA else 16 for each in Mechanism if each.is_hls
        }


def test_secrets_are_never_shown() -> None:
    client, _ = ends(Mechanism.HLS_MD5)
    assert SECRET.decode() not in repr(client)
