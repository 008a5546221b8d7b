# SPDX-License-Identifier: Apache-2.0
"""The key store: keys by identifier, and the policy that each use is held to.

PSA Certified Crypto API, Key management functions and Key policies.  Each client has a name space
of its own.  Where a key lies::

    volatile     in memory, until it is destroyed or the store goes
    persistent   in a `KeyCabinet`; read for each use, kept in memory only with the flag CACHE
    built in     told when the store is made; no call creates, destroys or changes it

A use is judged in this order: does the key exist (INVALID_HANDLE), has it the usage flag and
does its policy permit the algorithm (NOT_PERMITTED); what comes after, the function judges.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from openami.psa import formats
from openami.psa.algorithms import Algorithm, intersection, named, permits
from openami.psa.attributes import (
    ATTRIBUTES_OCTETS,
    BUILTIN_IDS,
    NULL,
    READ_ONLY,
    VOLATILE_IDS,
    KeyAttributes,
    KeyType,
    Usage,
    check_creation,
    persistence,
)
from openami.psa.formats import Random
from openami.psa.status import PsaError, Status

STORED_VERSION: Final = b"\x01"
"""First octet of a stored key; attributes and material follow."""


_NO_SIZE: Final = -1
"""Agrees with no material: a stored key says its size."""


class KeyCabinet(Protocol):
    """Where persistent keys lie; each call is atomic and durable."""

    def read(self, client: int, key_id: int) -> bytes | None:
        """Return what was written, None if nothing is there."""

    def write(self, client: int, key_id: int, octets: bytes) -> None:
        """Keep `octets` under this name."""

    def remove(self, client: int, key_id: int) -> None:
        """Forget what is there."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the functions of this room use it; it never leaves the room whole."""

    attributes: KeyAttributes
    material: bytes = field(repr=False)

    @property
    def kind(self) -> KeyType:
        """The type, which was checked when the key came."""
        return KeyType(self.attributes.type)

    def encode(self) -> bytes:
        """Return the key as it is stored."""
        return STORED_VERSION + self.attributes.encode() + self.material

    @classmethod
    def decode(cls, octets: bytes) -> "Key":
        """Return a stored key.

        Raises:
            PsaError: DATA_INVALID, these are not the octets of a key.
        """
        if octets[:1] != STORED_VERSION:
            problem = f"the stored key has version {octets[:1].hex() or '(none)'}, not 01"
            raise PsaError(Status.DATA_INVALID, problem, "stored key")
        attributes = KeyAttributes.decode(octets[1 : 1 + ATTRIBUTES_OCTETS])
        material = octets[1 + ATTRIBUTES_OCTETS :]
        try:
            kind = check_creation(attributes)
            formats.check_material(kind, material, attributes.bits or _NO_SIZE)
        except PsaError as error:
            raise PsaError(Status.DATA_INVALID, error.problem, "stored key") from None
        return cls(attributes, material)


@dataclass(frozen=True, slots=True)
class BuiltinKey:
    """A key the device was born with.

    Attributes:
        attributes: With an identifier of `BUILTIN_IDS`.
        material: In the format of its type.
        clients: Who may use it.
    """

    attributes: KeyAttributes
    material: bytes = field(repr=False)
    clients: frozenset[int]


class KeyStore:
    """All keys of all clients."""

    __slots__ = ("_builtin", "_cabinet", "_cache", "_next_volatile", "_random", "_volatile")

    def __init__(
        self, cabinet: KeyCabinet, random: Random, builtin: Iterable[BuiltinKey] = ()
    ) -> None:
        self._cabinet = cabinet
        self._random = random
        self._volatile: dict[tuple[int, int], Key] = {}
        self._cache: dict[tuple[int, int], Key] = {}
        self._next_volatile = VOLATILE_IDS.start
        self._builtin = {each.attributes.id: _checked(each) for each in builtin}

    # Creation

    def import_key(self, client: int, attributes: KeyAttributes, data: bytes) -> int:
        """psa_import_key: return the identifier of a new key with the material `data`."""
        kind = self._creatable(client, attributes)
        bits = formats.check_material(kind, data, attributes.bits)
        return self._keep(client, replace(attributes, bits=bits), data)

    def generate_key(self, client: int, attributes: KeyAttributes) -> int:
        """psa_generate_key: return the identifier of a new random key."""
        kind = self._creatable(client, attributes)
        if kind.is_public:
            problem = "a public key is not generated: generate the pair"
            raise PsaError(Status.INVALID_ARGUMENT, problem, kind.name)
        formats.check_size(kind, attributes.bits)
        material = formats.fresh_material(kind, attributes.bits, self._random)
        return self._keep(client, attributes, material)

    def copy_key(self, client: int, source_id: int, attributes: KeyAttributes) -> int:
        """psa_copy_key: return the identifier of a copy with a policy not wider than the source's.

        Type and bits may be 0, or must be the source's.  The copy has the usage flags that both
        have, and the narrower of both permitted algorithms.
        """
        source = self.use(client, source_id, Usage.COPY)
        held = source.attributes
        place = f"key 0x{source_id:08X}"
        if attributes.type not in {KeyType.NONE, held.type} or attributes.bits not in {
            0,
            held.bits,
        }:
            problem = "type and size of a copy are those of its source"
            raise PsaError(Status.INVALID_ARGUMENT, problem, place)
        alg = intersection(held.alg, attributes.alg)
        if alg is None:
            problem = f"the source permits another algorithm, 0x{held.alg:08X}"
            raise PsaError(Status.INVALID_ARGUMENT, problem, named(attributes.alg))
        wanted = replace(attributes, type=held.type, bits=held.bits, alg=alg)
        self._creatable(client, wanted)
        usage = wanted.normalized().usage & held.usage
        return self._keep(client, replace(wanted, usage=usage), source.material)

    def _creatable(self, client: int, attributes: KeyAttributes) -> KeyType:
        kind = check_creation(attributes)
        if not attributes.is_volatile and self._cabinet.read(client, attributes.id) is not None:
            problem = "a key with this identifier exists: destroy it first"
            raise PsaError(Status.ALREADY_EXISTS, problem, f"key 0x{attributes.id:08X}")
        return kind

    def _keep(self, client: int, attributes: KeyAttributes, material: bytes) -> int:
        attributes = attributes.normalized()
        if attributes.is_volatile:
            attributes = replace(attributes, id=self._fresh_id())
            self._volatile[client, attributes.id] = Key(attributes, material)
        else:
            self._cabinet.write(client, attributes.id, Key(attributes, material).encode())
        return attributes.id

    def _fresh_id(self) -> int:
        found = self._next_volatile
        if found not in VOLATILE_IDS:
            problem = "all identifiers of volatile keys were given: restart the secure world"
            raise PsaError(Status.INSUFFICIENT_MEMORY, problem, "key store")
        self._next_volatile = found + 1
        return found

    # Destruction

    def destroy_key(self, client: int, key_id: int) -> None:
        """psa_destroy_key: forget a key; the null identifier is no key and no error."""
        if key_id == NULL:
            return
        if persistence(self.attributes(client, key_id).lifetime) == READ_ONLY:
            raise _refused(key_id, "a read-only key cannot be destroyed")
        self._cache.pop((client, key_id), None)
        if self._volatile.pop((client, key_id), None) is None:
            self._cabinet.remove(client, key_id)

    def purge_key(self, client: int, key_id: int) -> None:
        """psa_purge_key: remove copies from memory that nothing needs."""
        self._find(client, key_id)
        self._cache.pop((client, key_id), None)

    def forget_client(self, client: int) -> None:
        """Destroy the volatile keys of a client that went away."""
        for place in [place for place in self._volatile if place[0] == client]:
            del self._volatile[place]
        for place in [place for place in self._cache if place[0] == client]:
            del self._cache[place]

    # Reading

    def attributes(self, client: int, key_id: int) -> KeyAttributes:
        """psa_get_key_attributes."""
        return self._find(client, key_id).attributes

    def export_key(self, client: int, key_id: int) -> bytes:
        """psa_export_key; a public key needs no permission."""
        key = self._find(client, key_id)
        if not key.kind.is_public and not key.attributes.usage & Usage.EXPORT:
            raise _refused(key_id, "the key has not the usage flag EXPORT")
        return key.material

    def export_public_key(self, client: int, key_id: int) -> bytes:
        """psa_export_public_key: 04 || x || y, of a pair or of a public key."""
        key = self._find(client, key_id)
        if key.kind.is_public:
            return key.material
        if not key.kind.is_pair:
            problem = "only a key pair or a public key has a public half"
            raise PsaError(Status.INVALID_ARGUMENT, problem, f"key 0x{key_id:08X}")
        return formats.public_point(formats.private_key(key.material).public_key())

    def use(self, client: int, key_id: int, usage: Usage, alg: Algorithm | None = None) -> Key:
        """Return a key for a use that its policy permits.

        Args:
            client: Who asks.
            key_id: Which key.
            usage: One of these flags must be set.
            alg: What it is to be used with; None where no algorithm is involved.

        Raises:
            PsaError: INVALID_HANDLE or NOT_PERMITTED.
        """
        key = self._find(client, key_id)
        if not key.attributes.usage & usage:
            raise _refused(key_id, f"the key has not the usage flag {usage.name}")
        if alg is not None and not permits(key.attributes.alg, alg):
            permitted = f"0x{key.attributes.alg:08X}"
            raise _refused(key_id, f"the key permits {permitted}, not {named(alg)}")
        return key

    def _find(self, client: int, key_id: int) -> Key:
        builtin = self._builtin.get(key_id)
        if builtin is not None and client in builtin.clients:
            return Key(builtin.attributes, builtin.material)
        place = (client, key_id)
        found = self._volatile.get(place) or self._cache.get(place)
        if found is not None:
            return found
        stored = self._cabinet.read(client, key_id) if key_id != NULL else None
        if stored is None:
            raise PsaError(Status.INVALID_HANDLE, "no such key", f"key 0x{key_id:08X}")
        key = Key.decode(stored)
        if key.attributes.id != key_id:
            problem = f"it says of itself that it is key 0x{key.attributes.id:08X}"
            raise PsaError(Status.DATA_CORRUPT, problem, f"key 0x{key_id:08X}")
        if key.attributes.usage & Usage.CACHE:
            self._cache[place] = key
        return key


def _checked(builtin: BuiltinKey) -> BuiltinKey:
    attributes = builtin.attributes
    if attributes.id not in BUILTIN_IDS:
        raise ValueError(f"0x{attributes.id:08X} is no identifier of a built-in key")
    bits = formats.check_material(KeyType(attributes.type), builtin.material, attributes.bits)
    held = replace(attributes, bits=bits, lifetime=READ_ONLY).normalized()
    return replace(builtin, attributes=held)


def _refused(key_id: int, problem: str) -> PsaError:
    return PsaError(Status.NOT_PERMITTED, problem, f"key 0x{key_id:08X}")
