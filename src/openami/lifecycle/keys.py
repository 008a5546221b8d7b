# SPDX-License-Identifier: Apache-2.0
"""A meter's keys as they leave the factory: `keys.json` (docs/provisioning.md, 2.2)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Self

from openami.dlms.security.suites import SecuritySuite
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json

FORMAT: Final = "openami-keys-1"
PASSWORD_OCTETS: Final = 16
REMEDY: Final = "restore it from a backup; a meter without its keys has to be exchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """The secrets of one meter; never shown by `repr`.

    Attributes:
        epoch: Counts changes of the keys, from 1.
        suite: Says how long the keys are: 16 octets, in suite 2 32.
        guek: Global unicast encryption key.
        gak: Global authentication key.
        kek: Key-encryption key (master key), wraps new keys.
        lls: Secret of the reader (client 32), 16 octets.
        pairs: Private keys of suites 1 and 2 by their names, signing and agreement.
        certificates: Whom the meter believes, and its own (DER).
    """

    epoch: int
    suite: SecuritySuite = SecuritySuite.AES_GCM_128
    guek: bytes
    gak: bytes
    kek: bytes
    lls: bytes
    pairs: Mapping[str, bytes] = field(default_factory=dict)
    certificates: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"MeterKeys(epoch={self.epoch})"

    @classmethod
    def generate(cls, suite: SecuritySuite = SecuritySuite.AES_GCM_128) -> Self:
        """Draw new keys of a suite from the system's entropy."""
        guek, gak, kek = (os.urandom(suite.key_octets) for _ in range(3))
        lls = os.urandom(PASSWORD_OCTETS)
        return cls(epoch=1, suite=suite, guek=guek, gak=gak, kek=kek, lls=lls)

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
            suite = SecuritySuite(said.get("suite", 0))
            secrets = {name: bytes.fromhex(said[name]) for name in SECRETS}
            pairs = {name: bytes.fromhex(each) for name, each in said.get("pairs", {}).items()}
            keys = cls(
                epoch=int(said["epoch"]),
                suite=suite,
                **secrets,
                pairs=pairs,
                certificates=tuple(map(bytes.fromhex, said.get("certificates", []))),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{path} holds no keys ({error!r}): {REMEDY}") from error
        for name in SECRETS:
            size = PASSWORD_OCTETS if name == "lls" else keys.suite.key_octets
            if len(getattr(keys, name)) != size:
                sentence = f"{path} has a {name} that is not {size} octets: {REMEDY}"
                raise ConfigurationError(sentence)
        return keys

    def to_json(self, title: bytes) -> dict[str, object]:
        """Return what `keys.json` holds."""
        secrets = {name: getattr(self, name).hex() for name in SECRETS}
        suite = {"suite": int(self.suite)} if self.suite else {}
        head = {"format": FORMAT, "title": title.hex().upper()}
        found: dict[str, object] = {**head, "epoch": self.epoch, **suite, **secrets}
        if self.pairs or self.certificates:
            found["pairs"] = {name: octets.hex() for name, octets in self.pairs.items()}
            found["certificates"] = [octets.hex() for octets in self.certificates]
        return found


_NO_SECRETS: Final = frozenset({"epoch", "suite", "pairs", "certificates"})
SECRETS: Final = tuple(row.name for row in fields(MeterKeys) if row.name not in _NO_SECRETS)
