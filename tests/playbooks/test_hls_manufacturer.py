# SPDX-License-Identifier: Apache-2.0
"""Mechanism 2: what a manufacturer computes, on both ends."""

import hmac

import pytest

from openami.cosem.asking.base_names import BaseNames
from openami.cosem.classes.measurement import Register
from openami.cosem.device import AssociationPolicy
from openami.cosem.refusals import AuthenticationError
from openami.cosem.rights import READ_ALL
from openami.cosem.serving.short_names import ShortNames
from openami.dlms.errors import SecurityError
from openami.dlms.hls import ManufacturerProof, Mechanism, encrypted_challenge
from playbooks.demo_meter import ENERGY, READER, DemoMeter, Link

SECRET = b"of the maker"


def keyed_hash(secret: bytes, challenge: bytes) -> bytes:
    return hmac.digest(secret, challenge, "sha512")


def link(
    theirs: ManufacturerProof, ours: ManufacturerProof, *, short: bool = False, octets: int = 0
) -> Link:
    meter = DemoMeter()
    meter.associations[READER] = AssociationPolicy(
        client_sap=READER,
        mechanism=Mechanism.HLS,
        secret=SECRET,
        manufacturer=theirs,
        grants=READ_ALL,
        short_names=ShortNames() if short else None,
    )
    return Link(
        meter,
        READER,
        mechanism=Mechanism.HLS,
        secret=SECRET,
        manufacturer=ours,
        challenge_octets=octets,
        short_names=BaseNames() if short else None,
    )


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("octets", [0, 8, 17, 64])
@pytest.mark.parametrize("proof", [encrypted_challenge, keyed_hash])
def test_both_ends_compute_the_same(proof: ManufacturerProof, octets: int, *, short: bool) -> None:
    joined = link(proof, proof, short=short, octets=octets)
    joined.run(joined.client.associate())
    assert joined.run(joined.client.get(Register.value, at=ENERGY)) == 123_456
    crossed = b"".join(joined.wire)
    assert bytes.fromhex("60857405080202") in crossed
    assert SECRET not in crossed


def test_ends_that_compute_different_things_do_not_associate() -> None:
    for theirs, ours in ((keyed_hash, encrypted_challenge), (encrypted_challenge, keyed_hash)):
        joined = link(theirs, ours)
        with pytest.raises((AuthenticationError, SecurityError)):
            joined.run(joined.client.associate())
