# SPDX-License-Identifier: Apache-2.0
"""The power of a module with a secure boot: mask ROM, boot, and what boot hands over.

The mask ROM is whoever gives the module its power: it compares the boot region with the hash in
one-time-programmable memory and runs the boot from a sealed copy.  It judges no image.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.device import sealed
from openami.device.boothost import BESIDE, MOST_OCTETS, RUNNING
from openami.device.bootregion import BootRegion, BootRegionError
from openami.device.debugport import end_session
from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.handover import Component, Handover, encode_components
from openami.device.otp import Otp
from openami.device.payload import rom
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.runtime.errors import UserError
from openami.runtime.process import PARENT_VARIABLE
from openami.runtime.users import User

BOOT_S: Final = 60.0  # a boot that says nothing for so long hangs
MOST_DESCRIPTORS: Final = 3
CLEAN: Final = frozenset({"PATH", "LANG", "LC_ALL", "TZ"})
"""What of the environment a program of the module sees."""


class BootError(UserError):
    """The module does not start; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """What boot handed over: sealed memory files, by descriptor; whoever got them closes them."""

    record: Handover
    record_file: int
    management: int
    secure: int | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        secure = () if self.secure is None else (self.secure,)
        return (self.record_file, self.management, *secure)

    def close(self) -> None:
        """Let the descriptors go."""
        for descriptor in self.descriptors:
            os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovering:
    """No image runs: why not, and the boot that takes a new one."""

    reason: str
    process: asyncio.subprocess.Process


def environment() -> dict[str, str]:
    """Return what a program of the module finds in its environment."""
    return {name: value for name, value in os.environ.items() if name in CLEAN}


def first_program(folder: Path) -> bytes:
    """Return the boot of the device with this secure folder, as the mask ROM accepts it.

    Raises:
        BootError: It is not what was burned.
        StorageError: Flash or one-time-programmable memory cannot be opened.
    """
    end_session(folder)
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    try:
        region = BootRegion.read(flash)
        region.verify(otp)
    except BootRegionError as error:
        raise BootError(str(error)) from None
    finally:
        flash.close()
        otp.close()
    return region.program


async def start(  # noqa: PLR0913  each says something else of the start
    folder: Path,
    service: int,
    log: int,
    *,
    isolation: str = "",
    user: User | None = None,
    beside: tuple[Component, ...] = (),
) -> Booted | Recovering:
    """Give the module power, once.

    Args:
        folder: With flash and one-time-programmable memory.
        service: Descriptor of the technician's line.
        log: Descriptor where boot says what goes wrong.
        isolation: Why the parts of the device are not kept apart; empty if they are.
        user: Whom boot runs as; nobody else than who starts it, without.
        beside: What was measured beside the module.

    Raises:
        BootError: Nothing started, not even a recovery.
    """
    program = sealed.seal("boot", await asyncio.to_thread(first_program, folder))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, _closed(program, theirs):
        ours.send(BESIDE + encode_components(beside))  # a boot of former days does not listen
        libraries = rom.libraries()
        words = (folder, theirs.fileno(), service, isolation, libraries)
        process = await asyncio.create_subprocess_exec(
            *rom.command(program, libraries, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(program, theirs.fileno(), service),
            env=environment() | {PARENT_VARIABLE: str(os.getpid())},
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else (),
        )
        theirs.close()
        try:
            said, descriptors = await asyncio.to_thread(_heard, ours)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
    if said[:1] == RUNNING:
        await process.wait()
        return _booted(said[1:], descriptors)
    if not said:
        status = await process.wait()
        raise BootError(f"boot ended with status {status} and started nothing: see its log")
    return Recovering(reason=said[1:].decode(errors="replace"), process=process)


def _heard(ours: socket.socket) -> tuple[bytes, list[int]]:
    ours.settimeout(BOOT_S)
    try:
        said, descriptors, _, _ = socket.recv_fds(ours, MOST_OCTETS, MOST_DESCRIPTORS)
    except TimeoutError:
        raise BootError(f"boot said nothing for {BOOT_S:g} s and was stopped") from None
    except ConnectionError:
        return b"", []
    return said, descriptors


def _booted(record: bytes, descriptors: list[int]) -> Booted:
    for descriptor in descriptors:
        sealed.octets_of(descriptor)  # whoever holds an unsealed one could still change it
    record_file, management, *secure = descriptors
    return Booted(
        record=Handover.decode(record),
        record_file=record_file,
        management=management,
        secure=secure[0] if secure else None,
    )


@contextmanager
def _closed(descriptor: int, other: socket.socket) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
        other.close()
