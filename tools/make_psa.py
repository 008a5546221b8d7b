# SPDX-License-Identifier: Apache-2.0
"""Write the tables of docs/psa.md from the tables that the secure world runs on.

    python tools/make_psa.py

`filled` is what the test compares with the committed page.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from openami.psa import algorithms, operations
from openami.psa.aead import AeadOperation
from openami.psa.attestation import OLD_CLAIMS, InitialAttestation
from openami.psa.attributes import BUILTIN_IDS, USER_IDS, VOLATILE_IDS, KeyType, Usage
from openami.psa.ciphers import MODES, CipherOperation
from openami.psa.crypto import Crypto
from openami.psa.derivation import PLANS, KeyDerivation, Step
from openami.psa.digests import HashOperation, MacOperation
from openami.psa.formats import CURVES, SYMMETRIC_BITS
from openami.psa.lifecycle import STAGES
from openami.psa.operations import Transitions
from openami.psa.protected import ProtectedStorage
from openami.psa.storage import InternalTrustedStorage

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "psa.md"
Rows = Iterable[tuple[object, ...]]


def table(head: tuple[str, ...], rows: Rows) -> str:
    """Return a table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in row)} |\n" for row in lines)


PREFIXES: tuple[tuple[type, str, str], ...] = (
    (Crypto, "psa_", "Crypto"),
    (HashOperation, "psa_hash_", "Crypto"),
    (MacOperation, "psa_mac_", "Crypto"),
    (CipherOperation, "psa_cipher_", "Crypto"),
    (AeadOperation, "psa_aead_", "Crypto"),
    (KeyDerivation, "psa_key_derivation_", "Crypto"),
    (InternalTrustedStorage, "psa_its_", "Secure Storage"),
    (ProtectedStorage, "psa_ps_", "Secure Storage"),
    (InitialAttestation, "psa_initial_attest_", "Attestation"),
)
"""Which class offers the functions with which prefix, and whose API they are of."""

ABSENT = {
    "psa_ps_create": "always NOT_SUPPORTED",
    "psa_ps_set_extended": "always NOT_SUPPORTED",
    "psa_ps_get_support": "0",
}


def functions() -> str:
    """Every function that is offered."""
    rows = []
    for owner, prefix, api in PREFIXES:
        for name, member in inspect.getmembers(owner, inspect.isfunction):
            if name.startswith("_") or name in {"hash_operation", "mac_operation"}:
                continue
            if name in {"cipher_operation", "aead_operation", "key_derivation"}:
                continue
            place = f"`{owner.__module__.removeprefix('openami.')}.{owner.__name__}.{name}`"
            full = prefix + member.__name__
            rows.append((api, f"`{full}`", place, ABSENT.get(full, "")))
    return table(("API", "function", "where", ""), rows)


def _hex(number: int) -> str:
    return f"`0x{number:08X}`"


def algorithm_table() -> str:
    """Every algorithm."""
    hashes = {kind.digest.name: alg for alg, kind in algorithms.HASHES.items()}
    rows: list[tuple[object, ...]] = [
        (name.upper(), _hex(alg), f"{algorithms.HASHES[alg].octets} octets")
        for name, alg in hashes.items()
    ]
    rows += [
        ("HMAC", _hex(algorithms.HMAC_BASE), "and the hash in bits 7..0; cut from 4 octets on"),
        ("CMAC", _hex(algorithms.CMAC), "AES; cut from 4 octets on"),
    ]
    names = {
        algorithms.ECB_NO_PADDING: "ECB_NO_PADDING",
        algorithms.CBC_NO_PADDING: "CBC_NO_PADDING",
        algorithms.CBC_PKCS7: "CBC_PKCS7",
        algorithms.CTR: "CTR",
    }
    rows += [
        (names[alg], _hex(alg), ", ".join(sorted(kind.name for kind in mode.kinds)))
        for alg, mode in MODES.items()
    ]
    tags = {"CCM": algorithms.CCM_TAGS_OCTETS, "GCM": algorithms.GCM_TAGS_OCTETS}
    rows += [
        (
            name,
            _hex(getattr(algorithms, name)),
            f"AES; tags of {', '.join(map(str, sorted(allowed)))} octets",
        )
        for name, allowed in tags.items()
    ]
    curves = ", ".join(f"P-{bits}" for bits in CURVES)
    rows += [
        ("ECDSA", _hex(algorithms.ECDSA_ANY), f"{curves}; and the hash; alone for any hash"),
        ("DETERMINISTIC_ECDSA", _hex(algorithms.DETERMINISTIC_ECDSA_BASE), f"{curves}; RFC 6979"),
    ]
    kdf = {
        algorithms.HKDF_BASE: "HKDF",
        algorithms.HKDF_EXTRACT_BASE: "HKDF_EXTRACT",
        algorithms.HKDF_EXPAND_BASE: "HKDF_EXPAND",
        algorithms.TLS12_PRF_BASE: "TLS12_PRF",
    }
    rows += [
        (kdf[alg], _hex(alg), "and the hash; steps " + ", ".join(step.name for step in plan.before))
        for alg, plan in PLANS.items()
    ]
    rows += [
        ("ECDH", _hex(algorithms.ECDH), f"{curves}; alone, or with a key derivation in it"),
        ("AES_KW", _hex(algorithms.AES_KW), "RFC 3394"),
    ]
    return table(("algorithm", "number", ""), rows)


def key_table() -> str:
    """Key types, usage flags, steps and identifiers."""
    sizes = {kind: ", ".join(map(str, bits)) for kind, bits in SYMMETRIC_BITS.items()}
    both = ", ".join(map(str, CURVES))
    kinds = table(
        ("key type", "number", "bits"),
        (
            (
                kind.name,
                f"`0x{kind:04X}`",
                both if kind.is_pair or kind.is_public else sizes.get(kind, "8 to 65528"),
            )
            for kind in KeyType
            if kind is not KeyType.NONE
        ),
    )
    ids = table(
        ("identifiers", "whose"),
        (
            (f"`0x{ids.start:08X}` to `0x{ids.stop - 1:08X}`", whose)
            for ids, whose in (
                (USER_IDS, "chosen for persistent keys"),
                (BUILTIN_IDS, "keys the device was born with"),
                (VOLATILE_IDS, "given to volatile keys"),
            )
        ),
    )
    flags = table(
        ("usage flag", "number"), ((flag.name, _hex(flag)) for flag in Usage if flag.name)
    )
    steps = table(("step of a derivation", "number"), ((s.name, f"`0x{s:04X}`") for s in Step))
    return f"{kinds}\n{ids}\n{flags}\n{steps}"


def operation_tables() -> str:
    """Each kind of multi-part operation: from which state which call leads where."""

    def one(name: str, transitions: Transitions) -> str:
        rows = (
            (start.name.lower(), f"`{call.name.lower()}`", to.name.lower())
            for (start, call), to in transitions.items()
        )
        return table((name, "call", "then"), rows)

    kinds = {
        "hash": operations.HASH,
        "MAC": operations.MAC,
        "cipher": operations.CIPHER,
        "AEAD": operations.AEAD,
        "key derivation": operations.DERIVATION,
    }
    return "\n".join(one(name, transitions) for name, transitions in kinds.items())


def lifecycle_table() -> str:
    """What each state of the life cycle permits, and where it leads."""

    def yes(permitted: bool) -> str:  # noqa: FBT001 - a cell
        return "yes" if permitted else ""

    return table(
        ("state", "claim", "fuses", "debug outside", "debug inside", "provisioning", "keys",
         "believed", "then"),
        (
            (
                state.name.lower(),
                f"`0x{state:04X}`",
                f"`{stage.fuses:08b}`" if stage.fuses >= 0 else "any other",
                yes(stage.debug_non_secure),
                yes(stage.debug_secure),
                yes(stage.provisioning),
                yes(stage.keys),
                yes(stage.trustworthy),
                ", ".join(each.name.lower() for each in sorted(stage.following)),
            )
            for state, stage in STAGES.items()
        ),
    )  # fmt: skip


def claim_table() -> str:
    """Claims by their numbers in both profiles."""
    return table(("RFC 9783", "PSA_IOT_PROFILE_1"), ((new, old) for old, new in OLD_CLAIMS.items()))


def functional_table() -> str:
    """The functional cases, by group."""
    sys.path.insert(0, str(ROOT / "tests"))
    from psa.functional.groups import coverage  # noqa: PLC0415  the tests' own tables

    head = ("group", "after", "cases", "over the wall", "not covered, and why")
    return table(head, coverage())


TABLES: dict[str, Callable[[], str]] = {
    "functions": functions,
    "algorithms": algorithm_table,
    "keys": key_table,
    "operations": operation_tables,
    "life cycle": lifecycle_table,
    "claims": claim_table,
    "functional": functional_table,
}


def filled(text: str) -> str:
    """Return the page with its tables as they are now."""

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- table: {name} -->\n\n{TABLES[name]()}\n<!-- end -->"

    pattern = r"<!-- table: (?P<name>[a-z ]+) -->.*?<!-- end -->"
    return re.sub(pattern, made, text, flags=re.DOTALL)


def main() -> None:
    """Bring the page up to date."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
