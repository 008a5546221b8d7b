# SPDX-License-Identifier: Apache-2.0
"""Functions of DLMS/COSEM security, carried out for one connection."""

from openami.device.secure.access import Limits
from openami.device.secure.calls import Function
from openami.device.secure.channels import Channel, Channels
from openami.device.secure.codec import Value
from openami.device.secure.crossing import TRANSFERRED, UNASKED, heard, joined, refusals, told
from openami.device.secure.identity import Identity
from openami.psa.status import PsaError, Status


class ChannelCalls:
    """The functions, for one connection."""

    def __init__(self, channels: Channels | PsaError, limits: Limits) -> None:
        """Bind the device's channels, or why there are none."""
        self._channels, self._limits = channels, limits
        self._held: dict[int, Channel] = {}
        self._opened = 0

    def call(self, function: Function, arguments: tuple[Value, ...]) -> object:
        """Carry a function out; returns its results."""
        if isinstance(self._channels, PsaError):
            raise self._channels
        method = getattr(self, f"_{function.method}")
        with refusals():
            return method(self._channels, *arguments)

    def _state(self, held: Channels) -> tuple[Value, ...]:
        names = held.names()
        in_force = int(held.secrets.suite), int(held.secrets.policy)
        return names.encryption_key, names.authentication_key, held.window.expected, *in_force

    def _open(self, held: Channels, peer_title: bytes) -> int:
        if len(self._held) >= self._limits.channels:
            problem = f"{len(self._held)} channels are open in the connection: close some"
            raise PsaError(Status.INSUFFICIENT_MEMORY, problem, "channels")
        self._opened += 1
        self._held[self._opened] = held.open(peer_title)
        return self._opened

    def _close(self, _held: Channels, handle: int) -> None:
        self._held.pop(handle, None)

    def _unprotect(self, held: Channels, handle: int, octets: bytes) -> tuple[Value, ...]:
        apdu, protection = self._channel(handle).unprotect(octets)
        return apdu, held.window.expected, *told(protection)

    def _protect(
        self, _held: Channels, handle: int, apdu: bytes, owed: int, *arrived: Value
    ) -> bytes:
        if not apdu:
            raise PsaError(Status.INVALID_ARGUMENT, "there is no APDU", "protect")
        like = heard(arrived)
        return self._channel(handle).protect(apdu, None if like == UNASKED else like, owed)

    def _use_dedicated_key(self, _held: Channels, handle: int, *arrived: Value) -> None:
        self._channel(handle).use_dedicated_key(heard(arrived))

    def _follow(self, _held: Channels, handle: int) -> None:
        self._channel(handle).follow()

    def _prove(
        self, held: Channels, mechanism: int, peer_title: bytes, ours: bytes, peers: bytes
    ) -> bytes:
        return held.prove((mechanism, peer_title, ours, peers))

    def _check(self, held: Channels, *said: Value) -> None:
        *spoken, reply = said
        held.check(tuple(spoken), reply)  # type: ignore[arg-type]  # the table says what each is

    def _check_password(self, held: Channels, password: bytes) -> None:
        held.check_password(password)

    def _notify(self, held: Channels, recipient: bytes, apdu: bytes) -> tuple[Value, ...]:
        return held.notify(recipient, apdu)

    def _transfer(self, held: Channels, *wrapped: bytes) -> None:
        rows = zip(TRANSFERRED, wrapped, strict=True)
        held.transfer({name: octets for name, octets in rows if octets})

    def _transfer_group(self, held: Channels, encryption: bytes, authentication: bytes) -> None:
        held.transfer_group({"encryption": encryption, "authentication": authentication})

    def _unprotect_broadcast(
        self, held: Channels, originator: bytes, octets: bytes
    ) -> tuple[Value, ...]:
        apdu, protection = held.unprotect_broadcast(originator, octets)
        return apdu, *told(protection)

    def _activate(self, held: Channels, bits: int) -> None:
        held.activate(bits)

    def _agree(self, held: Channels, peer_title: bytes, offers: bytes) -> bytes:
        return held.agree(peer_title, offers)

    def _certificates(self, held: Channels) -> bytes:
        return joined(each.encode() for each in _identity(held).held)

    def _generate(self, held: Channels, usage: int) -> None:
        _identity(held).generate(usage)

    def _request(self, held: Channels, usage: int) -> bytes:
        return _identity(held).request(usage)

    def _import_certificate(self, held: Channels, octets: bytes) -> None:
        _identity(held).import_certificate(octets)

    def _remove_certificate(self, held: Channels, octets: bytes) -> None:
        _identity(held).remove(octets)

    def _channel(self, handle: int) -> Channel:
        try:
            return self._held[handle]
        except KeyError:
            problem = "the connection has no such channel"
            raise PsaError(Status.INVALID_HANDLE, problem, f"handle {handle}") from None


def _identity(held: Channels) -> Identity:
    if held.identity is None:
        raise PsaError(Status.NOT_SUPPORTED, "suite 0 has no key pairs", "certificates")
    return held.identity
