# SPDX-License-Identifier: Apache-2.0
"""The concentrator's own DLMS keys, and its counters under them, durable before they are used.

`keys.json` has the form of a meter's (docs/provisioning.md, 2.2).  `counters.json` beside it holds
the first counter that was never reserved, and one that is above all that were accepted; after a
crash some are skipped, and none is used or accepted twice.
"""

from pathlib import Path
from typing import Final

from openami.cosem.device import Ciphering
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, InvocationCounter
from openami.dlms.security.keyset import KeySet
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import PRIVATE, read_json, write_json

FORMAT: Final = "openami-keys-1"
KEY_OCTETS: Final = 16
REMEDY: Final = "restore it, or remove it and let `openami up` make another"
BLOCK: Final = 256  # counters reserved at a time, and marked as accepted in advance


class OwnCounters:
    """Counters in a file (`counters.CounterReserve`)."""

    def __init__(self, path: Path) -> None:
        """Take up what an earlier process left.

        Raises:
            ConfigurationError: The file is damaged.
        """
        self._path = path
        self._sent = self._accepted = 1
        if path.exists():
            said = read_json(path, REMEDY)
            try:
                self._sent, self._accepted = int(said["sent"]), int(said["accepted"])
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigurationError(f"{path} holds no counters: {REMEDY}") from error

    @property
    def accepted(self) -> int:
        """The lowest counter that a new process accepts."""
        return self._accepted

    def reserve(self, count: int) -> InvocationCounter:
        """Return the first of `count` counters, durable before it is used.

        Raises:
            UserError: The file cannot be written; nothing is reserved.
        """
        first = InvocationCounter(self._sent)
        self._write(self._sent + count, self._accepted)
        return first

    def follow(self, expected: int) -> None:
        """Keep ahead of what was accepted; call it before the answer goes out.

        Raises:
            UserError: The file cannot be written: a new process would accept it once more.
        """
        if expected > self._accepted:
            self._write(self._sent, expected + BLOCK)

    def _write(self, sent: int, accepted: int) -> None:
        write_json(self._path, {"sent": sent, "accepted": accepted}, mode=PRIVATE)
        self._sent, self._accepted = sent, accepted


def load_keys(path: Path, title: bytes) -> KeySet | None:
    """Read the keys; None where there are none.

    Raises:
        ConfigurationError: The file is damaged, or another device's.
    """
    if not path.exists():
        return None
    said = read_json(path, REMEDY)
    try:
        right = said["format"] == FORMAT and bytes.fromhex(said["title"]) == title
        encryption, authentication = (bytes.fromhex(said[name]) for name in ("guek", "gak"))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} holds no keys ({error!r}): {REMEDY}") from error
    if not right or len(encryption) != KEY_OCTETS or len(authentication) != KEY_OCTETS:
        wanted = f"format {FORMAT}, title {title.hex().upper()}, keys of {KEY_OCTETS} octets"
        raise ConfigurationError(f"{path} is not of this concentrator ({wanted}): {REMEDY}")
    return KeySet(encryption_key=encryption, authentication_key=authentication)


def ciphering_of(keys: KeySet, counters: OwnCounters) -> Ciphering:
    """Return what the head-end shares with us."""
    found = Ciphering(cipher=Cipher(keys), counters=CounterBlock.reserving(counters, BLOCK))
    found.window.expected = counters.accepted
    return found
