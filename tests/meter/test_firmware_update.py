# SPDX-License-Identifier: Apache-2.0
"""Updates of a running meter over DLMS: real processes, a signed image, metering goes on."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from meter.plant import HopProcess, Plant
from meter.test_processes import manager
from meter.test_secure_boot import status, told
from openami.cosem.asking import image as asking
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError
from openami.device.factory import FACTORY_IMAGE, SIGNING_KEY
from openami.device.files import FLASH_FILE, SECURE
from openami.device.images import IMAGE_TRANSFER
from openami.device.payload.container import Payload
from openami.device.payload.pack import pack
from openami.device.payload.parts import MANAGEMENT
from openami.device.payload.release import Release
from openami.device.payload.sources import Library, here
from openami.dlms.data import VisibleString
from openami.dlms.security.counters import CounterBlock
from openami.firmware.bank import M2351
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image, Version
from openami.firmware.keys import encryption_key, private_key
from openami.firmware.sign import Encryption, Recipe, recipe_of, sign
from openami.firmware.state import StateJournal
from openami.lifecycle.plan import meter_title
from openami.meter.objects import FIRMWARE
from openami.meter.run import personalise
from openami.transport.client import OpenSession, open_session
from openami.transport.url import Url

pytestmark = pytest.mark.faults
S = ImageTransferStatus
COUNTERS = iter(range(1, 1000))
HALF = 60
SECONDLY = 1800.0  # an interval of half an hour each second


@asynccontextmanager
async def running(
    var: Path, *, speed: float = SECONDLY, walled: bool = False
) -> AsyncIterator[tuple[Plant, HopProcess]]:
    plant = Plant(var, meters=1, speed=speed)
    plant.manager, _ = manager(plant)  # with the keys, before they leave for the secure world
    hop = HopProcess(plant)
    hop.know(meter_title(1))
    if walled:
        await asyncio.to_thread(personalise, plant.meter_home(1))
    await hop.open()
    try:
        plant.start_meter()
        await plant.until(lambda: plant.figure("management", "receipts") > 0, "pushes")
        yield plant, hop
    finally:
        await asyncio.to_thread(plant.stop)
        await hop.close()


@asynccontextmanager
async def session(plant: Plant) -> AsyncIterator[OpenSession]:
    assert plant.manager is not None
    first = next(COUNTERS) * 10_000
    counters = CounterBlock(first, first + 10_000)
    url = Url("tcp", "127.0.0.1", plant.plain_port)
    async with open_session(url, plant.manager, counters=counters) as meter:
        yield meter


def key_of(plant: Plant) -> ec.EllipticCurvePrivateKey:
    key = private_key((plant.layout.firmware / SIGNING_KEY).read_bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def recipe(plant: Plant, version: str, counter: int) -> Recipe:
    first = Image.decode((plant.layout.firmware / FACTORY_IMAGE).read_bytes())
    return replace(recipe_of(first), version=Version.parse(version), security_counter=counter)


def next_image(plant: Plant, version: str = "0.2.0", counter: int = 2) -> Image:
    return Release.of(here()).image(Version.parse(version), counter, key_of(plant))


def bad_image(plant: Plant, text: Callable[[str], str]) -> Image:
    """Return a signed image whose management was changed."""

    class Changed(Library):
        def find(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
            found = super().find(name)
            if name == "openami.meter.part" and found is not None:
                return replace(found, text=text(found.text))
            return found

    root = Path("src/openami").resolve()
    payload = Payload(secure=b"", management=pack(MANAGEMENT, Changed(root)).octets)
    return sign(payload.encode(), recipe(plant, "0.3.0", 3), key_of(plant))


async def update(plant: Plant, image: Image) -> None:
    """Transfer, verify and activate over DLMS."""
    octets = image.encode()
    async with session(plant) as meter:
        run = meter.run
        assert await run(asking.transfer(meter.client, b"next", octets)) > 0
        assert await run(asking.verify(meter.client))
        assert not await run(asking.activate(meter.client))


async def transfer_status(plant: Plant) -> ImageTransferStatus:
    async with session(plant) as meter:
        return await meter.run(asking.status(meter.client))


def counter_of(plant: Plant) -> int:
    octets = (plant.meter_home(1) / SECURE / FLASH_FILE).read_bytes()
    state = StateJournal(SimulatedFlash(octets), M2351).read()
    assert state is not None
    return state.counter


@pytest.mark.parametrize(
    "walled",
    [
        pytest.param(False, id="own keys", marks=pytest.mark.long),
        pytest.param(True, id="behind the wall"),
    ],
)
def test_an_encrypted_update_runs_is_confirmed_and_metering_misses_nothing(
    tmp_path: Path, *, walled: bool
) -> None:
    async def story() -> None:
        async with running(tmp_path, walled=walled) as (plant, hop):
            metrology = plant.pid("metrology")
            public = encryption_key((plant.meter_home(1) / "update-pub.pem").read_bytes())
            release = Release.of(here())
            image = sign(
                release.payload.encode(),
                recipe(plant, "0.2.0", 2),
                key_of(plant),
                encryption=Encryption(recipient=public, entropy=os.urandom),
            )
            assert counter_of(plant) == 1

            await update(plant, image)
            await told(plant, "firmware", "0.2.0+0 in bank B")
            await plant.until(lambda: counter_of(plant) == 2, "the confirmation")
            receipts = plant.figure("management", "receipts")
            await plant.until(
                lambda: plant.figure("management", "receipts") > receipts + 2, "pushes again"
            )

            assert await transfer_status(plant) is S.ACTIVATION_SUCCESSFUL
            async with session(plant) as meter:
                version = await meter.run(meter.client.get(Data.value, at=FIRMWARE))
            assert version == VisibleString("openami 0.2.0+0")
            assert plant.pid("metrology") == metrology
            await asyncio.to_thread(plant.stop)
            assert plant.verify(1, hop) > 100
            sequences = [interval.sequence for interval in plant.ring(1)]
            assert sequences == list(range(sequences[0], sequences[-1] + 1))
            assert "Traceback" not in plant.said()

    asyncio.run(story())


def test_a_transfer_goes_on_after_the_management_was_killed(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as (plant, _):
            octets = next_image(plant).encode()
            blocks = -(-len(octets) // 1024)
            async with session(plant) as meter:
                client = meter.client
                initiation = ImageInitiation(b"next", len(octets))
                row = ImageTransfer.image_transfer_initiate
                await meter.run(client.act(row, initiation, at=IMAGE_TRANSFER))
                for number in range(HALF):
                    block = ImageBlock(number, octets[number * 1024 : (number + 1) * 1024])
                    act = client.act(ImageTransfer.image_block_transfer, block, at=IMAGE_TRANSFER)
                    await meter.run(act)
                before = plant.pid("management")
                plant.kill("management")
            await plant.until(lambda: plant.pid("management") != before, "a new start")
            async with session(plant) as meter:
                sent = await meter.run(asking.transfer(meter.client, b"next", octets))
                assert sent == blocks - HALF
                assert await meter.run(asking.verify(meter.client))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(
            lambda text: text.replace("def main(", "def main(_):\n    return 1\ndef other("),
            "not-confirmed",
        ),
        pytest.param(
            lambda text: text.replace("def main(", "def main(_):\n    while 1: pass\ndef other("),
            "not-confirmed",
        ),
        (
            lambda text: text.replace(
                "from openami.runtime.errors",
                "from openami.meter.management_process import ManagementProcess\n"
                "_checks = ManagementProcess.checks\n"
                "ManagementProcess.checks = lambda m: {**_checks(m), 'valve': lambda: False}\n"
                "from openami.runtime.errors",
                1,
            ),
            "valve",
        ),
    ],
    ids=["crashes", "hangs", "fails its self-test"],
)
@pytest.mark.long
def test_a_bad_candidate_is_left(tmp_path: Path, text: Callable[[str], str], error: str) -> None:
    async def story() -> None:
        async with running(tmp_path) as (plant, _):
            home = plant.meter_home(1)
            await asyncio.to_thread(plant.stop)
            config = home / "device.toml"
            config.write_text(config.read_text() + "\n[firmware]\ntrial_s = 5\n")
            plant.start_meter()
            await plant.until(lambda: plant.figure("management", "connected") == 1, "the uplink")
            await update(plant, bad_image(plant, text))
            await told(plant, "firmware problem", error)
            await told(plant, "firmware", "0.1.0+0 in bank A")
            receipts = plant.figure("management", "receipts")
            await plant.until(
                lambda: plant.figure("management", "receipts") > receipts + 1, "pushes again"
            )
            assert await transfer_status(plant) is S.ACTIVATION_FAILED
            assert counter_of(plant) == 1

    asyncio.run(story())


@pytest.mark.long
def test_images_that_are_altered_or_older_are_refused_by_the_running_meter(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as (plant, _):
            altered = bytearray(next_image(plant).encode())
            altered[0x300] ^= 1
            older = next_image(plant, "0.0.9", 0).encode()
            for octets in (bytes(altered), older):
                async with session(plant) as meter:
                    await meter.run(asking.transfer(meter.client, b"bad", octets))
                    with pytest.raises(AccessError):
                        await meter.run(asking.verify(meter.client))
                assert await transfer_status(plant) is S.VERIFICATION_FAILED
            assert "0.1.0+0 in bank A" in status(plant)["firmware"]

    asyncio.run(story())
