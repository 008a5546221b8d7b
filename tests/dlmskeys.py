# SPDX-License-Identifier: Apache-2.0
"""Credentials of a client and a server that know each other, for tests of suites 1 and 2."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import SecuritySuite

SUITE_0 = SecuritySuite.AES_GCM_128
SUITE_1 = SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256
SUITE_2 = SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384
SUITES = (SUITE_1, SUITE_2)


def seeded(seed: int) -> Callable[[int], bytes]:
    """Entropy that repeats from run to run, and never within one."""
    calls = iter(range(1, 2**16))
    return lambda count: (bytes([seed]) + next(calls).to_bytes(2) * count)[:count]


class Pair(NamedTuple):
    """The two private keys of one end."""

    signing: SigningKey
    agreement: AgreementKey


@cache
def pair(suite: SecuritySuite, seed: int) -> Pair:
    """The keys of one end; `seed` tells the ends apart."""
    entropy = seeded(seed)
    return Pair(SigningKey.fresh(suite, entropy), AgreementKey.fresh(suite, entropy))


def keys(suite: SecuritySuite, seed: int = 0) -> KeySet:
    """A key set of the suite's sizes."""
    size = suite.key_octets
    return KeySet(
        suite=suite,
        encryption_key=bytes(range(seed, seed + size)),
        authentication_key=bytes(range(0xA0 + seed, 0xA0 + seed + size)),
    )


def master_key(suite: SecuritySuite) -> MasterKey:
    return MasterKey(bytes(range(0x60, 0x60 + suite.key_octets)))


def credentials(suite: SecuritySuite, own: int, peer: int, **changes: Any) -> Credentials:
    """What the end `own` holds for talking with the end `peer`."""
    ours, theirs = pair(suite, own), pair(suite, peer)
    held: dict[str, Any] = {
        "suite": suite,
        "entropy": seeded(own + 100),
        "signer": ours.signing,
        "agreement": ours.agreement,
        "master_key": master_key(suite),
        "peer_signing": theirs.signing.public,
        "peer_agreement": theirs.agreement.public,
    }
    return Credentials(**(held | changes))
