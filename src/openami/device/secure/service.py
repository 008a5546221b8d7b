# SPDX-License-Identifier: Apache-2.0
"""Calls carried out: each connection is a session of a caller that the system named.

A session knows the multi-part operations that were begun in it, and nobody else's.  What a caller
may take is limited; what is refused, is refused before anything changes.  No socket is known here.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeAlias

from openami.device.fwu import FirmwareUpdate
from openami.device.secure.access import ACCESS, KEYLESS, LIMITS, Caller, Limits
from openami.device.secure.calls import BY_NUMBER, Function, Group, Kind
from openami.device.secure.codec import (
    LARGEST_MESSAGE_OCTETS,
    CodecError,
    Reply,
    Request,
    Value,
    read,
    write,
)
from openami.device.secure.dlmscalls import ChannelCalls
from openami.device.secure.updating import UpdateCalls
from openami.device.secure.world import World
from openami.psa.aead import AeadOperation
from openami.psa.attributes import NULL, VOLATILE_IDS
from openami.psa.ciphers import CipherOperation
from openami.psa.crypto import Crypto
from openami.psa.derivation import KeyDerivation
from openami.psa.digests import HashOperation, MacOperation
from openami.psa.lifecycle import STAGES
from openami.psa.status import PsaError, Status
from openami.psa.storage import CRYPTO_CLIENT, InternalTrustedStorage, StorageInfo

Operation: TypeAlias = (
    HashOperation | MacOperation | CipherOperation | AeadOperation | KeyDerivation
)
_ENTRY: Final = struct.Struct("<BIQ")


class HostileError(Exception):
    """The caller breaks the rules of calling: its connection ends.

    Attributes:
        reply: What it is told before.
    """

    def __init__(self, reply: bytes) -> None:
        super().__init__()
        self.reply = reply


@dataclass(slots=True)
class Holdings:
    """What one caller has at present."""

    connections: int = 0
    volatile: set[int] = field(default_factory=set)


class Service:
    """The functions of the secure world, for any number of connections."""

    def __init__(
        self,
        world: World,
        firmware: FirmwareUpdate | None = None,
        update: UpdateCalls | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        """Serve a world.

        Args:
            world: Of the device.
            firmware: The update of a device that started from its flash.
            update: The same update, for image transfer.
            limits: What callers may take.
        """
        self.world = world
        self.firmware = firmware
        self.update = update
        self.limits = limits
        self.handles = count(1)
        self._held: dict[Caller, Holdings] = {}

    def holdings(self, caller: Caller) -> Holdings:
        return self._held.setdefault(caller, Holdings())

    def connect(self, caller: Caller) -> "Session":
        """Begin a session.

        Raises:
            PsaError: CONNECTION_BUSY, the caller has as many as it may.
        """
        held = self.holdings(caller)
        if held.connections >= self.limits.connections:
            problem = f"it has {held.connections} connections, and may have no more"
            raise PsaError(Status.CONNECTION_BUSY, problem, f"client {caller:d}")
        held.connections += 1
        return Session(self, caller)

    def disconnected(self, caller: Caller) -> None:
        """Forget a session; with its last one a caller loses its volatile keys."""
        held = self.holdings(caller)
        held.connections -= 1
        if not held.connections:
            held.volatile.clear()
            if STAGES[self.world.state].keys:
                self.world.rooms.keys.forget_client(caller)

    def stored_octets(self, caller: Caller) -> int:
        """Return what the caller's entries and persistent keys take of the flash."""
        store, wanted = self.world.rooms.store, caller & 0xFFFFFFFF
        found = 0
        for name in store.names():
            if len(name) != _ENTRY.size:
                continue
            _, client, uid = _ENTRY.unpack(name)
            if client == wanted or (client == CRYPTO_CLIENT and uid >> 32 == wanted):
                found += len(name) + len(store.get(name) or b"")
        return found


class Session:
    """One connection of one caller."""

    def __init__(self, service: Service, caller: Caller) -> None:
        """See `Service.connect`."""
        self.caller = caller
        self._service = service
        self._operations: dict[int, tuple[Kind, Operation]] = {}
        world = service.world
        has_keys = STAGES[world.state].keys
        self._crypto = Crypto(world.rooms.keys, caller, world.random) if has_keys else None
        self._dlms = ChannelCalls(world.rooms.channels, service.limits) if has_keys else None

    def close(self) -> None:
        """Forget what was begun in it."""
        self._operations.clear()
        self._service.disconnected(self.caller)

    def serve(self, octets: bytes) -> bytes:
        """Return the reply to a request.

        Raises:
            HostileError: It is none; the connection is to end.
        """
        tag = 0
        try:
            request = Request.decode(octets)
            tag = request.tag
            function = _function(request.function)
            arguments = read(function.arguments, request.body)
        except CodecError as error:
            refusal = PsaError(Status.PROGRAMMER_ERROR, str(error), "request")
            raise HostileError(Reply.refusing(tag, refusal).encode()) from None
        try:
            results = self._carry_out(function, arguments)
            reply = Reply(tag, Status.SUCCESS, write(function.results, results)).encode()
        except PsaError as error:
            return Reply.refusing(tag, error).encode()
        if len(reply) > LARGEST_MESSAGE_OCTETS:
            problem = f"the reply has {len(reply)} octets: ask for less"
            refusal = PsaError(Status.BUFFER_TOO_SMALL, problem, function.name)
            return Reply.refusing(tag, refusal).encode()
        return reply

    def _carry_out(self, function: Function, arguments: tuple[Value, ...]) -> tuple[Value, ...]:
        group = function.group
        if group not in ACCESS[self.caller]:
            problem = f"client {self.caller:d} may not call it"
            raise PsaError(Status.NOT_PERMITTED, problem, function.name)
        if group not in KEYLESS:
            _ = self._service.world.rooms
        if function.makes_key:
            self._check_room_for_keys()
        found = _flat(_HANDLERS[group](self, function, arguments))
        if function.makes_key:
            self._account(function, found)
        elif function.name == "destroy_key":
            self._service.holdings(self.caller).volatile.discard(_whole(arguments[0]))
        return found

    # Limits

    def _check_room_for_keys(self) -> None:
        held, most = self._service.holdings(self.caller), self._service.limits.volatile_keys
        if len(held.volatile) >= most:
            problem = f"it has {most} volatile keys: destroy some"
            raise PsaError(Status.INSUFFICIENT_MEMORY, problem, f"client {self.caller:d}")

    def _account(self, function: Function, found: tuple[Value, ...]) -> None:
        key_id = _whole(found[0])
        if key_id in VOLATILE_IDS:
            self._service.holdings(self.caller).volatile.add(key_id)
        elif key_id != NULL and self._stored() > self._service.limits.stored_octets:
            self._service.world.rooms.keys.destroy_key(self.caller, key_id)
            raise self._no_storage(function)

    def _stored(self) -> int:
        return self._service.stored_octets(self.caller)

    def _no_storage(self, function: Function) -> PsaError:
        most = self._service.limits.stored_octets
        problem = f"client {self.caller:d} may keep {most} octets: remove entries"
        return PsaError(Status.INSUFFICIENT_STORAGE, problem, function.name)

    # One handler a group

    def _call_crypto(self, function: Function, arguments: tuple[Value, ...]) -> object:
        if self._crypto is None:
            raise AssertionError("where keys are used there is a Crypto")
        if function.kind is not None:
            return self._step(function, arguments)
        match function.name:
            case "operation_open":
                return self._begin(_whole(arguments[0]), self._crypto)
            case "operation_close":
                self._operations.pop(_whole(arguments[0]), None)
                return None
            case _:
                return getattr(self._crypto, function.method)(*arguments)

    def _begin(self, number: int, crypto: Crypto) -> int:
        try:
            kind = Kind(number)
        except ValueError:
            problem = f"there is no kind {number} of operation"
            raise PsaError(Status.INVALID_ARGUMENT, problem, "operation_open") from None
        return self._keep(kind, _OPERATIONS[kind](crypto))

    def _keep(self, kind: Kind, operation: Operation) -> int:
        if len(self._operations) >= self._service.limits.operations:
            problem = f"{len(self._operations)} operations are open in the connection: close some"
            raise PsaError(Status.INSUFFICIENT_MEMORY, problem, "operations")
        handle = next(self._service.handles) & 0xFFFFFFFF
        self._operations[handle] = (kind, operation)
        return handle

    def _step(self, function: Function, arguments: tuple[Value, ...]) -> object:
        handle, *others = arguments
        kind, operation = self._operations.get(_whole(handle), (None, None))
        if kind is None or kind is not function.kind:
            problem = f"the connection has no such operation of kind {function.kind}"
            raise PsaError(Status.INVALID_HANDLE, problem, f"handle {handle!r}")
        if function.method == "clone" and isinstance(operation, HashOperation):
            return self._keep(kind, operation.clone())
        return getattr(operation, function.method)(*others)

    def _call_its(self, function: Function, arguments: tuple[Value, ...]) -> object:
        its = self._service.world.rooms.its
        if function.method == "set":
            self._check_entry(function, arguments, InternalTrustedStorage.AREA)
        return getattr(its, function.method)(self.caller, *arguments)

    def _call_ps(self, function: Function, arguments: tuple[Value, ...]) -> object:
        ps = self._service.world.rooms.ps
        if function.method == "get_support":
            return ps.get_support()
        if function.method == "set":
            self._check_entry(function, arguments, ps.AREA)
        return getattr(ps, function.method)(self.caller, *arguments)

    def _check_entry(self, function: Function, arguments: tuple[Value, ...], area: int) -> None:
        uid, data, _ = arguments
        store = self._service.world.rooms.store
        before = store.get(_ENTRY.pack(area, self.caller & 0xFFFFFFFF, _whole(uid)))
        size = len(data) + 2 * _ENTRY.size if isinstance(data, bytes) else 0
        if self._stored() - len(before or b"") + size > self._service.limits.stored_octets:
            raise self._no_storage(function)

    def _call_attestation(self, function: Function, arguments: tuple[Value, ...]) -> object:
        attestation = self._service.world.rooms.attestation
        return getattr(attestation, function.method)(self.caller, *arguments)

    def _call_firmware(self, function: Function, arguments: tuple[Value, ...]) -> object:
        firmware = self._service.firmware
        if firmware is None:
            raise _not_updated(function)
        match function.name, arguments:
            case "fwu_query", (component,):
                found = firmware.query(_whole(component))
                octets = found.error.encode(), str(found.version).encode()
                return (int(found.state), *octets, found.max_octets, found.flags)
            case "fwu_start", (component, manifest):
                firmware.start(_whole(component), _octets(manifest) or None)
                return None
            case "fwu_reject", (error,):
                return int(firmware.reject(_octets(error).decode(errors="replace")))
            case _:
                return getattr(firmware, function.method)(*arguments)

    def _call_update(self, function: Function, arguments: tuple[Value, ...]) -> object:
        update = self._service.update
        if update is None:
            raise _not_updated(function)
        return update.call(function.method, arguments)

    def _call_dlms(self, function: Function, arguments: tuple[Value, ...]) -> object:
        if self._dlms is None:
            raise AssertionError("where keys are used there are channels")
        return self._dlms.call(function, arguments)

    def _call_life_cycle(self, function: Function, _arguments: tuple[Value, ...]) -> object:
        return self._service.world.state if function.method == "state" else int(self.caller)


_OPERATIONS: Final[Mapping[Kind, Callable[[Crypto], Operation]]] = {
    Kind.HASH: Crypto.hash_operation,
    Kind.MAC: Crypto.mac_operation,
    Kind.CIPHER: Crypto.cipher_operation,
    Kind.AEAD: Crypto.aead_operation,
    Kind.DERIVATION: Crypto.key_derivation,
}
_HANDLERS: Final[Mapping[Group, Callable[[Session, Function, tuple[Value, ...]], object]]] = {
    Group.CRYPTO: Session._call_crypto,  # noqa: SLF001  the session's own table
    Group.ITS: Session._call_its,  # noqa: SLF001
    Group.PS: Session._call_ps,  # noqa: SLF001
    Group.ATTESTATION: Session._call_attestation,  # noqa: SLF001
    Group.FIRMWARE: Session._call_firmware,  # noqa: SLF001
    Group.UPDATE: Session._call_update,  # noqa: SLF001
    Group.DLMS: Session._call_dlms,  # noqa: SLF001
    Group.LIFE_CYCLE: Session._call_life_cycle,  # noqa: SLF001
}


def _function(number: int) -> Function:
    try:
        return BY_NUMBER[number]
    except KeyError:
        raise CodecError(f"there is no function 0x{number:04X}") from None


def _not_updated(function: Function) -> PsaError:
    problem = "the device did not start from its flash: nothing there can be updated"
    return PsaError(Status.NOT_SUPPORTED, problem, function.name)


def _flat(result: object) -> tuple[Value, ...]:
    match result:
        case None:
            return ()
        case StorageInfo(capacity=capacity, size=size, flags=flags):
            return capacity, size, int(flags)
        case tuple():
            return tuple(_values(result))
        case _:
            return tuple(_values((result,)))


def _values(found: tuple[object, ...]) -> Iterator[Value]:
    for each in found:
        if not isinstance(each, Value):
            raise TypeError(f"{type(each).__name__} cannot travel")
        yield each


def _whole(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError("the table says that it is a number")
    return value


def _octets(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("the table says that they are octets")
    return value
