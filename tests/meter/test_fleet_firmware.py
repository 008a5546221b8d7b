# SPDX-License-Identifier: Apache-2.0
"""Firmware of a fleet's meters: image transfer, two banks, trial, confirmation, revert, kills."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from meter.fleetware import flash_image, image, make_factory
from meter.house import HEAD_END, INSTALLED_S, KEYS, Reader, config_in
from openami.cosem.asking import image as asking
from openami.cosem.classes.access_control import KeyId, SecuritySetup
from openami.cosem.classes.image_transfer import ImageTransferStatus
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import wrap_keys
from openami.device.files import SECURE
from openami.device.images import FIRMWARE_SIGNATURE, IMAGE_BLOCK_OCTETS
from openami.device.storage import StorageError
from openami.dlms.errors import SecurityError
from openami.dlms.security.broadcast import GroupKeys, seal_broadcast
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.credentials import MasterKey
from openami.exchange.uplink import BROADCAST_CLIENT, BROADCAST_SETUP
from openami.firmware.flash import PAGE_OCTETS
from openami.meter import fleet_firmware, fleet_secure
from openami.meter.config import MeterConfig
from openami.meter.fleet import Fleet
from openami.meter.fleet_faults import FAULTS_FILE, Fault, store
from openami.meter.fleet_flash import OCTETS_FILE, PAGES_FILE, Factory
from openami.meter.fleet_records import FleetRecords
from openami.meter.load import INTERVAL_S
from openami.meter.objects import FIRMWARE
from openami.runtime.clock import FixedClock, real_us

SECOND = image(2)
BLOCKS = -(-len(SECOND) // IMAGE_BLOCK_OCTETS)
S = ImageTransferStatus
TRIAL_S = 5.0


class Yard:
    """A fleet of three that left a factory; every start opens the files anew."""

    def __init__(self, folder: Path, *, walled: bool) -> None:
        self.home, self.now_s = folder / "fleet", 100.0
        self.clock = FixedClock((INSTALLED_S + 3 * INTERVAL_S) * 10**6)
        make_factory(self.home)
        self.configs = [self._made(folder / str(number), number) for number in (1, 2, 3)]
        if walled:
            records = FleetRecords.of(self.home, real_us, event_entries=64)
            for config in self.configs:
                fleet_secure._personalise(config, Factory(self.home), records)
            records.close()
            self.configs = [replace(config, keys=None) for config in self.configs]
        self.start()

    def _made(self, home: Path, number: int) -> MeterConfig:
        home.mkdir()
        config = config_in(home, number, trial_s=TRIAL_S)
        config.keys_file.write_text("{}")
        return config

    def start(self) -> None:
        """Start, or start again after a kill: nothing was closed."""
        self.fleet = Fleet(self.home, self.configs, self.clock)
        self.attached = {1, 2, 3}
        for meter in self.fleet.meters:
            attached = property(lambda meter: meter.meter_id in self.attached)
            meter.__class__ = type(
                "Attached", (type(meter),), {"is_attached": attached, "__slots__": ()}
            )
        self.step()

    def step(self, seconds: float = 0.1, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += seconds
            self.fleet.step(self.now_s)

    @property
    def firmware(self) -> fleet_firmware.FleetFirmware:
        assert self.fleet.firmware is not None
        return self.fleet.firmware

    def manager(self, number: int) -> Reader:
        connection = self.fleet.meters[number - 1].management.connection()
        reader = Reader(connection.receive, 1, server_title=b"")
        reader.run(reader.client.associate())
        return reader

    def runs(self, number: int) -> str:
        reader = self.manager(number)
        shown = str(reader.run(reader.client.get(Data.value, at=FIRMWARE)))
        return shown.removeprefix("openami ").removesuffix("+0")

    def status(self, number: int) -> ImageTransferStatus:
        reader = self.manager(number)
        return reader.run(asking.status(reader.client))

    def send(self, number: int, octets: bytes = SECOND, identifier: bytes = b"second") -> int:
        reader = self.manager(number)
        return reader.run(asking.transfer(reader.client, identifier, octets, anew=False))

    def verify(self, number: int) -> None:
        reader = self.manager(number)
        assert reader.run(asking.verify(reader.client))

    def activate(self, number: int) -> None:
        reader = self.manager(number)
        assert not reader.run(asking.activate(reader.client))  # it restarts

    def update(self, number: int, octets: bytes = SECOND) -> None:
        """Bring an image until the meter runs it on trial."""
        self.send(number, octets)
        self.verify(number)
        self.activate(number)
        self.attached.discard(number)
        self.step(0.5, 2)

    def pages(self, number: int) -> Path:
        return self.configs[number - 1].home / SECURE / PAGES_FILE


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    found = Yard(tmp_path, walled=False)
    yield found
    found.fleet.close()


@pytest.fixture(params=[False, True], ids=["own", "walled"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Yard]:
    """A yard whose meters have keys in the fleet's process, or secure worlds, which cost time."""
    found = Yard(tmp_path, walled=request.param)
    yield found
    found.fleet.close()


def test_an_image_is_tried_confirmed_and_stays(either: Yard) -> None:
    assert either.runs(1) == "0.1.0"
    either.update(1)

    assert either.runs(1) == "0.2.0"
    assert either.firmware.on_trial == 1
    either.attached.add(1)
    either.step(times=3)
    assert either.firmware.on_trial == 0
    assert either.status(1) is S.ACTIVATION_SUCCESSFUL
    assert either.runs(2) == "0.1.0"
    for _ in range(2):
        either.start()
        assert either.runs(1) == "0.2.0"
    reader = either.manager(1)
    hashed = reader.run(reader.client.get(Data.value, at=FIRMWARE_SIGNATURE))
    assert bytes(hashed) != either.firmware.of(2).signature
    assert bytes(hashed) == either.firmware.of(1).signature


def test_an_older_image_is_refused_after_a_confirmation(yard: Yard) -> None:
    yard.update(1)
    yard.attached.add(1)
    yard.step(times=3)

    yard.send(1, image(1), b"first")
    with pytest.raises(AccessError):
        yard.verify(1)
    yard.send(2, image(1), b"first")  # who never ran the second may
    yard.verify(2)


def test_an_image_of_another_hand_is_refused(yard: Yard) -> None:
    yard.send(1, image(2, 5000, ec.derive_private_key(0x0BAD, ec.SECP256R1())))
    with pytest.raises(AccessError):
        yard.verify(1)
    assert yard.status(1) is S.VERIFICATION_FAILED
    assert yard.runs(1) == "0.1.0"


def test_a_meter_that_fails_its_self_test_runs_what_it_ran_before(either: Yard) -> None:
    store(either.home / FAULTS_FILE, [Fault(version="0.2.0", percent=100, check="storage", seed=1)])
    either.update(1)
    either.attached.add(1)
    assert either.runs(1) == "0.2.0"
    either.step(1.0, 3)
    assert either.runs(1) == "0.2.0"

    either.step(TRIAL_S, 3)

    assert either.runs(1) == "0.1.0"
    assert either.firmware.reverted == 1
    assert either.status(1) is S.ACTIVATION_FAILED
    either.start()
    assert either.runs(1) == "0.1.0"


def test_a_meter_that_does_not_attach_reverts(yard: Yard) -> None:
    yard.update(1)
    yard.step(TRIAL_S, 4)

    assert yard.runs(1) == "0.1.0"


def test_a_fleet_that_is_killed_between_two_blocks_asks_for_what_is_missing(yard: Yard) -> None:
    reader = yard.manager(1)
    reader.run(asking.initiate(reader.client, b"second", len(SECOND)))
    for number in range(BLOCKS):
        reader = yard.manager(1)
        reader.run(asking.send_block(reader.client, SECOND, number, IMAGE_BLOCK_OCTETS))
        yard.start()
        there = yard.manager(1).run(asking.received(yard.manager(1).client)) if number == 2 else ""
        assert there in {"", "1" * 3 + "0" * (BLOCKS - 3)}
    assert yard.send(1) == 0
    yard.verify(1)


def test_a_fleet_that_is_killed_at_any_step_of_an_activation_goes_on(either: Yard) -> None:
    either.send(1)
    either.start()
    either.verify(1)
    either.start()
    assert either.status(1) is S.VERIFICATION_SUCCESSFUL
    either.activate(1)
    either.start()  # killed before the restart: the next start is that restart
    either.step(times=2)
    assert either.runs(1) == "0.2.0"
    assert either.firmware.on_trial + either.firmware.confirmed == 1


def test_a_fleet_that_is_killed_on_trial_reverts_as_a_reset_meter_does(yard: Yard) -> None:
    yard.update(1)
    assert yard.runs(1) == "0.2.0"

    yard.start()
    yard.step()

    assert yard.runs(1) == "0.1.0"
    assert yard.status(1) is S.ACTIVATION_FAILED


def test_a_meter_that_loses_its_supply_on_trial_reverts(yard: Yard) -> None:
    yard.update(1)
    meter = yard.fleet.meters[0]
    meter.set_supply(supplied=False)
    yard.attached.add(1)
    yard.step(1.0, 3)
    assert yard.firmware.confirmed == 0

    meter.set_supply(supplied=True)
    yard.step(times=2)

    assert yard.runs(1) == "0.1.0"


def test_a_lost_journal_costs_no_meter_its_firmware(yard: Yard) -> None:
    yard.update(1)
    yard.attached.add(1)
    yard.step(times=3)
    yard.fleet.records.path.unlink()

    yard.start()

    assert [yard.runs(number) for number in (1, 2)] == ["0.2.0", "0.1.0"]


@pytest.mark.parametrize("file", [OCTETS_FILE, PAGES_FILE])
def test_a_damaged_flash_costs_its_meter_firmware_and_nobody_anything_else(
    yard: Yard, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    yard.send(1)
    path = yard.home / file if file == OCTETS_FILE else yard.pages(1)
    octets = bytearray(path.read_bytes())
    octets[40] ^= 1  # in what was durable when others were written
    path.write_bytes(octets)

    with caplog.at_level(logging.WARNING):
        yard.start()
        assert yard.runs(1) == "0.1.0"  # it is read all the same
        with pytest.raises(AccessError, match="hardware-fault"):
            yard.send(1)

    assert f"{path} is damaged" in caplog.text
    assert path.read_bytes() == octets
    if file == OCTETS_FILE:  # in which the blocks of all of them stand
        return
    yard.update(2)
    assert yard.runs(2) == "0.2.0"


def test_a_personalised_meter_whose_flash_is_damaged_serves_nobody(tmp_path: Path) -> None:
    yard = Yard(tmp_path, walled=True)
    yard.send(1)
    octets = bytearray(yard.pages(1).read_bytes())
    octets[40] ^= 1  # in what was durable when others were written
    yard.pages(1).write_bytes(octets)
    yard.start()

    with pytest.raises((SecurityError, StorageError)):
        yard.manager(1)
    assert yard.pages(1).read_bytes() == octets
    assert yard.runs(2) == "0.1.0"


def test_who_was_connected_has_to_begin_anew(yard: Yard) -> None:
    before = yard.fleet.meters[0].management.starts
    yard.update(1)
    assert yard.fleet.meters[0].management.starts == before + 1
    assert yard.fleet.meters[1].management.starts == before


def test_flashes_that_nobody_asks_for_are_closed_and_equal_pages_are_one(yard: Yard) -> None:
    for number in (1, 2, 3):
        yard.send(number)
    alike = yard.fleet._flashes._factory._alike
    pages = -(-len(SECOND) // PAGE_OCTETS)
    assert pages <= alike.pages <= pages + 3  # with the log's, and what is erased
    assert yard.firmware.opened == 3

    yard.step(fleet_firmware.IDLE_S + 1, 2)

    assert yard.firmware.opened == alike.pages == 0
    size = (yard.home / OCTETS_FILE).stat().st_size
    assert size < len(SECOND) * 1.2
    yard.verify(2)


def test_meters_that_receive_nothing_make_nothing(yard: Yard) -> None:
    yard.manager(1)
    assert yard.fleet.meters[0].management.images is None
    assert yard.status(1) is S.NOT_INITIATED
    assert yard.firmware.opened == 0
    assert not (yard.configs[0].home / SECURE).exists()


def test_a_full_disk_is_told_and_the_transfer_goes_on_later(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.send(1, SECOND[: 2 * IMAGE_BLOCK_OCTETS], b"part")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    reader = yard.manager(1)
    reader.run(asking.initiate(reader.client, b"second", len(SECOND)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(AccessError):
            reader.run(asking.send_block(reader.client, SECOND, 0, IMAGE_BLOCK_OCTETS))
    yard.send(1)
    yard.verify(1)


def test_blocks_that_go_to_all_are_taken_also_after_a_kill(yard: Yard) -> None:
    group = GroupKeys(encryption=bytes(range(16)), authentication=bytes(range(16, 32)))
    named = {
        KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY: group.encryption,
        KeyId.AUTHENTICATION_KEY: group.authentication,
    }
    for number in (1, 2):
        reader = yard.manager(number)
        wrapped = wrap_keys(MasterKey(KEYS.kek), named)
        reader.run(reader.client.act(SecuritySetup.key_transfer, wrapped, at=BROADCAST_SETUP))
        reader.run(asking.initiate(reader.client, b"second", len(SECOND)))
    for number in range(BLOCKS):
        if number == 2:
            yard.start()
        apdu = asking.unconfirmed_block(SECOND, number, IMAGE_BLOCK_OCTETS)
        counter = InvocationCounter(number * 100 + 1)
        octets = seal_broadcast(group.cipher(), counter, HEAD_END, apdu)
        for meter in yard.fleet.meters:
            answer = meter.management.connection().receive(BROADCAST_CLIENT, octets)
            assert (answer is None) == (meter.meter_id != 3)  # who knows no group is not asked

    assert [yard.send(number) for number in (1, 2, 3)] == [0, 0, BLOCKS]


def test_who_fails_follows_from_seed_version_and_number() -> None:
    fault = Fault(version="0.2.0", percent=20, check="uplink", seed=4)
    struck = [n for n in range(1, 1001) if fault.strikes(n, "openami 0.2.0+0")]

    assert 150 < len(struck) < 250
    assert struck == [n for n in range(1, 1001) if fault.strikes(n, "openami 0.2.0+0")]
    assert struck != [
        n for n in range(1, 1001) if replace(fault, seed=5).strikes(n, "openami 0.2.0+0")
    ]
    assert not any(fault.strikes(n, "openami 0.2.1+0") for n in range(1, 1001))
    assert all(replace(fault, percent=100, version="").strikes(n, "x") for n in range(1, 100))


def test_a_damaged_image_of_the_factory_is_named(tmp_path: Path) -> None:
    home = tmp_path / "fleet"
    make_factory(home)
    octets = bytearray(flash_image())
    octets[0x8300] ^= 1
    (home / "flash.image").write_bytes(octets)
    with pytest.raises(Exception, match="is damaged"):
        Factory(home).first()
