# SPDX-License-Identifier: Apache-2.0
"""Attestation tokens: made, verified, and refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from openami.psa import algorithms, attestation, cose
from openami.psa.attestation import (
    OLD_CLAIMS,
    OLD_PROFILE,
    Claims,
    Device,
    InitialAttestation,
    SoftwareComponent,
    instance_id,
    verify_token,
)
from openami.psa.attributes import KeyAttributes, KeyType, Usage
from openami.psa.formats import public_point
from openami.psa.lifecycle import LifeCycle
from openami.psa.status import PsaError, Status
from psaworld import World
from vectors import vectors

(ROW,) = vectors("psa/tokens.toml")
TOKEN: bytes = ROW["octets"]
_KEY: Any = load_der_public_key(bytes.fromhex(ROW["public_key"]))
POINT = public_point(_KEY)

ES256 = algorithms.ecdsa(algorithms.SHA_256)
PAIR = KeyAttributes(
    type=KeyType.ECC_KEY_PAIR_SECP_R1, bits=256, usage=Usage.SIGN_MESSAGE, alg=ES256
)
BOOT = SoftwareComponent(
    measurement=b"\x01" * 32, signer_id=b"\x02" * 32, kind="BL", version="1.0.0"
)


def status_of(call: Callable[[], object]) -> Status:
    with pytest.raises(PsaError) as caught:
        call()
    return caught.value.status


class Meter:
    """A device whose attestation key lies in its key store."""

    def __init__(self, **changes: Any) -> None:
        crypto = World().crypto
        key = crypto.generate_key(PAIR)
        self.point = crypto.export_public_key(key)
        self.sign = lambda octets: crypto.sign_message(key, ES256, octets)
        self.device = Device(
            instance_id=instance_id(self.point),
            implementation_id=b"\x11" * 32,
            lifecycle=LifeCycle.SECURED,
            software=(BOOT, replace(BOOT, kind="AMI-APP", description="sha-256")),
            boot_seed=b"\x22" * 32,
        )
        self.device = replace(self.device, **changes)
        self.attestation = InitialAttestation(self.device, self.sign)


def test_a_token_made_elsewhere_is_read() -> None:
    claims = verify_token(TOKEN, POINT)
    assert claims.instance_id == instance_id(POINT)
    assert LifeCycle.of_claim(claims.lifecycle) is LifeCycle.SECURED
    assert claims.client_id == -1
    assert claims.implementation_id == b"\x11" * 32
    assert [each.kind for each in claims.software] == ["BL", "AMI-APP"]
    assert claims.certification_reference == "0123456789012-12345"
    message = cose.Sign1.decode(TOKEN)
    assert message.encode() == TOKEN
    assert claims.encode() == message.payload == bytes.fromhex(ROW["claims"])


@pytest.mark.parametrize("octets", [32, 48, 64])
@pytest.mark.parametrize("client", [-1, 7, -(2**31), 2**31 - 1])
def test_a_token_says_what_boot_measured(octets: int, client: int) -> None:
    meter, challenge = Meter(), bytes(range(octets))
    token = meter.attestation.get_token(client, challenge)
    assert len(token) == meter.attestation.get_token_size(client, octets)
    claims = verify_token(token, meter.point, challenge)
    assert claims.software == meter.device.software
    assert (claims.nonce, claims.client_id) == (challenge, client)
    assert claims.lifecycle == 0x3000


@pytest.mark.parametrize("octets", [0, 1, 31, 33, 47, 49, 63, 65, 128])
def test_challenges_of_other_sizes_are_refused(octets: int) -> None:
    made = Meter().attestation
    assert status_of(lambda: made.get_token(-1, bytes(octets))) is Status.INVALID_ARGUMENT
    assert status_of(lambda: made.get_token_size(-1, octets)) is Status.INVALID_ARGUMENT


def test_a_token_of_another_device_or_challenge_is_not_believed() -> None:
    ours, theirs = Meter(), Meter()
    theirs.point = public_point(_KEY)
    token = ours.attestation.get_token(-1, bytes(32))
    assert status_of(lambda: verify_token(token, theirs.point)) is Status.INVALID_SIGNATURE
    assert status_of(lambda: verify_token(token, ours.point, b"\x01" * 32)) is (
        Status.INVALID_SIGNATURE
    )
    assert status_of(lambda: verify_token(token, b"\x04" + bytes(64))) is Status.INVALID_ARGUMENT


@pytest.mark.parametrize("at", range(len(TOKEN)))
def test_an_altered_octet_is_never_believed(at: int) -> None:
    altered = TOKEN[:at] + bytes((TOKEN[at] ^ 1,)) + TOKEN[at + 1 :]
    assert status_of(lambda: verify_token(altered, POINT)) in {
        Status.INVALID_SIGNATURE,
        Status.INVALID_ARGUMENT,
        Status.NOT_SUPPORTED,
    }


@pytest.mark.parametrize("octets", range(0, len(TOKEN), 7))
def test_a_truncated_token_is_refused(octets: int) -> None:
    assert status_of(lambda: verify_token(TOKEN[:octets], POINT)) is Status.INVALID_ARGUMENT


def test_octets_behind_a_token_are_refused() -> None:
    assert status_of(lambda: verify_token(TOKEN + b"\x00", POINT)) is Status.INVALID_ARGUMENT


def good() -> dict[int, Any]:
    found: dict[int, Any] = dict(cbor2.loads(cose.Sign1.decode(TOKEN).payload))
    return found


def component(**changes: Any) -> list[dict[int, Any]]:
    made: dict[int, Any] = {2: bytes(32), 5: bytes(32)}
    for key, value in changes.items():
        made[int(key[1:])] = value
    return [{key: value for key, value in made.items() if value is not None}]


BAD_CLAIMS: dict[str, tuple[dict[int, Any], Status]] = {
    "no nonce": ({10: None}, Status.INVALID_ARGUMENT),
    "nonce of 31": ({10: bytes(31)}, Status.INVALID_ARGUMENT),
    "nonce as a list": ({10: [bytes(32)]}, Status.INVALID_ARGUMENT),
    "no instance": ({256: None}, Status.INVALID_ARGUMENT),
    "instance of another kind": ({256: b"\x02" + bytes(32)}, Status.INVALID_ARGUMENT),
    "instance too short": ({256: b"\x01"}, Status.INVALID_ARGUMENT),
    "no implementation": ({2396: None}, Status.INVALID_ARGUMENT),
    "implementation of 33": ({2396: bytes(33)}, Status.INVALID_ARGUMENT),
    "no life cycle": ({2395: None}, Status.INVALID_ARGUMENT),
    "life cycle below": ({2395: -1}, Status.INVALID_ARGUMENT),
    "life cycle true": ({2395: True}, Status.INVALID_ARGUMENT),
    "life cycle too large": ({2395: 0x10000}, Status.INVALID_ARGUMENT),
    "no client": ({2394: None}, Status.INVALID_ARGUMENT),
    "client too large": ({2394: 1 << 31}, Status.INVALID_ARGUMENT),
    "client too small": ({2394: -(1 << 31) - 1}, Status.INVALID_ARGUMENT),
    "boot seed of 7": ({268: bytes(7)}, Status.INVALID_ARGUMENT),
    "boot seed of 33": ({268: bytes(33)}, Status.INVALID_ARGUMENT),
    "reference without number": ({2398: "0123456789012"}, Status.INVALID_ARGUMENT),
    "reference of octets": ({2398: b"x"}, Status.INVALID_ARGUMENT),
    "no software": ({2399: None}, Status.INVALID_ARGUMENT),
    "empty software": ({2399: []}, Status.INVALID_ARGUMENT),
    "software no map": ({2399: [1]}, Status.INVALID_ARGUMENT),
    "software unmeasured": ({2399: component(_2=None)}, Status.INVALID_ARGUMENT),
    "software measured oddly": ({2399: component(_2=bytes(31))}, Status.INVALID_ARGUMENT),
    "software unsigned": ({2399: component(_5=None)}, Status.INVALID_ARGUMENT),
    "software version as number": ({2399: component(_4=1)}, Status.INVALID_ARGUMENT),
    "service of octets": ({2400: b"x"}, Status.INVALID_ARGUMENT),
    "profile of octets": ({265: b"x"}, Status.INVALID_ARGUMENT),
    "another profile": ({265: "tag:example.org,2026:x"}, Status.NOT_SUPPORTED),
}


@pytest.mark.parametrize(("changes", "status"), BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_each_claim_is_held_to_its_form(changes: dict[int, Any], status: Status) -> None:
    claims = good() | changes
    payload = cbor2.dumps({key: value for key, value in claims.items() if value is not None})
    assert status_of(lambda: Claims.decode(payload)) is status


def test_claims_beyond_the_profile_are_left_alone() -> None:
    payload = cbor2.dumps(good() | {70000: "x", 2397: b"y"})
    assert Claims.decode(payload) == Claims.decode(cbor2.dumps(good()))


def test_the_older_profile_is_read_too() -> None:
    new_to_old = {new: old for old, new in OLD_CLAIMS.items()}
    claims = {new_to_old[key]: value for key, value in good().items()}
    claims[-75000] = OLD_PROFILE
    found = Claims.decode(cbor2.dumps(claims))
    assert found == replace(Claims.decode(cbor2.dumps(good())), profile=OLD_PROFILE)
    del claims[-75000]
    assert Claims.decode(cbor2.dumps(claims)).profile == OLD_PROFILE
    del claims[-75006]
    assert status_of(lambda: Claims.decode(cbor2.dumps(claims))) is Status.INVALID_ARGUMENT
    assert Claims.decode(cbor2.dumps(claims | {-75007: 1})).software == ()


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"", Status.INVALID_ARGUMENT),
        (cbor2.dumps([b"", {}, b"", b""]), Status.INVALID_ARGUMENT),
        (cbor2.dumps(cbor2.CBORTag(17, [b"", {}, b"", b""])), Status.INVALID_ARGUMENT),
        (cbor2.dumps(cbor2.CBORTag(18, [b"", {}, b""])), Status.INVALID_ARGUMENT),
        (cbor2.dumps(cbor2.CBORTag(18, [b"", {}, None, b""])), Status.INVALID_ARGUMENT),
        (cbor2.dumps(cbor2.CBORTag(18, [b"", {}, b"", b""])), Status.NOT_SUPPORTED),
        (cbor2.dumps(cbor2.CBORTag(18, [b"\xa1\x01\x27", {}, b"", b""])), Status.NOT_SUPPORTED),
        (b"\xd2\x9f\x43\xa1\x01\x26\xa0\x40\x40\xff", Status.INVALID_ARGUMENT),
        (b"\xa2\x01\x01\x01\x02", Status.INVALID_ARGUMENT),
        (b"\x81" * 20 + b"\x00", Status.INVALID_ARGUMENT),
    ],
)
def test_what_is_no_cose_sign1_is_refused(octets: bytes, status: Status) -> None:
    assert status_of(lambda: cose.Sign1.decode(octets)) is status


def test_a_signature_of_another_length_is_wrong() -> None:
    message = cose.Sign1.decode(TOKEN)
    for signature in (b"", message.signature[:-1], message.signature + b"\x00"):
        wrong = replace(message, signature=signature)
        assert status_of(lambda it=wrong: it.verify(POINT)) is Status.INVALID_SIGNATURE


@given(st.binary(max_size=300))
def test_any_octets_are_claims_or_refused(octets: bytes) -> None:
    for each in (octets, b"\xa1" + octets, b"\xd2\x84\x43\xa1\x01\x26\xa0" + octets):
        try:
            Claims.decode(each)
            cose.Sign1.decode(each)
        except PsaError as error:
            assert error.status in {Status.INVALID_ARGUMENT, Status.NOT_SUPPORTED}  # noqa: PT017


@pytest.mark.parametrize("state", LifeCycle)
def test_only_some_states_are_believed(state: LifeCycle) -> None:
    meter = Meter(lifecycle=state)
    claims = verify_token(meter.attestation.get_token(-1, bytes(32)), meter.point)
    assert claims.lifecycle == state
    assert claims.trustworthy is (state in {LifeCycle.SECURED, LifeCycle.NON_PSA_ROT_DEBUG})


def test_a_device_that_does_not_know_itself_makes_no_token() -> None:
    wrong = Meter(implementation_id=b"")
    assert status_of(lambda: wrong.attestation.get_token(-1, bytes(32))) is (
        Status.INVALID_ARGUMENT
    )
    assert Claims.decode(cbor2.dumps(good())).profile == attestation.PROFILE
