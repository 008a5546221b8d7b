# SPDX-License-Identifier: Apache-2.0
"""Meters of a fleet with their keys in secure worlds over one shared flash image."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from meter.house import DAY_S, INSTALLED_S, KEYS, Hop, Reader, config_in, expected_wh
from openami.cosem.classes.measurement import Data, Register
from openami.device.files import ATTESTATION_PUBLIC, SECURE
from openami.device.sharedflash import SharedFlash
from openami.device.storage import StorageError
from openami.dlms.obis import Obis
from openami.firmware.bank import M2351
from openami.firmware.flash import PAGE_OCTETS
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.meter import fleet_secure
from openami.meter.config import FleetConfig, MeterConfig
from openami.meter.fleet import SPARE_DESCRIPTORS, Fleet
from openami.meter.fleet_flash import IMAGE_FILE, PAGES_FILE, Factory, read_image
from openami.meter.fleet_records import FleetRecords
from openami.meter.fleet_secure import make_image
from openami.meter.load import INTERVAL_S
from openami.meter.management import Management
from openami.meter.objects import FRAME_COUNTER
from openami.meter.replay import ReplayedLoad
from openami.meter.serving import MeterLine
from openami.runtime.clock import FixedClock, real_us
from openami.runtime.errors import UserError
from openami.runtime.layout import Layout
from openami.transport.wire import WireError

if TYPE_CHECKING:
    from openami.transport.carrier import Carrier

IMPORT = Obis(1, 0, 1, 8, 0, 255)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The flash of a meter that left its factory; made once, which takes seconds."""
    folder = tmp_path_factory.mktemp("factory")
    return make_image(folder / IMAGE_FILE, folder / "firmware")


class Yard:
    """A fleet of three whose keys went into secure worlds."""

    def __init__(self, folder: Path, image: bytes) -> None:
        self.home = folder / "fleet"
        self.home.mkdir()
        (self.home / IMAGE_FILE).write_bytes(image)
        self.clock = FixedClock((INSTALLED_S + DAY_S) * 10**6)
        self.configs = [self.made(folder / str(number), number) for number in (1, 2, 3)]
        records = FleetRecords.of(self.home, real_us, event_entries=64)
        for config in self.configs:
            fleet_secure._personalise(config, Factory(self.home), records)
        records.close()
        self.configs = [replace(config, keys=None) for config in self.configs]
        self.start()

    def made(self, home: Path, number: int) -> MeterConfig:
        home.mkdir()
        config = config_in(home, number)
        config.keys_file.write_text("{}")
        return config

    def start(self) -> None:
        self.fleet = Fleet(self.home, self.configs, self.clock)
        self.fleet.step(0.0)

    def pages(self, number: int) -> Path:
        return self.configs[number - 1].home / SECURE / PAGES_FILE

    def management(self, number: int) -> Management:
        return self.fleet.meters[number - 1].management

    def read(self, number: int) -> int:
        reader = Reader(self.management(number).connection().receive, 1, server_title=b"")
        reader.run(reader.client.associate())
        found = int(reader.run(reader.client.get(Register.value, at=IMPORT)))
        reader.run(reader.client.release())
        return found

    def push(self, number: int) -> Hop:
        hop, management = Hop(), self.management(number)

        def send(octets: bytes) -> None:
            if (invoke_id := hop.take(octets)) is not None:
                management.confirm_push(invoke_id, 0.0)

        management.outbox.attached(send, 0.0)
        for _ in range(3):
            management.tick_pushes(0.0)
        return hop


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def yard(tmp_path: Path, image: bytes) -> Iterator[Yard]:
    found = Yard(tmp_path, image)
    yield found
    found.fleet.close()


def test_a_meter_is_read_and_pushes_with_keys_in_its_secure_world(yard: Yard) -> None:
    for number in (1, 2, 3):
        wanted = expected_wh(1, 48, ReplayedLoad(number, 1))
        assert yard.read(number) == sum(wanted)
        assert yard.push(number).wh() == wanted
        home = yard.configs[number - 1].home
        assert not (home / "keys.json").exists()
        assert (home / ATTESTATION_PUBLIC).read_bytes().startswith(b"-----BEGIN PUBLIC KEY")


def test_what_one_meter_s_flash_holds_leaves_the_others_untouched(yard: Yard) -> None:
    before = {number: yard.pages(number).read_bytes() for number in (1, 2, 3)}
    image = (yard.home / IMAGE_FILE).read_bytes()

    yard.read(1)
    yard.push(1)

    assert yard.pages(1).read_bytes() != before[1]
    assert {n: yard.pages(n).read_bytes() for n in (2, 3)} == {n: before[n] for n in (2, 3)}
    assert (yard.home / IMAGE_FILE).read_bytes() == image
    assert KEYS.guek not in b"".join(before.values())  # protected storage is ciphered
    assert max(map(len, before.values())) < len(image) // 10


def test_counters_and_the_window_go_on_after_a_kill(yard: Yard) -> None:
    yard.read(2)
    first = yard.push(2).pushes
    yard.clock.set(yard.clock.now_us() + INTERVAL_S * 10**6)

    yard.start()  # without closing the one before
    again = yard.push(2).pushes

    assert again
    assert again[-1] not in first
    reader = Reader(yard.management(2).connection().receive, 16)
    reader.run(reader.client.associate())
    assert int(reader.run(reader.client.get(Data.value, at=FRAME_COUNTER))) > 0
    assert yard.read(2) > 0


def test_a_meter_whose_firmware_was_altered_does_not_answer_and_the_others_do(
    yard: Yard, image: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    flash = SharedFlash(image, yard.pages(2))
    page = M2351.slots[0].offset + PAGE_OCTETS
    octets = flash.read(page, PAGE_OCTETS)
    flash.erase(page)
    flash.program(page, bytes([octets[0] ^ 1]) + octets[1:])
    flash.close()
    yard.start()

    with pytest.raises(StorageError, match="no firmware runs"):
        yard.read(2)
    with caplog.at_level(logging.ERROR):
        assert yard.push(2).pushes == []
    assert "no firmware runs" in caplog.text
    assert "no firmware runs" in str(yard.fleet.figures()["alarm"])
    assert yard.read(1) == sum(expected_wh(1, 48, ReplayedLoad(1, 1)))
    assert yard.push(3).pushes


def test_a_meter_that_does_not_start_is_left_alone_for_a_while_and_holds_no_file(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    boots: list[object] = []

    def no_boot(*_arguments: object) -> str:
        boots.append(None)
        return "nothing is sound"

    monkeypatch.setattr(fleet_secure.boothost, "start", no_boot)
    before = open_files()
    for _ in range(3):
        yard.push(2)
        with pytest.raises(StorageError, match="no firmware runs"):
            yard.read(2)
        with pytest.raises(WireError, match=r"serves nobody: .*no firmware runs"):
            MeterLine(yard.management(2), cast("Carrier", None), plain=False)
    assert len(boots) == 1
    assert open_files() == before

    monkeypatch.undo()
    with pytest.raises(StorageError, match="no firmware runs"):
        yard.read(2)
    later_s = time.monotonic() + fleet_secure.AGAIN_S
    monkeypatch.setattr(fleet_secure, "time", SimpleNamespace(monotonic=lambda: later_s))
    assert yard.read(2) > 0


def test_an_orderly_stop_skips_no_counter(yard: Yard) -> None:
    yard.read(1)
    expected = yard.management(1)._security.expected

    yard.fleet.close()
    yard.start()

    assert expected
    assert yard.management(1)._security.ciphering.window.expected == expected


def test_open_files_are_reckoned_for_connections_and_flashes(yard: Yard) -> None:
    before = open_files()
    for number in (1, 2, 3):
        yard.push(number)

    flashes = open_files() - before

    assert yard.fleet.descriptors >= len(yard.configs) + flashes + SPARE_DESCRIPTORS


def test_a_provisioned_fleet_is_personalised_once(tmp_path: Path, image: bytes) -> None:
    layout = Layout(tmp_path)
    plan = Plan(meters=4, regions=("north",), installed_us=INSTALLED_S * 10**6)
    provision(layout, plan)
    (layout.fleet / IMAGE_FILE).write_bytes(image)
    told: list[tuple[int, int]] = []

    count = fleet_secure.personalise_fleet(layout.fleet, lambda *done: told.append(done))

    assert count == 3
    assert told == [(1, 3), (2, 3), (3, 3)]
    homes = FleetConfig.load(layout.fleet).homes
    configs = [MeterConfig.load(home) for home in homes]
    assert [config.keys for config in configs] == [None] * 3
    assert fleet_secure.personalise_fleet(layout.fleet, lambda *_: None) == 0
    provision(layout, plan)  # it leaves personalised meters as they are
    fleet = Fleet(layout.fleet, configs, FixedClock((INSTALLED_S + DAY_S) * 10**6))
    fleet.step(0.0)
    outbox = fleet.meters[0].management.outbox
    sent: list[bytes] = []
    outbox.attached(sent.append, 0.0)
    outbox.tick(0.0)
    assert len(sent) == 1
    fleet.close()


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"flash.image cannot be read.*protected storage"):
        read_image(tmp_path / IMAGE_FILE)
