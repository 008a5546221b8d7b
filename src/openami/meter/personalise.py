# SPDX-License-Identifier: Apache-2.0
"""A meter's factory step: its keys leave `keys.json` for the secure world, and the file goes.

The head-end has its copy from the shipment (docs/provisioning.md).  Counters go on where they were:
a meter that was used before is personalised later without using one twice.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from openami.device.files import ATTESTATION_PUBLIC, MANAGEMENT, SECURE
from openami.device.pairing import KEY_FILE
from openami.device.secure.keyring import Secrets
from openami.device.secure.personal import Certify, Personality, personalise
from openami.device.storage import StorageError
from openami.dlms.errors import SecurityError
from openami.dlms.security.certificates import Certificate, CertificateType
from openami.meter.config import KEYS_REMEDY, MeterConfig, MeterKeys
from openami.meter.keys import GROUP_FILE, PAIRS
from openami.meter.modules import pair_modules
from openami.meter.state import CounterStore, StateStore
from openami.psa.status import PsaError
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.runtime.files import erase, write_durably


def personalise_meter(config: MeterConfig, certify: Certify | None = None) -> None:
    """Give a meter's keys to its secure world; may be cut off and called again.

    Args:
        config: The meter's.
        certify: Certifies the key pairs that the secure world makes, in suites 1 and 2.

    Raises:
        UserError: It has no keys to give, its storage is damaged, or the disk refused.
    """

    def personality() -> Personality:
        return given(config, lambda: _counters(config.home), certify)

    try:
        point = personalise(config.home / SECURE, personality, os.urandom)
    except (PsaError, StorageError, SecurityError) as error:
        raise UserError(f"{config.name} cannot be personalised: {error}") from error
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_durably(
        config.home / ATTESTATION_PUBLIC, pem
    )  # before the file goes: says where keys are
    if (config.home / MANAGEMENT / KEY_FILE).exists():
        pair_modules(replace(config, keys=None))  # its key of the link leaves that file too
    erase(config.keys_file)
    erase(config.home / GROUP_FILE)  # the head-end transfers them again, into the secure world


def given(
    config: MeterConfig, counters: Callable[[], tuple[int, int]], certify: Certify | None = None
) -> Personality:
    """Return what a meter's factory gives to its secure world.

    Args:
        config: The meter's.
        counters: Tells the first invocation counter that it may use, and the lowest it accepts.
        certify: Certifies the key pairs that the secure world makes, in suites 1 and 2.

    Raises:
        UserError: It has no keys to give.
    """
    keys = config.keys
    if keys is None:
        raise UserError(f"{config.keys_file} is not there: {config.name} has no keys to give")
    secrets = Secrets(
        title=config.title,
        epoch=keys.epoch,
        suite=keys.suite,
        encryption=keys.guek,
        authentication=keys.gak,
        master=keys.kek,
        password=keys.lls,
    )
    first_counter, expected = counters()
    return Personality(
        secrets=secrets,
        first_counter=first_counter,
        window_expected=expected,
        certificates=_believed(config, keys),
        certify=None if certify is None else _kept(config, certify),
    )


def _believed(config: MeterConfig, keys: MeterKeys) -> tuple[bytes, ...]:
    """Return the certificates of others; the meter's own are of pairs that it leaves behind."""
    try:
        found = [Certificate.decode(each) for each in keys.certificates]
    except SecurityError as error:
        raise UserError(f"{config.keys_file}: {error}: {KEYS_REMEDY}") from error
    return tuple(each.encode() for each in found if each.system_title != config.title)


def _kept(config: MeterConfig, certify: Certify) -> Certify:
    """Return `certify`, whose certificates are put into the meter's folder."""

    def certified(usage: int, request: bytes) -> bytes:
        octets = certify(usage, request)
        pem = load_der_x509_certificate(octets).public_bytes(Encoding.PEM)
        write_durably(config.home / f"{PAIRS[CertificateType(usage)]}.crt", pem)
        return octets

    return certified


def _counters(home: Path) -> tuple[int, int]:
    path = home / "management.cell"
    if not path.exists():
        return 1, 0
    state = StateStore(path)
    counters = CounterStore(home / "counters.cell", real_us, begun=True)
    try:
        return counters.reserve(0), state.state.window_expected
    finally:
        counters.close()
        state.close()
