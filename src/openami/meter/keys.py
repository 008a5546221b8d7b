# SPDX-License-Identifier: Apache-2.0
"""The keys of a meter in its `keys.json`, which follows when its manager replaces them.

What is written is durable before the new keys are used: a meter that is cut off in between has the
former keys or the new ones, never a mixture (docs/keys.md).
"""

from dataclasses import replace
from pathlib import Path

from openami.cosem.device import Ciphering
from openami.cosem.serving.soft_keys import SoftKeyStore
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityPolicy
from openami.meter.config import MeterKeys
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_json


class KeysFile:
    """Writes a meter's keys down."""

    def __init__(self, path: Path, title: bytes, keys: MeterKeys) -> None:
        self._path = path
        self._title = title
        self._keys = keys

    def record(self, found: KeySet, master_key: bytes, _policy: SecurityPolicy) -> None:
        """Make keys durable; raises `OSError` if they cannot be."""
        held = self._keys
        new = replace(held, guek=found.encryption_key, gak=found.authentication_key, kek=master_key)
        if new == held:
            return
        new = replace(new, epoch=held.epoch + 1)
        try:
            write_json(self._path, new.to_json(self._title), mode=PRIVATE)
        except UserError as error:  # the client is told of a hardware fault
            raise OSError(str(error)) from error
        self._keys = new


def key_store(path: Path, title: bytes, keys: MeterKeys, ciphering: Ciphering) -> SoftKeyStore:
    """Return what carries out key_transfer on `ciphering`, and writes it down in `path`."""
    file = KeysFile(path, title, keys)
    return SoftKeyStore(ciphering, MasterKey(keys.kek), record=file.record)
