# SPDX-License-Identifier: Apache-2.0
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Version
from openami.firmware.keys import VerifyingKey
from openami.firmware.revocation import TYPE, Revocation, RevocationError, name_of
from openami.firmware.sign import Recipe, sign
from openami.firmware.tlv import Tlv
from openami.firmware.verify import Policy, Verified, verify


def key(name: str) -> ec.EllipticCurvePrivateKey:
    digest = hashlib.sha256(name.encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest), ec.SECP256R1())


ROOT, FIRST, SECOND = key("root"), key("first"), key("second")
TRUSTED = tuple(map(VerifyingKey.of, (FIRST, SECOND)))
STATEMENT = Revocation.make(TRUSTED[:1], ROOT)


def judged(octets: bytes, root: VerifyingKey | None, signer: object = SECOND) -> Verified:
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    recipe = Recipe(version=Version(1), security_counter=1, custom=(Tlv(TYPE, octets),))
    return verify(sign(b"code", recipe, signer), Policy(keys=TRUSTED, root=root))


def test_an_image_tells_which_keys_are_given_up() -> None:
    assert judged(STATEMENT.encode(), VerifyingKey.of(ROOT)).revoked == (name_of(TRUSTED[0]),)


def test_a_device_without_a_root_key_leaves_statements_alone() -> None:
    assert judged(STATEMENT.encode(), None).revoked == ()


def test_no_key_but_the_root_gives_up_others() -> None:
    forged = Revocation.make(TRUSTED[1:], FIRST)
    with pytest.raises(ImageError, match="not signed by the root key") as refused:
        judged(forged.encode(), VerifyingKey.of(ROOT), FIRST)
    assert refused.value.reason is Reason.SIGNATURE_WRONG


def test_an_image_that_gives_up_its_own_key_is_refused() -> None:
    with pytest.raises(ImageError, match="gives up the key that signed it"):
        judged(STATEMENT.encode(), VerifyingKey.of(ROOT), FIRST)


@pytest.mark.parametrize("keys", [(), TRUSTED[:1] * 65])
def test_a_statement_names_one_key_or_some(keys: tuple[VerifyingKey, ...]) -> None:
    with pytest.raises(RevocationError, match="name 1 to 64"):
        Revocation.make(keys, ROOT)


def test_the_root_does_not_give_up_itself() -> None:
    with pytest.raises(RevocationError, match="cannot revoke itself"):
        Revocation.make([VerifyingKey.of(ROOT)], ROOT)


@given(st.integers(0, len(STATEMENT.encode()) - 1), st.integers(1, 255))
def test_every_octet_is_signed(place: int, change: int) -> None:
    octets = bytearray(STATEMENT.encode())
    octets[place] ^= change
    with pytest.raises(ImageError):
        judged(bytes(octets), VerifyingKey.of(ROOT))


@given(st.binary(max_size=200))
def test_any_octets_are_a_statement_or_refused(octets: bytes) -> None:
    try:
        found = Revocation.decode(octets)
    except RevocationError:
        return
    assert found.encode() == octets


def test_a_signature_of_zeros_is_no_signature() -> None:
    assert not replace(STATEMENT, signature=bytes(64)).is_signed_by(VerifyingKey.of(ROOT))
