# SPDX-License-Identifier: Apache-2.0
"""Data protection: attributes and methods behind layers of protection.

DLMS UA 1000-1 Ed. 12, 4.4.9.  A client reaches other objects through this one, end to end, whoever
carries the octets; what it may reach so is the host's to say, in `Scope`: nobody's rights are
widened by chance.  ``required_protection`` holds the bits of access modes: 2 to 4 what must protect
what comes in (authentication, encryption, signature), 5 to 7 what goes out.

Values of several attributes stand in one structure, in the order of their list, encoded; method
arguments and results are encoded alone, null-data where there are none.  The layers of an answer
are those that the request names, towards the title that it names as recipient; for a method they
are those of the request, turned round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from openami.cosem.behaviour.acting import Inside
from openami.cosem.behaviour.layers import LayerKeys, Layers, bits_of, put_on, take_off
from openami.cosem.behaviour.results import as_action
from openami.cosem.behaviour.selected import value_of
from openami.cosem.classes.protection import (
    AgreedKey,
    AttributesToGet,
    DataProtection,
    ProtectedAttributes,
    ProtectedCall,
    ProtectedData,
    ProtectionOptions,
    ProtectionParameters,
    WrappedKeyInfo,
)
from openami.cosem.classes.references import RestrictedAttribute
from openami.cosem.device import LogicalDevice
from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Structure
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityPolicy

R = TypeVar("R")


@runtime_checkable
class KeyRing(Protocol):
    """Who holds the keys shared with other ends; a port of the host."""

    def keys(self, peer_title: bytes) -> LayerKeys:
        """Return what is shared with the end of that title.

        Raises:
            SecurityError: Nothing is.
        """
        ...


@runtime_checkable
class Scope(Protocol):
    """What may be reached through a data protection object; a port of the host."""

    def may_read(self, class_id: int, at: Obis, attribute: int) -> bool:
        """Whether an attribute may be read so; 0 means all attributes."""
        ...

    def may_write(self, class_id: int, at: Obis, attribute: int) -> bool:
        """Whether an attribute may be written so."""
        ...

    def may_invoke(self, class_id: int, at: Obis, method: int) -> bool:
        """Whether a method may be invoked so."""
        ...


@dataclass(slots=True, kw_only=True)
class Protecting:
    """The behaviour of one data protection object."""

    thing: DataProtection
    device: LogicalDevice
    ring: KeyRing
    scope: Scope

    def get(self, wanted: AttributesToGet) -> ProtectedData:
        """Return attributes, protected.

        Raises:
            Refused: An attribute cannot be had so, or the layers are too few or impossible.
        """
        layers = wanted.protection_parameters
        self._require(layers, self._policy.response_bits)
        values = Structure(self._read(each) for each in wanted.object_list)
        peer = layers[0].protection_options.recipient_system_title if layers else b""
        return self._protected(layers, peer, axdr_data.encode(values))

    def set(self, wanted: ProtectedAttributes) -> None:
        """Set attributes that come protected: all that the list names, or, if one is refused, those
        before it.

        Raises:
            Refused: Protection is too weak or wrong, or an attribute refuses.
        """
        octets = self._opened(wanted.protection_parameters, wanted.protected_attributes)
        values = _decoded(octets)
        if not isinstance(values, Structure) or len(values) != len(wanted.object_list):
            raise Refused(ActionResult.TYPE_UNMATCHED)
        for each in wanted.object_list:
            whole = each.data_index == 0 and each.restriction is None
            if not whole or not self.scope.may_write(*each[:3]):
                raise Refused(ActionResult.READ_WRITE_DENIED)
        inside = Inside(self.device)
        for each, value in zip(wanted.object_list, values, strict=True):
            inside.write(each.class_id, each.logical_name, each.attribute_index, value)

    def invoke(self, wanted: ProtectedCall) -> ProtectedData:
        """Invoke a method with a protected argument; its result comes back protected.

        Raises:
            Refused: Protection is too weak or wrong, or the method refuses.
        """
        class_id, at, method = wanted.object_method
        layers = wanted.protection_parameters
        answering = tuple(_turned(layer) for layer in layers)
        self._require(answering, self._policy.response_bits)
        argument = _decoded(self._opened(layers, wanted.protected_argument))
        if not self.scope.may_invoke(class_id, at, method):
            raise Refused(ActionResult.READ_WRITE_DENIED)
        result = Inside(self.device).invoke(class_id, at, method, argument)
        peer = layers[-1].protection_options.originator_system_title if layers else b""
        return self._protected(answering, peer, axdr_data.encode(result))

    def buffer(self) -> bytes:
        """Return what protection_buffer shows: the listed attributes under the layers for get.

        Whoever reads it knows the layers from `protection_parameters_get` alone: they should name
        a transaction-id, and a key that both ends hold.
        """
        thing = self.thing
        wanted = AttributesToGet(thing.protection_object_list, thing.protection_parameters_get)
        return self.get(wanted).protected_data

    def take_buffer(self, octets: bytes) -> None:
        """Set the listed attributes from what is written to protection_buffer.

        Raises:
            Refused: As `set`.
        """
        thing = self.thing
        self.set(
            ProtectedAttributes(
                thing.protection_object_list, thing.protection_parameters_set, octets
            )
        )

    @property
    def _policy(self) -> SecurityPolicy:
        return SecurityPolicy(self.thing.required_protection)

    def _require(self, layers: Layers, bits: int) -> None:
        try:
            found = bits_of(layers)
        except SecurityError:
            raise Refused(ActionResult.OTHER_REASON) from None
        if bits & ~found:
            raise Refused(ActionResult.READ_WRITE_DENIED)

    def _read(self, what: RestrictedAttribute) -> axdr_data.Data:
        class_id, at, attribute, data_index, restriction = what
        if not self.scope.may_read(class_id, at, attribute):
            raise Refused(ActionResult.READ_WRITE_DENIED)
        return value_of(
            self.device, class_id, at, attribute, data_index=data_index, restriction=restriction
        )

    def _protected(self, layers: Layers, peer: bytes, octets: bytes) -> ProtectedData:
        if not layers:
            return ProtectedData((), octets)
        try:
            return ProtectedData(*put_on(self.ring.keys(peer), layers, octets))
        except SecurityError:
            raise Refused(ActionResult.OTHER_REASON) from None

    def _opened(self, layers: Layers, octets: bytes) -> bytes:
        self._require(layers, self._policy.request_bits)
        if not layers:
            return octets
        try:
            keys = self.ring.keys(layers[-1].protection_options.originator_system_title)
            return take_off(keys, layers, octets)
        except (SecurityError, DecodeError):
            raise Refused(ActionResult.OTHER_REASON) from None


def _decoded(octets: bytes) -> axdr_data.Data:
    try:
        return axdr_data.decode(octets)
    except DecodeError:
        raise Refused(ActionResult.TYPE_UNMATCHED) from None


def _turned(layer: ProtectionParameters) -> ProtectionParameters:
    """Return a layer for the answer: titles turned round, and keys that travel made anew."""
    options = layer.protection_options
    key_info = options.key_info
    match key_info:
        case WrappedKeyInfo(kek_id=kek_id):
            key_info = WrappedKeyInfo(kek_id, b"")
        case AgreedKey(key_parameters=parameters):
            key_info = AgreedKey(parameters, b"")
    return ProtectionParameters(
        layer.protection_type,
        ProtectionOptions(
            options.transaction_id,
            options.recipient_system_title,
            options.originator_system_title,
            options.other_information,
            key_info,
        ),
    )


def data_protection(protecting: Protecting) -> Protecting:
    """Bind a data protection object."""
    thing = protecting.thing
    thing.bind(
        DataProtection.protection_buffer,
        lambda: _as_access(protecting.buffer),
        lambda octets: _as_access(lambda: protecting.take_buffer(octets)),
    )
    thing.bind_method(DataProtection.get_protected_attributes, as_action(protecting.get))
    thing.bind_method(DataProtection.set_protected_attributes, as_action(protecting.set))
    thing.bind_method(DataProtection.invoke_protected_method, as_action(protecting.invoke))
    return protecting


def _as_access(do: Callable[[], R]) -> R:
    """Do something for a client that reads or writes, and refuse with access results only."""
    try:
        return do()
    except Refused as refused:
        raise Refused(DataAccessResult(int(refused.result))) from None
    except KindError:
        raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
