# SPDX-License-Identifier: Apache-2.0
"""Initial attestation: what a device says of itself, signed by the key it was born with.

PSA Certified Attestation API and RFC 9783 (the PSA Attestation Token, an EAT).  A token is a
COSE_Sign1 with ES256 over a map of claims::

    claim                     profile of RFC 9783    PSA_IOT_PROFILE_1 (older)
    nonce                     10 bstr 32, 48, 64     -75008
    instance id (ueid)        256 bstr 33, 01 ...    -75009
    profile                   265 tstr               -75000
    boot seed                 268 bstr 8 to 32       -75004
    client id                 2394 int               -75001
    security life cycle       2395 uint              -75002
    implementation id         2396 bstr 32           -75003
    certification reference   2398 tstr              -75005
    software components       2399 array             -75006
    verification service      2400 tstr              -75010

Tokens are made with the newer profile; both are read.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Self

import cbor2

from openami.psa import cose
from openami.psa.lifecycle import STAGES, LifeCycle
from openami.psa.status import PsaError, Status

CHALLENGES_OCTETS: Final = frozenset({32, 48, 64})
PROFILE: Final = "tag:psacertified.org,2023:psa#tfm"
OLD_PROFILE: Final = "PSA_IOT_PROFILE_1"
IDENTITY_OCTETS: Final = 33
_REFERENCE: Final = re.compile(r"[0-9]{13}-[0-9]{5}")
_OLD_REFERENCE: Final = re.compile(r"[0-9]{13}(-[0-9]{5})?")

NONCE, UEID, EAT_PROFILE, BOOT_SEED = 10, 256, 265, 268
CLIENT_ID, SECURITY_LIFECYCLE, IMPLEMENTATION_ID = 2394, 2395, 2396
CERTIFICATION_REFERENCE, SOFTWARE_COMPONENTS, VERIFICATION_SERVICE = 2398, 2399, 2400

OLD_CLAIMS: Final[Mapping[int, int]] = MappingProxyType(
    {
        -75000: EAT_PROFILE,
        -75001: CLIENT_ID,
        -75002: SECURITY_LIFECYCLE,
        -75003: IMPLEMENTATION_ID,
        -75004: BOOT_SEED,
        -75005: CERTIFICATION_REFERENCE,
        -75006: SOFTWARE_COMPONENTS,
        -75008: NONCE,
        -75009: UEID,
        -75010: VERIFICATION_SERVICE,
    }
)
NO_SOFTWARE: Final = -75007
"""The older profile's way to say that nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareComponent:
    """What boot measured (RFC 9783, 4.4.1).

    Attributes:
        measurement: Hash of the component.
        signer_id: Hash of the public key that signed it.
        kind: What it is, as BL or AMI-APP; empty if nothing is said.
        version: Empty if nothing is said.
        description: How it was measured; empty if nothing is said.
    """

    measurement: bytes
    signer_id: bytes
    kind: str = ""
    version: str = ""
    description: str = ""

    def claims(self) -> dict[int, Any]:
        """Return the map of a component."""
        found = {
            1: self.kind,
            2: self.measurement,
            4: self.version,
            5: self.signer_id,
            6: self.description,
        }
        return {key: value for key, value in found.items() if value}

    @classmethod
    def of_claims(cls, claims: Any) -> Self:  # noqa: ANN401 - of CBOR
        """Take the map of a component; raise `PsaError` INVALID_ARGUMENT where it is none."""
        if not isinstance(claims, Mapping):
            raise _malformed("a software component is no map")
        found = cls(
            measurement=_octets(claims.get(2), "measurement value"),
            signer_id=_octets(claims.get(5), "signer id"),
            kind=_text(claims.get(1, ""), "measurement type"),
            version=_text(claims.get(4, ""), "version"),
            description=_text(claims.get(6, ""), "measurement description"),
        )
        for octets in (found.measurement, found.signer_id):
            if len(octets) not in CHALLENGES_OCTETS:
                raise _malformed(f"a hash in a software component has {len(octets)} octets")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says.

    Attributes:
        nonce: The challenge that was asked with.
        instance_id: Which device: 01 and 32 octets.
        implementation_id: Which kind of device: 32 octets.
        lifecycle: The claim as it came; `LifeCycle.of_claim` reads it.
        client_id: Who asked; negative for the non-secure world.
        software: What was measured; empty only in the older profile, which says so.
        boot_seed: Random for each boot; empty if nothing is said.
        certification_reference: Empty if nothing is said.
        verification_service: Empty if nothing is said.
        profile: Which profile it follows.
    """

    nonce: bytes
    instance_id: bytes
    implementation_id: bytes
    lifecycle: int
    client_id: int
    software: tuple[SoftwareComponent, ...]
    boot_seed: bytes = b""
    certification_reference: str = ""
    verification_service: str = ""
    profile: str = PROFILE

    @property
    def trustworthy(self) -> bool:
        """Whether the device's life cycle lets a verifier believe what it measured."""
        return STAGES[LifeCycle.of_claim(self.lifecycle)].trustworthy

    def encode(self) -> bytes:
        """Return the map of claims, in the newer profile's keys and deterministic order."""
        found = {
            NONCE: self.nonce,
            UEID: self.instance_id,
            EAT_PROFILE: self.profile,
            BOOT_SEED: self.boot_seed,
            CLIENT_ID: self.client_id,
            SECURITY_LIFECYCLE: self.lifecycle,
            IMPLEMENTATION_ID: self.implementation_id,
            CERTIFICATION_REFERENCE: self.certification_reference,
            SOFTWARE_COMPONENTS: [each.claims() for each in self.software],
            VERIFICATION_SERVICE: self.verification_service,
        }
        said = {key: value for key, value in found.items() if value not in (b"", "")}
        return cbor2.dumps(said, canonical=True)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Take a map of claims.

        Raises:
            PsaError: INVALID_ARGUMENT, a claim is missing or malformed; NOT_SUPPORTED, another
                profile.
        """
        found = cose.loads(payload, "attestation claims")
        if not isinstance(found, Mapping):
            raise _malformed("the payload is no map of claims")
        old = EAT_PROFILE not in found
        if old:
            none = found.get(NO_SOFTWARE) == 1 and -75006 not in found
            found = {new: found[key] for key, new in OLD_CLAIMS.items() if key in found}
            found.setdefault(EAT_PROFILE, OLD_PROFILE)
            if none:
                found[SOFTWARE_COMPONENTS] = []
        software = found.get(SOFTWARE_COMPONENTS)
        if not isinstance(software, (list, tuple)) or not (software or old):
            raise _malformed("no software components are told")
        claims = cls(
            nonce=_octets(found.get(NONCE), "nonce"),
            instance_id=_octets(found.get(UEID), "instance id"),
            implementation_id=_octets(found.get(IMPLEMENTATION_ID), "implementation id"),
            lifecycle=_number(found.get(SECURITY_LIFECYCLE), "security life cycle"),
            client_id=_number(found.get(CLIENT_ID), "client id"),
            software=tuple(SoftwareComponent.of_claims(each) for each in software),
            boot_seed=_octets(found.get(BOOT_SEED, b""), "boot seed"),
            certification_reference=_text(
                found.get(CERTIFICATION_REFERENCE, ""), "certification reference"
            ),
            verification_service=_text(found.get(VERIFICATION_SERVICE, ""), "verification service"),
            profile=_text(found[EAT_PROFILE], "profile"),
        )
        claims.check()
        return claims

    def check(self) -> None:
        """Refuse claims that the profile does not allow.

        Raises:
            PsaError: INVALID_ARGUMENT or NOT_SUPPORTED.
        """
        if self.profile not in {PROFILE, OLD_PROFILE}:
            problem = f"the profile {self.profile!r} is not known"
            raise PsaError(Status.NOT_SUPPORTED, problem, "attestation claims")
        reference = _OLD_REFERENCE if self.profile == OLD_PROFILE else _REFERENCE
        said = self.certification_reference
        rules = (
            (len(self.nonce) in CHALLENGES_OCTETS, "the nonce has not 32, 48 or 64 octets"),
            (
                len(self.instance_id) == IDENTITY_OCTETS and self.instance_id[0] == 1,
                "the instance id is not 01 and 32 octets",
            ),
            (len(self.implementation_id) == 32, "the implementation id has not 32 octets"),
            (0 <= self.lifecycle <= 0xFFFF, "the security life cycle has not 16 bits"),
            (-(1 << 31) <= self.client_id < 1 << 31, "the client id has not 32 bits"),
            (not self.boot_seed or 8 <= len(self.boot_seed) <= 32, "the boot seed has not 8 to 32"),
            (not said or reference.fullmatch(said) is not None, f"no reference is {said!r}"),
        )
        for holds, problem in rules:
            if not holds:
                raise _malformed(problem)


def instance_id(point: bytes) -> bytes:
    """Return the instance id of the device with this public attestation key, 04 || x || y."""
    return b"\x01" + sha256(point).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What boot hands to attestation: the same in every token until the next start.

    Attributes:
        lifecycle: The claim: a `LifeCycle`, with what the implementation says in its low octet.
    """

    instance_id: bytes
    implementation_id: bytes
    lifecycle: int
    software: tuple[SoftwareComponent, ...]
    boot_seed: bytes
    certification_reference: str = ""
    verification_service: str = ""


class InitialAttestation:
    """psa_initial_attest_get_token and psa_initial_attest_get_token_size."""

    __slots__ = ("_device", "_sign")

    def __init__(self, device: Device, sign: Callable[[bytes], bytes]) -> None:
        """Take what boot measured, and how to sign with the initial attestation key (r || s)."""
        self._device = device
        self._sign = sign

    def get_token(self, client: int, challenge: bytes) -> bytes:
        """Return a token with this challenge.

        Raises:
            PsaError: INVALID_ARGUMENT, the challenge has not 32, 48 or 64 octets.
        """
        return cose.Sign1.made(self._claims(client, challenge).encode(), self._sign).encode()

    def get_token_size(self, client: int, challenge_octets: int) -> int:
        """Return the size of a token for a challenge of this size; refused as `get_token`."""
        if challenge_octets not in CHALLENGES_OCTETS:
            raise _wrong_challenge(challenge_octets)
        payload = self._claims(client, bytes(challenge_octets)).encode()
        blank = cose.Sign1(payload=payload, signature=bytes(cose.SIGNATURE_OCTETS))
        return len(blank.encode())

    def _claims(self, client: int, challenge: bytes) -> Claims:
        if len(challenge) not in CHALLENGES_OCTETS:
            raise _wrong_challenge(len(challenge))
        device = self._device
        claims = Claims(
            nonce=challenge,
            instance_id=device.instance_id,
            implementation_id=device.implementation_id,
            lifecycle=device.lifecycle,
            client_id=client,
            software=device.software,
            boot_seed=device.boot_seed,
            certification_reference=device.certification_reference,
            verification_service=device.verification_service,
        )
        claims.check()
        return claims


def verify_token(token: bytes, point: bytes, challenge: bytes | None = None) -> Claims:
    """Return what a token says, once it is proven.

    Args:
        token: As it came.
        point: The device's public attestation key, 04 || x || y.
        challenge: What was asked with; None to take any.

    Raises:
        PsaError: INVALID_SIGNATURE, it is not signed by that key, or answers another challenge;
            INVALID_ARGUMENT or NOT_SUPPORTED, it is no such token.
    """
    message = cose.Sign1.decode(token)
    message.verify(point)
    claims = Claims.decode(message.payload)
    if challenge is not None and claims.nonce != challenge:
        problem = "the token answers another challenge"
        raise PsaError(Status.INVALID_SIGNATURE, problem, "attestation claims")
    return claims


def _wrong_challenge(octets: int) -> PsaError:
    problem = f"a challenge has 32, 48 or 64 octets, not {octets}"
    return PsaError(Status.INVALID_ARGUMENT, problem, "challenge")


def _malformed(problem: str) -> PsaError:
    return PsaError(Status.INVALID_ARGUMENT, problem, "attestation claims")


def _octets(value: Any, what: str) -> bytes:  # noqa: ANN401 - of CBOR
    if not isinstance(value, bytes):
        raise _malformed(f"the {what} is missing or no octet string")
    return value


def _text(value: Any, what: str) -> str:  # noqa: ANN401 - of CBOR
    if not isinstance(value, str):
        raise _malformed(f"the {what} is no text")
    return value


def _number(value: Any, what: str) -> int:  # noqa: ANN401 - of CBOR
    if not isinstance(value, int) or isinstance(value, bool):
        raise _malformed(f"the {what} is missing or no number")
    return value
