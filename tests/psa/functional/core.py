# SPDX-License-Identifier: Apache-2.0
"""The core of the room as the functional tests see it: no process, no octets, flash in memory."""

from collections.abc import Callable
from typing import Final

from openami.device.secure.calls import BY_NAME, Function, Group, Kind
from openami.device.secure.codec import Value
from openami.psa.attestation import Device, InitialAttestation, SoftwareComponent, instance_id
from openami.psa.attributes import PERSISTENT, KeyAttributes, KeyType, Usage
from openami.psa.crypto import Crypto
from openami.psa.flash import MemoryFlash
from openami.psa.keystore import BuiltinKey, KeyStore
from openami.psa.lifecycle import LifeCycle
from openami.psa.pagestore import PageStore
from openami.psa.protected import ProtectedStorage, StoredCounter, storage_key
from openami.psa.storage import InternalTrustedStorage, KeysInStorage, StorageInfo
from psa.functional.table import KEEP_FLASH, OLD_FLASH, RESTART
from psaworld import CLIENT, Noise

PAGES: Final = 8
ECDSA: Final = 0x06000609
ATTESTATION_KEY: Final = KeyAttributes(
    type=KeyType.ECC_KEY_PAIR_SECP_R1,
    id=0x40000000,
    lifetime=PERSISTENT,
    usage=Usage.SIGN_MESSAGE,
    alg=ECDSA,
)
SOFTWARE: Final = SoftwareComponent(
    measurement=bytes(32), signer_id=b"\x01" * 32, kind="BL", version="1.0.0"
)
_OPERATIONS: Final[dict[Kind, Callable[[Crypto], object]]] = {
    Kind.HASH: Crypto.hash_operation,
    Kind.MAC: Crypto.mac_operation,
    Kind.CIPHER: Crypto.cipher_operation,
    Kind.AEAD: Crypto.aead_operation,
    Kind.DERIVATION: Crypto.key_derivation,
}


class Core:
    """The functions of the room, for one client."""

    def __init__(self) -> None:
        self._outside, self._inside = MemoryFlash(PAGES), MemoryFlash(2)
        self._random = Noise()
        self._kept = b""
        self._start()

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        function = BY_NAME[name]
        if function.group is Group.CRYPTO:
            found = self._call_crypto(function, arguments)
        elif name == "ps_get_support":
            found = self._ps.get_support()
        else:
            services = {
                Group.ITS: self._its, Group.PS: self._ps, Group.ATTESTATION: self._attestation,
            }  # fmt: skip
            found = getattr(services[function.group], function.method)(CLIENT, *arguments)
        match found:
            case None:
                return ()
            case StorageInfo(capacity=capacity, size=size, flags=flags):
                return capacity, size, int(flags)
            case tuple():
                return found
            case _:
                return (found,)

    def _call_crypto(self, function: Function, arguments: tuple[Value, ...]) -> object:
        if function.name == "operation_open":
            (kind,) = arguments
            return self._keep(_OPERATIONS[Kind(kind)](self._crypto))
        if function.kind is None:
            return getattr(self._crypto, function.method)(*arguments)
        handle, *others = arguments
        assert isinstance(handle, int)
        found = getattr(self._operations[handle], function.method)(*others)
        return self._keep(found) if function.method == "clone" else found

    def device(self, event: str) -> None:
        if event == KEEP_FLASH:
            self._kept = bytes(self._outside.octets)
            return
        if event == OLD_FLASH:
            self._outside.octets[:] = self._kept
        else:
            assert event == RESTART
        self._start()

    def _start(self) -> None:
        builtin = BuiltinKey(ATTESTATION_KEY, bytes(31) + b"\x07", frozenset({CLIENT}))
        store = PageStore(self._outside)
        key = storage_key(b"a hardware unique key", LifeCycle.SECURED)
        counter = StoredCounter(PageStore(self._inside), 0)
        self._ps = ProtectedStorage(store, key, counter, self._random)
        self._its = InternalTrustedStorage(store)
        keys = KeyStore(KeysInStorage(self._ps), self._random, [builtin])
        self._crypto = Crypto(keys, CLIENT, self._random)
        self.point = keys.export_public_key(CLIENT, ATTESTATION_KEY.id)
        told = Device(
            instance_id=instance_id(self.point),
            implementation_id=bytes(32),
            lifecycle=LifeCycle.SECURED,
            software=(SOFTWARE,),
            boot_seed=bytes(32),
        )
        self._attestation = InitialAttestation(told, self._signed)
        self._operations: dict[int, object] = {}

    def _keep(self, operation: object) -> int:
        handle = len(self._operations) + 1
        self._operations[handle] = operation
        return handle

    def _signed(self, octets: bytes) -> bytes:
        return self._crypto.sign_message(ATTESTATION_KEY.id, ECDSA, octets)
