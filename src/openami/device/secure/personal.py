# SPDX-License-Identifier: Apache-2.0
"""The factory's last step: a device gets its unique key and its secrets, and is secured.

The life cycle says how far it came, and goes one way::

    ASSEMBLY_AND_TEST      the unique key is burned
    PSA_ROT_PROVISIONING   the secrets go into protected storage
    SECURED                nobody can bring others in; they are only used from here

It may be cut off anywhere and called again with the same secrets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.handover import SEED_OCTETS, Handover
from openami.device.otp import STAGE, UNIQUE_KEY, UNIQUE_KEY_OCTETS, Otp
from openami.device.secure.channels import bring_in
from openami.device.secure.identity import CLAUSE, Ground, Identity
from openami.device.secure.keyring import Secrets
from openami.device.secure.world import World, real_now
from openami.dlms.errors import SecurityError
from openami.dlms.security.certificates import CertificateType
from openami.firmware.bank import M2351_FLASH_OCTETS, Bank
from openami.firmware.flash import Flash
from openami.psa.formats import Random
from openami.psa.lifecycle import STAGES, LifeCycle, advance, of_fuses

_BLANK: Final = b"\xff" * UNIQUE_KEY_OCTETS


Certify = Callable[[int, bytes], bytes]
"""Gives the certificate (DER) that a request (PKCS #10, DER) for a use asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """What a factory gives to one device.

    Attributes:
        secrets: Of DLMS/COSEM.
        first_counter: The first invocation counter that it may use.
        window_expected: The lowest that it accepts.
        certificates: Whom it is to believe (DER), in suites 1 and 2: an authority and clients.
        certify: Gives the certificate (DER) to a use and a request; in suites 1 and 2 the device
            makes its key pairs itself, and only requests leave it.
    """

    secrets: Secrets
    first_counter: int = 1
    window_expected: int = 0
    certificates: tuple[bytes, ...] = ()
    certify: Certify | None = None


def state_of(folder: Path) -> LifeCycle:
    """Return how far the device came whose secure folder this is."""
    otp = Otp.open(folder / OTP_FILE)
    try:
        return of_fuses(otp.read(STAGE)[0])
    finally:
        otp.close()


def personalise(folder: Path, given: Callable[[], Personality], entropy: Random) -> bytes:
    """Secure the device whose secure folder this is; return the point of its attestation key.

    Args:
        folder: With flash and one-time-programmable memory.
        given: Asked for unless the device is secured already.
        entropy: For the unique key.

    Raises:
        PsaError: Its storage is damaged, or its life is beyond that.
        SecurityError: What was to certify its keys is no certificate of them.
        StorageError: The disk refused.
    """
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    try:
        return personalise_device(flash, otp, given, entropy)
    finally:
        flash.close()
        otp.close()


def link_point(folder: Path, entropy: Random) -> bytes:
    """Return the public key on the link of the secured device whose secure folder this is.

    Raises:
        PsaError: Its storage is damaged, or its life permits no keys.
        StorageError: The disk refused.
    """
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    try:
        return _opened(flash, otp, entropy).link_point()
    finally:
        flash.close()
        otp.close()


def personalise_device(
    flash: Flash, otp: Otp, given: Callable[[], Personality], entropy: Random
) -> bytes:
    """Secure the device with this flash and these fuses, as `personalise` does."""
    if of_fuses(otp.read(STAGE)[0]) is LifeCycle.ASSEMBLY_AND_TEST:
        found = otp.read(UNIQUE_KEY, UNIQUE_KEY_OCTETS // 8)
        if found == _BLANK:
            otp.burn(UNIQUE_KEY, entropy(UNIQUE_KEY_OCTETS))
        _go_on(otp, LifeCycle.PSA_ROT_PROVISIONING)
    world = _opened(flash, otp, entropy)
    if not STAGES[world.state].provisioning:
        return world.attestation_point()
    rooms, personality = world.rooms, given()
    bring_in(
        rooms.its,
        rooms.ps,
        personality.secrets,
        first_counter=personality.first_counter,
        window_expected=personality.window_expected,
        certificates=personality.certificates,
    )
    if personality.secrets.suite:
        _certify(world, personality)
    flash.sync()
    _go_on(otp, LifeCycle.SECURED)
    return world.attestation_point()


def _opened(flash: Flash, otp: Otp, entropy: Random) -> World:
    record = Handover(
        bank=Bank.A, trial=False, seed=entropy(SEED_OCTETS), life_cycle=0, from_source=True
    )
    return World(flash, otp, record, entropy)


def _certify(world: World, personality: Personality) -> None:
    """Let the device make its key pairs, and bring their certificates in."""
    rooms, certify = world.rooms, personality.certify
    ground = Ground(keys=rooms.keys, ps=rooms.ps, random=world.random, now=real_now)
    secrets = personality.secrets
    identity = Identity(ground, secrets.title, secrets.suite)
    if certify is None:
        raise SecurityError("nobody certifies the device's keys", "factory", CLAUSE)
    for usage in (CertificateType.DIGITAL_SIGNATURE, CertificateType.KEY_AGREEMENT):
        identity.generate(usage)
        identity.import_certificate(certify(usage, identity.request(usage)))


def _go_on(otp: Otp, to: LifeCycle) -> None:
    fuses = advance(of_fuses(otp.read(STAGE)[0]), to)
    otp.burn(STAGE, bytes((fuses,)))
