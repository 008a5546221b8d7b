# SPDX-License-Identifier: Apache-2.0
"""Which module belongs to which: the static keys of the two ends of a link.

Each module has a key pair on P-256 of its own, and was told the other's public key when the factory
put them together (`pair`).  The private half stays behind `Agreement`: a module without a secure
world holds it in a file (`KeyFile`), one with it lets the secure world agree.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openami.firmware.keys import Entropy, fresh_p256
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_durably

POINT_OCTETS: Final = 65  # uncompressed, as PSA has it
SCALAR_OCTETS: Final = 32
FINGERPRINT_OCTETS: Final = 8
KEY_FILE: Final = "link.key"
"""A module's own key: the scalar."""
PEER_FILE: Final = "link-peer.pub"
"""The other module's public key: the point."""


class Agreement(Protocol):
    """A private key on P-256 that agrees and does nothing else."""

    @property
    def public(self) -> bytes:
        """The public half: an uncompressed point, 65 octets."""

    def agree(self, peer: bytes) -> bytes:
        """Return the shared secret with a peer's point: its x coordinate, 32 octets.

        Raises:
            ValueError: `peer` is no point of the curve.
        """


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """A private key in this process."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def fresh(cls, entropy: Entropy) -> Self:
        """Draw a key."""
        return cls(fresh_p256(entropy))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file.

        Raises:
            UserError: It is missing, or holds no key.
        """
        try:
            return cls(_private(path.read_bytes()))
        except (OSError, ValueError) as error:
            remedy = "bring it back from a backup, or exchange the meter"
            raise UserError(f"{path} is no key of a link ({error}): {remedy}") from None

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def agree(self, peer: bytes) -> bytes:
        return self.key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer)
        )


def _private(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    if len(scalar) != SCALAR_OCTETS:
        raise ValueError(f"{len(scalar)} octets are no scalar of P-256")
    return ec.derive_private_key(int.from_bytes(scalar), ec.SECP256R1())


def fingerprint(public: bytes) -> bytes:
    """Return what names a module on the line and to people: 8 octets of its key's hash."""
    return hashlib.sha256(public).digest()[:FINGERPRINT_OCTETS]


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's part of a pair.

    Attributes:
        own: Its key.
        peer: The other module's public key; None of a module that was never paired.
    """

    own: Agreement
    peer: bytes | None

    @classmethod
    def load(cls, folder: Path, walled: Agreement | None = None) -> Self:
        """Read the key files of a module.

        Args:
            folder: The module's.
            walled: Its own key where that is in a secure world; one in a file goes before it, of a
                module that was paired before it had such a key.

        Raises:
            UserError: Its own key cannot be used, or the other is no key.
        """
        own: Agreement
        if walled is not None and not (folder / KEY_FILE).exists():
            own = walled
        else:
            own = SoftwareKey.load(folder / KEY_FILE)
        path = folder / PEER_FILE
        if not path.exists():
            return cls(own, None)
        try:
            peer = path.read_bytes()
            own.agree(peer)
        except (OSError, ValueError) as error:
            remedy = "pair the modules again"
            raise UserError(f"{path} is no public key of a module ({error}): {remedy}") from None
        return cls(own, peer)

    @property
    def name(self) -> bytes:
        """Own fingerprint."""
        return fingerprint(self.own.public)

    @property
    def peer_name(self) -> bytes | None:
        """The other module's fingerprint."""
        return None if self.peer is None else fingerprint(self.peer)


def pair(one: Path, other: Path, entropy: Entropy) -> None:
    """Pair the modules whose folders these are; a key that is there is kept.

    Raises:
        UserError: A key file that is there cannot be used, or the disk refused.
    """
    _introduce(one, _kept(one, entropy).public, other, _kept(other, entropy).public)


def pair_walled(one: Path, other: Path, point: bytes, entropy: Entropy) -> None:
    """Pair a module that has its key in a file with one that has it in its secure world.

    Args:
        one: Folder of the former; a key that is there is kept.
        other: Folder of the latter; a key that it had in a file before is for the caller to erase.
        point: Public key of the latter.
        entropy: For the former's key.

    Raises:
        UserError: A key file that is there cannot be used, or the disk refused.
    """
    _introduce(one, _kept(one, entropy).public, other, point)


def _kept(folder: Path, entropy: Entropy) -> SoftwareKey:
    if not (path := folder / KEY_FILE).exists():
        drawn = SoftwareKey.fresh(entropy).key.private_numbers().private_value
        write_durably(path, drawn.to_bytes(SCALAR_OCTETS), mode=PRIVATE)
    return SoftwareKey.load(path)


def _introduce(one: Path, key_of_one: bytes, other: Path, key_of_other: bytes) -> None:
    write_durably(one / PEER_FILE, key_of_other)
    write_durably(other / PEER_FILE, key_of_one)


def pair_of(folder: Path, entropy: Entropy, walled: Agreement | None = None) -> tuple[Pair, str]:
    """Return a module's part of a pair, and what is wrong with its files; empty if nothing.

    A module whose files cannot be used goes on as one that was never paired.
    """
    try:
        found = Pair.load(folder, walled)
    except UserError as error:
        return Pair(SoftwareKey.fresh(entropy), None), str(error)
    return found, "" if found.peer else f"{folder} has no {PEER_FILE}: the module was never paired"


def is_new(one: Path, other: Path) -> bool:
    """Tell whether neither module ever had a key: only such are paired without being asked."""
    return not any((folder / KEY_FILE).exists() for folder in (one, other))
