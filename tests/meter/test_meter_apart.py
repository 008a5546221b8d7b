# SPDX-License-Identifier: Apache-2.0
"""The running meter behind its wall: users of their own, or one for all, and it says which."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device.sealedmeter import KEYS, image
from meter.plant import HopProcess, Plant
from openami.device.factory import FACTORY_IMAGE
from openami.device.pairing import KEY_FILE, PEER_FILE
from openami.lifecycle.plan import meter_title
from openami.lifecycle.provision import provision
from openami.meter.config import MeterConfig
from openami.runtime.users import Part, User, users_here

FAST = 3600.0
TITLE = meter_title(1)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as others")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="openami-apart-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def personalised(var: Path) -> AsyncIterator[tuple[Plant, HopProcess]]:
    var.mkdir(exist_ok=True)
    plant = Plant(var, meters=1, speed=FAST)
    hop = HopProcess(plant)
    hop.know(TITLE)
    command = ["meter", "personalise", "--home", str(plant.meter_home(1))]
    done = await asyncio.to_thread(openami, *command)
    assert done.returncode == 0, done.stderr
    await hop.open()
    try:
        yield plant, hop
    finally:
        await asyncio.to_thread(plant.stop)
        await hop.close()


def openami(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "openami", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def isolation(plant: Plant) -> str:
    try:
        said = json.loads((plant.layout.run / "meter.json").read_text())
    except (OSError, ValueError):
        return ""
    return str(said["figures"].get("isolation", ""))


def uid_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Uid:")).split()[1])


def looked_at(path: Path, user: User) -> str:
    """Return what a user is told who looks at a file."""
    looked = subprocess.run(
        ["cat", str(path)],
        user=user.uid,
        group=user.gid,
        extra_groups=(),
        capture_output=True,
        text=True,
        check=False,
    )
    return looked.stderr


def renamed_by(path: Path, user: User) -> str:
    """Return what a user is told who puts a name away."""
    moved = subprocess.run(
        ["mv", "-T", str(path), f"{path}-away"],
        user=user.uid,
        group=user.gid,
        extra_groups=(),
        capture_output=True,
        text=True,
        check=False,
    )
    return moved.stderr


def secure_pid(plant: Plant) -> int:
    said = subprocess.run(
        ["pgrep", "-f", f"/proc/self/fd/[0-9]+ [^ ]+ {plant.meter_home(1)}/secure [0-9]+ [0-9]+ "],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(said.stdout.split()[0])


def tls_pid(plant: Plant) -> int:
    said = subprocess.run(
        ["pgrep", "-f", f"/proc/self/fd/[0-9]+ [^ ]+ tls {plant.meter_home(1)} [0-9]+ [0-9]+"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(said.stdout.split()[0])


def files_of(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())


def read_by(path: str, user: User) -> str:
    """Return what a user is told who opens a file or a folder."""
    script = f"import os; p={path!r}; os.listdir(p) if os.path.isdir(p) else open(p,'rb').read(1)"
    return tried(script, user)


def attached_by(pid: int, user: User) -> str:
    """Return what a user is told who attaches a debugger."""
    script = (
        "import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True);"
        f"sys.exit('no') if libc.ptrace(16, {pid}, 0, 0) else None"
    )
    return tried(script, user)


def tried(script: str, user: User) -> str:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script],
        user=user.uid,
        group=user.gid,
        extra_groups=(),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    return done.stderr


async def works(plant: Plant, hop: HopProcess) -> None:
    """Wait until management takes intervals and pushes them, sealed behind the wall."""
    await plant.until(lambda: len(hop.rows.get(TITLE, {})) > 10, "pushes")
    await plant.until(lambda: isolation(plant) != "", "isolation")


@needs_root
def test_each_part_is_a_user_of_its_own(open_folder: Path) -> None:
    users = users_here()
    management, secure = users.get(Part.MANAGEMENT), users.get(Part.SECURE)
    assert management is not None
    assert secure is not None
    tls = users.get(Part.TLS)
    assert tls is not None

    async def story() -> None:
        async with personalised(open_folder / "var") as (plant, hop):
            plant.start_meter()
            await works(plant, hop)
            assert isolation(plant) == "full"
            assert uid_of(plant.pid("management")) == management.uid
            assert uid_of(secure_pid(plant)) == secure.uid
            partition = tls_pid(plant)
            assert uid_of(partition) == tls.uid
            for own in ("environ", "maps", "mem", "fd"):
                seen = await asyncio.to_thread(read_by, f"/proc/{partition}/{own}", management)
                assert "denied" in seen or "not permitted" in seen, f"{own}: {seen}"
            assert "no" in await asyncio.to_thread(attached_by, partition, management)
            key = plant.meter_home(1) / "tls.key"
            assert key.stat().st_uid == tls.uid
            assert "Permission denied" in await asyncio.to_thread(looked_at, key, management)
            assert "not permitted" in await asyncio.to_thread(renamed_by, key, management)
            assert "Permission denied" in await asyncio.to_thread(looked_at, key, secure)
            toml = plant.meter_home(1) / "device.toml"
            assert "not permitted" in await asyncio.to_thread(renamed_by, toml, management)
            held = [each.readlink().name for each in files_of(plant.pid("management"))]
            assert "tls.key" not in held
            assert not (plant.meter_home(1) / "management" / KEY_FILE).exists()  # it is joined
            home = plant.meter_home(1)
            for attempt in (home / "secure" / "flash.bin", home / "secure" / "otp.bin"):
                assert "Permission denied" in await asyncio.to_thread(
                    looked_at, attempt, management
                )
            assert "Traceback" not in plant.said()

    asyncio.run(story())


@pytest.mark.long
def test_one_user_for_all_is_said_to_be_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with personalised(tmp_path / "var") as (plant, hop):
            plant.start_meter()
            await works(plant, hop)
            assert isolation(plant).startswith("reduced: ")
            home = str(plant.meter_home(1))
            said = await asyncio.to_thread(openami, "attest", "--home", home, "--json")
            assert json.loads(said.stdout)["isolation"] == "reduced"
            firmware = plant.layout.firmware
            release = ("--image", str(firmware / FACTORY_IMAGE))
            sealed = ("--metrology", str(firmware / "metrology" / FACTORY_IMAGE))
            same = await asyncio.to_thread(openami, "attest", "--home", home, *release, *sealed)
            assert same.returncode == 0, same.stdout
            for kind in ("AMI-METER 0.1.0+0", "SECURE", "MANAGEMENT", "AMI-MEASURE 0.1.0+0"):
                assert f"software        {kind} " in same.stdout
            crossed = (*release[:1], *sealed[1:])
            said = await asyncio.to_thread(openami, "attest", "--home", home, *crossed)
            assert said.returncode == 2
            assert "holds no programs of a meter" in said.stderr
            crossed = (*sealed[:1], *release[1:])
            said = await asyncio.to_thread(openami, "attest", "--home", home, *crossed)
            assert said.returncode == 1
            assert "its AMI-MEASURE is" in said.stdout
            other = tmp_path / "other.bin"
            other.write_bytes(image().encode())
            words = ("attest", "--home", home, "--image", str(other))
            said = await asyncio.to_thread(openami, *words)
            assert said.returncode == 1
            for kind in ("AMI-METER", "SECURE", "MANAGEMENT"):
                assert f"its {kind} is" in said.stdout
            stranger = tmp_path / "stranger.pem"
            stranger.write_bytes(
                KEYS[0].key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            )
            said = await asyncio.to_thread(
                openami, "attest", "--home", home, "--key", str(stranger)
            )
            assert said.returncode == 1
            assert "can be believed" in said.stderr
            assert "Traceback" not in plant.said()

    asyncio.run(story())


def test_keys_are_nowhere_in_the_clear_after_the_factory(tmp_path: Path) -> None:
    plant = Plant(tmp_path, meters=1, speed=1.0)
    home = plant.meter_home(1)
    keys = MeterConfig.load(home).keys
    assert keys is not None
    secrets = [keys.guek, keys.gak, keys.kek, keys.lls]
    assert openami("meter", "pair", "--home", str(home)).returncode == 0
    of_the_link = home / "management" / KEY_FILE
    secrets.append(of_the_link.read_bytes())

    done = openami("meter", "personalise", "--home", str(home))

    assert done.returncode == 0, done.stderr
    assert MeterConfig.load(home).keys is None
    assert not of_the_link.exists()
    for path in home.rglob("*"):
        octets = path.read_bytes() if path.is_file() else b""
        for secret in secrets:
            assert secret not in octets
            assert secret.hex().encode() not in octets.lower()
    told = (home / "metrology" / PEER_FILE).read_bytes()
    assert openami("meter", "pair", "--home", str(home)).returncode == 0
    assert (home / "metrology" / PEER_FILE).read_bytes() == told
    again = openami("meter", "personalise", "--home", str(home))
    assert again.returncode == 0, again.stderr
    provision(plant.layout, plant.plan, lambda *_: None)  # as at the next `openami up`


@pytest.mark.long
def test_the_secure_world_comes_back_with_its_module(tmp_path: Path) -> None:
    async def story() -> None:
        async with personalised(tmp_path / "var") as (plant, hop):
            plant.start_meter()
            await works(plant, hop)
            before = len(hop.rows[TITLE])
            os.kill(secure_pid(plant), 9)
            await plant.until(lambda: len(hop.rows[TITLE]) > before + 5, "more pushes")

    asyncio.run(story())


def test_a_killed_partition_comes_back_alone_and_the_meter_dials_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with personalised(tmp_path / "var") as (plant, hop):
            plant.start_meter()
            await works(plant, hop)
            managed, measures = plant.pid("management"), plant.pid("metrology")
            before = len(hop.rows[TITLE])
            os.kill(tls_pid(plant), 9)
            await plant.until(lambda: len(hop.rows[TITLE]) > before + 5, "more pushes")
            assert plant.pid("management") == managed
            assert plant.pid("metrology") == measures
            assert "Traceback" not in plant.said()

    asyncio.run(story())
