# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed of the secure world: tokens, flash, keys that come in, uses of keys."""

from contextlib import suppress
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_der_public_key

from device.secure.worlds import in_memory
from openami.device.secure.access import Caller
from openami.device.secure.channels import bring_in
from openami.device.secure.codec import Reply
from openami.device.secure.keyring import Secrets
from openami.device.secure.service import HostileError
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.flash import SimulatedFlash
from openami.psa import cose
from openami.psa.attestation import OLD_PROFILE, Claims, verify_token
from openami.psa.attributes import ATTRIBUTES_OCTETS, KeyAttributes, Usage
from openami.psa.flash import ERASED, PAGE_OCTETS, MemoryFlash
from openami.psa.formats import public_point
from openami.psa.keystore import Key
from openami.psa.lifecycle import LifeCycle
from openami.psa.pagestore import PageStore
from openami.psa.protected import ProtectedStorage, StoredCounter, storage_key
from openami.psa.status import PsaError
from psaworld import CLIENT, Noise, World
from vectors import vectors


@cache
def attestation_point() -> bytes:
    (row,) = vectors("psa/tokens.toml")
    key: Any = load_der_public_key(bytes.fromhex(row["public_key"]))
    return public_point(key)


def token(octets: bytes) -> object:
    with suppress(PsaError):
        message = cose.Sign1.decode(octets)
        assert cose.Sign1.decode(message.encode()) == message
    with suppress(PsaError):
        return verify_token(octets, attestation_point())
    return None


def claims(octets: bytes) -> object:
    with suppress(PsaError):
        found = Claims.decode(octets)
        if found.profile != OLD_PROFILE:
            assert Claims.decode(found.encode()) == found
        return found
    return None


def storage_image(octets: bytes) -> object:
    """Flash that begins with the octets, in either half; a store on it must go on."""
    made = None
    for half in (0, 1):
        flash = MemoryFlash(2)
        image = octets[:PAGE_OCTETS].ljust(PAGE_OCTETS, bytes((ERASED,)))
        flash.octets[half * PAGE_OCTETS : (half + 1) * PAGE_OCTETS] = image
        with suppress(PsaError):
            made = PageStore(flash)
            made.commit(dict.fromkeys(made.names()) | {b"new": octets[:16]})
            assert PageStore(flash).get(b"new") == octets[:16]
    return made


def protected_image(octets: bytes) -> object:
    """Entries and a table as somebody wrote them, with sound checksums."""
    store = PageStore(MemoryFlash(4))
    with suppress(PsaError):
        store.commit({b"table": octets[:100], b"\x02" + bytes(4) + b"\x01" + bytes(7): octets})
        counter = StoredCounter(PageStore(MemoryFlash(2)), 0)
        return ProtectedStorage(store, storage_key(b"key", LifeCycle.SECURED), counter, Noise())
    return None


def key_import(octets: bytes) -> object:
    """Attributes, then material."""
    world = World()
    with suppress(PsaError):
        attributes = KeyAttributes.decode(octets[:ATTRIBUTES_OCTETS])
        material = octets[ATTRIBUTES_OCTETS:]
        key = world.crypto.import_key(attributes, material)
        held = world.crypto.get_key_attributes(key)
        assert held.bits == 8 * len(material) or held.type == 0x4112
        if held.usage & Usage.EXPORT:
            assert world.crypto.export_key(key) == material
        world.crypto.destroy_key(key)
    return world


def stored_key(octets: bytes) -> object:
    world = World()
    world.cabinet.held[CLIENT, 1] = octets
    with suppress(PsaError):
        found = Key.decode(octets)
        assert found.encode() == octets
        return world.crypto.export_public_key(1)
    return None


def uses(octets: bytes) -> object:
    """One key under any algorithm, in every function that takes one."""
    if len(octets) < 6:
        return None
    world = World()
    alg = int.from_bytes(octets[:4])
    kinds = (0x2400, 0x2301, 0x1100, 0x7112, 0x4112, 0x1200)
    made: Any = None
    with suppress(PsaError):
        kind = kinds[octets[4] % len(kinds)]
        size = {0x7112: 32, 0x4112: 65, 0x2301: 24}.get(kind, 16)
        key = world.key(kind, alg, octets[5:].ljust(size, b"\x01")[:size])
        crypto, data = world.crypto, octets[5:]
        for call in (
            lambda: crypto.mac_compute(key, alg, data),
            lambda: crypto.cipher_decrypt(key, alg, crypto.cipher_encrypt(key, alg, data)),
            lambda: crypto.cipher_decrypt(key, alg, data),
            lambda: crypto.aead_encrypt(key, alg, data[:12], data, data),
            lambda: crypto.aead_decrypt(key, alg, data[:12], data, data),
            lambda: crypto.sign_message(key, alg, data),
            lambda: crypto.sign_hash(key, alg, data),
            lambda: crypto.verify_hash(key, alg, data[:32], data),
            lambda: crypto.raw_key_agreement(alg, key, data),
            lambda: crypto.hash_compute(alg, data),
            lambda: crypto.wrap_key(key, alg, key),
            lambda: crypto.unwrap_key(KeyAttributes(type=0x2400), key, alg, data),
            lambda: crypto.key_derivation().setup(alg),
        ):
            with suppress(PsaError):
                made = call()
    return made


@cache
def with_keys() -> bytes:
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    rooms = in_memory(flash).world.rooms
    key = bytes(16)
    secrets = Secrets(
        title=bytes(8), epoch=1, encryption=key, authentication=key, master=key, password=key
    )
    bring_in(rooms.its, rooms.ps, secrets)
    return bytes(flash.content)


def calls(octets: bytes) -> object:
    """Requests one after the other, each behind two octets of length, in one session."""
    session = in_memory(SimulatedFlash(with_keys())).connect(Caller.NON_SECURE)
    reply = None
    with suppress(HostileError):
        while octets:
            end = 2 + int.from_bytes(octets[:2])
            reply = Reply.decode(session.serve(octets[2:end]))
            assert reply.tag == int.from_bytes(octets[4:6], "little")
            octets = octets[end:]
    session.close()
    return reply


PSA_TARGETS: Final = {
    "psa-calls": calls,
    "psa-token": token,
    "psa-claims": claims,
    "psa-storage-image": storage_image,
    "psa-protected-image": protected_image,
    "psa-key-import": key_import,
    "psa-stored-key": stored_key,
    "psa-uses": uses,
}
