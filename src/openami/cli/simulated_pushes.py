# SPDX-License-Identifier: Apache-2.0
"""A simulated meter's pushes: its push setups decide when and how often, this carries them.

Windows, random delay, retries and confirmations are the objects' own business
(`behaviour.pushing`); what is here dials, sends, and tells them how it went.  Pushes go to one
address, or to where each push setup says: then a dump of a real meter would call a real head-end,
so that has to be wished for.  On a line of HDLC they are UI frames, as on a customer port, and
nobody confirms them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.cosem.behaviour.data_protection import KeyRing
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.layers import LayerKeys
from openami.cosem.behaviour.pushing import Pushing
from openami.cosem.classes.push import PushSetup, SendDestinationAndMethod, TransportService
from openami.cosem.device import Ciphering, LogicalDevice
from openami.cosem.model import Refused
from openami.dlms.apdu.ciphered import GeneralGloCiphering
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.notification import DataNotification, DataNotificationConfirm
from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.link import unnumbered_frames
from openami.dlms.hdlc.llc import FROM_SERVER
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityControl
from openami.runtime.errors import UserError
from openami.transport.carrier import Carrier
from openami.transport.endpoint import dial
from openami.transport.serial import SerialLine
from openami.transport.udp import dial_udp
from openami.transport.url import Scheme, Url
from openami.transport.wire import WireError

PUSH_CLIENT: Final = 1
DRAIN_S: Final = 0.02
MOST_DRAINS: Final = 3000
"""A minute: at 2400 baud 14,400 octets."""
ON_LINE: Final[frozenset[Scheme]] = frozenset({"hdlc+tcp", "hdlc+serial"})
CONFIRMED_WITHIN_S: Final = 30.0
_CARRIED: Final[dict[int, Scheme]] = {
    TransportService.TCP: "tcp",
    TransportService.UDP: "udp",
}


@dataclass(slots=True)
class Pusher:
    """Carries the pushes of one device.

    Attributes:
        device: The meter.
        to: Where pushes go; None for where each push setup says.
        ciphering: The manager's keys; None to push in the clear.
        now_us: The meter's calendar.
        said: Hears what went wrong.
        physical: The meter's physical address on a line of HDLC.
        ring: Holds the keys of layers that a push setup asks for; None for no layers.
        life: The device, once it was brought to life.
    """

    device: LogicalDevice
    to: Url | None
    ciphering: Ciphering | None
    now_us: Callable[[], int]
    said: Callable[[str], None]
    physical: int = 0
    ring: KeyRing | None = None
    life: Life | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def transport(self, at: Obis) -> "PushCarrier | None":
        """Return who carries the pushes of an object; None if it is no push setup."""
        return PushCarrier(self, at) if at in self.setups() else None

    def setups(self) -> list[Obis]:
        """Return the names of the push setups."""
        return [each.values[1] for each in self.device if each.class_id == PushSetup.class_id]

    def setup(self, at: Obis) -> Pushing:
        """Return a push setup at work.

        Raises:
            Refused: It does not work, or there is none of this name.
        """
        acting = None if self.life is None else self.life.acting.get(at)
        if not isinstance(acting, Pushing):
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        return acting

    def begin(self, at: Obis, url: Url, apdu: bytes) -> None:
        """Send an APDU in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._send(at, url, apdu))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, at: Obis, url: Url, apdu: bytes) -> None:
        setup = self.setup(at)
        if url.scheme in ON_LINE:
            await self._put_on_line(at, url, apdu)
            return
        ear = _Ear(lambda invoke_id: setup.confirmed(invoke_id, self.now_us()))
        try:
            wire = await _dialled(url, ear)
            try:
                wire.send(self.device.sap, PUSH_CLIENT, apdu)
                setup.sent(self.now_us())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONFIRMED_WITHIN_S):
                        await ear.heard.wait()
            finally:
                wire.close()
        except WireError as error:
            self.said(f"a push of {at} was not sent: {error}")
            setup.failed(self.now_us())

    async def _put_on_line(self, at: Obis, url: Url, apdu: bytes) -> None:
        """Send UI frames with F = 1 in the last, as on a port on which nobody else speaks."""
        setup = self.setup(at)
        frames = unnumbered_frames(
            Address.client(PUSH_CLIENT),
            Address.server(self.device.sap, self.physical),
            FROM_SERVER + apdu,
            LinkParameters().max_information_transmit_octets,
            poll_final=True,
        )
        try:
            await put_on_line(url, b"".join(frame.encode() for frame in frames))
        except OSError as error:
            self.said(f"a push of {at} was not sent to {url}: {error}")
            setup.failed(self.now_us())
        else:
            setup.sent(self.now_us())

    def sealed(self, apdu: bytes) -> bytes:
        """Return an APDU under the manager's key, if there is one and it is not protected yet."""
        if self.ciphering is None or apdu[0] != DataNotification.TAG:
            return apdu
        cipher, counters = self.ciphering.cipher, self.ciphering.counters
        title = self.device.system_title
        control = SecurityControl.of(cipher.keys.suite)
        ciphered = cipher.seal(control, counters.next(), title, apdu)
        return GeneralGloCiphering(system_title=title, ciphered_service=ciphered).encode()


@dataclass(slots=True)
class PushCarrier:
    """A `PushTransport` and `KeyRing`: carries what one push setup sends.

    A retry is the same octets again.
    """

    pusher: Pusher
    at: Obis
    _apdu: bytes = b""
    _sealed: bytes = b""

    def send(self, destination: SendDestinationAndMethod, octets: bytes) -> None:
        """Begin to send.

        Raises:
            Refused: The destination is none that TCP or UDP reaches.
        """
        url = self.pusher.to or self._where(destination)
        if octets != self._apdu:
            self._apdu, self._sealed = octets, self.pusher.sealed(octets)
        self.pusher.begin(self.at, url, self._sealed)

    def keys(self, peer_title: bytes) -> LayerKeys:
        """Return the keys of the layers that a push setup asks for.

        Raises:
            SecurityError: There are none.
        """
        if self.pusher.ring is None:
            problem = "push_protection_parameters name layers, and the meter has no keys"
            raise SecurityError(problem, str(self.at), "DLMS UA 1000-1 Ed. 12, 4.4.8")
        return self.pusher.ring.keys(peer_title)

    def _where(self, destination: SendDestinationAndMethod) -> Url:
        scheme = _CARRIED.get(destination.transport_service)
        text = bytes(destination.destination).decode("ascii", "replace")
        try:
            # A service that is none of both makes an address that is refused.
            return Url.parse(f"{scheme}://{text}", "its destination", frozenset(_CARRIED.values()))
        except UserError as error:
            self.pusher.said(f"push setup {self.at} cannot push to {text!r}: {error}")
            raise Refused(ActionResult.OTHER_REASON) from None


async def put_on_line(url: Url, octets: bytes) -> None:
    """Put octets on a line: that of an adapter behind the network, or a device here.

    Raises:
        OSError: There is no such line.
    """
    if url.scheme == "hdlc+tcp":
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(octets)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        return
    line = SerialLine(Path(url.path), lambda _octets: None)
    line.open()
    try:
        if not line.is_open:
            raise FileNotFoundError(f"{url.path} cannot be opened as a line")
        line.send(octets)
        for _ in range(MOST_DRAINS):
            if line.is_drained:
                break
            await asyncio.sleep(DRAIN_S)
        if line.lost_octets:
            raise OSError(f"{line.lost_octets} octets found no room on the line")
    finally:
        line.close()


async def _dialled(url: Url, ear: "_Ear") -> Carrier:
    if url.scheme == "udp":
        return await dial_udp(url, lambda _wire: ear)
    return await dial(url, lambda _wire: ear)


class _Ear:
    """Hears the confirmation of one push, or that the peer hung up."""

    def __init__(self, confirmed: Callable[[int], bool]) -> None:
        self.heard = asyncio.Event()
        self._confirmed = confirmed

    def frame(self, source: int, destination: int, apdu: bytes) -> None:  # noqa: ARG002
        """Take what comes; nothing but a confirmation is expected."""
        with contextlib.suppress(DlmsError):
            confirm = DataNotificationConfirm.decode(apdu)
            if self._confirmed(int(confirm.long_invoke_id_and_priority)):
                self.heard.set()

    def closed(self, reason: str) -> None:  # noqa: ARG002
        """Wait no longer."""
        self.heard.set()


@dataclass(slots=True)
class Schedule:
    """Pushes every so many real seconds."""

    pusher: Pusher
    every_s: float
    _due_s: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Push what is due."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self.every_s
        for at in self.pusher.setups():
            try:
                self.pusher.setup(at).push()
            except Refused as refused:
                self.pusher.said(f"push setup {at} cannot push: {refused}")
