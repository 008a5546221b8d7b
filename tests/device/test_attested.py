# SPDX-License-Identifier: Apache-2.0
"""A token says of an image what its boot measured."""

from hashlib import sha256

import pytest

from firmware.made import OURS, image_of
from openami.device.attested import ATTESTATION_KEY, attestation_identity, software_of
from openami.firmware.verify import Policy, verify
from openami.psa.attestation import Device, InitialAttestation, verify_token
from openami.psa.lifecycle import LifeCycle
from openami.psa.status import PsaError
from psaworld import CLIENT, World

POLICY = Policy(keys=(OURS,))


def test_a_token_says_what_was_verified() -> None:
    images = [
        verify(image_of("1.2.3", sw_type="AMI-APP"), POLICY),
        verify(image_of("0.9.0"), POLICY),
    ]
    world = World()
    key = world.keys.generate_key(CLIENT, ATTESTATION_KEY)
    identity, sign = attestation_identity(world.keys, CLIENT, key)
    device = Device(
        instance_id=identity,
        implementation_id=sha256(b"a kind of meter").digest(),
        lifecycle=LifeCycle.SECURED,
        software=software_of(images),
        boot_seed=world.random(32),
    )
    token = InitialAttestation(device, sign).get_token(CLIENT, bytes(32))
    claims = verify_token(token, world.keys.export_public_key(CLIENT, key), bytes(32))
    assert claims.trustworthy
    application, bare = claims.software
    assert (application.kind, application.version) == ("AMI-APP", "1.2.3")
    assert application.description == "SHA256"
    assert application.measurement == images[0].digest
    assert {application.signer_id, bare.signer_id} == {OURS.keyhash}
    assert (bare.kind, bare.version, bare.measurement) == ("", "0.9.0+0", images[1].digest)
    with pytest.raises(PsaError, match="NOT_PERMITTED"):
        world.keys.export_key(CLIENT, key)
