# SPDX-License-Identifier: Apache-2.0
"""The security setup of a simulated meter: keys and policy that its manager may replace.

New keys go into the meter's `keys.json`, if it has one, before they are used: so tools that are
given the file, and the next simulation, know them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from openami.cli.simulated_credentials import CertificateFolder
from openami.cosem.classes.access_control import SecuritySetup, SecuritySetupV1
from openami.cosem.device import Ciphering, LogicalDevice
from openami.cosem.serving.security_setup import security_setup, security_setup_v1
from openami.cosem.serving.soft_keys import SoftCertificates, SoftKeyStore
from openami.dlms.security.agreement import Parties
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityPolicy
from openami.lifecycle.keys import MeterKeys
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagersKeys:
    """What a simulated meter shares with its manager.

    Attributes:
        keys: As they are in `keys.json`.
        path: Of that file; None for keys that end with the simulation.
        ciphering: Shared with the manager's policy.
        master_key: The same key as in `keys`; what replaces it is seen by all who hold it.
        folder: Key pairs and certificates; None in suite 0.
    """

    keys: MeterKeys
    path: Path | None
    ciphering: Ciphering
    master_key: MasterKey
    folder: CertificateFolder | None = None

    def credentials(self) -> Credentials | None:
        """Return key pairs and certificates, as they are now."""
        return None if self.folder is None else self.folder.credentials(self.master_key)


def bind_security_setups(device: LogicalDevice, held: ManagersKeys) -> None:
    """Let the security setups of a device act on its manager's keys, and say the suite."""
    suite, folder = held.keys.suite, held.folder
    parties = None
    if folder is None:
        certificates = SoftCertificates(
            device.system_title,
            suite,
            entropy=os.urandom,
            now=lambda: datetime.now(UTC),
            changed=lambda: None,
        )
    else:
        certificates = folder.held
        parties = Parties(u=folder.client_title, v=device.system_title)
        folder.follow(lambda: _renew(device, held))
    store = SoftKeyStore(
        held.ciphering,
        held.master_key,
        record=_recording(held.keys, held.path, device.system_title),
        parties=parties,
        credentials=held.credentials,
    )
    for thing in device:
        if isinstance(thing, SecuritySetupV1):
            security_setup_v1(thing, store, certificates)
        elif isinstance(thing, SecuritySetup):
            security_setup(thing, store)
        else:
            continue
        thing.values[SecuritySetup.security_suite.index] = int(suite)
        if folder is not None:
            thing.values[SecuritySetup.client_system_title.index] = folder.client_title


def _renew(device: LogicalDevice, held: ManagersKeys) -> None:
    """Let who associates from now on meet the key pairs and certificates as they are."""
    found = held.credentials()
    for client_sap, policy in device.associations.items():
        if policy.credentials is not None:
            device.associations[client_sap] = replace(policy, credentials=found)


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
