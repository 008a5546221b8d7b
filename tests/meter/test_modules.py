# SPDX-License-Identifier: Apache-2.0
"""The two modules of a running meter: their events, and a module that was swapped."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meter.plant import Plant
from meter.test_processes import manager
from openami.cosem.classes.disconnect import DisconnectControl
from openami.device.journal import peek
from openami.device.pairing import KEY_FILE, pair
from openami.device.ring import Ring
from openami.device.sealedimage import SEAL_KEY, sealed_image
from openami.dlms.errors import DlmsError
from openami.exchange.events import EventCode
from openami.firmware.image import Version
from openami.firmware.keys import private_key
from openami.meter.bank import decode_record
from openami.meter.metrology import ClosedInterval
from openami.meter.objects import DISCONNECT
from openami.runtime.users import Part, User, users_here
from openami.transport.client import open_session
from openami.transport.url import Url

pytestmark = pytest.mark.faults
FAST = 3600.0  # an interval every half second


@asynccontextmanager
async def running(var: Path) -> AsyncIterator[Plant]:
    plant = Plant(var, meters=1, speed=FAST)
    plant.start_meter()
    try:
        yield plant
    finally:
        await asyncio.to_thread(plant.stop)


def given_spi(plant: Plant, slot_octets: int) -> None:
    with (plant.meter_home(1) / "device.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[metrology]\nlink = "spi"\nslot_octets = {slot_octets}\n')


def openami(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openami", "meter", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(Path("src").resolve())}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def said(plant: Plant, process: str, name: str) -> str:
    try:
        found = json.loads((plant.layout.run / f"{process}.json").read_text())
        return str(found["figures"][name])
    except (OSError, ValueError, KeyError):
        return ""


def codes(path: Path, place: slice) -> list[int]:
    ring, _ = Ring.open(path, payload_octets=6, capacity=512)
    rows = [bytes(row)[place] for row in ring.read(ring.first, ring.last)]
    ring.close()
    return [int.from_bytes(row) for row in rows]


def logs(plant: Plant) -> tuple[list[int], list[int]]:
    """Return the codes in metrology's and in management's log of a stopped meter."""
    home = plant.meter_home(1)
    return (
        codes(home / "metrology" / "events.ring", slice(0, 2)),
        codes(home / "events.ring", slice(4, 6)),
    )


@pytest.mark.long
def test_what_is_done_to_the_meter_is_in_both_logs_and_on_the_glass(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as plant:
            home = plant.meter_home(1)
            await plant.until(lambda: said(plant, "metrology", "management") == "attached", "link")
            refused = openami("terminals", "--home", home, "--level", "L4=1")
            assert refused.returncode == 2
            assert "is no level" in refused.stderr
            done = openami("terminals", "--home", home, "--spoil", "terminal-cover", "--magnet", 80)
            assert done.returncode == 0, done.stderr
            await plant.until(lambda: plant.figure("metrology", "self-test") == 1 << 8, "tampering")
            shown = openami("display", "--home", home, "--once", "--item", "F.F")
            assert "! alarm" in shown.stdout.splitlines()[-2]
            assert openami("terminals", "--home", home, "--sound").returncode == 0
            await plant.until(lambda: plant.figure("metrology", "self-test") == 0, "no tampering")
            before = plant.figure("metrology", "events")
            done = openami("terminals", "--home", home, "--level", "L2=0.5", "--for", 1)
            assert done.returncode == 0, done.stderr
            await plant.until(lambda: plant.figure("metrology", "events") > before, "a sag")
            wanted = plant.figure("metrology", "events")
            await plant.until(lambda: plant.figure("management", "events") >= wanted, "the log")
            await plant.until(lambda: plant.figure("metrology", "pulses of import") > 100, "pulses")
            assert openami("terminals", "--home", home, "--level", "L1=0").returncode == 0
            since: dict[int, float] = {}

            def stands() -> bool:  # for some statuses, which are hours of the calendar
                pulses = plant.figure("metrology", "pulses of import")
                return time.monotonic() - since.setdefault(pulses, time.monotonic()) > 2.5

            await plant.until(stands, "no energy without voltage")
        metrology, management = logs(plant)
        for log in (metrology, management):
            assert {40, 41, 42, 43, 94} <= set(log)

    asyncio.run(story())


@pytest.mark.parametrize("slot_octets", [64, pytest.param(256, marks=pytest.mark.long)])
def test_modules_joined_by_spi_survive_kills_and_lose_nothing(
    tmp_path: Path, slot_octets: int
) -> None:
    async def story() -> None:
        plant = Plant(tmp_path, meters=1, speed=FAST)
        given_spi(plant, slot_octets)
        try:
            plant.start_meter()
            for victim in ("metrology", "management", ""):
                await plant.until(
                    lambda: said(plant, "metrology", "management") == "attached", "the link"
                )
                before = plant.figure("management", "intervals stored")
                await plant.until(
                    lambda before=before: (
                        plant.figure("management", "intervals stored") > before + 2
                    ),
                    "intervals",
                )
                if victim:
                    pid = plant.pid(victim)
                    plant.kill(victim)
                    await plant.until(
                        lambda pid=pid, victim=victim: plant.pid(victim) != pid, f"new {victim}"
                    )
        finally:
            await asyncio.to_thread(plant.stop)
        numbers = [interval.sequence for interval in plant.ring(1)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "Traceback" not in plant.said()

    asyncio.run(story())


def test_metrology_runs_what_its_seal_covers_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as plant:
            image = plant.meter_home(1) / "seal" / "image.bin"
            await plant.until(lambda: said(plant, "metrology", "management") == "attached", "link")
            assert said(plant, "meter", "metrology").startswith("0.1.0+0, ")
            sound = image.read_bytes()
            image.write_bytes(sound[:2000] + bytes((sound[2000] ^ 1,)) + sound[2001:])
            first, told = plant.pid("metrology"), plant.pid("management")
            plant.kill("metrology")
            await plant.until(
                lambda: "the image was altered" in said(plant, "meter", "alarm"), "an alarm"
            )
            await plant.until(
                lambda: said(plant, "management", "metrology") == "silent", "management alone"
            )
            seal = private_key((plant.layout.firmware / "metrology" / SEAL_KEY).read_bytes())
            image.write_bytes(sealed_image(Version(0, 2, 0), 2, seal).encode())
            await plant.until(
                lambda: said(plant, "meter", "metrology").startswith("0.2.0+0, "), "another image"
            )
            await plant.until(lambda: plant.pid("management") != told, "a new attestation")
            await plant.until(lambda: plant.pid("metrology") != first, "its first word")
            await plant.until(lambda: said(plant, "metrology", "management") == "attached", "link")
            image.write_bytes(sound)
            plant.kill("metrology")
            await plant.until(lambda: "counter" in said(plant, "meter", "alarm"), "no way back")
        assert all(EventCode.METROLOGY_CHANGED in log for log in logs(plant))
        assert "Traceback" not in plant.said()

    asyncio.run(story())


def read_as(user: User, file: Path) -> bytes:
    tried = subprocess.run(
        ["/bin/cat", file],
        user=user.uid,
        group=user.gid,
        extra_groups=(),
        capture_output=True,
        check=False,
    )
    return tried.stderr


def owner(path: Path) -> int:
    return path.stat().st_uid


def test_metrology_is_a_user_of_its_own_and_can_touch_nothing_else() -> None:
    users = users_here()
    user = users.get(Part.METROLOGY)
    if user is None and "CI" not in os.environ:
        pytest.skip(users.reduced)
    assert user is not None, users.reduced
    folder = Path(tempfile.mkdtemp(prefix="openami-modules-"))  # pytest's are closed to others
    folder.chmod(0o755)

    async def story() -> None:
        async with running(folder / "var") as plant:
            home = plant.meter_home(1)
            await plant.until(lambda: said(plant, "metrology", "management") == "attached", "link")
            assert said(plant, "meter", "metrology runs as") == f"user {user.uid}, alone"
            pid = plant.pid("metrology")
            assert owner(Path(f"/proc/{pid}")) == user.uid
            assert owner(Path(f"/proc/{plant.pid('management')}")) != user.uid
            for name in ("metrology.journal", "events.ring", "link.key"):
                assert owner(home / "metrology" / name) == user.uid
            for closed in (home / "seal", home / "secure", home / "tls.key"):
                file = closed if closed.is_file() else closed / "otp.bin"
                assert b"Permission denied" in await asyncio.to_thread(read_as, user, file)
            before = plant.figure("management", "intervals stored")
            plant.kill("metrology")
            await plant.until(
                lambda: plant.figure("management", "intervals stored") > before + 2, "intervals"
            )
            assert "Traceback" not in plant.said()

    try:
        asyncio.run(story())
    finally:
        shutil.rmtree(folder)


async def _told_to_disconnect(plant: Plant) -> None:
    parameters, counters = manager(plant)
    url = Url("tcp", "127.0.0.1", plant.plain_port)
    async with open_session(url, parameters, counters=counters) as meter:
        act = meter.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT)
        with contextlib.suppress(DlmsError):
            await meter.run(act)


@pytest.mark.long
def test_a_swapped_module_is_refused_and_logged_and_metering_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as plant:
            await plant.until(lambda: said(plant, "metrology", "management") == "attached", "link")
        home = plant.meter_home(1)
        pair(tmp_path / "one", tmp_path / "other", os.urandom)
        for name in (KEY_FILE, "link-peer.pub"):
            (tmp_path / "one" / name).replace(home / "metrology" / name)

        plant.start_meter()
        for module, other in (("metrology", "management"), ("management", "metrology")):
            await plant.until(
                lambda module=module, other=other: "refused module" in said(plant, module, other),
                f"{module} refusing",
            )
        closed = plant.figure("metrology", "intervals closed")
        await _told_to_disconnect(plant)
        await plant.until(
            lambda: plant.figure("metrology", "intervals closed") > closed + 3, "intervals"
        )
        assert plant.figure("management", "metrology attached") == 0
        await asyncio.to_thread(plant.stop)
        assert all(EventCode.MODULE_REFUSED in log for log in logs(plant))
        records = [
            decode_record(each)[1] for each in peek(home / "metrology" / "metrology.journal")
        ]
        assert all(each.breaker_closed for each in records if isinstance(each, ClosedInterval))
        assert all(isinstance(each, ClosedInterval) for each in records)  # it never moved

        assert openami("pair", "--home", home).returncode == 0
        plant.start_meter()
        await plant.until(lambda: said(plant, "metrology", "management") == "attached", "a link")
        await plant.until(
            lambda: plant.figure("management", "intervals stored") > closed, "what was missed"
        )
        await asyncio.to_thread(plant.stop)
        assert "Traceback" not in plant.said()

    asyncio.run(story())
