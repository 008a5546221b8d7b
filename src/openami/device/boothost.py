# SPDX-License-Identifier: Apache-2.0
"""The boot as a program: it decides, verifies, measures, seals, and hands over.

    HOME CHANNEL SERVICE ISOLATION ROM

HOME holds flash and one-time-programmable memory, CHANNEL is a socket to whoever gives the module
its power, SERVICE a serial line for a technician, ISOLATION why the device's parts are not kept
apart, ROM the folder of the libraries.  What is verified is copied out of the flash once; that copy
is sealed and handed over as descriptors, so exactly the octets that were verified run.

One message goes each way over the channel; the first is there before boot begins:

=====  =========  ====================================  ===================================
octet  from       rest                                  descriptors
=====  =========  ====================================  ===================================
B      power      what it measured beside this module   none
R      boot       `handover.Handover`                   record, management, secure if any
X      boot       why nothing runs, UTF-8               none; boot goes on and recovers
=====  =========  ====================================  ===================================
"""

import hashlib
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.device import recovery, sealed
from openami.device.bootregion import BootRegion, BootRegionError
from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.handover import (
    SEED_OCTETS,
    Component,
    Handover,
    HandoverError,
    decode_components,
)
from openami.device.otp import STAGE, Otp
from openami.device.payload import rom
from openami.device.payload.container import Payload
from openami.device.payload.identity import SW_TYPE
from openami.device.payload.judge import METER, Kind, policy
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, FlashMap
from openami.firmware.boot import Recovery, Running, boot
from openami.firmware.flash import Flash
from openami.firmware.state import StateJournal
from openami.firmware.verify import Policy
from openami.psa.lifecycle import of_fuses
from openami.runtime.errors import ExitCode, UserError

BESIDE: Final = b"B"
RUNNING: Final = b"R"
RECOVERING: Final = b"X"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What is to run, and the record of it."""

    record: Handover
    payload: Payload = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is measured of the device outside of its flash.

    Attributes:
        rom: Of the libraries.
        beside: What stands beside this module, as it was verified there.
    """

    rom: bytes
    beside: tuple[Component, ...] = ()


def start(flash: Flash, otp: Otp, seed: bytes, isolation: str, measured: Measured) -> Started | str:
    """Decide what runs; return why nothing does if that is so.

    Args:
        flash: Of the device.
        otp: Its one-time-programmable memory.
        seed: Fresh entropy, `SEED_OCTETS`.
        isolation: Why the parts are not apart; empty if they are.
        measured: What the record says besides.

    Raises:
        BootRegionError: The keys that images are judged by are not those that were burned.
    """
    region, found = decide(flash, otp)
    if isinstance(found, Recovery):
        return str(found)
    payload = Payload.decode(found.verified.image.payload)
    state = StateJournal(flash, M2351).read()
    problem = str(found.replaced or "") or ("" if state is None else state.error)
    record = Handover(
        bank=found.bank,
        trial=found.trial,
        problem=problem,
        seed=seed,
        life_cycle=int(of_fuses(otp.read(STAGE)[0])),
        isolation=isolation,
        components=_components(region, found, payload, measured),
    )
    return Started(record=record, payload=payload)


def decide(
    flash: Flash, otp: Otp, flash_map: FlashMap = M2351, kind: Kind = METER
) -> tuple[BootRegion, Running | Recovery]:
    """Decide which image runs, by the keys that were burned; return the region with them, too.

    Raises:
        BootRegionError: The keys that images are judged by are not those that were burned.
    """
    region = BootRegion.read(flash)
    region.verify(otp)  # the mask ROM did so with its own copy; these keys are read anew
    demanded = policy(region.trusted(otp), root=region.root, kind=kind)
    found = boot(flash, flash_map, demanded)
    if isinstance(found, Running) and not found.trial:
        # Not before: an image on trial may be left, and then the other one must still be believed.
        region.revoke(found.verified.revoked, otp)
    return region, found


def _demanded(region: BootRegion, otp: Otp) -> Policy:
    return policy(region.trusted(otp), root=region.root)


def _components(
    region: BootRegion, found: Running, payload: Payload, measured: Measured
) -> tuple[Component, ...]:
    verified = found.verified
    programs = {"SECURE": payload.secure, "MANAGEMENT": payload.management}
    image = verified.boot_record
    return (
        Component("ROM", measured.rom),
        Component("BL", region.digest),
        Component(
            SW_TYPE if image is None else image.sw_type,
            verified.digest,
            verified.keyhash,
            str(verified.version),
        ),
        *(
            Component(kind, hashlib.sha256(octets).digest(), verified.keyhash)
            for kind, octets in programs.items()
            if octets
        ),
        *measured.beside,
    )


def main(arguments: list[str]) -> int:
    """Start the device, or recover it; return the exit status."""
    try:
        return _main(arguments)
    except (UserError, BootRegionError, HandoverError) as error:
        print(f"openami: {error}", file=sys.stderr)  # noqa: T201  the supervisor keeps it
        return ExitCode.REFUSED


def _main(arguments: list[str]) -> int:
    home, channel, service, isolation, libraries = arguments
    folder = Path(home)
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    with socket.socket(fileno=int(channel)) as power:
        measured = Measured(rom=rom.measure(Path(libraries)), beside=_beside(power))
        started = start(flash, otp, os.urandom(SEED_OCTETS), isolation, measured)
        if isinstance(started, str):
            power.send(RECOVERING + started.encode()[:MOST_REASON_OCTETS])
            demanded = _demanded(BootRegion.read(flash), otp)
            return recovery.serve(int(service), flash, demanded, started)
        _hand_over(power, started)
    flash.close()
    return 0


def _beside(power: socket.socket) -> tuple[Component, ...]:
    """Return what was measured beside this module; whoever gives it power says nothing else."""
    try:
        said = power.recv(MOST_OCTETS, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return ()
    if said[:1] != BESIDE:
        raise HandoverError("the power of the module speaks first, and of what stands beside it")
    return decode_components(said[1:])


def _hand_over(power: socket.socket, started: Started) -> None:
    record = started.record.encode()
    descriptors = [
        sealed.seal("record", record),
        sealed.seal("management", started.payload.management),
    ]
    if started.payload.secure:
        descriptors.append(sealed.seal("secure", started.payload.secure))
    socket.send_fds(power, [RUNNING + record], descriptors)


MOST_OCTETS: Final = 65_536
MOST_REASON_OCTETS: Final = 4096
