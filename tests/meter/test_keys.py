# SPDX-License-Identifier: Apache-2.0
"""The manager replaces a meter's keys: used at once, for pushes too, and kept over a restart."""

from dataclasses import replace
from pathlib import Path

import pytest

from meter.house import DAY_S, HEAD_END, KEYS, MeterInMemory, Reader, config_in
from openami.cosem.classes.access_control import KeyId, SecuritySetup
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import wrap_keys
from openami.dlms.errors import DlmsError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.dlms.security.keyset import KeySet
from openami.meter.config import MeterKeys
from openami.meter.objects import LDN, SECURITY_SETUP

NEW = KeySet(encryption_key=bytes(range(48, 64)), authentication_key=bytes(range(64, 80)))
MASTER = bytes(range(80, 96))
TRANSFER = wrap_keys(
    MasterKey(KEYS.kek),
    {
        KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: NEW.encryption_key,
        KeyId.AUTHENTICATION_KEY: NEW.authentication_key,
        KeyId.MASTER_KEY: MASTER,
    },
)


def manager(meter: MeterInMemory, **changes: object) -> Reader:
    reader = Reader(meter.management.connection().receive, 1, **changes)
    reader.run(reader.client.associate())
    return reader


def test_replaced_keys_are_used_at_once_and_kept(tmp_path: Path) -> None:
    meter = MeterInMemory(config_in(tmp_path))
    reader = manager(meter)
    reader.run(reader.client.act(SecuritySetup.key_transfer, TRANSFER, at=SECURITY_SETUP))
    reader.client.use_keys(Cipher(NEW))
    assert reader.run(reader.client.get(Data.value, at=LDN))

    sent: list[bytes] = []
    meter.management.outbox.attached(sent.append, meter.now_s)
    meter.run(DAY_S / 48)
    envelope = decode_envelope(sent[-1])
    open_envelope(Cipher(NEW), envelope)  # type: ignore[arg-type]  # a push is general-ciphering

    kept = MeterKeys.load(meter.config.keys_file, meter.config.title)
    assert (kept.epoch, kept.guek, kept.kek) == (2, NEW.encryption_key, MASTER)
    assert kept.lls == KEYS.lls
    meter.management.close()
    meter.config = replace(meter.config, keys=kept)
    meter.start_management()
    assert manager(meter, cipher=Cipher(NEW), system_title=HEAD_END)
    with pytest.raises(DlmsError):
        manager(meter)


def test_keys_that_cannot_be_written_down_are_not_used(tmp_path: Path) -> None:
    meter = MeterInMemory(config_in(tmp_path, keys_file=tmp_path / "gone" / "keys.json"))
    (tmp_path / "gone").touch()  # no folder
    reader = manager(meter)
    with pytest.raises(AccessError):
        reader.run(reader.client.act(SecuritySetup.key_transfer, TRANSFER, at=SECURITY_SETUP))
    assert reader.run(reader.client.get(Data.value, at=LDN))
    assert manager(meter)
