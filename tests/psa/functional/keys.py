# SPDX-License-Identifier: Apache-2.0
"""Keys: making, telling, copying and losing them; policies and lifetimes."""

from collections.abc import Iterable
from typing import Final

from openami.device.secure.codec import Value
from openami.psa import algorithms as alg
from openami.psa.attributes import (
    PERSISTENT,
    READ_ONLY,
    USER_IDS,
    KeyAttributes,
    KeyType,
    Usage,
)
from openami.psa.formats import CURVES, private_key, public_point
from openami.psa.status import Status
from psa.functional.table import RESTART, Api, Ask, Case, Check, Group, ask, case, device, octets

EXPORT, COPY, ENCRYPT = Usage.EXPORT, Usage.COPY, Usage.ENCRYPT
AES, DES, RAW, HMAC = KeyType.AES, KeyType.DES, KeyType.RAW_DATA, KeyType.HMAC
PAIR, PUBLIC, DERIVE = KeyType.ECC_KEY_PAIR_SECP_R1, KeyType.ECC_PUBLIC_KEY_SECP_R1, KeyType.DERIVE
ECDSA: Final = alg.ecdsa(alg.SHA_256)
SCALAR: Final = bytes(31) + b"\x05"
SCALAR_384: Final = bytes(47) + b"\x05"
POINT: Final = public_point(private_key(SCALAR).public_key())
POINT_384: Final = public_point(private_key(SCALAR_384).public_key())
NOBODY: Final = 0x00001234
"""An identifier that no key has."""
RSA_PAIR, RSA_PUBLIC = 0x7001, 0x4001

S: Final = Status


def key(
    kind: int,
    *,
    usage: int = 0,
    use_with: int = 0,
    bits: int = 0,
    lifetime: int = 0,
    number: int = 0,
) -> KeyAttributes:
    """Return attributes; volatile unless `lifetime` says otherwise."""
    return KeyAttributes(
        type=kind, bits=bits, lifetime=lifetime, id=number, usage=usage, alg=use_with
    )


def imported(attributes: KeyAttributes, material: bytes, to: str = "key") -> Ask:
    return ask("import_key", attributes, material, to=to)


def kept(number: int, usage: int = EXPORT) -> KeyAttributes:
    """Return attributes of a persistent key."""
    return key(AES, usage=usage, use_with=alg.GCM, lifetime=PERSISTENT, number=number)


def has(**wanted: int) -> Check:
    """Return a check of attributes."""

    def check(_: Api, found: tuple[Value, ...]) -> None:
        told = {name: getattr(found[0], name) for name in wanted}
        assert told == wanted

    return check


MATERIAL: Final[dict[str, tuple[int, bytes, int]]] = {
    "AES of 16 octets": (AES, bytes(range(16)), 128),
    "AES of 24 octets": (AES, bytes(range(24)), 192),
    "AES of 32 octets": (AES, bytes(range(32)), 256),
    "triple DES, two keys": (DES, bytes(range(16)), 128),
    "triple DES, three keys": (DES, bytes(range(24)), 192),
    "HMAC of 32 octets": (HMAC, bytes(range(32)), 256),
    "a secret to derive from": (DERIVE, bytes(range(20)), 160),
    "raw data of one octet": (RAW, b"\x07", 8),
    "public key of P-256": (PUBLIC, POINT, 256),
    "pair of P-256": (PAIR, SCALAR, 256),
    "public key of P-384": (PUBLIC, POINT_384, 384),
    "pair of P-384": (PAIR, SCALAR_384, 384),
}


def _round(name: str) -> Iterable[Ask]:
    kind, material, bits = MATERIAL[name]
    yield imported(key(kind, usage=EXPORT), material)
    yield ask("get_key_attributes", "key", gives=has(type=kind, bits=bits, usage=EXPORT))
    yield ask("export_key", "key", gives=material)


BAD_MATERIAL: Final[dict[str, tuple[KeyAttributes, bytes, Status]]] = {
    "bits that the octets have not": (key(AES, bits=192), bytes(16), S.INVALID_ARGUMENT),
    "longer than any AES key": (key(AES), bytes(34), S.INVALID_ARGUMENT),
    "AES of 17 octets": (key(AES), bytes(17), S.INVALID_ARGUMENT),
    "AES of no octets": (key(AES), b"", S.INVALID_ARGUMENT),
    "single DES": (key(DES), bytes(8), S.NOT_SUPPORTED),
    "a type that there is not": (key(0x6789), bytes(16), S.NOT_SUPPORTED),
    "no type": (key(0), bytes(16), S.NOT_SUPPORTED),
    "a pair of RSA": (key(RSA_PAIR), bytes(270), S.NOT_SUPPORTED),
    "a public key of RSA": (key(RSA_PUBLIC), bytes(270), S.NOT_SUPPORTED),
    "the private number 0": (key(PAIR), bytes(32), S.INVALID_ARGUMENT),
    "the order as private number": (
        key(PAIR), CURVES[256].order.to_bytes(32), S.INVALID_ARGUMENT,
    ),
    "a private number of 31 octets": (key(PAIR), bytes(30) + b"\x05", S.INVALID_ARGUMENT),
    "P-521": (key(PAIR), bytes(65) + b"\x05", S.NOT_SUPPORTED),
    "a point on no curve": (key(PUBLIC), b"\x04" + bytes(64), S.INVALID_ARGUMENT),
    "a point in short form": (key(PUBLIC), b"\x02" + POINT[1:33], S.INVALID_ARGUMENT),
    "a point of 64 octets": (key(PUBLIC), POINT[:-1], S.INVALID_ARGUMENT),
    "usage flags without meaning": (key(AES, usage=1 << 30), bytes(16), S.INVALID_ARGUMENT),
    "an identifier for a volatile key": (key(AES, number=1), bytes(16), S.INVALID_ARGUMENT),
    "no identifier for a persistent one": (
        key(AES, lifetime=PERSISTENT), bytes(16), S.INVALID_ARGUMENT,
    ),
    "an identifier of the vendor's": (
        key(AES, lifetime=PERSISTENT, number=0x40000001), bytes(16), S.INVALID_ARGUMENT,
    ),
    "an identifier above all": (
        key(AES, lifetime=PERSISTENT, number=0x80000000), bytes(16), S.INVALID_ARGUMENT,
    ),
    "a secure element": (
        key(AES, lifetime=0x00000101, number=1), bytes(16), S.NOT_SUPPORTED,
    ),
    "a vendor's location": (
        key(AES, lifetime=0x80000001, number=1), bytes(16), S.NOT_SUPPORTED,
    ),
    "persistence 2": (key(AES, lifetime=2, number=1), bytes(16), S.NOT_SUPPORTED),
    "read-only": (key(AES, lifetime=READ_ONLY, number=1), bytes(16), S.INVALID_ARGUMENT),
}  # fmt: skip

SIZES: Final[dict[str, tuple[KeyAttributes, int]]] = {
    "AES of 128 bits": (key(AES, usage=EXPORT, bits=128), 16),
    "AES of 192 bits": (key(AES, usage=EXPORT, bits=192), 24),
    "AES of 256 bits": (key(AES, usage=EXPORT, bits=256), 32),
    "HMAC of 512 bits": (key(HMAC, usage=EXPORT, bits=512), 64),
    "a secret of 160 bits": (key(DERIVE, usage=EXPORT, bits=160), 20),
    "pair of P-256": (key(PAIR, usage=EXPORT, bits=256), 32),
    "pair of P-384": (key(PAIR, usage=EXPORT, bits=384), 48),
}
NOT_GENERATED: Final[dict[str, tuple[KeyAttributes, Status]]] = {
    "a public key": (key(PUBLIC, bits=256), S.INVALID_ARGUMENT),
    "a type that there is not": (key(0x6789, bits=128), S.NOT_SUPPORTED),
    "usage flags without meaning": (key(AES, bits=128, usage=1 << 31), S.INVALID_ARGUMENT),
    "AES of 100 bits": (key(AES, bits=100), S.INVALID_ARGUMENT),
    "AES of no bits": (key(AES), S.INVALID_ARGUMENT),
    **{
        f"RSA of {bits} bits": (key(RSA_PAIR, bits=bits), S.NOT_SUPPORTED)
        for bits in (1024, 2048, 3072, 4096)
    },
    "P-224": (key(PAIR, bits=224), S.NOT_SUPPORTED),
    "P-255": (key(PAIR, bits=255), S.INVALID_ARGUMENT),
}
GONE: Final = ("export_key", "export_public_key", "get_key_attributes", "destroy_key", "purge_key")
COPYABLE: Final = key(AES, usage=COPY | EXPORT | ENCRYPT, use_with=alg.GCM)

CASES: Final[tuple[Case, ...]] = (
    *(case("c002", name, _round(name)) for name in MATERIAL),
    *(
        case("c002", name, ask("import_key", attributes, material, status=status))
        for name, (attributes, material, status) in BAD_MATERIAL.items()
    ),
    case(
        "c003", "without the flag EXPORT",
        imported(key(AES, usage=Usage.VERIFY_MESSAGE), bytes(16)),
        ask("export_key", "key", status=S.NOT_PERMITTED),
    ),
    case(
        "c003", "a public key without any flag",
        imported(key(PUBLIC), POINT),
        ask("export_key", "key", gives=POINT),
    ),
    case(
        "c004", "the public half of a pair without any flag",
        imported(key(PAIR), SCALAR),
        ask("export_public_key", "key", gives=POINT),
        ask("export_key", "key", status=S.NOT_PERMITTED),
    ),
    case(
        "c004", "of a public key itself",
        imported(key(PUBLIC), POINT_384),
        ask("export_public_key", "key", gives=POINT_384),
    ),
    *(
        case(
            "c004", f"of {name}",
            imported(key(MATERIAL[name][0], usage=EXPORT), MATERIAL[name][1]),
            ask("export_public_key", "key", status=S.INVALID_ARGUMENT),
        )
        for name in MATERIAL
        if MATERIAL[name][0] not in {PAIR, PUBLIC}
    ),
    *(
        case("c005", f"{name} of no key", ask(name, NOBODY, status=S.INVALID_HANDLE))
        for name in GONE
    ),
    *(
        case(
            "c005", f"{name} of a key that was destroyed",
            imported(key(AES, usage=EXPORT), bytes(16)),
            ask("destroy_key", "key"),
            ask(name, "key", status=S.INVALID_HANDLE),
        )
        for name in GONE
    ),
    case("c005", "the key 0 is none, and no error", ask("destroy_key", 0)),
    case("own", "purge of the key 0", ask("purge_key", 0, status=S.INVALID_HANDLE)),
    case(
        "own", "purge of a volatile key leaves it",
        imported(key(AES, usage=EXPORT), bytes(16)),
        ask("purge_key", "key"),
        ask("export_key", "key", gives=bytes(16)),
    ),
    case(
        "c010", "attributes are those that were given",
        imported(key(AES, usage=ENCRYPT | Usage.DECRYPT, use_with=alg.CCM), bytes(16)),
        ask("get_key_attributes", "key", gives=has(
            type=AES, bits=128, usage=ENCRYPT | Usage.DECRYPT, alg=alg.CCM, lifetime=0)),
    ),
    case(
        "c010", "flags for hashes bring those for messages",
        imported(key(PAIR, usage=Usage.SIGN_HASH | Usage.VERIFY_HASH, use_with=ECDSA), SCALAR),
        ask("get_key_attributes", "key", gives=has(
            usage=Usage.SIGN_HASH | Usage.VERIFY_HASH | Usage.SIGN_MESSAGE | Usage.VERIFY_MESSAGE)),
    ),
    *(
        case(
            "c016", name,
            ask("generate_key", attributes, to="key"),
            ask("export_key", "key", gives=octets(size)),
        )
        for name, (attributes, size) in SIZES.items()
    ),
    *(
        case("c016", name, ask("generate_key", attributes, status=status))
        for name, (attributes, status) in NOT_GENERATED.items()
    ),
    *(
        case("c017", f"{size} octets", ask("generate_random", size, gives=octets(size)))
        for size in (0, 16, 24, 32, 64, 128, 256, 512, 1000)
    ),
    case(
        "c044", "flags that both have",
        imported(COPYABLE, bytes(16)),
        ask("copy_key", "key", key(AES, usage=0x300, use_with=alg.GCM), to="copy"),
        ask("get_key_attributes", "copy", gives=has(usage=ENCRYPT, alg=alg.GCM, bits=128)),
        ask("export_key", "copy", status=S.NOT_PERMITTED),
        ask("destroy_key", "key"),
        ask("get_key_attributes", "copy", gives=has(usage=ENCRYPT)),
    ),
    case(
        "c044", "another algorithm",
        imported(COPYABLE, bytes(16)),
        ask("copy_key", "key", key(AES, use_with=alg.CTR), status=S.INVALID_ARGUMENT),
    ),
    case(
        "c044", "the narrower of two algorithms",
        imported(key(AES, usage=COPY, use_with=alg.at_least_tag(alg.GCM, 12)), bytes(16)),
        ask("copy_key", "key", key(AES, use_with=alg.GCM), to="copy"),
        ask("get_key_attributes", "copy", gives=has(alg=alg.GCM)),
    ),
    case(
        "c044", "without the flag COPY",
        imported(key(AES, usage=EXPORT), bytes(16)),
        ask("copy_key", "key", key(AES), status=S.NOT_PERMITTED),
    ),
    case(
        "c044", "as another type",
        imported(COPYABLE, bytes(16)),
        ask("copy_key", "key", key(HMAC, use_with=alg.GCM), status=S.INVALID_ARGUMENT),
    ),
    case(
        "c044", "with other bits",
        imported(COPYABLE, bytes(16)),
        ask("copy_key", "key", key(AES, bits=256, use_with=alg.GCM), status=S.INVALID_ARGUMENT),
    ),
    case("c044", "of no key", ask("copy_key", NOBODY, key(AES), status=S.INVALID_HANDLE)),
    *(
        case(
            "c044", name,
            imported(key(MATERIAL[name][0], usage=COPY | EXPORT), MATERIAL[name][1]),
            ask("copy_key", "key", key(0, usage=EXPORT), to="copy"),
            ask("export_key", "copy", gives=MATERIAL[name][1]),
        )
        for name in ("public key of P-256", "pair of P-256")
    ),
    case(
        "own", "an identifier that is taken",
        imported(kept(0x21), bytes(16)),
        ask("import_key", kept(0x21), bytes(16), status=S.ALREADY_EXISTS),
        ask("generate_key", KeyAttributes(
            type=AES, bits=128, lifetime=PERSISTENT, id=0x21), status=S.ALREADY_EXISTS),
        ask("destroy_key", 0x21),
        imported(kept(0x21), bytes(16)),
        ask("destroy_key", 0x21),
    ),
    *(
        case(
            "own", f"the identifier {number:#x}",
            imported(kept(number), bytes(range(16))),
            ask("get_key_attributes", number, gives=has(id=number, lifetime=PERSISTENT)),
            ask("destroy_key", number),
        )
        for number in (USER_IDS[0], USER_IDS[-1])
    ),
    case(
        "own", "a copy does not take an identifier that is taken",
        imported(kept(0x24), bytes(16)),
        imported(COPYABLE, bytes(range(16))),
        ask("copy_key", "key", KeyAttributes(
            type=AES, lifetime=PERSISTENT, id=0x24, alg=alg.GCM), status=S.ALREADY_EXISTS),
        ask("export_key", 0x24, gives=bytes(16)),
        ask("destroy_key", 0x24),
    ),
    case(
        "own", "a persistent copy of a volatile key outlives a restart, and the key does not",
        imported(COPYABLE, bytes(range(16))),
        ask("copy_key", "key", KeyAttributes(
            type=AES, lifetime=PERSISTENT, id=0x25, usage=EXPORT, alg=alg.GCM)),
        device(RESTART),
        ask("export_key", 0x25, gives=bytes(range(16))),
        ask("export_key", "key", status=S.INVALID_HANDLE),
        ask("destroy_key", 0x25),
    ),
    case(
        "own", "a key agreed on keeps to its own policy",
        imported(key(PAIR, usage=Usage.DERIVE, use_with=alg.ECDH), SCALAR),
        ask("key_agreement", "key", POINT, alg.ECDH, key(DERIVE), to="shared"),
        ask("export_key", "shared", status=S.NOT_PERMITTED),
    ),
    case(
        "own", "a persistent key outlives a restart, with its policy",
        imported(kept(0x22, EXPORT | Usage.CACHE), bytes(range(16))),
        device(RESTART),
        ask("get_key_attributes", 0x22, gives=has(
            id=0x22, lifetime=PERSISTENT, usage=EXPORT | Usage.CACHE, alg=alg.GCM)),
        ask("export_key", 0x22, gives=bytes(range(16))),
        ask("purge_key", 0x22),
        ask("export_key", 0x22, gives=bytes(range(16))),
        ask("destroy_key", 0x22),
        device(RESTART),
        ask("export_key", 0x22, status=S.INVALID_HANDLE),
    ),
    case(
        "own", "a volatile key does not",
        imported(key(AES, usage=EXPORT), bytes(16)),
        device(RESTART),
        ask("export_key", "key", status=S.INVALID_HANDLE),
    ),
    case(
        "own", "a policy is not wider behind a restart",
        imported(kept(0x23, ENCRYPT), bytes(16)),
        device(RESTART),
        ask("export_key", 0x23, status=S.NOT_PERMITTED),
        ask("aead_decrypt", 0x23, alg.GCM, bytes(12), b"", bytes(16), status=S.NOT_PERMITTED),
        ask("aead_encrypt", 0x23, alg.CCM, bytes(12), b"", b"", status=S.NOT_PERMITTED),
        ask("aead_encrypt", 0x23, alg.GCM, bytes(12), b"", b"", gives=octets(16)),
        ask("destroy_key", 0x23),
    ),
    case(
        "own", "wrapping asks for the flags WRAP and EXPORT",
        imported(key(AES, usage=Usage.WRAP, use_with=alg.AES_KW), bytes(16), "wrapping"),
        imported(key(AES), bytes(16)),
        ask("wrap_key", "wrapping", alg.AES_KW, "key", status=S.NOT_PERMITTED),
        ask("wrap_key", "key", alg.AES_KW, "wrapping", status=S.NOT_PERMITTED),
    ),
    case(
        "own", "what was wrapped is unwrapped",
        imported(key(AES, usage=Usage.WRAP | Usage.UNWRAP, use_with=alg.AES_KW), bytes(16), "with"),
        imported(key(AES, usage=EXPORT), bytes(range(16))),
        ask("wrap_key", "with", alg.AES_KW, "key", to="octets"),
        ask("unwrap_key", key(AES, usage=EXPORT), "with", alg.AES_KW, "octets", to="again"),
        ask("export_key", "again", gives=bytes(range(16))),
        ask("unwrap_key", key(AES), "with", alg.AES_KW, bytes(24), status=S.INVALID_SIGNATURE),
    ),
)  # fmt: skip

GROUP: Final = Group(
    "keys",
    CASES,
    "c001 (`psa_crypto_init`: to make a client is to initialise); BUFFER_TOO_SMALL (results have "
    "no buffers); RSA (refused, as cases show); single DES",
)
