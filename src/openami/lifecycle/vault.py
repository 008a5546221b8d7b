# SPDX-License-Identifier: Apache-2.0
"""The keys that firmware is believed by, in a folder that no one person can open.

==================  ==========================================================================
file                what
==================  ==========================================================================
``NAME.pem``        public key
``NAME.key.pem``    private key, PKCS #8, encrypted; its password is a split key in hexadecimal
``ceremony.jsonl``  what was done, when, with whose cards; each line has the hash of the one before
==================  ==========================================================================

The root key says which signing keys are given up (`firmware.revocation`); the signing keys sign
images.  Each of both groups has a key-encryption key of its own, split into cards (`shares`) of
which only a quorum opens anything.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from openami.firmware.errors import KeyFormatError
from openami.firmware.keys import (
    Entropy,
    PrivateKey,
    VerifyingKey,
    fresh_p256,
    private_key,
    public_key,
)
from openami.firmware.revocation import Revocation, name_of
from openami.firmware.shares import KEY_OCTETS, Share, ShareError, join, split
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import PRIVATE, write_durably

LOG: Final = "ceremony.jsonl"
PUBLIC_END: Final = ".pem"
PRIVATE_END: Final = ".key.pem"
ROOT: Final = "root"
SIGNING: Final = "signing-"
FIRST: Final = "0" * 64
MOST_SIGNING: Final = 16


class Group(Enum):
    """Keys that the same cards open."""

    ROOT = "root"
    SIGNING = "signing"

    @classmethod
    def of(cls, name: str) -> "Group":
        return cls.ROOT if name == ROOT else cls.SIGNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """How many cards there are, and how many open the keys."""

    needed: int
    cards: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log."""

    before: str
    at: str
    action: str
    details: Mapping[str, object]

    @property
    def line(self) -> str:
        fields = {"before": self.before, "at": self.at, "action": self.action, **self.details}
        return json.dumps(fields, sort_keys=True)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.line.encode()).hexdigest()


@dataclass(slots=True)
class Vault:
    """An open folder.

    Attributes:
        folder: Where everything lies.
        now: Gives the time for the log, UTC.
    """

    folder: Path
    now: Callable[[], datetime]

    @classmethod
    def begin(
        cls,
        folder: Path,
        *,
        signing: int,
        quorum: Quorum,
        entropy: Entropy,
        now: Callable[[], datetime],
    ) -> tuple[Self, Mapping[Group, tuple[Share, ...]]]:
        """Make the keys; return the vault, and the cards that nobody will see again.

        Raises:
            ShareError: The quorum is none.
            UserError: The folder is in use or cannot be written, or the number of keys is odd.
        """
        if not 1 <= signing <= MOST_SIGNING:
            sentence = f"{signing} signing keys: give 1 to {MOST_SIGNING}, spare ones included"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        if folder.exists() and any(folder.iterdir()):
            sentence = f"{folder} is not empty, and keys are never overwritten: give a new folder"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        wrapping = {group: entropy(KEY_OCTETS) for group in Group}
        cards = {
            group: split(key, quorum.needed, quorum.cards, entropy)
            for group, key in wrapping.items()
        }
        vault = cls(folder, now)
        names = (ROOT, *(f"{SIGNING}{number}" for number in range(1, signing + 1)))
        made = {name: fresh_p256(entropy) for name in names}
        for name, key in made.items():
            vault._keep(name, key, wrapping[Group.of(name)])
        vault.note(
            "begun",
            keys={name: name_of(VerifyingKey.of(key)).hex() for name, key in made.items()},
            needed=quorum.needed,
            cards=quorum.cards,
            ceremonies={group.value: row[0].ceremony.hex() for group, row in cards.items()},
        )
        return vault, cards

    @classmethod
    def open(cls, folder: Path, now: Callable[[], datetime]) -> Self:
        """Open a folder.

        Raises:
            UserError: It is none, or its log was altered.
        """
        vault = cls(folder, now)
        if not vault.log():
            sentence = f"{folder} holds no {LOG}: give a folder that `openami credentials begin`"
            raise UserError(f"{sentence} made", ExitCode.ASKED_WRONGLY)
        return vault

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keys."""
        return tuple(self._made)

    def public(self, name: str) -> VerifyingKey:
        """Return a public key.

        Raises:
            UserError: There is none of this name, or it is not the one that the log speaks of.
        """
        if name not in self._made:
            sentence = f"{self.folder} has no key {name!r}: give one of {', '.join(self.names)}"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        path = self.folder / f"{name}{PUBLIC_END}"
        try:
            found = public_key(_read(path))
        except KeyFormatError as error:
            raise UserError(f"{path}: {error}: restore it") from None
        if name_of(found).hex() != self._made[name]:
            raise UserError(f"{path} is another key than the one that {LOG} tells of: restore it")
        return found

    @property
    def _made(self) -> Mapping[str, str]:
        """The hash of each key, as it was when the vault was begun."""
        keys = self.log()[0].details.get("keys")
        return {name: str(keys[name]) for name in keys} if isinstance(keys, dict) else {}

    def private(self, name: str, cards: Sequence[Share]) -> ec.EllipticCurvePrivateKey:
        """Open a private key with enough cards of its group.

        Raises:
            UserError: The cards are too few or of another group, or the key was exchanged.
        """
        path = self.folder / f"{name}{PRIVATE_END}"
        public = self.public(name)
        octets = _read(path)
        try:
            found: PrivateKey = private_key(octets, join(cards).hex().encode())
        except ShareError as error:
            raise UserError(str(error)) from None
        except KeyFormatError:
            sentence = f"these cards do not open {path}: use those of the {Group.of(name).value}"
            raise UserError(f"{sentence} key") from None
        if not isinstance(found, ec.EllipticCurvePrivateKey) or name_of(
            VerifyingKey.of(found)
        ) != name_of(public):
            raise UserError(f"{path} is not the private key of {name}{PUBLIC_END}: restore both")
        return found

    def revoke(self, name: str, cards: Sequence[Share]) -> Revocation:
        """Give up a signing key: sign the statement that images carry to the meters.

        It names all keys that were ever given up, so that the newest one says everything.

        Raises:
            UserError: The key is unknown or the root's, none would be left, or the cards do not
                open the root key.
        """
        given_up = dict.fromkeys((*self.revoked(), name))
        if name not in self.names or name == ROOT:
            sentence = f"{name!r} is no signing key of {self.folder}: give one of "
            raise UserError(
                sentence + ", ".join(each for each in self.names if each != ROOT),
                ExitCode.ASKED_WRONGLY,
            )
        if len(given_up) == len(self.names) - 1:
            sentence = f"{name} is the last signing key: without it no meter takes an image again"
            raise UserError(f"{sentence}; begin a new folder and exchange the meters")
        root = self.private(ROOT, cards)
        statement = Revocation.make([self.public(each) for each in given_up], root)
        self.note("revoked", key=name, cards=[card.number for card in cards])
        return statement

    def revoked(self) -> tuple[str, ...]:
        """Return the names of the keys that were given up."""
        return tuple(str(entry.details["key"]) for entry in self.log() if entry.action == "revoked")

    def note(self, action: str, **details: object) -> None:
        """Put a line behind the log."""
        log = self.log()
        before = log[-1].digest if log else FIRST
        entry = Entry(before, self.now().isoformat(timespec="seconds"), action, details)
        lines = "".join(f"{each.line}\n" for each in (*log, entry))
        write_durably(self.folder / LOG, lines.encode())

    def log(self) -> tuple[Entry, ...]:
        """Return the log.

        Raises:
            UserError: A line was altered, inserted or taken out.
        """
        path = self.folder / LOG
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError):
            raise UserError(f"{path} cannot be read: restore it from a backup") from None
        return tuple(_chained(path, text))

    def _keep(self, name: str, key: ec.EllipticCurvePrivateKey, wrapping: bytes) -> None:
        form = BestAvailableEncryption(wrapping.hex().encode())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, form)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        write_durably(self.folder / f"{name}{PRIVATE_END}", private, mode=PRIVATE)
        write_durably(self.folder / f"{name}{PUBLIC_END}", public)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it") from None


def _chained(path: Path, text: str) -> Iterator[Entry]:
    before = FIRST
    for number, line in enumerate(text.splitlines(), 1):
        try:
            fields = json.loads(line)
            entry = Entry(fields.pop("before"), fields.pop("at"), fields.pop("action"), fields)
        except (ValueError, KeyError, AttributeError):
            raise UserError(f"{path}, line {number}, is no entry: restore it") from None
        if entry.before != before or entry.line != line:
            sentence = f"{path}, line {number}, does not follow the line before: it was altered"
            raise UserError(f"{sentence}; restore it from a backup")
        before = entry.digest
        yield entry
