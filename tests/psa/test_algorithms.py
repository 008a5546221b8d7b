# SPDX-License-Identifier: Apache-2.0
"""Numbers of algorithms, and what a policy permits."""

import pytest

from openami.psa import algorithms as alg
from openami.psa.attributes import BUILTIN_IDS, USER_IDS, VOLATILE_IDS, KeyType, Usage
from openami.psa.derivation import Step
from openami.psa.status import PsaError, Status

ENCODINGS = {
    alg.hmac(alg.SHA_256): 0x03800009,
    alg.truncated_mac(alg.hmac(alg.SHA_256), 10): 0x038A0009,
    alg.truncated_mac(alg.hmac(alg.SHA_256), 32): 0x03800009,
    alg.at_least_mac(alg.CMAC, 8): 0x03C88200,
    alg.CTR: 0x04C01000,
    alg.CBC_NO_PADDING: 0x04404000,
    alg.CBC_PKCS7: 0x04404100,
    alg.ECB_NO_PADDING: 0x04404400,
    alg.CCM: 0x05500100,
    alg.shortened_tag(alg.CCM, 8): 0x05480100,
    alg.shortened_tag(alg.GCM, 12): 0x054C0200,
    alg.at_least_tag(alg.GCM, 12): 0x054C8200,
    alg.ecdsa(alg.SHA_256): 0x06000609,
    alg.deterministic_ecdsa(alg.SHA_256): 0x06000709,
    alg.ecdsa(alg.ANY_HASH): 0x060006FF,
    alg.hkdf(alg.SHA_256): 0x08000109,
    alg.tls12_prf(alg.SHA_256): 0x08000209,
    alg.key_agreement(alg.ECDH, alg.hkdf(alg.SHA_256)): 0x09020109,
    alg.AES_KW: 0x0B400100,
}


@pytest.mark.parametrize(("made", "number"), ENCODINGS.items())
def test_encodings_are_those_of_the_specification(made: int, number: int) -> None:
    assert made == number


def test_a_key_agreement_comes_apart_again() -> None:
    both = alg.key_agreement(alg.ECDH, alg.hkdf(alg.SHA_384))
    assert alg.derivation_of(both) == alg.hkdf(alg.SHA_384)
    assert alg.agreement_of(both) == alg.ECDH
    assert alg.derivation_of(alg.ECDH) == alg.NONE
    pbkdf2 = 0x08800109
    assert alg.derivation_of(pbkdf2) == pbkdf2
    assert alg.derivation_of(alg.ECDH | pbkdf2) == pbkdf2


HMAC = alg.hmac(alg.SHA_256)
GCM, CCM, CMAC, ECDSA, ECDH = alg.GCM, alg.CCM, alg.CMAC, alg.ecdsa(alg.SHA_256), alg.ECDH
PERMITTED = (
    (GCM, GCM, True),
    (GCM, CCM, False),
    (GCM, alg.shortened_tag(GCM, 12), False),
    (alg.NONE, alg.NONE, False),
    (alg.NONE, GCM, False),
    (alg.at_least_tag(GCM, 12), GCM, True),
    (alg.at_least_tag(GCM, 12), alg.shortened_tag(GCM, 12), True),
    (alg.at_least_tag(GCM, 12), alg.shortened_tag(GCM, 8), False),
    (alg.at_least_tag(GCM, 12), CCM, False),
    (alg.at_least_mac(CMAC, 8), CMAC, True),
    (alg.at_least_mac(CMAC, 8), alg.truncated_mac(CMAC, 8), True),
    (alg.at_least_mac(CMAC, 8), alg.truncated_mac(CMAC, 4), False),
    (alg.at_least_mac(CMAC, 8), HMAC, False),
    (alg.at_least_mac(HMAC, 32), HMAC, True),
    (alg.at_least_mac(HMAC, 8), alg.hmac(alg.SHA_384), False),
    (alg.ecdsa(alg.ANY_HASH), ECDSA, True),
    (alg.ecdsa(alg.ANY_HASH), alg.ecdsa(alg.SHA_384), True),
    (alg.ecdsa(alg.ANY_HASH), alg.deterministic_ecdsa(alg.SHA_256), False),
    (alg.ecdsa(alg.ANY_HASH), alg.ECDSA_ANY, False),
    (ECDSA, alg.ecdsa(alg.SHA_384), False),
    (ECDH, ECDH, True),
    (ECDH, alg.key_agreement(ECDH, alg.hkdf(alg.SHA_256)), True),
    (alg.key_agreement(ECDH, alg.hkdf(alg.SHA_256)), ECDH, False),
    (alg.hkdf(alg.SHA_256), alg.hkdf(alg.SHA_384), False),
)


@pytest.mark.parametrize(("policy", "call", "allowed"), PERMITTED)
def test_a_policy_permits_what_the_specification_says(
    policy: int, call: int, *, allowed: bool
) -> None:
    assert alg.permits(policy, call) is allowed
    if allowed:
        assert alg.intersection(policy, call) == call
        assert alg.intersection(call, policy) == call
    elif policy != call and not alg.permits(call, policy):
        assert alg.intersection(policy, call) is None


def test_lengths_that_no_algorithm_has_are_refused() -> None:
    for wrong, status in (
        (0x03C10200, Status.NOT_SUPPORTED),
        (0x03D10200, Status.INVALID_ARGUMENT),
        (0x03C00100, Status.NOT_SUPPORTED),
    ):
        with pytest.raises(PsaError) as caught:
            alg.mac_octets(wrong)
        assert caught.value.status is status
    for base, octets in ((GCM, 5), (GCM, 17), (GCM, 0), (CCM, 5), (CCM, 2), (CCM, 13)):
        with pytest.raises(PsaError) as caught:
            alg.check_tag(alg.shortened_tag(base, octets))
        assert caught.value.status is Status.INVALID_ARGUMENT


def test_ranges_of_identifiers_are_those_of_the_specification() -> None:
    """Users have 1 to 3FFFFFFF, vendors 40000000 to 7FFFFFFF; the parts of it are our own."""
    assert (USER_IDS[0], USER_IDS[-1]) == (1, 0x3FFFFFFF)
    assert (BUILTIN_IDS[0], VOLATILE_IDS[-1]) == (0x40000000, 0x7FFFFFFF)
    assert BUILTIN_IDS[-1] + 1 == VOLATILE_IDS[0] == 0x70000000


def test_tags_are_those_of_the_modes() -> None:
    """SP 800-38D, 5.2.1.2 for GCM; SP 800-38C, A.1 for CCM."""
    for base, allowed in ((GCM, {4, 8, 12, 13, 14, 15, 16}), (CCM, {4, 6, 8, 10, 12, 14, 16})):
        for octets in range(64):
            made = alg.shortened_tag(base, octets)
            if octets in allowed:
                assert alg.check_tag(made) == octets
            else:
                with pytest.raises(PsaError):
                    alg.check_tag(made)


def test_steps_have_the_numbers_of_the_reference_implementation() -> None:
    assert {step.name: step.value for step in Step} == {
        "SECRET": 0x0101,
        "PASSWORD": 0x0102,
        "OTHER_SECRET": 0x0103,
        "LABEL": 0x0201,
        "SALT": 0x0202,
        "INFO": 0x0203,
        "SEED": 0x0204,
        "COST": 0x0205,
    }


def test_status_usage_and_type_have_the_numbers_of_the_specification() -> None:
    assert {each.name: each.value for each in Status if each < -149} == {
        "INVALID_PADDING": -150,
        "CORRUPTION_DETECTED": -151,
        "DATA_CORRUPT": -152,
        "DATA_INVALID": -153,
        "DEPENDENCY_NEEDED": -156,
        "FLASH_ABUSE": -160,
        "INSUFFICIENT_POWER": -161,
        "OPERATION_INCOMPLETE": -248,
    }
    assert list(range(-129, -150, -1)) == [
        each.value for each in Status if -150 < each.value < -128
    ]
    assert Usage.VERIFY_DERIVATION | Usage.UNWRAP == 0x28000
    assert [kind.value for kind in KeyType] == [
        0x0000,
        0x1001,
        0x1100,
        0x1200,
        0x2301,
        0x2400,
        0x4112,
        0x7112,
    ]
    assert [kind for kind in KeyType if kind.is_pair] == [KeyType.ECC_KEY_PAIR_SECP_R1]
    assert [kind for kind in KeyType if kind.is_public] == [KeyType.ECC_PUBLIC_KEY_SECP_R1]
