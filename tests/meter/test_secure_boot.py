# SPDX-License-Identifier: Apache-2.0
"""The full meter boots what lies in its flash, recovers where nothing may run, and measures on."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meter.plant import Plant
from openami.device.factory import FACTORY_IMAGE, SIGNING_KEY
from openami.device.payload.release import Release
from openami.device.payload.sources import here
from openami.firmware.bank import M2351, Bank
from openami.firmware.image import Version
from openami.firmware.keys import private_key

FAST = 3600.0

pytestmark = pytest.mark.faults


@asynccontextmanager
async def plant_in(var: Path) -> AsyncIterator[Plant]:
    plant = Plant(var, meters=1, speed=FAST)
    try:
        yield plant
    finally:
        await asyncio.to_thread(plant.stop)


def status(plant: Plant, process: str = "meter") -> dict[str, str]:
    try:
        said = json.loads((plant.layout.run / f"{process}.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: str(value) for name, value in said["figures"].items()}


def flash(plant: Plant) -> Path:
    return plant.meter_home(1) / "secure" / "flash.bin"


def spoil(plant: Plant, offset: int) -> None:
    with flash(plant).open("r+b") as file:
        file.seek(offset)
        octet = file.read(1)
        file.seek(offset)
        file.write(bytes((octet[0] ^ 1,)))


async def told(plant: Plant, name: str, words: str) -> None:
    await plant.until(lambda: words in status(plant).get(name, ""), f"{words!r} in {name}")


async def measures_on(plant: Plant) -> None:
    before = plant.figure("metrology", "intervals closed")
    await plant.until(
        lambda: plant.figure("metrology", "intervals closed") > before + 2, "more intervals"
    )


def recover(plant: Plant, *words: object) -> subprocess.CompletedProcess[str]:
    return openami("recover", "--line", status(plant)["service line"], *words)


def openami(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openami", "meter", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(Path("src").resolve())}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_management_runs_from_the_flash_and_from_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with plant_in(tmp_path) as plant:
            plant.start_meter()
            await told(plant, "firmware", "0.1.0+0 in bank A")
            assert status(plant)["isolation"].startswith(
                "reduced: the meter's keys are not in its secure world"
            )
            await told(plant, "modules running", "2")
            await plant.until(
                lambda: plant.figure("management", "intervals stored") > 0, "intervals"
            )
            process = Path(f"/proc/{plant.pid('management')}")
            words = (process / "cmdline").read_bytes().split(b"\0")
            assert b"-I" in words
            assert b"-S" in words
            assert any(word.startswith(b"/proc/self/fd/") for word in words)
            environment = (process / "environ").read_bytes()
            assert b"PYTHONPATH" not in environment
            here = str(Path("src").resolve()).encode()
            assert here not in (process / "maps").read_bytes()

    asyncio.run(story())


@pytest.mark.long
def test_a_meter_without_a_good_image_measures_on_and_takes_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with plant_in(tmp_path) as plant:
            meter = plant.start_meter()
            await plant.until(
                lambda: plant.figure("management", "intervals stored") > 0, "intervals"
            )
            await asyncio.to_thread(plant.stop)
            assert meter.returncode == 0
            spoil(plant, M2351.slot(Bank.A).offset + 0x1000)

            plant.start_meter()
            await told(plant, "alarm", "no firmware runs")
            await measures_on(plant)
            glass = await asyncio.to_thread(
                openami, "display", "--home", plant.meter_home(1), "--once"
            )
            assert "error 11: none: no bank holds an image that may run" in glass.stdout
            said = await asyncio.to_thread(recover, plant)
            assert said.returncode == 0, said.stderr
            assert "bank A: the image was altered" in said.stdout
            folder = plant.layout.firmware
            shown = await asyncio.to_thread(recover, plant, folder / FACTORY_IMAGE)
            assert shown.returncode == 0, shown.stderr
            await told(plant, "firmware", "0.1.0+0 in bank B")
            before = plant.figure("management", "intervals stored")
            await plant.until(
                lambda: plant.figure("management", "intervals stored") > before, "intervals"
            )
            assert "Traceback" not in plant.said()

    asyncio.run(story())


def test_an_altered_boot_starts_nothing_and_the_meter_measures_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with plant_in(tmp_path) as plant:
            plant.start_meter()
            await told(plant, "firmware", "0.1.0+0 in bank A")
            await asyncio.to_thread(plant.stop)
            spoil(plant, 0x100)
            plant.start_meter()
            await told(plant, "alarm", "the boot region was altered")
            await measures_on(plant)
            assert plant.figure("management", "intervals stored") == -1
            assert "Traceback" not in plant.said()

    asyncio.run(story())


@pytest.mark.long
def test_a_developers_meter_says_that_nothing_was_verified(tmp_path: Path) -> None:
    async def story() -> None:
        async with plant_in(tmp_path) as plant:
            home = str(plant.meter_home(1))
            plant.start("meter", "run", "--home", home, "--from-source")
            await told(plant, "firmware", "the package's source, unverified")
            await plant.until(
                lambda: plant.figure("management", "intervals stored") > 0, "intervals"
            )
            assert not flash(plant).exists()

    asyncio.run(story())


@pytest.mark.long
def test_a_good_image_of_another_vendor_is_refused_by_the_technicians_tool(tmp_path: Path) -> None:
    async def story() -> None:
        async with plant_in(tmp_path) as plant:
            plant.start_meter()
            await told(plant, "firmware", "0.1.0+0 in bank A")
            await asyncio.to_thread(plant.stop)
            spoil(plant, M2351.slot(Bank.A).offset + 0x1000)
            key = private_key((plant.layout.firmware / SIGNING_KEY).read_bytes())
            old = Release.of(here()).image(Version(0, 0, 9), 0, key)
            (tmp_path / "old.bin").write_bytes(old.encode())
            plant.start_meter()
            await told(plant, "alarm", "no firmware runs")
            said = await asyncio.to_thread(recover, plant, tmp_path / "old.bin")
            assert said.returncode == 1
            assert "the meter refuses: the image is older than what ran here" in said.stderr

    asyncio.run(story())
