# SPDX-License-Identifier: Apache-2.0
"""A secure world in memory for tests: nothing is forgotten, nothing left to chance."""

from dataclasses import dataclass, field
from hashlib import sha256

from openami.psa.attributes import KeyAttributes, KeyType, Usage
from openami.psa.crypto import Crypto
from openami.psa.keystore import BuiltinKey, KeyCabinet, KeyStore

CLIENT = -1
OTHER = 7
BUILTIN = 0x40000001
ALL = Usage(sum(Usage))


@dataclass
class MemoryCabinet(KeyCabinet):
    held: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def read(self, client: int, key_id: int) -> bytes | None:
        return self.held.get((client, key_id))

    def write(self, client: int, key_id: int, octets: bytes) -> None:
        self.held[client, key_id] = octets

    def remove(self, client: int, key_id: int) -> None:
        del self.held[client, key_id]


class Noise:
    """Octets that look random and are the same in each run."""

    def __init__(self, seed: bytes = b"noise") -> None:
        self.state = seed

    def __call__(self, octets: int) -> bytes:
        found = b""
        while len(found) < octets:
            self.state = sha256(self.state).digest()
            found += sha256(self.state + b"out").digest()
        return found[:octets]


@dataclass
class World:
    cabinet: MemoryCabinet = field(default_factory=MemoryCabinet)
    random: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Lose what is volatile."""
        secret = BuiltinKey(
            KeyAttributes(type=KeyType.AES, id=BUILTIN, usage=Usage.ENCRYPT, alg=0x05500200),
            bytes(range(16)),
            frozenset({CLIENT}),
        )
        self.keys = KeyStore(self.cabinet, self.random, [secret])
        self.crypto = Crypto(self.keys, CLIENT, self.random)
        self.other = Crypto(self.keys, OTHER, self.random)

    def key(self, kind: int, alg: int, material: bytes, usage: int = ALL) -> int:
        """Import a volatile key of the first client."""
        return self.crypto.import_key(KeyAttributes(type=kind, usage=usage, alg=alg), material)
