# SPDX-License-Identifier: Apache-2.0
"""The security setup of a simulated meter: keys and policy that its manager may replace.

New keys go into the meter's `keys.json`, if it has one, before they are used: so tools that are
given the file, and the next simulation, know them.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from openami.cosem.classes.access_control import SecuritySetup, SecuritySetupV1
from openami.cosem.device import Ciphering, LogicalDevice
from openami.cosem.serving.security_setup import security_setup, security_setup_v1
from openami.cosem.serving.soft_keys import SoftCertificates, SoftKeyStore
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityPolicy
from openami.lifecycle.keys import MeterKeys
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_json


def bind_security_setups(
    device: LogicalDevice, ciphering: Ciphering, keys: MeterKeys, path: Path | None
) -> None:
    """Let security setups act on the manager's keys.

    Args:
        device: Its objects of class 64 are bound.
        ciphering: Shared with the manager's policy.
        keys: As they are in `keys.json`; gives the master key.
        path: Of that file; None for keys that end with the simulation.
    """
    store = SoftKeyStore(
        ciphering, MasterKey(keys.kek), record=_recording(keys, path, device.system_title)
    )
    suite = ciphering.cipher.keys.suite
    certificates = SoftCertificates(
        device.system_title,
        suite,
        entropy=os.urandom,
        now=lambda: datetime.now(UTC),
        changed=lambda: None,
    )
    for thing in device:
        if isinstance(thing, SecuritySetupV1):
            security_setup_v1(thing, store, certificates)
        elif isinstance(thing, SecuritySetup):
            security_setup(thing, store)


def _recording(
    keys: MeterKeys, path: Path | None, title: bytes
) -> Callable[[KeySet, bytes, SecurityPolicy], None]:
    held = keys

    def record(found: KeySet, master_key: bytes, _: SecurityPolicy) -> None:
        nonlocal held
        guek, gak = found.encryption_key, found.authentication_key
        if (guek, gak, master_key) == (held.guek, held.gak, held.kek):
            return
        new = replace(held, epoch=held.epoch + 1, guek=guek, gak=gak, kek=master_key)
        try:
            if path is not None:
                write_json(path, new.to_json(title), mode=PRIVATE)
        except UserError as error:  # the client is told of a hardware fault
            raise OSError(str(error)) from error
        held = new

    return record
