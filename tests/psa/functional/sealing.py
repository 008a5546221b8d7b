# SPDX-License-Identifier: Apache-2.0
"""Ciphers and authenticated encryption."""

from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from openami.device.secure.calls import Kind
from openami.psa import algorithms as alg
from openami.psa.attributes import Usage
from openami.psa.status import Status
from psa.functional.keys import (
    AES,
    DES,
    HMAC,
    NOBODY,
    PAIR,
    POINT,
    PUBLIC,
    RAW,
    SCALAR,
    imported,
    key,
)
from psa.functional.table import Ask, Case, Group, ask, case, octets, opened

S: Final = Status
BAD: Final = Status.BAD_STATE
BOTH: Final = Usage.ENCRYPT | Usage.DECRYPT
CBC, PKCS7, CTR, ECB = alg.CBC_NO_PADDING, alg.CBC_PKCS7, alg.CTR, alg.ECB_NO_PADDING
CFB: Final = 0x04C01100

# SP 800-38A, F.1.1, F.2.1 and F.5.1: key, IV, first block, and what becomes of it.
SECRET: Final = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
IV: Final = bytes(range(16))
COUNTER: Final = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
BLOCK: Final = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
BLOCKS: Final = {
    "CBC": (CBC, IV, bytes.fromhex("7649abac8119b246cee98e9b12e9197d")),
    "CTR": (CTR, COUNTER, bytes.fromhex("874d6191b620e3261bef6864990db6ce")),
    "ECB": (ECB, b"", bytes.fromhex("3ad77bb40d7a3660a89ecaf32466ef97")),
}


def cipher_key(use_with: int, kind: int = AES, usage: int = BOTH, secret: bytes = SECRET) -> Ask:
    return imported(key(kind, usage=usage, use_with=use_with), secret)


def begun(use_with: int, way: str = "encrypt", iv: bytes = IV) -> tuple[Ask, ...]:
    """Return the steps that lead to a cipher that runs."""
    steps = (
        cipher_key(use_with),
        opened(Kind.CIPHER),
        ask(f"cipher_{way}_setup", "op", "key", use_with),
    )
    return steps if use_with == ECB else (*steps, ask("cipher_set_iv", "op", iv))


NOT_SET_UP: Final = {
    "raw data": (cipher_key(CBC, RAW), CBC, S.INVALID_ARGUMENT),
    "a key of HMAC": (cipher_key(CBC, HMAC), CBC, S.INVALID_ARGUMENT),
    "a public key": (cipher_key(CBC, PUBLIC, secret=POINT), CBC, S.INVALID_ARGUMENT),
    "a pair": (cipher_key(CBC, PAIR, secret=SCALAR), CBC, S.INVALID_ARGUMENT),
    "CTR with triple DES": (cipher_key(CTR, DES), CTR, S.INVALID_ARGUMENT),
    "no cipher": (cipher_key(alg.GCM), alg.GCM, S.INVALID_ARGUMENT),
    "a cipher that is not there": (cipher_key(CFB), CFB, S.NOT_SUPPORTED),
    "another algorithm than the key's": (cipher_key(CBC), CTR, S.NOT_PERMITTED),
    "a key without algorithm": (cipher_key(0), CBC, S.NOT_PERMITTED),
}

CIPHERS: Final[tuple[Case, ...]] = (
    *(
        case(test, f"{way} with {name}", made, opened(Kind.CIPHER),
             ask(f"cipher_{way}_setup", "op", "key", number, status=status))
        for name, (made, number, status) in NOT_SET_UP.items()
        for test, way in (("c032", "encrypt"), ("c033", "decrypt"))
    ),
    *(
        case(test, name, made, opened(Kind.CIPHER),
             ask(f"cipher_{way}_setup", "op", "key", CBC, status=S.NOT_PERMITTED))
        for test, way, name, made in (
            ("c032", "encrypt", "a key to decrypt", cipher_key(CBC, usage=Usage.DECRYPT)),
            ("c033", "decrypt", "a key to encrypt", cipher_key(CBC, usage=Usage.ENCRYPT)),
        )
    ),
    *(
        case(test, f"with the key {number:#x}", opened(Kind.CIPHER),
             ask(f"cipher_{way}_setup", "op", number, CBC, status=S.INVALID_HANDLE))
        for test, way in (("c032", "encrypt"), ("c033", "decrypt"))
        for number in (NOBODY, 0)
    ),
    *(
        case("c034", f"a key of {size} octets", cipher_key(CBC, secret=bytes(size)),
             opened(Kind.CIPHER), ask("cipher_encrypt_setup", "op", "key", CBC),
             ask("cipher_generate_iv", "op", gives=octets(16)))
        for size in (16, 24, 32)
    ),
    case("c034", "to decrypt", cipher_key(CBC), opened(Kind.CIPHER),
         ask("cipher_decrypt_setup", "op", "key", CBC),
         ask("cipher_generate_iv", "op", status=BAD)),
    case("c034", "a second time", begun(CBC), ask("cipher_generate_iv", "op", status=BAD)),
    case("c034", "for ECB", begun(ECB), ask("cipher_generate_iv", "op", status=BAD)),
    *(
        case("c035", f"an IV of {size} octets", cipher_key(CBC), opened(Kind.CIPHER),
             ask("cipher_encrypt_setup", "op", "key", CBC),
             ask("cipher_set_iv", "op", bytes(size), status=S.INVALID_ARGUMENT),
             ask("cipher_update", "op", BLOCK, status=BAD))
        for size in (0, 15, 17)
    ),
    case("c035", "a second time", begun(CBC), ask("cipher_set_iv", "op", IV, status=BAD)),
    case("c035", "for ECB", begun(ECB), ask("cipher_set_iv", "op", IV, status=BAD)),
    case("c036", "without a setup", opened(Kind.CIPHER),
         ask("cipher_update", "op", BLOCK, status=BAD)),
    case("c036", "without an IV", cipher_key(CBC), opened(Kind.CIPHER),
         ask("cipher_encrypt_setup", "op", "key", CBC),
         ask("cipher_update", "op", BLOCK, status=BAD)),
    *(
        case("c036", f"{name}, {way}", begun(number, way, iv),
             ask("cipher_update", "op", taken, gives=given),
             ask("cipher_finish", "op", gives=b""), ask("cipher_update", "op", b"", status=BAD))
        for name, (number, iv, sealed) in BLOCKS.items()
        for way, taken, given in (("encrypt", BLOCK, sealed), ("decrypt", sealed, BLOCK))
    ),
    *(
        case("c037", f"half a block, {name}, {way}", begun(number, way),
             ask("cipher_update", "op", bytes(8)),
             ask("cipher_finish", "op", status=S.INVALID_ARGUMENT))
        for name, number, way in (
            ("CBC", CBC, "encrypt"), ("CBC", CBC, "decrypt"), ("ECB", ECB, "encrypt"),
            ("CBC with padding", PKCS7, "decrypt"))
    ),
    case("c037", "half a block, CBC with padding, encrypt", begun(PKCS7),
         ask("cipher_update", "op", bytes(8)), ask("cipher_finish", "op", gives=octets(16))),
    case("c037", "half a block, CTR", begun(CTR), ask("cipher_update", "op", bytes(8)),
         ask("cipher_finish", "op", gives=b"")),
    case("c037", "padding that is none", begun(PKCS7, "decrypt"),
         ask("cipher_update", "op", bytes(16)),
         ask("cipher_finish", "op", status=S.INVALID_PADDING)),
    *(
        case("c038", f"nothing comes behind it, {way}", begun(CBC, way), ask("cipher_abort", "op"),
             ask("cipher_update", "op", BLOCK, status=BAD))
        for way in ("encrypt", "decrypt")
    ),
    case("c038", "an error ends in nothing else", begun(CBC),
         ask("cipher_set_iv", "op", IV, status=BAD), ask("cipher_update", "op", BLOCK, status=BAD),
         ask("cipher_encrypt_setup", "op", "key", CBC, status=BAD), ask("cipher_abort", "op"),
         ask("cipher_encrypt_setup", "op", "key", CBC)),
    *(
        case("c049", f"{name} at once", cipher_key(number),
             ask("cipher_decrypt", "key", number, iv + sealed, gives=BLOCK))
        for name, (number, iv, sealed) in BLOCKS.items()
    ),
    *(
        case("c048", f"{name} there and back", cipher_key(number),
             ask("cipher_encrypt", "key", number, BLOCK, to="sealed"),
             ask("cipher_decrypt", "key", number, "sealed", gives=BLOCK))
        for name, number in (("CBC", CBC), ("CBC with padding", PKCS7), ("CTR", CTR), ("ECB", ECB))
    ),
    case("c048", "half a block", cipher_key(CBC),
         ask("cipher_encrypt", "key", CBC, bytes(8), status=S.INVALID_ARGUMENT)),
    *(
        case("c049", f"{size} octets", cipher_key(CBC),
             ask("cipher_decrypt", "key", CBC, bytes(size), status=S.INVALID_ARGUMENT))
        for size in (0, 15, 17)
    ),
)  # fmt: skip

CCM, GCM = alg.CCM, alg.GCM
SHORT: Final = alg.shortened_tag(CCM, 4)
NONCE, AD, TEXT = bytes(range(12)), bytes(range(20)), b"a reading of some octets"
THIRTEEN: Final = bytes(range(13))
SEALED: Final = {
    "CCM, nonce of 13": (
        CCM, THIRTEEN, AD[:8], TEXT, AESCCM(SECRET).encrypt(THIRTEEN, TEXT, AD[:8])),
    "CCM, more data": (
        CCM, THIRTEEN, bytes(32), TEXT, AESCCM(SECRET).encrypt(THIRTEEN, TEXT, bytes(32))),
    "CCM, tag of 4": (SHORT, NONCE, AD, TEXT, AESCCM(SECRET, 4).encrypt(NONCE, TEXT, AD)),
    "CCM, no data": (CCM, NONCE, b"", TEXT, AESCCM(SECRET).encrypt(NONCE, TEXT, b"")),
    "CCM, no text": (CCM, NONCE, AD, b"", AESCCM(SECRET).encrypt(NONCE, b"", AD)),
    "GCM": (GCM, NONCE, AD, TEXT, AESGCM(SECRET).encrypt(NONCE, TEXT, AD)),
    "GCM, tag of 12": (
        alg.shortened_tag(GCM, 12), NONCE, AD, TEXT, AESGCM(SECRET).encrypt(NONCE, TEXT, AD)[:-4]),
}  # fmt: skip
TAG: Final = {number: alg.tag_octets(number) for number, *_ in SEALED.values()}


def aead_key(use_with: int, usage: int = BOTH, kind: int = AES, secret: bytes = SECRET) -> Ask:
    return imported(key(kind, usage=usage, use_with=use_with), secret)


def started(number: int, way: str = "encrypt", *lengths: int) -> tuple[Ask, ...]:
    """Return the steps up to the nonce, which is still to come."""
    steps = (aead_key(number), opened(Kind.AEAD), ask(f"aead_{way}_setup", "op", "key", number))
    return (*steps, ask("aead_set_lengths", "op", *lengths)) if lengths else steps


def nonced(number: int, way: str = "encrypt", ad: int = 4, text: int = 8) -> tuple[Ask, ...]:
    return (*started(number, way, ad, text), ask("aead_set_nonce", "op", NONCE))


NOT_SEALED: Final = {
    "an algorithm that is not there": (0x05100500, NONCE, S.NOT_SUPPORTED),
    "no AEAD": (CBC, NONCE, S.INVALID_ARGUMENT),
    "CCM, no nonce": (CCM, b"", S.INVALID_ARGUMENT),
    "CCM, nonce of 6": (CCM, bytes(6), S.INVALID_ARGUMENT),
    "CCM, nonce of 14": (CCM, bytes(14), S.INVALID_ARGUMENT),
    "GCM, no nonce": (GCM, b"", S.INVALID_ARGUMENT),
    "tag of no octets": (alg.shortened_tag(CCM, 0), NONCE, S.INVALID_ARGUMENT),
    "CCM, tag of 5": (alg.shortened_tag(CCM, 5), NONCE, S.INVALID_ARGUMENT),
    "GCM, tag of 17": (alg.shortened_tag(GCM, 17), NONCE, S.INVALID_ARGUMENT),
    "a policy": (alg.at_least_tag(GCM, 8), NONCE, S.INVALID_ARGUMENT),
}
WAYS: Final = (("encrypt", Usage.DECRYPT), ("decrypt", Usage.ENCRYPT))

AEAD: Final[tuple[Case, ...]] = (
    *(
        case("c024", name, aead_key(number),
             ask("aead_encrypt", "key", number, nonce, ad, text, gives=sealed))
        for name, (number, nonce, ad, text, sealed) in SEALED.items()
    ),
    *(
        case("c025", name, aead_key(number),
             ask("aead_decrypt", "key", number, nonce, ad, sealed, gives=text),
             ask("aead_decrypt", "key", number, nonce, ad + b"x", sealed,
                 status=S.INVALID_SIGNATURE),
             ask("aead_decrypt", "key", number, nonce, ad, sealed[:-1],
                 status=S.INVALID_SIGNATURE),
             ask("aead_decrypt", "key", number, nonce, ad, bytes(3), status=S.INVALID_SIGNATURE))
        for name, (number, nonce, ad, text, sealed) in SEALED.items()
    ),
    *(
        case(test, name, aead_key(number),
             ask(f"aead_{way}", "key", number, nonce, AD, bytes(32), status=status))
        for name, (number, nonce, status) in NOT_SEALED.items()
        for test, way in (("c024", "encrypt"), ("c025", "decrypt"))
    ),
    *(
        case(f"c0{24 + place}", "without the flag", aead_key(GCM, other),
             ask(f"aead_{way}", "key", GCM, NONCE, AD, bytes(32), status=S.NOT_PERMITTED))
        for place, (way, other) in enumerate(WAYS)
    ),
    *(
        case(f"c0{52 + place}", "without the flag", aead_key(GCM, other), opened(Kind.AEAD),
             ask(f"aead_{way}_setup", "op", "key", GCM, status=S.NOT_PERMITTED))
        for place, (way, other) in enumerate(WAYS)
    ),
    *(
        case(f"c0{52 + place}", f"the policy says a tag of 4, asked is one of {octets_asked}",
             aead_key(SHORT), opened(Kind.AEAD),
             ask(f"aead_{way}_setup", "op", "key", number, status=S.NOT_PERMITTED))
        for place, (way, _) in enumerate(WAYS)
        for octets_asked, number in ((8, alg.shortened_tag(CCM, 8)), (16, CCM))
    ),
    *(
        case(f"c0{52 + place}", "a key of HMAC", aead_key(GCM, kind=HMAC), opened(Kind.AEAD),
             ask(f"aead_{way}_setup", "op", "key", GCM, status=S.INVALID_ARGUMENT))
        for place, (way, _) in enumerate(WAYS)
    ),
    *(
        case(f"c0{52 + place}", f"the key {number:#x}", opened(Kind.AEAD),
             ask(f"aead_{way}_setup", "op", number, GCM, status=S.INVALID_HANDLE))
        for place, (way, _) in enumerate(WAYS)
        for number in (NOBODY, 0)
    ),
    case("c052", "twice", started(GCM), ask("aead_encrypt_setup", "op", "key", GCM, status=BAD)),
    case("c054", "CCM", started(CCM, "encrypt", 0, 0),
         ask("aead_generate_nonce", "op", gives=octets(13))),
    case("c054", "GCM", started(GCM), ask("aead_generate_nonce", "op", gives=octets(12))),
    case("c054", "without a setup", opened(Kind.AEAD),
         ask("aead_generate_nonce", "op", status=BAD)),
    case("c054", "to decrypt", started(CCM, "decrypt", 0, 0),
         ask("aead_generate_nonce", "op", status=BAD)),
    case("c054", "CCM without lengths", started(CCM),
         ask("aead_generate_nonce", "op", status=BAD)),
    case("c054", "a second time", nonced(GCM), ask("aead_generate_nonce", "op", status=BAD)),
    *(
        case("c055", f"CCM, {size} octets, {way}", started(CCM, way, 0, 0),
             ask("aead_set_nonce", "op", bytes(size), status=S.INVALID_ARGUMENT),
             ask("aead_update", "op", b"", status=BAD))
        for way, _ in WAYS
        for size in (6, 14)
    ),
    *(
        case("c055", f"a second time, {way}", nonced(CCM, way),
             ask("aead_set_nonce", "op", NONCE, status=BAD))
        for way, _ in WAYS
    ),
    *(
        case("c056", f"behind the nonce, {way}", nonced(GCM, way),
             ask("aead_set_lengths", "op", 1, 1, status=BAD))
        for way, _ in WAYS
    ),
    case("c056", "CCM, longer than its nonce allows", started(CCM, "encrypt", 0, 65536),
         ask("aead_set_nonce", "op", bytes(13), status=S.INVALID_ARGUMENT)),
    case("c056", "without a setup", opened(Kind.AEAD),
         ask("aead_set_lengths", "op", 1, 1, status=BAD)),
    *(
        case("c057", f"{name}, {way}", steps(CCM, way), asked)
        for way, _ in WAYS
        for name, steps, asked in (
            ("before the nonce", lambda number, way: started(number, way, 4, 8),
             ask("aead_update_ad", "op", b"1234", status=BAD)),
            ("more than was said", nonced,
             ask("aead_update_ad", "op", b"12345", status=S.INVALID_ARGUMENT)),
            ("as much as was said", nonced, ask("aead_update_ad", "op", b"1234")),
        )
    ),
    case("c057", "behind the text", nonced(GCM, "encrypt", 0, 8), ask("aead_update", "op", b"1234"),
         ask("aead_update_ad", "op", b"", status=BAD)),
    *(
        case("c058", f"{name}, {way}", nonced(CCM, way), given)
        for way, _ in WAYS
        for name, given in (
            ("less data than was said",
             (ask("aead_update_ad", "op", b"123"),
              ask("aead_update", "op", bytes(8), status=S.INVALID_ARGUMENT))),
            ("more text than was said",
             (ask("aead_update_ad", "op", b"1234"),
              ask("aead_update", "op", bytes(9), status=S.INVALID_ARGUMENT))),
        )
    ),
    case("c058", "before the nonce", started(GCM), ask("aead_update", "op", b"", status=BAD)),
    case("c059", "less text than was said", nonced(GCM), ask("aead_update_ad", "op", b"1234"),
         ask("aead_update", "op", bytes(7)), ask("aead_finish", "op", status=S.INVALID_ARGUMENT)),
    case("c059", "what decrypts has no tag to give", nonced(GCM, "decrypt", 0, 0),
         ask("aead_finish", "op", status=BAD)),
    *(
        case("c059", f"{name}, in parts", started(number, "encrypt", len(ad), len(text)),
             ask("aead_set_nonce", "op", nonce), ask("aead_update_ad", "op", ad[:3]),
             ask("aead_update_ad", "op", ad[3:]), ask("aead_update", "op", text, to="head"),
             ask("aead_finish", "op", gives=lambda _, found, tag=sealed[-TAG[number]:]: _same(
                 found[1], tag)))
        for name, (number, nonce, ad, text, sealed) in SEALED.items()
    ),
    case("c060", "nothing comes behind it", nonced(GCM), ask("aead_abort", "op"),
         ask("aead_update", "op", b"", status=BAD), ask("aead_encrypt_setup", "op", "key", GCM)),
    *(
        case("c061", f"{name}, in parts", started(number, "decrypt", len(ad), len(text)),
             ask("aead_set_nonce", "op", nonce), ask("aead_update_ad", "op", ad),
             ask("aead_update", "op", sealed[:-TAG[number]]),
             ask("aead_verify", "op", sealed[-TAG[number]:]))
        for name, (number, nonce, ad, text, sealed) in SEALED.items()
    ),
    case("c061", "another tag", nonced(GCM, "decrypt", 0, 0),
         ask("aead_verify", "op", bytes(16), status=S.INVALID_SIGNATURE),
         ask("aead_update", "op", b"", status=BAD)),
    case("c061", "less text than was said", nonced(GCM, "decrypt", 0, 8),
         ask("aead_update", "op", bytes(7)),
         ask("aead_verify", "op", bytes(16), status=S.INVALID_ARGUMENT)),
    case("c061", "what encrypts has no tag to compare", nonced(GCM, "encrypt", 0, 0),
         ask("aead_verify", "op", bytes(16), status=BAD)),
)  # fmt: skip


def _same(found: object, wanted: object) -> None:
    assert found == wanted


GROUPS: Final = (
    Group("ciphers", CIPHERS, "BUFFER_TOO_SMALL; CFB, OFB, XTS, CCM*; RSA keys"),
    Group("AEAD", AEAD, "BUFFER_TOO_SMALL; ChaCha20-Poly1305"),
)
