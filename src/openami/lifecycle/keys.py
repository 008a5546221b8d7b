# SPDX-License-Identifier: Apache-2.0
"""A meter's keys as they leave the factory: `keys.json` (docs/provisioning.md, 2.2)."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json

FORMAT: Final = "openami-keys-1"
KEY_OCTETS: Final = 16
REMEDY: Final = "restore it from a backup; a meter without its keys has to be exchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """The secrets of one meter in suite 0, 16 octets each; never shown by `repr`.

    Attributes:
        epoch: Counts changes of the keys, from 1.
        guek: Global unicast encryption key.
        gak: Global authentication key.
        kek: Key-encryption key (master key), wraps new keys.
        lls: Secret of the reader (client 32).
    """

    epoch: int
    guek: bytes
    gak: bytes
    kek: bytes
    lls: bytes

    def __repr__(self) -> str:
        return f"MeterKeys(epoch={self.epoch})"

    @classmethod
    def generate(cls) -> Self:
        """Draw new keys from the system's entropy."""
        guek, gak, kek, lls = (os.urandom(KEY_OCTETS) for _ in range(4))
        return cls(epoch=1, guek=guek, gak=gak, kek=kek, lls=lls)

    @classmethod
    def load(cls, path: Path, title: bytes) -> Self:
        """Read `keys.json` of the meter with this title.

        Raises:
            ConfigurationError: It is missing, damaged, or another meter's.
        """
        said = read_json(path, REMEDY)
        try:
            if said["format"] != FORMAT:
                raise ConfigurationError(f"{path} has format {said['format']!r}: {REMEDY}")
            if bytes.fromhex(said["title"]) != title:
                raise ConfigurationError(f"{path} belongs to {said['title']}: {REMEDY}")
            keys = cls(epoch=int(said["epoch"]), **{n: bytes.fromhex(said[n]) for n in SECRETS})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{path} holds no keys ({error!r}): {REMEDY}") from error
        for name in SECRETS:
            if len(getattr(keys, name)) != KEY_OCTETS:
                raise ConfigurationError(f"{path} has a {name} that is not 16 octets: {REMEDY}")
        return keys

    def to_json(self, title: bytes) -> dict[str, str | int]:
        """Return what `keys.json` holds."""
        secrets = {name: getattr(self, name).hex() for name in SECRETS}
        return {"format": FORMAT, "title": title.hex().upper(), "epoch": self.epoch, **secrets}


SECRETS: Final = tuple(field.name for field in fields(MeterKeys) if field.name != "epoch")
