# SPDX-License-Identifier: Apache-2.0
"""A meter whose keys are in its secure world: management holds none, and everything works."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.secure.worlds import InMemoryClient, in_memory
from meter.house import CIPHER, DAY_S, HEAD_END, INSTALLED_S, KEYS, MeterInMemory, Reader, config_in
from meter.test_keys import MASTER, NEW, TRANSFER
from openami.cosem.classes.access_control import KeyId, SecuritySetup
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import wrap_keys
from openami.device.secure.access import Caller
from openami.device.secure.channels import AHEAD, WINDOW, Channels, bring_in
from openami.device.secure.keyring import Secrets
from openami.device.secure.service import Service
from openami.dlms.apdu.ciphered import GeneralCiphering
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.errors import DlmsError, ReplayError, SecurityError
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.envelopes import (
    GeneralTerms,
    decode_envelope,
    open_envelope,
    seal_general,
)
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.flash import SimulatedFlash
from openami.headend.sealing import profile_request
from openami.meter.keys import WalledSecurity
from openami.meter.objects import FRAME_COUNTER, LDN, SECURITY_SETUP
from openami.psa.status import PsaError, Status
from openami.psa.storage import InternalTrustedStorage
from openami.runtime.clock import MICROSECONDS

SECRETS = Secrets(
    title=config_in(Path()).title,
    epoch=KEYS.epoch,
    encryption=KEYS.guek,
    authentication=KEYS.gak,
    master=KEYS.kek,
    password=KEYS.lls,
)


class Plant:
    """A meter in memory with a secure world that outlives it."""

    def __init__(self, home: Path) -> None:
        self.flash = SimulatedFlash(M2351_FLASH_OCTETS)
        rooms = in_memory(self.flash).world.rooms
        bring_in(rooms.its, rooms.ps, SECRETS, first_counter=1000)
        self.service = self.start_secure()
        self.meter = MeterInMemory(replace(config_in(home), keys=None), self.security)

    def start_secure(self) -> Service:
        """Start or restart the secure world."""
        self.service = in_memory(self.flash)
        self.client = InMemoryClient(self.service.connect(Caller.NON_SECURE))
        self.security = WalledSecurity(self.client, config_in(Path()))
        return self.service

    def restart(self) -> None:
        """Take the power away from all of it, and give it back."""
        self.start_secure()
        self.meter.management.close()
        self.meter.security = self.security
        self.meter.start_management()

    @property
    def channels(self) -> Channels:
        found = self.service.world.rooms.channels
        assert isinstance(found, Channels)
        return found

    def reader(self, sap: int = 1, *, plain: bool = False, **changes: Any) -> Reader:
        connection = self.meter.management.connection(plain=plain)
        reader = Reader(connection.receive, sap, **changes)
        reader.run(reader.client.associate())
        return reader


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def test_a_protected_get_crosses_once_a_direction(plant: Plant) -> None:
    reader = plant.reader()
    del plant.client.crossings[:]

    assert reader.run(reader.client.get(Data.value, at=LDN))

    assert plant.client.crossings == ["dlms_unprotect", "dlms_protect"]


def test_who_has_other_keys_does_not_come_in(plant: Plant) -> None:
    with pytest.raises(DlmsError):
        plant.reader(cipher=Cipher(NEW))
    assert plant.reader()


def test_the_readers_password_is_asked_for_behind_the_wall(plant: Plant) -> None:
    reader = plant.reader(32, plain=True)

    assert reader.run(reader.client.get(Data.value, at=LDN))
    with pytest.raises(DlmsError):
        plant.reader(32, plain=True, secret=b"reader's secrets")


def test_no_key_is_on_the_near_side(plant: Plant) -> None:
    security = plant.security.ciphering

    held = security.cipher.keys
    assert held.encryption_key != KEYS.guek
    assert held.authentication_key != KEYS.gak
    with pytest.raises(SecurityError, match="behind the wall"):
        security.cipher.seal(0x30, 1, bytes(8), b"\xc0")  # type: ignore[arg-type]
    for secret in (KEYS.guek, KEYS.gak, KEYS.kek, KEYS.lls):
        assert secret not in bytes(plant.flash.content)


def test_a_dedicated_key_stays_behind_the_wall_and_is_used(plant: Plant) -> None:
    dedicated = bytes(range(0xA0, 0xB0))
    reader = plant.reader(dedicated_key=dedicated)

    assert reader.run(reader.client.get(Data.value, at=LDN))
    assert not [
        each for each in plant.client.came_out if isinstance(each, bytes) and dedicated in each
    ]


def test_pushes_are_sealed_behind_the_wall(plant: Plant) -> None:
    plant.meter.attach()
    plant.meter.run(DAY_S)

    assert plant.meter.hop.wh()
    assert not plant.meter.management.failing
    assert "dlms_notify" in plant.client.crossings


def test_keys_are_replaced_behind_the_wall_and_kept_over_a_restart(plant: Plant) -> None:
    reader = plant.reader()
    reader.run(reader.client.act(SecuritySetup.key_transfer, TRANSFER, at=SECURITY_SETUP))
    reader.client.use_keys(Cipher(NEW))
    assert reader.run(reader.client.get(Data.value, at=LDN))
    sent: list[bytes] = []
    plant.meter.management.outbox.attached(sent.append, plant.meter.now_s)
    plant.meter.run(DAY_S / 48)
    open_envelope(Cipher(NEW), decode_envelope(sent[-1]))  # type: ignore[arg-type]

    plant.restart()

    assert plant.channels.secrets.epoch == KEYS.epoch + 1
    assert plant.channels.secrets.master == MASTER
    assert plant.reader(cipher=Cipher(NEW))
    with pytest.raises(DlmsError):
        plant.reader()


def test_a_key_that_the_master_key_does_not_wrap_changes_nothing(plant: Plant) -> None:
    other = wrap_keys(
        MasterKey(bytes(16)), {KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: NEW.encryption_key}
    )
    reader = plant.reader()

    with pytest.raises(AccessError):
        reader.run(reader.client.act(SecuritySetup.key_transfer, other, at=SECURITY_SETUP))

    assert reader.run(reader.client.get(Data.value, at=LDN))
    assert plant.channels.secrets == SECRETS


def test_what_was_accepted_is_not_accepted_again_after_the_power_was_gone(plant: Plant) -> None:
    reader = plant.reader()
    reader.run(reader.client.get(Data.value, at=LDN))
    accepted = plant.channels.window.expected

    plant.restart()  # nothing was closed

    assert accepted <= plant.channels.window.expected <= accepted + AHEAD
    with pytest.raises(ReplayError) as caught:
        plant.security.ciphering.channel(b"", HEAD_END).unprotect(_get(accepted - 1))
    assert caught.value.expected == plant.channels.window.expected


def test_a_busy_association_notes_its_window_once_in_many(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[int] = []
    kept = InternalTrustedStorage.set

    def counted(its: Any, client: int, uid: int, data: bytes, flags: int = 0) -> None:
        noted.append(uid)
        kept(its, client, uid, data, flags)

    monkeypatch.setattr(InternalTrustedStorage, "set", counted)
    reader = plant.reader()

    for _ in range(AHEAD):
        reader.run(reader.client.get(Data.value, at=LDN))

    assert 1 <= noted.count(WINDOW) <= 2


def test_an_orderly_stop_skips_no_counter(plant: Plant) -> None:
    reader = plant.reader()
    reader.run(reader.client.get(Data.value, at=LDN))
    accepted = plant.channels.window.expected
    plant.service.world.close()

    plant.restart()

    assert plant.channels.window.expected == accepted
    public = plant.reader(16)
    assert public.run(public.client.get(Data.value, at=FRAME_COUNTER)) == accepted


def test_no_counter_is_used_twice_over_restarts(plant: Plant) -> None:
    used = []
    for _ in range(3):
        used += [plant.channels.counters.next() for _ in range(300)]
        plant.restart()

    assert used[0] == 1000
    assert sorted(set(used)) == used


def test_channels_that_nobody_uses_are_given_back(plant: Plant) -> None:
    for _ in range(200):
        plant.reader()


def test_a_device_without_keys_says_so() -> None:
    client = InMemoryClient(in_memory().connect(Caller.NON_SECURE))

    with pytest.raises(PsaError) as caught:
        client.call("dlms_state")
    assert caught.value.status is Status.DOES_NOT_EXIST
    with pytest.raises(SecurityError):
        WalledSecurity(client, config_in(Path()))


def _get(counter: int) -> bytes:
    plain = bytes.fromhex("C001C1000100002A0000FF0200")
    return SecureChannel(
        cipher=CIPHER,
        role=Role.CLIENT,
        own_title=HEAD_END,
        peer_title=SECRETS.title,
        counters=CounterBlock(counter, counter + 1),
    ).protect(plain)


def sealed(counter: int, plain: bytes) -> bytes:
    """Return a request as the head-end seals it for a time when it is away."""
    terms = GeneralTerms(
        transaction_id=counter.to_bytes(4), originator=HEAD_END, recipient=SECRETS.title
    )
    return seal_general(CIPHER, counter, plain, terms)


def test_a_sealed_request_reads_the_profile_once_and_nothing_else(plant: Plant) -> None:
    plant.meter.attach()
    plant.meter.run(DAY_S)
    since_us = INSTALLED_S * MICROSECONDS
    wanted = profile_request(since_us, since_us + DAY_S * MICROSECONDS)
    connection = plant.meter.management.connection(plain=False)

    answer = connection.receive(65, sealed(5000, wanted))

    assert answer is not None
    envelope = decode_envelope(answer)
    assert isinstance(envelope, GeneralCiphering)
    assert envelope.transaction_id == (5000).to_bytes(4)
    plain, _ = open_envelope(CIPHER, envelope)
    assert plain[:1] + plain[3:4] == b"\xc4\x00"
    assert decode_profile(plain[4:]).rows > 40
    again = connection.receive(65, sealed(5000, wanted))
    assert again is not None
    assert again[:1] == b"\xd8"  # the counter was used
    breaker = bytes.fromhex("c001c10046000060030aff0200")
    other = connection.receive(65, sealed(5001, breaker))
    assert other is not None
    refusal, _ = open_envelope(CIPHER, decode_envelope(other))
    assert refusal[3] == 1  # no rights there
    unprotected = connection.receive(65, wanted)
    assert unprotected is not None
    assert unprotected[:1] == b"\xd8"
