# SPDX-License-Identifier: Apache-2.0
"""Hashes and message authentication codes."""

import hashlib
import hmac
from typing import Final

from openami.device.secure.calls import Kind
from openami.psa import algorithms as alg
from openami.psa.attributes import KeyType, Usage
from openami.psa.status import Status
from psa.functional.keys import AES, HMAC, NOBODY, RAW, imported, key
from psa.functional.table import Ask, Case, Group, ask, case, octets, opened

S: Final = Status
TEXT: Final = b"The quick brown fox"
NAMES: Final = {
    "SHA-1": (alg.SHA_1, "sha1"),
    "SHA-224": (alg.SHA_224, "sha224"),
    "SHA-256": (alg.SHA_256, "sha256"),
    "SHA-384": (alg.SHA_384, "sha384"),
    "SHA-512": (alg.SHA_512, "sha512"),
}
DIGESTS: Final = {
    name: (number, hashlib.new(word, TEXT, usedforsecurity=False).digest())
    for name, (number, word) in NAMES.items()
}
NO_HASHES: Final = {
    "MD2": (0x02000001, S.NOT_SUPPORTED),
    "MD5": (0x02000003, S.NOT_SUPPORTED),
    "RIPEMD-160": (0x02000004, S.NOT_SUPPORTED),
    "SHA3-256": (0x02000011, S.NOT_SUPPORTED),
    "any hash": (alg.ANY_HASH, S.INVALID_ARGUMENT),
    "no algorithm": (0, S.INVALID_ARGUMENT),
    "CTR": (alg.CTR, S.INVALID_ARGUMENT),
}
STARTED: Final[tuple[Ask, ...]] = (opened(Kind.HASH), ask("hash_setup", "op", alg.SHA_256))
DIGEST: Final = DIGESTS["SHA-256"][1]
BAD: Final = S.BAD_STATE

HASHES: Final[tuple[Case, ...]] = (
    *(
        case("c006", name, ask("hash_compute", number, TEXT, gives=digest))
        for name, (number, digest) in DIGESTS.items()
    ),
    case("c006", "of nothing", ask("hash_compute", alg.SHA_256, b"",
                                   gives=hashlib.sha256().digest())),
    *(
        case("c006", name, ask("hash_compute", number, TEXT, status=status))
        for name, (number, status) in NO_HASHES.items()
    ),
    *(
        case("c007", name, ask("hash_compare", number, TEXT, digest))
        for name, (number, digest) in DIGESTS.items()
    ),
    *(
        case("c007", name, ask("hash_compare", alg.SHA_256, TEXT, wrong,
                               status=S.INVALID_SIGNATURE))
        for name, wrong in {
            "another hash": bytes(32), "a hash of 31 octets": DIGEST[:-1],
            "a hash of 33 octets": DIGEST + b"\x00", "no hash": b"",
        }.items()
    ),
    case("c007", "an algorithm that is none",
         ask("hash_compare", alg.GCM, TEXT, DIGEST, status=S.INVALID_ARGUMENT)),
    *(
        case("c011", name, opened(Kind.HASH), ask("hash_setup", "op", number),
             ask("hash_abort", "op"))
        for name, (number, _) in DIGESTS.items()
    ),
    *(
        case("c011", name, opened(Kind.HASH), ask("hash_setup", "op", number, status=status),
             ask("hash_setup", "op", alg.SHA_256))
        for name, (number, status) in NO_HASHES.items()
    ),
    case("c011", "twice", STARTED, ask("hash_setup", "op", alg.SHA_256, status=BAD),
         ask("hash_update", "op", TEXT, status=BAD), ask("hash_abort", "op"),
         ask("hash_setup", "op", alg.SHA_256)),
    case("c012", "without a setup", opened(Kind.HASH), ask("hash_update", "op", TEXT, status=BAD)),
    case("c012", "behind the end", STARTED, ask("hash_finish", "op"),
         ask("hash_update", "op", TEXT, status=BAD)),
    *(
        case("c013", name, opened(Kind.HASH), ask("hash_setup", "op", number),
             ask("hash_update", "op", TEXT[:4]), ask("hash_update", "op", TEXT[4:]),
             ask("hash_verify", "op", digest), ask("hash_verify", "op", digest, status=BAD))
        for name, (number, digest) in DIGESTS.items()
    ),
    case("c013", "another hash", STARTED, ask("hash_update", "op", TEXT),
         ask("hash_verify", "op", bytes(32), status=S.INVALID_SIGNATURE),
         ask("hash_finish", "op", status=BAD)),
    case("c013", "a shorter hash", STARTED, ask("hash_update", "op", TEXT),
         ask("hash_verify", "op", DIGEST[:-1], status=S.INVALID_SIGNATURE)),
    case("c013", "without a setup", opened(Kind.HASH),
         ask("hash_verify", "op", DIGEST, status=BAD)),
    *(
        case("c014", name, opened(Kind.HASH), ask("hash_setup", "op", number),
             ask("hash_update", "op", TEXT), ask("hash_finish", "op", gives=digest))
        for name, (number, digest) in DIGESTS.items()
    ),
    case("c014", "without a setup", opened(Kind.HASH), ask("hash_finish", "op", status=BAD)),
    case("c015", "in any state", opened(Kind.HASH), ask("hash_abort", "op"),
         ask("hash_abort", "op")),
    case("c015", "nothing comes behind it", STARTED, ask("hash_update", "op", TEXT),
         ask("hash_abort", "op"), ask("hash_finish", "op", status=BAD)),
    case("c045", "both go on by themselves", STARTED, ask("hash_update", "op", TEXT[:4]),
         ask("hash_clone", "op", to="other"), ask("hash_update", "op", b"x"),
         ask("hash_update", "other", TEXT[4:]), ask("hash_finish", "other", gives=DIGEST),
         ask("hash_finish", "op", gives=hashlib.sha256(TEXT[:4] + b"x").digest())),
    case("c045", "of an inactive operation", opened(Kind.HASH),
         ask("hash_clone", "op", status=BAD)),
)  # fmt: skip

HMAC_256: Final = alg.hmac(alg.SHA_256)
HMAC_512: Final = alg.hmac(alg.SHA_512)
SIGN, VERIFY = Usage.SIGN_MESSAGE, Usage.VERIFY_MESSAGE
SECRET: Final = bytes(range(16))
CMAC_OF_NOTHING: Final = bytes.fromhex("bb1d6929e95937287fa37d129b756746")
"""RFC 4493, example 1; its key follows."""
CMAC_KEY: Final = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MACS: Final = {
    "HMAC-SHA-256": (KeyType.HMAC, HMAC_256, SECRET, TEXT, hmac.digest(SECRET, TEXT, "sha256")),
    "HMAC-SHA-512": (KeyType.HMAC, HMAC_512, SECRET, TEXT, hmac.digest(SECRET, TEXT, "sha512")),
    "CMAC": (KeyType.AES, alg.CMAC, CMAC_KEY, b"", CMAC_OF_NOTHING),
}


def mac_key(use_with: int, usage: int = SIGN | VERIFY, kind: int = HMAC) -> Ask:
    return imported(key(kind, usage=usage, use_with=use_with), SECRET)


WRONG_MACS: Final = {
    "HMAC asked of a key for CMAC": (mac_key(alg.CMAC, kind=AES), HMAC_256, S.NOT_PERMITTED),
    "HMAC with a key of AES": (mac_key(HMAC_256, kind=AES), HMAC_256, S.INVALID_ARGUMENT),
    "HMAC with raw data": (mac_key(HMAC_256, kind=RAW), HMAC_256, S.INVALID_ARGUMENT),
    "CMAC with a key of HMAC": (mac_key(alg.CMAC), alg.CMAC, S.INVALID_ARGUMENT),
    "cut to more than there is": (
        mac_key(HMAC_256 | 33 << 16), HMAC_256 | 33 << 16, S.INVALID_ARGUMENT),
    "cut to one octet": (mac_key(HMAC_256 | 1 << 16), HMAC_256 | 1 << 16, S.NOT_SUPPORTED),
    "an HMAC of no hash": (mac_key(alg.HMAC_BASE), alg.HMAC_BASE, S.NOT_SUPPORTED),
    "no MAC": (mac_key(alg.GCM), alg.GCM, S.INVALID_ARGUMENT),
    "shorter than the policy": (
        mac_key(alg.at_least_mac(HMAC_256, 16)), HMAC_256 | 8 << 16, S.NOT_PERMITTED),
    "the policy itself": (
        mac_key(alg.at_least_mac(HMAC_256, 16)), alg.at_least_mac(HMAC_256, 16),
        S.INVALID_ARGUMENT),
}  # fmt: skip
SIGNS: Final = (mac_key(HMAC_256), opened(Kind.MAC), ask("mac_sign_setup", "op", "key", HMAC_256))
VERIFIES: Final = (
    mac_key(HMAC_256), opened(Kind.MAC), ask("mac_verify_setup", "op", "key", HMAC_256),
)  # fmt: skip
MAC: Final = MACS["HMAC-SHA-256"][4]

CODES: Final[tuple[Case, ...]] = (
    *(
        case(f"{test}", f"{name}, {way}",
             imported(key(kind, usage=SIGN | VERIFY, use_with=number), secret), steps)
        for name, (kind, number, secret, text, mac) in MACS.items()
        for test, way, steps in (
            ("c046", "at once", (ask("mac_compute", "key", number, text, gives=mac),)),
            ("c047", "verified at once", (ask("mac_verify", "key", number, text, mac),)),
            ("c028", "in parts", (
                opened(Kind.MAC), ask("mac_sign_setup", "op", "key", number),
                ask("mac_update", "op", text[:5]), ask("mac_update", "op", text[5:]),
                ask("mac_sign_finish", "op", gives=mac),
                ask("mac_sign_finish", "op", status=BAD))),
            ("c030", "verified in parts", (
                opened(Kind.MAC), ask("mac_verify_setup", "op", "key", number),
                ask("mac_update", "op", text), ask("mac_verify_finish", "op", mac))),
        )
    ),
    *(
        case(test, name, made, opened(Kind.MAC), ask(setup, "op", "key", number, status=status))
        for name, (made, number, status) in WRONG_MACS.items()
        for test, setup in (("c026", "mac_sign_setup"), ("c029", "mac_verify_setup"))
    ),
    *(
        case("c046", name, made, ask("mac_compute", "key", number, TEXT, status=status))
        for name, (made, number, status) in WRONG_MACS.items()
    ),
    case("c026", "without the flag", mac_key(HMAC_256, VERIFY), opened(Kind.MAC),
         ask("mac_sign_setup", "op", "key", HMAC_256, status=S.NOT_PERMITTED)),
    case("c029", "without the flag", mac_key(HMAC_256, SIGN), opened(Kind.MAC),
         ask("mac_verify_setup", "op", "key", HMAC_256, status=S.NOT_PERMITTED)),
    *(
        case(test, f"{setup} with the key {number:#x}", opened(Kind.MAC),
             ask(setup, "op", number, HMAC_256, status=S.INVALID_HANDLE))
        for test, setup in (("c026", "mac_sign_setup"), ("c029", "mac_verify_setup"))
        for number in (NOBODY, 0)
    ),
    case("c026", "twice", SIGNS, ask("mac_sign_setup", "op", "key", HMAC_256, status=BAD)),
    case("c027", "without a setup", opened(Kind.MAC), ask("mac_update", "op", TEXT, status=BAD)),
    case("c028", "what verifies does not sign", VERIFIES, ask("mac_sign_finish", "op", status=BAD)),
    case("c030", "what signs does not verify", SIGNS,
         ask("mac_verify_finish", "op", MAC, status=BAD)),
    *(
        case("c030", name, VERIFIES, ask("mac_update", "op", TEXT),
             ask("mac_verify_finish", "op", wrong, status=S.INVALID_SIGNATURE))
        for name, wrong in {"another MAC": bytes(32), "a shorter MAC": MAC[:-1]}.items()
    ),
    case("c031", "nothing comes behind it", SIGNS, ask("mac_abort", "op"),
         ask("mac_sign_finish", "op", status=BAD)),
    case("c046", "cut as its policy says", mac_key(alg.truncated_mac(HMAC_256, 8)),
         ask("mac_compute", "key", alg.truncated_mac(HMAC_256, 8), TEXT, gives=MAC[:8])),
    case("c046", "any length from the least on", mac_key(alg.at_least_mac(HMAC_256, 16)),
         ask("mac_compute", "key", HMAC_256 | 20 << 16, TEXT, gives=octets(20))),
    *(
        case("c047", name, mac_key(HMAC_256),
             ask("mac_verify", "key", HMAC_256, TEXT, wrong, status=S.INVALID_SIGNATURE))
        for name, wrong in {
            "another MAC": bytes(32), "a shorter MAC": MAC[:-1], "no MAC": b"",
        }.items()
    ),
)  # fmt: skip

GROUPS: Final = (
    Group(
        "hashes",
        HASHES,
        "BUFFER_TOO_SMALL; MD2, MD4, MD5, RIPEMD-160, SHA-3 (refused, as cases show); a clone onto "
        "an active operation (a clone is a new one here)",
    ),
    Group("MACs", CODES, "BUFFER_TOO_SMALL; CBC-MAC"),
)
