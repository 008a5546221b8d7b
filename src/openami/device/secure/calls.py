# SPDX-License-Identifier: Apache-2.0
"""The functions that are called over the wall: one table for both sides, tests and documents.

Names are PSA's without the prefix `psa_`.  A function of a multi-part operation takes the handle of
the operation first; `operation_open` makes one, and it lives as long as the connection that made
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from openami.device.secure.codec import ATTRIBUTES, I32, OCTETS, SIZE, U32, U64, Shape


class Group(Enum):
    """What a function belongs to; the access table speaks of groups."""

    CRYPTO = auto()
    ITS = auto()
    PS = auto()
    ATTESTATION = auto()
    FIRMWARE = auto()
    UPDATE = auto()
    DLMS = auto()
    LIFE_CYCLE = auto()


class Kind(Enum):
    """Kinds of multi-part operations; the number travels."""

    HASH = 1
    MAC = 2
    CIPHER = 3
    AEAD = 4
    DERIVATION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One row.

    Attributes:
        name: Of the function.
        method: Of the class in `psa` that carries it out.
        kind: Of the operation that it belongs to; None where it is whole in itself.
        makes_key: Whether it may return the identifier of a new key.
    """

    number: int
    name: str
    group: Group
    method: str
    arguments: Shape = ()
    results: Shape = ()
    kind: Kind | None = None
    makes_key: bool = False


def _crypto(number: int, name: str, arguments: Shape, results: Shape, *, key: bool) -> Function:
    return Function(
        number=number,
        name=name,
        group=Group.CRYPTO,
        method=name,
        arguments=arguments,
        results=results,
        makes_key=key,
    )


_WHOLE: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("generate_random", (SIZE,), (OCTETS,)),
    ("destroy_key", (U32,), ()),
    ("purge_key", (U32,), ()),
    ("export_key", (U32,), (OCTETS,)),
    ("export_public_key", (U32,), (OCTETS,)),
    ("get_key_attributes", (U32,), (ATTRIBUTES,)),
    ("wrap_key", (U32, U32, U32), (OCTETS,)),
    ("hash_compute", (U32, OCTETS), (OCTETS,)),
    ("hash_compare", (U32, OCTETS, OCTETS), ()),
    ("mac_compute", (U32, U32, OCTETS), (OCTETS,)),
    ("mac_verify", (U32, U32, OCTETS, OCTETS), ()),
    ("cipher_encrypt", (U32, U32, OCTETS), (OCTETS,)),
    ("cipher_decrypt", (U32, U32, OCTETS), (OCTETS,)),
    ("aead_encrypt", (U32, U32, OCTETS, OCTETS, OCTETS), (OCTETS,)),
    ("aead_decrypt", (U32, U32, OCTETS, OCTETS, OCTETS), (OCTETS,)),
    ("sign_hash", (U32, U32, OCTETS), (OCTETS,)),
    ("sign_message", (U32, U32, OCTETS), (OCTETS,)),
    ("verify_hash", (U32, U32, OCTETS, OCTETS), ()),
    ("verify_message", (U32, U32, OCTETS, OCTETS), ()),
    ("raw_key_agreement", (U32, U32, OCTETS), (OCTETS,)),
)
_MAKES_KEY: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("import_key", (ATTRIBUTES, OCTETS), (U32,)),
    ("generate_key", (ATTRIBUTES,), (U32,)),
    ("copy_key", (U32, ATTRIBUTES), (U32,)),
    ("unwrap_key", (ATTRIBUTES, U32, U32, OCTETS), (U32,)),
    ("key_agreement", (U32, OCTETS, U32, ATTRIBUTES), (U32,)),
)
_STEPS: Final[tuple[tuple[Kind, str, Shape, Shape], ...]] = (
    (Kind.HASH, "setup", (U32,), ()),
    (Kind.HASH, "update", (OCTETS,), ()),
    (Kind.HASH, "finish", (), (OCTETS,)),
    (Kind.HASH, "verify", (OCTETS,), ()),
    (Kind.HASH, "abort", (), ()),
    (Kind.HASH, "clone", (), (U32,)),
    (Kind.MAC, "sign_setup", (U32, U32), ()),
    (Kind.MAC, "verify_setup", (U32, U32), ()),
    (Kind.MAC, "update", (OCTETS,), ()),
    (Kind.MAC, "sign_finish", (), (OCTETS,)),
    (Kind.MAC, "verify_finish", (OCTETS,), ()),
    (Kind.MAC, "abort", (), ()),
    (Kind.CIPHER, "encrypt_setup", (U32, U32), ()),
    (Kind.CIPHER, "decrypt_setup", (U32, U32), ()),
    (Kind.CIPHER, "generate_iv", (), (OCTETS,)),
    (Kind.CIPHER, "set_iv", (OCTETS,), ()),
    (Kind.CIPHER, "update", (OCTETS,), (OCTETS,)),
    (Kind.CIPHER, "finish", (), (OCTETS,)),
    (Kind.CIPHER, "abort", (), ()),
    (Kind.AEAD, "encrypt_setup", (U32, U32), ()),
    (Kind.AEAD, "decrypt_setup", (U32, U32), ()),
    (Kind.AEAD, "set_lengths", (SIZE, SIZE), ()),
    (Kind.AEAD, "generate_nonce", (), (OCTETS,)),
    (Kind.AEAD, "set_nonce", (OCTETS,), ()),
    (Kind.AEAD, "update_ad", (OCTETS,), ()),
    (Kind.AEAD, "update", (OCTETS,), (OCTETS,)),
    (Kind.AEAD, "finish", (), (OCTETS, OCTETS)),
    (Kind.AEAD, "verify", (OCTETS,), (OCTETS,)),
    (Kind.AEAD, "abort", (), ()),
    (Kind.DERIVATION, "setup", (U32,), ()),
    (Kind.DERIVATION, "get_capacity", (), (U32,)),
    (Kind.DERIVATION, "set_capacity", (U32,), ()),
    (Kind.DERIVATION, "input_bytes", (U32, OCTETS), ()),
    (Kind.DERIVATION, "input_integer", (U32, U64), ()),
    (Kind.DERIVATION, "input_key", (U32, U32), ()),
    (Kind.DERIVATION, "key_agreement", (U32, U32, OCTETS), ()),
    (Kind.DERIVATION, "output_bytes", (SIZE,), (OCTETS,)),
    (Kind.DERIVATION, "output_key", (ATTRIBUTES,), (U32,)),
    (Kind.DERIVATION, "verify_bytes", (OCTETS,), ()),
    (Kind.DERIVATION, "verify_key", (U32,), ()),
    (Kind.DERIVATION, "abort", (), ()),
)
_PREFIXES: Final = {Kind.DERIVATION: "key_derivation"}
_STORAGE: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("set", (U64, OCTETS, U32), ()),
    ("get", (U64, U32, SIZE), (OCTETS,)),
    ("get_info", (U64,), (U32, U32, U32)),
    ("remove", (U64,), ()),
)
_EXTENDED: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("get_support", (), (U32,)),
    ("create", (U64, U32, U32), ()),
    ("set_extended", (U64, U32, OCTETS), ()),
)
"""Of protected storage; who asks for what is optional and not there is told so."""
_FIRMWARE: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("query", (U32,), (U32, OCTETS, OCTETS, U32, U32)),
    ("start", (U32, OCTETS), ()),
    ("write", (U32, U32, OCTETS), ()),
    ("finish", (U32,), ()),
    ("cancel", (U32,), ()),
    ("clean", (U32,), ()),
    ("install", (), (I32,)),
    ("request_reboot", (), ()),
    ("reject", (OCTETS,), (I32,)),
    ("accept", (), ()),
)
"""State, error, version, octets and flags are what `query` tells; no manifest is an empty one."""
_UPDATE: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("standing", (), (U32, OCTETS, U32, U32, OCTETS, U32)),
    ("check", (OCTETS, U32, U32), ()),
    ("begin", (OCTETS, U32, U32), ()),
    ("block", (U32, OCTETS), ()),
    ("remember", (U32,), ()),
    ("give_up", (), ()),
    ("candidate", (), (OCTETS,)),
    ("finish", (), ()),
    ("install", (), ()),
    ("accept", (), ()),
    ("reject", (OCTETS,), ()),
)
"""Image transfer: `standing` tells state, identifier, size, block size, blocks there, status."""
_ARRIVED: Final[Shape] = (U32, U32, OCTETS, U32, OCTETS, U32, U32)
"""A `Protection`: control, envelope, title, counter, transaction-id, scheme, signature."""
_DLMS: Final[tuple[tuple[str, Shape, Shape], ...]] = (
    ("state", (), (OCTETS, OCTETS, U64, U32, U32)),
    ("open", (OCTETS,), (U32,)),
    ("close", (U32,), ()),
    ("unprotect", (U32, OCTETS), (OCTETS, U64, *_ARRIVED)),
    ("protect", (U32, OCTETS, U32, *_ARRIVED), (OCTETS,)),
    ("use_dedicated_key", (U32, *_ARRIVED), ()),
    ("follow", (U32,), ()),
    ("prove", (U32, OCTETS, OCTETS, OCTETS), (OCTETS,)),
    ("check", (U32, OCTETS, OCTETS, OCTETS, OCTETS), ()),
    ("check_password", (OCTETS,), ()),
    ("notify", (OCTETS, OCTETS), (OCTETS, U32)),
    ("transfer", (OCTETS, OCTETS, OCTETS), ()),
    ("transfer_group", (OCTETS, OCTETS), ()),
    ("unprotect_broadcast", (OCTETS, OCTETS), (OCTETS, *_ARRIVED)),
    ("activate", (U32,), ()),
    ("agree", (OCTETS, OCTETS), (OCTETS,)),
    ("certificates", (), (OCTETS,)),
    ("generate", (U32,), ()),
    ("request", (U32,), (OCTETS,)),
    ("import_certificate", (OCTETS,), ()),
    ("remove_certificate", (OCTETS,), ()),
)
"""`state` tells names of the keys, the counter expected, suite and policy, `unprotect` the counter
too; `transfer` takes encryption, authentication and master key, wrapped, or nothing for one that
stays, `agree` the client's title and its halves.  `transfer_group` takes broadcast and
authentication key of a group, `unprotect_broadcast` the title of the originator and what it
sent."""


def _rows() -> tuple[Function, ...]:
    found = [_crypto(0x0100 + number, *row, key=False) for number, row in enumerate(_WHOLE)]
    found += [_crypto(0x0180 + number, *row, key=True) for number, row in enumerate(_MAKES_KEY)]
    found += [
        _crypto(0x0200, "operation_open", (U32,), (U32,), key=False),
        _crypto(0x0201, "operation_close", (U32,), (), key=False),
    ]
    found += [
        Function(
            number=0x0210 + number,
            name=f"{_PREFIXES.get(kind, kind.name.lower())}_{method}",
            group=Group.CRYPTO,
            method=method,
            arguments=(U32, *arguments),
            results=results,
            kind=kind,
            makes_key=method == "output_key",
        )
        for number, (kind, method, arguments, results) in enumerate(_STEPS)
    ]
    for first, group, prefix, rows in (
        (0x0300, Group.ITS, "its", _STORAGE),
        (0x0400, Group.PS, "ps", _STORAGE + _EXTENDED),
        (0x0700, Group.FIRMWARE, "fwu", _FIRMWARE),
        (0x0780, Group.UPDATE, "update", _UPDATE),
        (0x0800, Group.DLMS, "dlms", _DLMS),
    ):
        found += [
            Function(
                number=first + number,
                name=f"{prefix}_{method}",
                group=group,
                method=method,
                arguments=arguments,
                results=results,
            )
            for number, (method, arguments, results) in enumerate(rows)
        ]
    found += [
        Function(
            number=0x0500, name="initial_attest_get_token", group=Group.ATTESTATION,
            method="get_token", arguments=(OCTETS,), results=(OCTETS,),
        ),
        Function(
            number=0x0501, name="initial_attest_get_token_size", group=Group.ATTESTATION,
            method="get_token_size", arguments=(U32,), results=(U32,),
        ),
        Function(
            number=0x0600, name="rot_lifecycle_state", group=Group.LIFE_CYCLE,
            method="state", results=(U32,),
        ),
        Function(
            number=0x0601, name="client_id", group=Group.LIFE_CYCLE,
            method="client_id", results=(I32,),
        ),
    ]  # fmt: skip
    return tuple(found)


FUNCTIONS: Final[tuple[Function, ...]] = _rows()
BY_NUMBER: Final[Mapping[int, Function]] = MappingProxyType({row.number: row for row in FUNCTIONS})
BY_NAME: Final[Mapping[str, Function]] = MappingProxyType({row.name: row for row in FUNCTIONS})
