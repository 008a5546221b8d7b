# SPDX-License-Identifier: Apache-2.0
"""Network setup and diagnosis: addresses, time servers, counters (4.7 to 4.9).

DLMS UA 1000-1 Ed. 12, 4.7 (cellular), 4.8 (M-Bus diagnostic), 4.9 (Internet, CoAP).  A setup object
that a client changes tells the host, which applies it; what the host counts and sees it tells the
diagnostic objects, which remember when.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from openami.cosem.behaviour.localtime import UTC_ZONE, Zone
from openami.cosem.behaviour.results import as_action, no_argument
from openami.cosem.classes.internet import (
    CoapBlockTransfers,
    CoapDiagnostic,
    CoapMessages,
    CoapRequestsResponses,
    CounterCapture,
    Ipv4Setup,
    Ipv6AddressType,
    Ipv6Setup,
    NtpKey,
    NtpSetup,
)
from openami.cosem.classes.mbus import BroadcastFrames, LinkStatus, MBusDiagnostic
from openami.cosem.kinds import DOUBLE_LONG_UNSIGNED, ENUM, OCTETS, KindError, structure
from openami.cosem.model import Access, Attribute, InterfaceClass, Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Array, Data, OctetString
from openami.dlms.datetimes import CosemDateTime

NEVER: Final = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)
_MOST: Final = 2**32 - 1


Changed = Callable[[Attribute[Any]], None]


def applied(thing: InterfaceClass, apply: Callable[[Attribute[Any], Any], None]) -> None:
    """Let `apply` hear of every attribute of a setup object that a client writes.

    It hears before the value is stored, and may raise `Refused`; attributes that something else is
    bound to are left.
    """
    for row in thing.attributes():
        free = row.index not in thing.sinks and row.index not in thing.sources
        if row.access & Access.WRITE and free:
            thing.bind_sink(row, partial(apply, row))


def ipv4_setup(thing: Ipv4Setup, changed: Changed = lambda _row: None) -> Ipv4Setup:
    """Bind the methods for multicast addresses.

    Args:
        thing: With its addresses.
        changed: Hears after each change, of which attribute.
    """
    thing.values.setdefault(Ipv4Setup.multicast_ip_address.index, ())

    def add(address: int) -> None:
        if not 0xE0000000 <= address <= 0xEFFFFFFF:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        if address not in thing.multicast_ip_address:
            thing.multicast_ip_address = (*thing.multicast_ip_address, address)
            changed(Ipv4Setup.multicast_ip_address)

    def delete(address: int) -> None:
        if address not in thing.multicast_ip_address:
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        thing.multicast_ip_address = tuple(
            each for each in thing.multicast_ip_address if each != address
        )
        changed(Ipv4Setup.multicast_ip_address)

    thing.bind_method(Ipv4Setup.add_mc_ip_address, add)
    thing.bind_method(Ipv4Setup.delete_mc_ip_address, delete)
    thing.bind_method(
        Ipv4Setup.get_nbof_mc_ip_addresses, lambda _argument: len(thing.multicast_ip_address)
    )
    return thing


class _Ipv6Address(NamedTuple):
    """The argument of add and remove: which list, which address."""

    address_type: int
    address: bytes


_IPV6_ADDRESS: Final = structure(_Ipv6Address, ENUM, OCTETS)
_IPV6_LISTS: Final = {
    Ipv6AddressType.UNICAST: Ipv6Setup.unicast_ipv6_addresses,
    Ipv6AddressType.MULTICAST: Ipv6Setup.multicast_ipv6_addresses,
    Ipv6AddressType.GATEWAY: Ipv6Setup.gateway_ipv6_addresses,
}


def ipv6_setup(thing: Ipv6Setup, changed: Changed = lambda _row: None) -> Ipv6Setup:
    """Bind the methods that add and remove addresses: ``{address type, address of 16 octets}``.

    Args:
        thing: With its addresses, arrays of octet-strings.
        changed: Hears after each change, of which attribute.
    """
    for row in _IPV6_LISTS.values():
        thing.values.setdefault(row.index, Array())

    def change(argument: Data) -> tuple[Attribute[Any], Array, OctetString]:
        kind, address = _IPV6_ADDRESS.from_data(argument)
        row = next((row for code, row in _IPV6_LISTS.items() if code == kind), None)
        if row is None or len(address) != 16:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        held = thing.values[row.index]
        return row, held if isinstance(held, Array) else Array(), OctetString(address)

    def add(argument: Data) -> None:
        row, held, address = change(argument)
        if address not in held:
            thing.values[row.index] = Array((*held, address))
            changed(row)

    def remove(argument: Data) -> None:
        row, held, address = change(argument)
        if address not in held:
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        thing.values[row.index] = Array(each for each in held if each != address)
        changed(row)

    thing.bind_method(Ipv6Setup.add_ipv6_address, as_action(add))
    thing.bind_method(Ipv6Setup.remove_ipv6_address, as_action(remove))
    return thing


@runtime_checkable
class TimeServer(Protocol):
    """Who asks time servers; a port of the host."""

    def synchronize(self, setup: NtpSetup) -> None:
        """Begin to set the clock by the server that the object names.

        Raises:
            Refused: That cannot be begun.
        """
        ...


_NTP_KEY: Final = structure(NtpKey, DOUBLE_LONG_UNSIGNED, OCTETS)


def ntp_setup(thing: NtpSetup, server: TimeServer) -> NtpSetup:
    """Bind the methods of a time server: a key is added as ``{id, key}``, deleted by its id."""
    thing.values.setdefault(NtpSetup.authentication_keys.index, ())

    def synchronize() -> None:
        if not thing.activated:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        if thing.reader(NtpSetup.server_address.index) is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)  # there is nobody to ask
        server.synchronize(thing)

    def add(argument: Data) -> None:
        key = _NTP_KEY.from_data(argument)
        rest = tuple(each for each in thing.authentication_keys if each.key_id != key.key_id)
        thing.authentication_keys = (*rest, key)

    def delete(argument: Data) -> None:
        number = DOUBLE_LONG_UNSIGNED.from_data(argument)
        rest = tuple(each for each in thing.authentication_keys if each.key_id != number)
        if len(rest) == len(thing.authentication_keys):
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        thing.authentication_keys = rest

    thing.bind_method(NtpSetup.synchronize, as_action(no_argument(synchronize)))
    thing.bind_method(NtpSetup.add_authentication_key, as_action(add))
    thing.bind_method(NtpSetup.delete_authentication_key, as_action(delete))
    return thing


class Diagnosis:
    """What a host sees of a network, for an object that only shows it.

    Cellular and LTE diagnosis: `tell` stores values under the names of the attributes, and when.
    """

    def __init__(
        self, thing: InterfaceClass, *, zone: Callable[[], Zone] = lambda: UTC_ZONE
    ) -> None:
        self._thing, self._zone = thing, zone
        self._rows = {row.name: row for row in thing.attributes() if row.dynamic}

    def tell(self, now_us: int, **values: object) -> None:
        """Show other values.

        Args:
            now_us: Calendar time, microseconds UTC.
            values: By the name of the attribute.

        Raises:
            TypeError: The class has no such attribute that changes by itself.
        """
        for name, value in values.items():
            row = self._rows.get(name)
            if row is None:
                raise TypeError(f"{self._thing!r} has no attribute {name!r} to be told")
            try:
                row.kind.from_data(row.kind.to_data(value))
            except (KindError, ValueError) as error:
                raise TypeError(f"{value!r} is no {name} of {self._thing!r}: {error}") from None
            self._thing.values[row.index] = value
        if "capture_time" in self._rows and values:
            self._thing.values[self._rows["capture_time"].index] = self._zone().shown(now_us)


class _Counting:
    """Remembers which attribute changed last, and when."""

    def __init__(self, thing: Any, zone: Callable[[], Zone]) -> None:  # noqa: ANN401  two classes
        self.thing, self._zone = thing, zone
        self.thing.values.setdefault(type(thing).capture_time.index, CounterCapture(0, NEVER))

    def captured(self, attribute: int, now_us: int) -> None:
        """Remember that an attribute changed."""
        self.thing.capture_time = CounterCapture(attribute, self._zone().shown(now_us))


class MbusCounters(_Counting):
    """The behaviour of an M-Bus diagnostic object."""

    def __init__(
        self, thing: MBusDiagnostic, *, zone: Callable[[], Zone] = lambda: UTC_ZONE
    ) -> None:
        super().__init__(thing, zone)
        held = thing.values
        for row in (thing_row for thing_row in MBusDiagnostic.attributes() if thing_row.dynamic):
            held.setdefault(row.index, () if row is MBusDiagnostic.broadcast_frames_counter else 0)
        thing.bind_method(MBusDiagnostic.reset, lambda _argument: self.reset())

    def reset(self) -> None:
        """Set all counters back."""
        thing: MBusDiagnostic = self.thing
        thing.broadcast_frames_counter = ()
        thing.transmissions_counter = thing.fcs_ok_frames_counter = 0
        thing.fcs_nok_frames_counter = 0
        thing.capture_time = CounterCapture(0, NEVER)

    def heard(
        self, now_us: int, *, intact: bool, signal: int | None = None, channel: int | None = None
    ) -> None:
        """Count a frame that came in.

        Args:
            now_us: Calendar time, microseconds UTC.
            intact: Whether its check sequence is right.
            signal: Received signal strength, where the medium has one.
            channel: Channel, where the medium has several.
        """
        thing: MBusDiagnostic = self.thing
        if signal is not None:
            thing.received_signal_strength = signal
        if channel is not None:
            thing.channel_id = channel
        if intact:
            thing.fcs_ok_frames_counter = _next(thing.fcs_ok_frames_counter)
            self.captured(MBusDiagnostic.fcs_ok_frames_counter.index, now_us)
        else:
            thing.fcs_nok_frames_counter = _next(thing.fcs_nok_frames_counter)
            self.captured(MBusDiagnostic.fcs_nok_frames_counter.index, now_us)

    def transmitted(self, now_us: int) -> None:
        """Count a frame that went out."""
        thing: MBusDiagnostic = self.thing
        thing.transmissions_counter = _next(thing.transmissions_counter)
        self.captured(MBusDiagnostic.transmissions_counter.index, now_us)

    def broadcast(self, client_id: int, now_us: int) -> None:
        """Count a broadcast of a client."""
        thing: MBusDiagnostic = self.thing
        shown = self._zone().shown(now_us)
        known = {each.client_id: each for each in thing.broadcast_frames_counter}
        count = known[client_id].counter if client_id in known else 0
        known[client_id] = BroadcastFrames(client_id, _next(count), shown)
        thing.broadcast_frames_counter = tuple(known.values())
        self.captured(MBusDiagnostic.broadcast_frames_counter.index, now_us)

    def link(self, status: LinkStatus, now_us: int) -> None:
        """Show another status of the link."""
        thing: MBusDiagnostic = self.thing
        thing.link_status = status
        self.captured(MBusDiagnostic.link_status.index, now_us)


_COAP: Final = (
    (CoapDiagnostic.messages_counter, CoapMessages),
    (CoapDiagnostic.request_response_counter, CoapRequestsResponses),
    (CoapDiagnostic.bt_counter, CoapBlockTransfers),
)


class CoapCounters(_Counting):
    """The behaviour of a CoAP diagnostic object."""

    def __init__(
        self, thing: CoapDiagnostic, *, zone: Callable[[], Zone] = lambda: UTC_ZONE
    ) -> None:
        super().__init__(thing, zone)
        for row, made in _COAP:
            thing.values.setdefault(row.index, made(*(0,) * len(made._fields)))
        thing.bind_method(CoapDiagnostic.reset, lambda _argument: self.reset())

    def reset(self) -> None:
        """Set all counters back."""
        for row, made in _COAP:
            self.thing.values[row.index] = made(*(0,) * len(made._fields))
        self.thing.capture_time = CounterCapture(0, NEVER)

    def count(self, name: str, now_us: int) -> None:
        """Count one more.

        Args:
            name: A member of one of the three counters, e.g. ``tx_resend``.
            now_us: Calendar time, microseconds UTC.

        Raises:
            TypeError: No counter has it.
        """
        for row, made in _COAP:
            if name in made._fields:
                held = self.thing.values[row.index]
                self.thing.values[row.index] = held._replace(**{name: _next(getattr(held, name))})
                self.captured(row.index, now_us)
                return
        raise TypeError(f"no CoAP counter is called {name!r}")


def _next(count: int) -> int:
    """Return the next number of a counter of four octets, which stands at its end."""
    return min(count + 1, _MOST)
