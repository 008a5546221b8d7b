# SPDX-License-Identifier: Apache-2.0
"""What the secure world consists of: stores on flash, keys, random, attestation.

It owns a region of the flash and the fuses behind it.  Everything secret comes from the unique key
in one-time-programmable memory, or lies in the region, ciphered under what that key gives.  Where
the life cycle permits no use of keys there are none: only the state is told.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openami.device.attested import ATTESTATION_KEY, attestation_identity, software_of_start
from openami.device.flash import StoragePages
from openami.device.handover import Handover
from openami.device.otp import BOOT, BOOT_ENTRIES, STAGE, UNIQUE_KEY, UNIQUE_KEY_OCTETS, Otp
from openami.device.secure.access import LINK_KEY_ID, Caller
from openami.device.secure.channels import Channels
from openami.device.secure.identity import Ground
from openami.firmware.bank import M2351_STORAGE
from openami.firmware.flash import Flash
from openami.psa import algorithms, formats
from openami.psa.attestation import Device, InitialAttestation
from openami.psa.attributes import BUILTIN_IDS, KeyAttributes, KeyType, Usage
from openami.psa.entropy import NoiseSource, random_generator
from openami.psa.keystore import BuiltinKey, KeyStore
from openami.psa.lifecycle import STAGES, of_fuses
from openami.psa.pagestore import PageStore
from openami.psa.protected import ProtectedStorage, StoredCounter, storage_key
from openami.psa.status import PsaError, Status
from openami.psa.storage import InternalTrustedStorage, KeysInStorage

ATTESTATION_CLIENT: Final = 0x41545445
"""Under which client the attestation partition holds its key."""
ATTESTATION_KEY_ID: Final = BUILTIN_IDS.start
ATTESTATION_LABEL: Final = b"openami initial attestation key v1"
LINK_LABEL: Final = b"openami link key v1"
LINK_KEY: Final = KeyAttributes(
    id=LINK_KEY_ID,
    type=KeyType.ECC_KEY_PAIR_SECP_R1,
    bits=256,
    usage=Usage.DERIVE,
    alg=algorithms.ECDH,
)
"""It agrees (`device.pairing`), and does nothing else."""
PROTECTED_COUNTER: Final = 0
REDUCED: Final = 1
"""In the octet of the life cycle claim that is the implementation's: parts are not kept apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What is there only where keys may be used."""

    store: PageStore
    its: InternalTrustedStorage
    ps: ProtectedStorage
    keys: KeyStore
    attestation: InitialAttestation
    channels: Channels | PsaError
    """Or why there are none: the device has no keys yet."""


class World:
    """The secure world of one device.

    Attributes:
        state: Of the life cycle, as the fuses say.
        random: The generator.
    """

    def __init__(self, flash: Flash, otp: Otp, record: Handover, noise: NoiseSource) -> None:
        """Open what lies in the flash.

        Args:
            flash: Of the device.
            otp: Its one-time-programmable memory.
            record: Of this start.
            noise: Entropy.

        Raises:
            PsaError: The storage is damaged or was set back, or the noise source unsound.
        """
        self.state = of_fuses(otp.read(STAGE)[0])
        self.random = random_generator(noise, personalization=record.seed)
        self._rooms = None if not STAGES[self.state].keys else self._open(flash, otp, record)

    def attestation_point(self) -> bytes:
        """Return the public key whose owner signs the device's tokens."""
        return self.rooms.keys.export_public_key(ATTESTATION_CLIENT, ATTESTATION_KEY_ID)

    def link_point(self) -> bytes:
        """Return the device's public key on the link to its other module."""
        return self.rooms.keys.export_public_key(Caller.NON_SECURE, LINK_KEY_ID)

    def close(self) -> None:
        """Note what the next start may know exactly."""
        if self._rooms is not None and isinstance(self._rooms.channels, Channels):
            self._rooms.channels.close()

    @property
    def rooms(self) -> Rooms:
        """What needs keys.

        Raises:
            PsaError: NOT_PERMITTED, the life cycle permits none.
        """
        if self._rooms is None:
            problem = "in this state of its life the device uses no keys"
            place = f"life cycle {self.state.name.lower()}"
            raise PsaError(Status.NOT_PERMITTED, problem, place)
        return self._rooms

    def _open(self, flash: Flash, otp: Otp, record: Handover) -> Rooms:
        unique = unique_key(otp)
        store = PageStore(StoragePages(flash, M2351_STORAGE))
        counter = StoredCounter(store, PROTECTED_COUNTER)
        ps = ProtectedStorage(store, storage_key(unique, self.state), counter, self.random)
        own = [attestation_key(unique), link_key(unique)]
        keys = KeyStore(KeysInStorage(ps), self.random, own)
        identity, sign = attestation_identity(keys, ATTESTATION_CLIENT, ATTESTATION_KEY_ID)
        device = Device(
            instance_id=identity,
            implementation_id=otp.read(BOOT, BOOT_ENTRIES),
            lifecycle=self.state | (REDUCED if record.isolation else 0),
            software=software_of_start(record),
            boot_seed=record.seed,
        )
        its = InternalTrustedStorage(store)
        return Rooms(
            store=store,
            its=its,
            ps=ps,
            keys=keys,
            attestation=InitialAttestation(device, sign),
            channels=channels_of(its, Ground(keys=keys, ps=ps, random=self.random, now=real_now)),
        )


def real_now() -> datetime:
    """Return real UTC, by which certificates are judged."""
    return datetime.now(UTC)


def channels_of(its: InternalTrustedStorage, ground: Ground) -> Channels | PsaError:
    """Return the channels of a device, or that it has no keys yet."""
    try:
        return Channels(its, ground)
    except PsaError as error:
        if error.status is not Status.DOES_NOT_EXIST:
            raise
        return error


def unique_key(otp: Otp) -> bytes:
    """Return the key that only this device has.

    Raises:
        PsaError: NOT_PERMITTED, none was burned, or it was destroyed.
    """
    octets = otp.read(UNIQUE_KEY, UNIQUE_KEY_OCTETS // 8)
    if not octets.strip(b"\xff") or not octets.strip(b"\x00"):
        problem = "no unique key is burned, or it was destroyed"
        raise PsaError(Status.NOT_PERMITTED, problem, "one-time-programmable memory")
    return octets


def attestation_key(unique: bytes) -> BuiltinKey:
    """Return the initial attestation key, which the unique key gives."""
    attributes = replace(ATTESTATION_KEY, id=ATTESTATION_KEY_ID)
    scalar = _scalar(unique, ATTESTATION_LABEL)
    return BuiltinKey(attributes, scalar, frozenset({ATTESTATION_CLIENT}))


def link_key(unique: bytes) -> BuiltinKey:
    """Return the key on the link, which the unique key gives."""
    return BuiltinKey(LINK_KEY, _scalar(unique, LINK_LABEL), frozenset({Caller.NON_SECURE}))


def _scalar(unique: bytes, label: bytes) -> bytes:
    # 64 bits more than the order has, and the remainder is not biased (FIPS 186-5, A.2.1).
    derivation = HKDF(algorithm=SHA256(), length=40, salt=None, info=label)
    number = int.from_bytes(derivation.derive(unique)) % (formats.curve_of_bits(256).order - 1) + 1
    return number.to_bytes(32)
