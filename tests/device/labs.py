# SPDX-License-Identifier: Apache-2.0
"""Devices with a debug key for tests, and a laboratory with power cuts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device.secure.worlds import make
from openami.device.debugport import DebugPort
from openami.device.debugtoken import Permission, Token, name_of
from openami.device.files import FLASH_FILE, OTP_FILE, UPDATE_KEY_FILE
from openami.device.otp import DEBUG, Otp
from openami.firmware.bank import M2351_STORAGE
from openami.psa.formats import public_point
from openami.psa.lifecycle import LifeCycle
from psaworld import Noise

DEBUG_KEY = ec.derive_private_key(
    int.from_bytes(hashlib.sha256(b"a laboratory").digest()), ec.SECP256R1()
)
OTHER_KEY = ec.derive_private_key(7, ec.SECP256R1())
STORED = b"what the secure world stored" * 40
UPDATE_KEY = bytes(range(32))


def device(
    folder: Path,
    state: LifeCycle = LifeCycle.SECURED,
    *,
    key: bool = True,
    stored: bytes = STORED,
) -> DebugPort:
    """Make a device with something in its storage; return its port."""
    make(folder, state)
    with (folder / FLASH_FILE).open("r+b") as flash:
        flash.seek(M2351_STORAGE.offset)
        flash.write(stored)
    (folder / UPDATE_KEY_FILE).write_bytes(UPDATE_KEY)
    if key:
        otp = Otp.open(folder / OTP_FILE)
        otp.burn(DEBUG, name_of(public_point(DEBUG_KEY.public_key())))
        otp.close()
    return DebugPort(folder, Noise(str(folder).encode()))


def opened(port: DebugPort, permission: Permission) -> None:
    port.unlock(Token.make(permission, port.challenge(), DEBUG_KEY).encode())


class PowerCutError(Exception):
    """The power is gone."""


@dataclass
class Cut:
    """Lets so many writes pass; the next one is torn, or does not happen, and ends everything."""

    left: int
    torn: bool = False
    happened: bool = field(default=False, init=False)

    def before(self, octets: bytes) -> bytes | None:
        """Return what is still written, None if all of it is."""
        self.left -= 1
        if self.left >= 0:
            return None
        self.happened = True
        return octets[: len(octets) // 2] if self.torn else b""


@contextmanager
def cutting(monkeypatch: pytest.MonkeyPatch, cut: Cut) -> Iterator[None]:
    """Cut the power at a write of flash, fuses, cells or locks, or at the exchange of a file."""
    from openami.device import cell, flash, otp, partlocks  # noqa: PLC0415

    with monkeypatch.context() as patched:
        for module in (cell, flash, otp, partlocks):
            inner = module.write_all

            def write_all(path: Path, descriptor: int, octets: bytes, offset: int) -> None:
                rest = cut.before(octets)
                inner(path, descriptor, octets if rest is None else rest, offset)  # noqa: B023
                if rest is not None:
                    raise PowerCutError

            patched.setattr(module, "write_all", write_all)
        exchanged = partlocks.write_durably

        def write_durably(path: Path, octets: bytes, *, mode: int) -> None:
            if cut.before(octets) is not None:
                raise PowerCutError  # by renaming: the old octets, or the new ones
            exchanged(path, octets, mode=mode)

        patched.setattr(partlocks, "write_durably", write_durably)
        yield
