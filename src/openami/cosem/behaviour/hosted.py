# SPDX-License-Identifier: Apache-2.0
"""Payment, images, pushes, protection, M-Bus and networks of a device that is brought to life.

One function for each row of `bindings`.  What a class needs of its host is asked of `Host.port`
under the object's logical name; where the host has none, the object does what it can alone, or
rests, and the host hears that.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, runtime_checkable

from openami.cosem.behaviour.administration import (
    Administration,
    administered,
    sap_assignment,
)
from openami.cosem.behaviour.arrays import Arrays
from openami.cosem.behaviour.calling import (
    Answering,
    Connecting,
    Dialler,
    auto_answer,
    auto_connect,
)
from openami.cosem.behaviour.data_protection import (
    KeyRing,
    Protecting,
    Scope,
    data_protection,
)
from openami.cosem.behaviour.functions import Functions, FunctionSink, NoSink
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.image import (
    ImageProgress,
    ImageReceiver,
    ImageSink,
    Verdict,
    image_transfer,
)
from openami.cosem.behaviour.layers import Layers, envelop
from openami.cosem.behaviour.mbus_client import MbusPort, MbusSlave, mbus_client
from openami.cosem.behaviour.mbus_records import MbusRecord
from openami.cosem.behaviour.networks import (
    CoapCounters,
    Diagnosis,
    MbusCounters,
    TimeServer,
    applied,
    ipv4_setup,
    ipv6_setup,
    ntp_setup,
)
from openami.cosem.behaviour.port_protection import PortProtection, port_protection
from openami.cosem.behaviour.pushing import NEVER, AnyPushSetup, Pushing, PushTransport, push
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociatedPartners,
    AssociationLn,
    AssociationLnV3,
    SapAssignment,
)
from openami.cosem.classes.image_transfer import ImageToActivate, ImageTransfer, ImageTransferStatus
from openami.cosem.classes.internet import CoapDiagnostic, Ipv4Setup, Ipv6Setup, NtpSetup
from openami.cosem.classes.mbus import MBusClient, MBusDiagnostic
from openami.cosem.classes.measurement import ExtendedRegister, Register
from openami.cosem.classes.protection import (
    ArrayManager,
    CommunicationPortProtection,
    DataProtection,
    FunctionControl,
)
from openami.cosem.classes.push import ConfirmationParameters, PushSetup, RepetitionDelay
from openami.cosem.classes.setup_ports import AutoAnswerV0, AutoConnectV0
from openami.cosem.device import Keeper
from openami.cosem.model import Attribute, InterfaceClass, Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.obis import Obis

LARGEST_IMAGE: Final = 16 * 2**20
"""Octets that an image may have which is only kept in memory."""


class RememberedImage:
    """An image sink of a device without flash: it keeps the blocks, and believes any image."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}
        self._identifier = b""

    def progress(self) -> ImageProgress | None:
        return None

    def begin(self, identifier: bytes, size: int, block_size: int) -> None:
        del block_size
        if size > LARGEST_IMAGE:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._blocks, self._identifier = {}, identifier

    def write(self, number: int, value: bytes) -> None:
        self._blocks[number] = value

    def remember(self, status: ImageTransferStatus) -> None:
        del status

    def verify(self) -> Verdict:
        return Verdict.GOOD

    def images(self) -> tuple[ImageToActivate, ...]:
        size = sum(map(len, self._blocks.values()))
        return (ImageToActivate(size, self._identifier, b""),)

    def activate(self) -> Verdict:
        return Verdict.GOOD


def bind_image_transfer(thing: ImageTransfer, life: Life) -> ImageReceiver:
    """Receive images into the host's sink, or into memory."""
    sink = life.host.image(thing.logical_name)
    held = sink if isinstance(sink, ImageSink) else RememberedImage()
    thing.values.setdefault(ImageTransfer.image_transfer_enabled.index, True)
    return image_transfer(thing, ImageReceiver(thing, held, poll_us=life.host.poll_us))


_PUSH_FIRST: Final[dict[int, object]] = {4: (), 5: 0, 6: 0, 7: 0}
_PUSH_NEXT: Final[dict[int, object]] = _PUSH_FIRST | {10: ()}
_PUSH_DEFAULTS: Final = (
    _PUSH_FIRST,
    _PUSH_NEXT,
    _PUSH_NEXT | {7: RepetitionDelay(0, 100, 0), 11: 0, 12: ConfirmationParameters(NEVER, 0)},
)
"""What a push setup holds that a dump left out: no window, no retry, no layer; by version."""


def bind_push_setup(thing: AnyPushSetup, life: Life) -> Pushing | None:
    """Push over the host's transport; or let the host's own sink do all of it."""
    at = thing.logical_name
    sink = life.host.push(at)
    if sink is not None:
        thing.bind_method(PushSetup.push, lambda _argument: sink.push())
        return None
    transport = life.host.port(at)
    if not isinstance(transport, PushTransport):
        return None
    for index, value in _PUSH_DEFAULTS[min(thing.version, 2)].items():
        thing.values.setdefault(index, value)
    return push(
        Pushing(
            thing,
            life.device,
            transport,
            entropy=life.host.entropy,
            zone=life.zone,
            protect=_protect(transport) if isinstance(transport, KeyRing) else None,
            heard=lambda sentence: life.report(at, sentence),
        )
    )


def _protect(ring: KeyRing) -> Callable[[Layers, bytes], bytes]:
    """Return what puts layers on a push, with the keys of the recipient that they name."""

    def protect(layers: Layers, apdu: bytes) -> bytes:
        recipient = layers[0].protection_options.recipient_system_title
        return envelop(ring.keys(recipient), layers, apdu)

    return protect


def bind_data_protection(thing: DataProtection, life: Life) -> None:
    """Protect with the host's keys, what the host lets be reached."""
    port = life.host.port(thing.logical_name)
    if isinstance(port, KeyRing) and isinstance(port, Scope):
        for row in (
            DataProtection.protection_object_list,
            DataProtection.protection_parameters_get,
            DataProtection.protection_parameters_set,
        ):
            thing.values.setdefault(row.index, ())
        data_protection(Protecting(thing=thing, device=life.device, ring=port, scope=port))


def bind_function_control(thing: FunctionControl, life: Life) -> Functions:
    """Switch functions of the host, or only show which are active."""
    port = life.host.port(thing.logical_name)
    return Functions(thing, port if isinstance(port, FunctionSink) else NoSink())


def bind_array_manager(thing: ArrayManager, life: Life) -> None:
    """Manage arrays of the same device."""
    Arrays(thing, life.inside)


def bind_port_protection(thing: CommunicationPortProtection, life: Life) -> PortProtection:
    """Guard a port; its server finds the guard in `Life.acting`."""
    at = thing.logical_name
    return port_protection(PortProtection(thing, heard=lambda sentence: life.report(at, sentence)))


def bind_association(thing: AssociationLn | AssociationLnV3, life: Life) -> None:
    """Administer the association of the client that the object names."""
    at = thing.logical_name
    partners = thing.values.get(AssociationLn.associated_partners_id.index)
    if at == CURRENT_ASSOCIATION or not isinstance(partners, AssociatedPartners):
        return
    keeper = life.host.port(at)
    administered(
        thing,
        Administration(
            life.device,
            partners.client_sap,
            keeper=keeper if isinstance(keeper, Keeper) else None,
            version=thing.version,
        ),
    )


def bind_sap_assignment(thing: SapAssignment, _life: Life) -> None:
    """Connect logical devices to service access points, in the list."""
    sap_assignment(thing)


def bind_mbus_client(thing: MBusClient, life: Life) -> MbusSlave | None:
    """Read a slave over the host's M-Bus, into the value objects of its channel."""
    at = thing.logical_name
    port = life.host.port(at)
    if not isinstance(port, MbusPort):
        return None

    def captured(name: Obis, record: MbusRecord, now_us: int) -> None:
        with suppress(KeyError):
            value = life.device[name]
            if isinstance(value, Register | ExtendedRegister):
                value.values[Register.value.index] = record.value
                if isinstance(value, ExtendedRegister):
                    value.capture_time = life.shown(now_us)

    return mbus_client(
        MbusSlave(thing, port, captured, heard=lambda sentence: life.report(at, sentence))
    )


def bind_auto_connect(thing: AutoConnectV0, life: Life) -> Connecting | None:
    """Call over the host's dialler."""
    at = thing.logical_name
    dialler = life.host.port(at)
    if not isinstance(dialler, Dialler):
        return None
    return auto_connect(
        Connecting(thing, dialler, zone=life.zone, heard=lambda sentence: life.report(at, sentence))
    )


def bind_auto_answer(thing: AutoAnswerV0, life: Life) -> Answering:
    """Show whether calls are answered; the host asks `Life.acting` at each."""
    return auto_answer(Answering(thing, zone=life.zone))


class NoTimeServer:
    """Asks nobody: the device's calendar is the host's own."""

    def synchronize(self, setup: NtpSetup) -> None:
        del setup
        raise Refused(ActionResult.OBJECT_UNAVAILABLE)


def bind_ntp_setup(thing: NtpSetup, life: Life) -> None:
    """Ask the host's time servers; without any only the keys are kept."""
    server = life.host.port(thing.logical_name)
    ntp_setup(thing, server if isinstance(server, TimeServer) else NoTimeServer())


@runtime_checkable
class Applier(Protocol):
    """Who applies what a client writes to a setup object; a port of the host."""

    def apply(self, attribute: Attribute[Any], value: Any) -> None:  # noqa: ANN401  of any type
        """Apply a new value, before it is stored.

        Raises:
            Refused: It cannot be.
        """
        ...


def bind_setup(thing: InterfaceClass, life: Life) -> None:
    """Let the host hear of what a client writes to a port, a modem or a network."""
    applier = life.host.port(thing.logical_name)
    if isinstance(applier, Applier):
        applied(thing, applier.apply)


def bind_ipv4_setup(thing: Ipv4Setup, life: Life) -> None:
    """Keep the multicast addresses; the host hears of them."""
    ipv4_setup(thing, _changed(thing, life))
    bind_setup(thing, life)


def bind_ipv6_setup(thing: Ipv6Setup, life: Life) -> None:
    """Keep the addresses; the host hears of them."""
    ipv6_setup(thing, _changed(thing, life))
    bind_setup(thing, life)


def _changed(thing: InterfaceClass, life: Life) -> Callable[[Attribute[Any]], None]:
    """Return what tells the host of an attribute that a method changed."""

    def changed(row: Attribute[Any]) -> None:
        applier = life.host.port(thing.logical_name)
        if isinstance(applier, Applier):
            applier.apply(row, thing.values[row.index])

    return changed


def bind_mbus_diagnostic(thing: MBusDiagnostic, life: Life) -> MbusCounters:
    """Count what the host tells `Life.acting`."""
    return MbusCounters(thing, zone=life.zone)


def bind_coap_diagnostic(thing: CoapDiagnostic, life: Life) -> CoapCounters:
    """Count what the host tells `Life.acting`."""
    return CoapCounters(thing, zone=life.zone)


def bind_diagnosis(thing: InterfaceClass, life: Life) -> Diagnosis:
    """Show what the host tells `Life.acting`."""
    return Diagnosis(thing, zone=life.zone)
