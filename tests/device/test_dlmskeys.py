# SPDX-License-Identifier: Apache-2.0
"""DLMS/COSEM security under keys in a PSA key store: the same octets as under keys in memory."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, SUITES, credentials, keys, master_key, pair
from openami.cosem.classes.measurement import Register
from openami.device.dlmskeys import (
    GlobalKeyIds,
    PsaAgreement,
    PsaKeyService,
    PsaMasterKey,
    PsaSigner,
    agreement_key_attributes,
    global_key_attributes,
    master_key_attributes,
    signing_key_attributes,
)
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.agreement import Algorithm, Parties
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import Credentials, KeyScheme
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from openami.psa.attributes import PERSISTENT, KeyAttributes
from openami.psa.status import PsaError
from playbooks.demo_meter import ENERGY, KEYS, MANAGER, DemoMeter, Link
from psaworld import CLIENT, OTHER, World
from vectors import vectors

TITLE = b"OAM\x00\x00\x00\x00\x07"
VECTORS = vectors("dlms/security/suite-0.toml")


def held(world: World, key_set: KeySet, **changes: Any) -> Cipher:
    """The cipher of a key set whose keys lie in the store of a world."""
    suite = key_set.suite
    octets = {
        "encryption": key_set.encryption_key,
        "authentication": key_set.authentication_key,
        "broadcast": key_set.broadcast_key,
    }
    ids = {
        name: world.keys.import_key(
            CLIENT,
            replace(
                global_key_attributes(suite, authentication=name == "authentication"),
                **changes.get(name, {}),
            ),
            key,
        )
        for name, key in octets.items()
        if key is not None
    }
    names = GlobalKeyIds(suite=suite, **ids)
    return Cipher(names.names(), PsaKeyService(world.keys, CLIENT, world.random, names))


@pytest.mark.parametrize("row", VECTORS, ids=[row["name"] for row in VECTORS])
def test_published_apdus_open_and_seal_by_key_id(row: dict[str, Any]) -> None:
    key_set = KeySet(
        encryption_key=bytes.fromhex(row["encryption_key"]),
        authentication_key=bytes.fromhex(row["authentication_key"]),
    )
    cipher, title = held(World(), key_set), bytes.fromhex(row["system_title"])
    sealed, plain = row["octets"][2:], bytes.fromhex(row["plain"])
    control = SecurityControl(row["security_control"])
    assert cipher.open(sealed, title)[2] == plain
    assert cipher.seal(control, row["invocation_counter"], title, plain) == sealed
    assert cipher.common is None, "the quick way is for keys in memory"


controls = st.builds(
    lambda protection, broadcast: protection | broadcast,
    st.sampled_from([0x10, 0x20, 0x30]),
    st.sampled_from([0, 0x40]),
)


@given(
    st.sampled_from([SUITE_0, SUITE_1, SUITE_2]),
    controls,
    st.binary(min_size=1, max_size=80),
    st.binary(max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_both_kinds_of_keys_seal_alike_and_open_each_other(
    suite: SecuritySuite, protection: int, apdu: bytes, header: bytes, counter: int
) -> None:
    key_set = replace(keys(suite), broadcast_key=bytes(range(50, 50 + suite.key_octets)))
    soft, secure = Cipher(key_set), held(World(), key_set)
    control = SecurityControl(protection | suite)
    sealed = soft.seal(control, counter, TITLE, apdu, aad_prefix=header)
    assert secure.seal(control, counter, TITLE, apdu, aad_prefix=header) == sealed
    assert secure.open(sealed, TITLE, aad_prefix=header) == (control, counter, apdu)
    if protection & 0x10:
        for at in range(5, len(sealed)):
            altered = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
            with pytest.raises(SecurityError, match="the tag does not match"):
                secure.open(altered, TITLE, aad_prefix=header)
        with pytest.raises(DecodeError, match="tag needs 12 octets"):
            secure.open(sealed[:10], TITLE, aad_prefix=header)


def test_an_association_runs_on_keys_that_never_leave_the_store() -> None:
    world = World()
    meter = DemoMeter()
    meter.ciphering.cipher = held(world, KEYS)
    link = Link(meter, MANAGER)
    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    link.run(link.client.release())


def test_a_dedicated_key_joins_the_store() -> None:
    world = World()
    meter = DemoMeter()
    meter.ciphering.cipher = held(world, KEYS)
    link = Link(meter, MANAGER, dedicated_key=b"\x77" * 16)
    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    assert any(apdu[:1] == b"\xd0" for apdu in link.wire), "under the dedicated key"
    during = len(world.keys._volatile)
    link.run(link.client.release())
    link.server.lost()
    assert len(world.keys._volatile) == during - 1 == 2, "it went with its association"


def test_policies_are_kept() -> None:
    world = World()
    control = SecurityControl(0x30)
    only_opens = held(world, KEYS, encryption={"usage": 0x200})
    with pytest.raises(SecurityError, match="NOT_PERMITTED"):
        only_opens.seal(control, 1, TITLE, b"x")
    sealed = Cipher(KEYS).seal(control, 1, TITLE, b"x")
    assert only_opens.open(sealed, TITLE)[2] == b"x"
    other_tag = held(world, KEYS, encryption={"alg": 0x05500200})
    with pytest.raises(SecurityError, match="NOT_PERMITTED"):
        other_tag.open(sealed, TITLE)
    ids = GlobalKeyIds(encryption=1, authentication=2)
    nothing = Cipher(ids.names(), PsaKeyService(world.keys, CLIENT, world.random, ids))
    with pytest.raises(SecurityError, match="INVALID_HANDLE"):
        nothing.seal(control, 1, TITLE, b"x")
    with pytest.raises(SecurityError, match="no broadcast key is known"):
        nothing.seal(SecurityControl(0x70), 1, TITLE, b"x")
    with pytest.raises(SecurityError, match="INVALID_ARGUMENT"):
        PsaKeyService(world.keys, CLIENT, world.random, ids).with_encryption_key(b"short")


def test_names_of_keys_are_no_keys_and_differ() -> None:
    one = GlobalKeyIds(encryption=1, authentication=2, broadcast=3).names()
    two = GlobalKeyIds(encryption=4, authentication=2).names()
    assert one.authentication_key == two.authentication_key
    found = {one.encryption_key, one.authentication_key, one.broadcast_key, two.encryption_key}
    assert len(found) == 4
    sealed = held(World(), KEYS).seal(SecurityControl(0x30), 1, TITLE, b"x")
    with pytest.raises(SecurityError):
        Cipher(one).open(sealed, TITLE)


def psa_credentials(world: World, suite: SecuritySuite, own: int, peer: int) -> Credentials:
    """What `dlmskeys.credentials` holds, with the private halves in a store."""
    soft = pair(suite, own)

    def kept(attributes: KeyAttributes, key_id: int, key: Any) -> int:
        number: int = key.private_numbers().private_value
        octets = number.to_bytes(attributes.bits // 8)
        return world.keys.import_key(
            CLIENT, replace(attributes, lifetime=PERSISTENT, id=key_id), octets
        )

    signing = kept(signing_key_attributes(suite), 1, soft.signing.key)
    agreement = kept(agreement_key_attributes(suite), 2, soft.agreement.key)
    master = world.keys.import_key(CLIENT, master_key_attributes(suite), master_key(suite).octets)
    return credentials(
        suite,
        own,
        peer,
        signer=PsaSigner(world.keys, CLIENT, suite, signing),
        agreement=PsaAgreement(world.keys, CLIENT, suite, agreement),
        master_key=PsaMasterKey(world.keys, CLIENT, master),
    )


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(
    "scheme", [scheme for scheme in KeyScheme if scheme is not KeyScheme.IDENTIFIED]
)
def test_keys_travel_between_both_kinds(suite: SecuritySuite, scheme: KeyScheme) -> None:
    secure = psa_credentials(World(), suite, 1, 2)
    soft = credentials(suite, 2, 1)
    parties = Parties(u=TITLE, v=TITLE[::-1])
    for sender, receiver in ((secure, soft), (soft, secure)):
        info, key = sender.send_key(scheme, parties, b"\x01\x02")
        assert receiver.receive_key(info, parties, b"\x01\x02") == (scheme, key)


@pytest.mark.parametrize("suite", SUITES)
def test_signatures_are_those_of_keys_in_memory(suite: SecuritySuite) -> None:
    secure = psa_credentials(World(), suite, 1, 2)
    signature = secure.sign(b"octets")
    credentials(suite, 2, 1).verify(signature, b"octets", "test")
    assert signature == credentials(suite, 1, 2).sign(b"octets"), "nonces are of RFC 6979"
    algorithm = Algorithm.of(suite)
    info = Parties(u=TITLE, v=TITLE).info(algorithm)
    assert secure.agreement is not None
    assert secure.agreement.public == pair(suite, 1).agreement.public
    with pytest.raises(SecurityError, match="INVALID_ARGUMENT"):
        secure.agreement.agree(bytes(64), info)


def test_a_master_key_leaves_nothing_behind() -> None:
    world = World()
    key_id = world.keys.import_key(
        CLIENT, master_key_attributes(SUITE_1), master_key(SUITE_1).octets
    )
    before = len(world.keys._volatile)
    master = PsaMasterKey(world.keys, CLIENT, key_id)
    wrapped = master.wrap(bytes(16))
    assert wrapped == master_key(SUITE_1).wrap(bytes(16))
    assert master.unwrap(wrapped) == bytes(16)
    for wrong in (wrapped[:-1], wrapped[::-1], b""):
        with pytest.raises(SecurityError, match="INVALID_SIGNATURE"):
            master.unwrap(wrong)
    assert len(world.keys._volatile) == before


def test_keys_made_for_dlms_cannot_be_exported() -> None:
    world = World()
    for attributes in (
        global_key_attributes(SUITE_2),
        signing_key_attributes(SUITE_2),
        agreement_key_attributes(SUITE_2),
        master_key_attributes(SUITE_2),
    ):
        key = world.keys.generate_key(CLIENT, attributes)
        with pytest.raises(PsaError, match="NOT_PERMITTED"):
            world.keys.export_key(CLIENT, key)
        with pytest.raises(PsaError, match="INVALID_HANDLE"):
            world.keys.export_key(OTHER, key)
