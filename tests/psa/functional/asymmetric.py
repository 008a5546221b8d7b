# SPDX-License-Identifier: Apache-2.0
"""Signatures, key agreement and key derivation."""

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openami.device.secure.calls import Kind
from openami.psa import algorithms as alg
from openami.psa.attributes import KeyType, Usage
from openami.psa.derivation import Step
from openami.psa.formats import private_key, public_point
from openami.psa.status import Status
from psa.functional.keys import (
    AES,
    DERIVE,
    NOBODY,
    PAIR,
    POINT,
    POINT_384,
    PUBLIC,
    RAW,
    SCALAR,
    imported,
    key,
)
from psa.functional.table import Ask, Case, Group, ask, case, octets, opened

S: Final = Status
BAD: Final = Status.BAD_STATE
ECDSA: Final = alg.ecdsa(alg.SHA_256)
RSA: Final = 0x06000209
TEXT: Final = b"a text that is signed"
DIGEST: Final = hashlib.sha256(TEXT).digest()
SIGNING: Final = Usage.SIGN_HASH | Usage.VERIFY_HASH


def signing(
    kind: int = PAIR, secret: bytes = SCALAR, *, usage: int = SIGNING, use_with: int = ECDSA
) -> Ask:
    return imported(key(kind, usage=usage, use_with=use_with), secret)


WRONG: Final = {
    **{
        name: (signing(use_with=number), number, S.NOT_SUPPORTED)
        for name, number in {
            "RSA, PKCS #1 v1.5": RSA, "RSA, PKCS #1 v1.5 without a hash": 0x06000200,
            "RSA, PSS": 0x06000309, "RSA, PSS with any salt": 0x06001309,
        }.items()
    },
    "no signature": (signing(use_with=alg.GCM), alg.GCM, S.INVALID_ARGUMENT),
    "any hash": (
        signing(use_with=alg.ecdsa(alg.ANY_HASH)), alg.ecdsa(alg.ANY_HASH), S.INVALID_ARGUMENT),
    "a key of AES": (signing(AES, bytes(16)), ECDSA, S.INVALID_ARGUMENT),
    "another hash than the policy's": (signing(), alg.ecdsa(alg.SHA_384), S.NOT_PERMITTED),
    "the deterministic kind, of which the policy does not speak": (
        signing(), alg.deterministic_ecdsa(alg.SHA_256), S.NOT_PERMITTED),
}  # fmt: skip
CALLS: Final = {
    "sign_hash": ("c041", (DIGEST,), Usage.VERIFY_HASH),
    "verify_hash": ("c042", (DIGEST, bytes(64)), Usage.SIGN_HASH),
    "sign_message": ("c050", (TEXT,), Usage.VERIFY_MESSAGE),
    "verify_message": ("c051", (TEXT, bytes(64)), Usage.SIGN_MESSAGE),
}

SIGNATURES: Final[tuple[Case, ...]] = (
    *(
        case(test, name, made, ask(call, "key", number, *taken, status=status))
        for call, (test, taken, _) in CALLS.items()
        for name, (made, number, status) in WRONG.items()
    ),
    *(
        case(test, "without the flag", signing(usage=other),
             ask(call, "key", ECDSA, *taken, status=S.NOT_PERMITTED))
        for call, (test, taken, other) in CALLS.items()
    ),
    *(
        case(test, f"the key {number:#x}",
             ask(call, number, ECDSA, *taken, status=S.INVALID_HANDLE))
        for call, (test, taken, _) in CALLS.items()
        for number in (NOBODY, 0)
    ),
    *(
        case(test, f"{name} on P-256", signing(use_with=number),
             ask(sign, "key", number, taken, gives=octets(64), to="signature"),
             ask("verify_hash", "key", number, DIGEST, "signature"),
             ask("verify_message", "key", number, TEXT, "signature"),
             signing(PUBLIC, POINT, use_with=number),
             ask("verify_hash", "key", number, DIGEST, "signature"))
        for name, number in (
            ("ECDSA", ECDSA), ("deterministic ECDSA", alg.deterministic_ecdsa(alg.SHA_256)))
        for test, sign, taken in (("c041", "sign_hash", DIGEST), ("c050", "sign_message", TEXT))
    ),
    case("own", "any hash is the policy, one is asked", signing(use_with=alg.ecdsa(alg.ANY_HASH)),
         ask("sign_message", "key", alg.ecdsa(alg.SHA_384), TEXT, gives=octets(64))),
    *(
        case(test, "a public key does not sign", signing(PUBLIC, POINT),
             ask(call, "key", ECDSA, *CALLS[call][1], status=S.INVALID_ARGUMENT))
        for test, call in (("c041", "sign_hash"), ("c050", "sign_message"))
    ),
    *(
        case("c041", f"a hash of {size} octets", signing(),
             ask("sign_hash", "key", ECDSA, bytes(size), status=S.INVALID_ARGUMENT))
        for size in (0, 31, 33, 64)
    ),
    case("c042", "a hash of 31 octets", signing(),
         ask("verify_hash", "key", ECDSA, bytes(31), bytes(64), status=S.INVALID_ARGUMENT)),
    *(
        case(test, name, signing(),
             ask(call, "key", ECDSA, CALLS[call][1][0], wrong, status=S.INVALID_SIGNATURE))
        for test, call in (("c042", "verify_hash"), ("c051", "verify_message"))
        for name, wrong in {
            "another signature": b"\x01" * 64, "zeros": bytes(64), "63 octets": bytes(63),
            "no octets": b"", "DER": bytes.fromhex("3006020101020101"),
        }.items()
    ),
    case("c051", "another text", signing(), ask("sign_message", "key", ECDSA, TEXT, to="signature"),
         ask("verify_message", "key", ECDSA, TEXT[:-1], "signature", status=S.INVALID_SIGNATURE)),
)  # fmt: skip

ECDH: Final = alg.ECDH
HKDF_256, PRF = alg.hkdf(alg.SHA_256), alg.tls12_prf(alg.SHA_256)
AGREED: Final = alg.key_agreement(ECDH, HKDF_256)
SECRET, SALT, INFO = bytes(range(22)), bytes(range(13)), bytes(range(0xF0, 0xFA))
PEER: Final = public_point(private_key(bytes(31) + b"\x09").public_key())
SHARED: Final = private_key(SCALAR).exchange(
    ec.ECDH(), private_key(bytes(31) + b"\x09").public_key()
)


def agreeing(use_with: int = ECDH, usage: int = Usage.DERIVE) -> Ask:
    return imported(key(PAIR, usage=usage, use_with=use_with), SCALAR)


AGREEMENTS: Final[tuple[Case, ...]] = (
    case("c043", "both ends have the same", agreeing(),
         ask("raw_key_agreement", ECDH, "key", PEER, gives=SHARED)),
    *(
        case("c043", name, made, ask("raw_key_agreement", number, "key", peer, status=status))
        for name, (made, number, peer, status) in {
            "no agreement": (agreeing(HKDF_256), HKDF_256, PEER, S.INVALID_ARGUMENT),
            "one that derives": (agreeing(AGREED), AGREED, PEER, S.INVALID_ARGUMENT),
            "finite fields": (agreeing(0x09010000), 0x09010000, PEER, S.NOT_SUPPORTED),
            "without the flag": (agreeing(usage=Usage.EXPORT), ECDH, PEER, S.NOT_PERMITTED),
            "a public key": (
                imported(key(PUBLIC, usage=Usage.DERIVE, use_with=ECDH), POINT), ECDH, PEER,
                S.INVALID_ARGUMENT),
            "a peer on another curve": (agreeing(), ECDH, POINT_384, S.INVALID_ARGUMENT),
            "a peer on no curve": (agreeing(), ECDH, b"\x04" + bytes(64), S.INVALID_ARGUMENT),
            "no peer": (agreeing(), ECDH, b"", S.INVALID_ARGUMENT),
        }.items()
    ),
    *(
        case("c043", f"the key {number:#x}",
             ask("raw_key_agreement", ECDH, number, PEER, status=S.INVALID_HANDLE))
        for number in (NOBODY, 0)
    ),
    case("own", "as a key of its own", agreeing(),
         ask("key_agreement", "key", PEER, ECDH, key(DERIVE, usage=Usage.EXPORT), to="shared"),
         ask("export_key", "shared", gives=SHARED)),
    case("own", "not as a key of AES", agreeing(),
         ask("key_agreement", "key", PEER, ECDH, key(AES), status=S.INVALID_ARGUMENT)),
)  # fmt: skip

MADE: Final = HKDF(SHA256(), 42, SALT, INFO).derive(SECRET)
OWN: Final = key(DERIVE, usage=Usage.DERIVE, use_with=HKDF_256)


def derives(
    number: int = HKDF_256, *, usage: int = Usage.DERIVE, kind: int = DERIVE
) -> tuple[Ask, ...]:
    """Return the steps that import a key and set a derivation up."""
    return (
        imported(key(kind, usage=usage, use_with=number), SECRET),
        opened(Kind.DERIVATION),
        ask("key_derivation_setup", "op", number),
    )


SALTED: Final = ask("key_derivation_input_bytes", "op", Step.SALT.value, SALT)
KEYED: Final = ask("key_derivation_input_key", "op", Step.SECRET.value, "key")
INFORMED: Final = ask("key_derivation_input_bytes", "op", Step.INFO.value, INFO)
READY: Final = (*derives(), SALTED, KEYED, INFORMED)
AES_128: Final = key(AES, bits=128, usage=Usage.EXPORT)

DERIVATIONS: Final[tuple[Case, ...]] = (
    *(
        case("c008", name, opened(Kind.DERIVATION),
             ask("key_derivation_setup", "op", number, status=status))
        for name, (number, status) in {
            "HKDF behind ECDH": (AGREED, S.SUCCESS),
            "an unknown derivation behind ECDH": (ECDH | 0xFF09, S.NOT_SUPPORTED),
            "ECDH alone": (ECDH, S.INVALID_ARGUMENT),
            "a hash": (alg.SHA_256, S.INVALID_ARGUMENT),
            "no algorithm": (0, S.INVALID_ARGUMENT),
            "PBKDF2": (0x08800109, S.NOT_SUPPORTED),
            "HKDF over a hash that is not there": (alg.HKDF_BASE | 0x03, S.NOT_SUPPORTED),
        }.items()
    ),
    case("c008", "twice", derives(), ask("key_derivation_setup", "op", HKDF_256, status=BAD)),
    *(
        case("c009", name, derives(number),
             *(ask("key_derivation_input_bytes", "op", int(step), b"x") for step in before),
             ask("key_derivation_input_bytes", "op", int(last), b"x", status=status))
        for name, (number, before, last, status) in {
            "info": (HKDF_256, (), Step.INFO, S.SUCCESS),
            "salt": (HKDF_256, (), Step.SALT, S.SUCCESS),
            "a secret in octets": (HKDF_256, (), Step.SECRET, S.SUCCESS),
            "seed": (PRF, (), Step.SEED, S.SUCCESS),
            "label": (PRF, (Step.SEED, Step.SECRET), Step.LABEL, S.SUCCESS),
            "label of HKDF": (HKDF_256, (), Step.LABEL, S.INVALID_ARGUMENT),
            "seed of HKDF": (HKDF_256, (), Step.SEED, S.INVALID_ARGUMENT),
            "no step": (HKDF_256, (), 0, S.INVALID_ARGUMENT),
            "salt behind the secret": (HKDF_256, (Step.SECRET,), Step.SALT, BAD),
            "info twice": (HKDF_256, (Step.INFO,), Step.INFO, BAD),
            "label before the seed": (PRF, (), Step.LABEL, BAD),
        }.items()
    ),
    case("c009", "behind an abort", derives(), ask("key_derivation_abort", "op"),
         ask("key_derivation_input_bytes", "op", int(Step.INFO), b"", status=BAD)),
    case("c018", "a secret", derives(), KEYED),
    *(
        case("c018", name, made,
             ask("key_derivation_input_key", "op", int(step), "key", status=status))
        for name, (made, step, status) in {
            "without the flag": (derives(usage=Usage.EXPORT), Step.SECRET, S.NOT_PERMITTED),
            "as label": (derives(PRF), Step.LABEL, S.INVALID_ARGUMENT),
            "as info": (derives(), Step.INFO, S.INVALID_ARGUMENT),
            "as seed": (derives(PRF), Step.SEED, S.INVALID_ARGUMENT),
            "as salt": (derives(), Step.SALT, S.INVALID_ARGUMENT),
            "raw data as secret": (derives(kind=RAW), Step.SECRET, S.INVALID_ARGUMENT),
            "raw data as salt": (derives(kind=RAW), Step.SALT, S.SUCCESS),
            "no step": (derives(), 0, S.INVALID_ARGUMENT),
            "another algorithm": (
                (imported(key(DERIVE, usage=Usage.DERIVE, use_with=PRF), SECRET),
                 opened(Kind.DERIVATION), ask("key_derivation_setup", "op", HKDF_256)),
                Step.SECRET, S.NOT_PERMITTED),
        }.items()
    ),
    *(
        case("c018", f"the key {number:#x}", derives(),
             ask("key_derivation_input_key", "op", int(Step.SECRET), number,
                 status=S.INVALID_HANDLE))
        for number in (NOBODY, 0)
    ),
    case("c019", "not set up for an agreement", derives(), agreeing(HKDF_256),
         ask("key_derivation_key_agreement", "op", int(Step.SECRET), "key", PEER,
             status=S.INVALID_ARGUMENT)),
    case("c019", "the secret of both", agreeing(AGREED), opened(Kind.DERIVATION),
         ask("key_derivation_setup", "op", AGREED), SALTED,
         ask("key_derivation_key_agreement", "op", int(Step.SECRET), "key", PEER), INFORMED,
         ask("key_derivation_output_bytes", "op", 42,
             gives=HKDF(SHA256(), 42, SALT, INFO).derive(SHARED))),
    case("c020", "RFC 5869", READY, ask("key_derivation_output_bytes", "op", 42, gives=MADE)),
    case("c020", "in parts", READY,
         ask("key_derivation_output_bytes", "op", 10, gives=MADE[:10]),
         ask("key_derivation_output_bytes", "op", 32, gives=MADE[10:])),
    case("c020", "without salt", derives(), KEYED, INFORMED,
         ask("key_derivation_output_bytes", "op", 42,
             gives=HKDF(SHA256(), 42, None, INFO).derive(SECRET))),
    case("c020", "more than its capacity", READY, ask("key_derivation_set_capacity", "op", 41),
         ask("key_derivation_output_bytes", "op", 42, status=S.INSUFFICIENT_DATA),
         ask("key_derivation_get_capacity", "op", gives=0)),
    case("c020", "without info", derives(), SALTED, KEYED,
         ask("key_derivation_output_bytes", "op", 1, status=BAD)),
    case("c020", "without any input", derives(),
         ask("key_derivation_output_bytes", "op", 1, status=BAD)),
    case("c020", "without a setup", opened(Kind.DERIVATION),
         ask("key_derivation_output_bytes", "op", 1, status=BAD)),
    case("c020", "a key that may only verify", derives(usage=Usage.VERIFY_DERIVATION), KEYED,
         INFORMED, ask("key_derivation_output_bytes", "op", 1, status=S.NOT_PERMITTED)),
    case("c021", "a key of AES", READY, ask("key_derivation_output_key", "op", AES_128, to="made"),
         ask("export_key", "made", gives=MADE[:16])),
    case("c021", "a pair", READY,
         ask("key_derivation_output_key", "op", key(PAIR, bits=256), to="made"),
         ask("export_public_key", "made", gives=octets(65))),
    case("c021", "of a secret that was no key", derives(),
         ask("key_derivation_input_bytes", "op", int(Step.SECRET), SECRET), INFORMED,
         ask("key_derivation_output_key", "op", AES_128, status=S.NOT_PERMITTED)),
    case("c021", "more than its capacity", READY, ask("key_derivation_set_capacity", "op", 15),
         ask("key_derivation_output_key", "op", AES_128, status=S.INSUFFICIENT_DATA)),
    *(
        case("c021", name, READY,
             ask("key_derivation_output_key", "op", attributes, status=S.INVALID_ARGUMENT))
        for name, attributes in {
            "a public key": key(PUBLIC, bits=256),
            "a pair of 255 bits": key(PAIR, bits=255),
            "AES of 136 bits": key(AES, bits=136),
            "AES of no bits": key(AES),
        }.items()
    ),
    case("c021", "a pair of RSA", READY,
         ask("key_derivation_output_key", "op", key(0x7001, bits=2048), status=S.NOT_SUPPORTED)),
    case("c022", "nothing comes behind it", READY, ask("key_derivation_abort", "op"),
         ask("key_derivation_output_bytes", "op", 1, status=BAD),
         ask("key_derivation_setup", "op", HKDF_256)),
    *(
        case("c023", f"set to {size} octets", derives(),
             ask("key_derivation_set_capacity", "op", size, status=status),
             ask("key_derivation_get_capacity", "op", gives=left))
        for size, status, left in (
            (100, S.SUCCESS, 100), (255 * 32, S.SUCCESS, 255 * 32),
            (255 * 32 + 1, S.INVALID_ARGUMENT, 255 * 32), (0, S.SUCCESS, 0))
    ),
    case("c023", "it goes down with what is read", READY,
         ask("key_derivation_output_bytes", "op", 42),
         ask("key_derivation_get_capacity", "op", gives=255 * 32 - 42)),
    case("own", "the octets are compared and not told", READY,
         ask("key_derivation_verify_bytes", "op", MADE)),
    case("own", "other octets", READY,
         ask("key_derivation_verify_bytes", "op", bytes(42), status=S.INVALID_SIGNATURE)),
    case("own", "a key is compared", READY,
         imported(key(KeyType.RAW_DATA, usage=Usage.VERIFY_DERIVATION, use_with=HKDF_256), MADE),
         ask("key_derivation_verify_key", "op", "key")),
    case("own", "a key without the flag is not", READY, imported(OWN, MADE),
         ask("key_derivation_verify_key", "op", "key", status=S.NOT_PERMITTED)),
    case("own", "no algorithm takes a number", derives(),
         ask("key_derivation_input_integer", "op", int(Step.COST), 1, status=S.INVALID_ARGUMENT)),
)  # fmt: skip

GROUPS: Final = (
    Group(
        "signatures",
        SIGNATURES,
        "BUFFER_TOO_SMALL; RSA (refused, as cases show); c039, c040 (asymmetric encryption is not "
        "offered)",
    ),
    Group("key agreement", AGREEMENTS, "BUFFER_TOO_SMALL; finite fields"),
    Group("key derivation", DERIVATIONS, "PBKDF2, PSK-to-MS"),
)
