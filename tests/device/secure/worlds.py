# SPDX-License-Identifier: Apache-2.0
"""Secure worlds for tests: in memory with a service, or as a process behind its wall."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from device.sealedmeter import KEYS, image
from openami.device import sealed
from openami.device.bootregion import REGION, BootRegion
from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.handover import SEED_OCTETS, Component, Handover
from openami.device.otp import BLANK, BOOT, ENTRIES, ENTRY_OCTETS, STAGE, UNIQUE_KEY, Otp
from openami.device.payload.judge import policy
from openami.device.secure.access import LIMITS, Limits
from openami.device.secure.calls import BY_NAME
from openami.device.secure.client import SecureClient
from openami.device.secure.codec import Reply, Request, Value, write
from openami.device.secure.door import open_door
from openami.device.secure.service import Service, Session
from openami.device.secure.world import World
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, Bank
from openami.firmware.boot import prepare
from openami.firmware.flash import ERASED, SimulatedFlash
from openami.psa.lifecycle import STAGES, LifeCycle
from openami.psa.status import PsaError
from openami.runtime.users import User
from psaworld import Noise

UNIQUE: Final = bytes(range(1, 33))
RECORD: Final = Handover(
    bank=Bank.A,
    trial=False,
    seed=bytes(range(SEED_OCTETS)),
    life_cycle=LifeCycle.SECURED,
    components=(Component("BL", b"\xb1" * 32), Component("SECURE", b"\x5e" * 32)),
)
CODE: Final = (
    "import sys\nfrom openami.device.secure.process import main\nsys.exit(main(sys.argv[1:]))"
)


def fuses(state: LifeCycle) -> bytes:
    """Return the octet that says a state; for the unknown one, a pattern that says none."""
    return bytes((0b11011111 if state is LifeCycle.UNKNOWN else STAGES[state].fuses,))


def make(folder: Path, state: LifeCycle = LifeCycle.SECURED) -> None:
    """Make the flash and the fuses of a device that left its factory."""
    region = BootRegion(program=b"boot", keys=KEYS)
    octets = region.encode()
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    flash.program(REGION.offset, octets + ERASED * (-len(octets) % 8))
    prepare(flash, M2351, policy(KEYS), image().encode())
    flash.close()
    otp = Otp.open(folder / OTP_FILE)
    otp.burn(BOOT, region.digest)
    otp.burn(UNIQUE_KEY, UNIQUE)
    otp.burn(STAGE, fuses(state))
    otp.close()


def in_memory(
    flash: SimulatedFlash | None = None,
    state: LifeCycle = LifeCycle.SECURED,
    limits: Limits = LIMITS,
    otp: Otp | None = None,
) -> Service:
    """Return the service of a world in memory; fuses and chance are the same each time.

    Args:
        flash: Of the device; blank unless given.
        state: What the fuses are to say, unless they are given.
        limits: What callers may take.
        otp: Fuses of a device that went through its factory; they stay open.
    """
    memory = flash or SimulatedFlash(M2351_FLASH_OCTETS)
    if otp is not None:
        return Service(World(memory, otp, RECORD, Noise()), limits=limits)
    otp = otp_in_memory()
    otp.burn(UNIQUE_KEY, UNIQUE)
    otp.burn(STAGE, fuses(state))
    world = World(memory, otp, RECORD, Noise())
    otp.close()
    return Service(world, limits=limits)


def otp_in_memory() -> Otp:
    """Return fuses of which none is burned."""
    otp = Otp(Path("memory"), os.memfd_create("fuses"))
    os.pwrite(otp.fileno(), BLANK * ENTRY_OCTETS * ENTRIES, 0)
    return otp


def ask(session: Session, name: str, *arguments: Value) -> tuple[Value, ...]:
    """Call a function as its octets."""
    function = BY_NAME[name]
    request = Request(function.number, 1, write(function.arguments, arguments))
    return Reply.decode(session.serve(request.encode())).results(function.results)


class InMemoryClient(SecureClient):
    """A client that needs no wall."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.crossings: list[str] = []
        self.came_out: list[Value] = []

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        self.crossings.append(name)
        found = ask(self._session, name, *arguments)
        self.came_out += found
        return found


@dataclass(slots=True)
class Walled:
    """A secure world that runs, and its folder and door."""

    process: "subprocess.Popen[str]"
    home: Path
    door: Path
    callers: str
    user: User | None
    clients: list[SecureClient] = field(default_factory=list)

    def connect(self) -> SecureClient:
        """Return a client that the secure world has taken in; it is closed in the end."""
        client = SecureClient.connect(self.door)
        self.clients.append(client)
        client.call("client_id")
        return client

    def refused(self, name: str, *arguments: int | bytes) -> PsaError:
        """Call a function of which a refusal is expected."""
        client = SecureClient.connect(self.door)
        self.clients.append(client)
        try:
            client.call(name, *arguments)
        except PsaError as error:
            return error
        raise AssertionError(f"{name} was not refused")

    def restart(self) -> None:
        """Stop the process, and start it over the same flash."""
        self.stop()
        self.process = started(self.home, self.callers, self.user)

    def stop(self) -> None:
        """Let all clients go, and end the process in order."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.process.terminate()
        self.process.communicate(timeout=60)


def started(home: Path, callers: str, user: User | None) -> "subprocess.Popen[str]":
    """Start the secure world of a folder."""
    door = open_door(home / "door")
    record = sealed.seal("record", RECORD.encode())
    words = (home / "secure", door.fileno(), record, callers)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *map(str, words)],
        pass_fds=(door.fileno(), record),
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else (),
        stderr=subprocess.PIPE,
        text=True,
    )
    door.close()
    os.close(record)
    return process


@contextmanager
def walled(
    callers: str, user: User | None = None, state: LifeCycle = LifeCycle.SECURED
) -> Iterator[Walled]:
    """Run a secure world as a user, in a folder below one that everybody may enter."""
    home = Path(tempfile.mkdtemp(prefix="openami-secure-"))
    home.chmod(0o755)
    folder = home / "secure"
    folder.mkdir(mode=0o700)
    make(folder, state)
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.uid, user.gid)
    wall = Walled(started(home, callers, user), home, home / "door", callers, user)
    try:
        wall.connect()
        yield wall
    finally:
        wall.stop()
        shutil.rmtree(home)
