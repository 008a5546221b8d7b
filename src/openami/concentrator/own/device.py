# SPDX-License-Identifier: Apache-2.0
"""The concentrator's logical device: over the uplink, and at a port of its own for tools.

The public client reads name, version, clock and frame counter.  Whoever has the keys reads the
rest as client 1 with HLS and GMAC, authenticated and encrypted, as with a meter, and sends the next
firmware.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openami.concentrator.own.firmware import OwnFirmware
from openami.concentrator.own.keys import OwnCounters, ciphering_of, load_keys
from openami.concentrator.own.objects import (
    CLOCK,
    FIRMWARE,
    FRAME_COUNTER,
    LDN,
    Sources,
    own_objects,
)
from openami.cosem.classes.image_transfer import ImageTransfer
from openami.cosem.device import AssociationPolicy, Ciphering, LogicalDevice
from openami.cosem.rights import ALL, Grant
from openami.cosem.server import NOT_POSSIBLE, ServerConnection
from openami.device.images import receive_images
from openami.dlms.hls import Mechanism
from openami.dlms.sap import CLIENT_MANAGEMENT_PROCESS, PUBLIC_CLIENT
from openami.exchange.uplink import MANAGEMENT_SERVER
from openami.runtime.errors import UserError
from openami.transport.wire import Wire

log = logging.getLogger(__name__)

PUBLIC_GRANTS: Final = tuple(Grant(at=at, read=ALL) for at in (LDN, FIRMWARE, CLOCK, FRAME_COUNTER))
MANAGER_GRANTS: Final = (
    Grant(read=ALL),
    Grant(of=ImageTransfer, write=frozenset({5}), invoke=ALL),
)
COUNTERS: Final = "counters.json"


class OwnDevice:
    """The device; each way to it is an `OwnConnection`.

    Attributes:
        device: Its objects and who may associate.
        images: Takes the next firmware; None where nothing was booted.
        failing: Why counters cannot be written, until they are again; else empty.
        on_failing: Called with that when it begins, and with nothing when it is over.
    """

    on_failing: Callable[[str], None]

    def __init__(
        self,
        name: str,
        title: bytes,
        keys: Path,
        sources: Sources,
        firmware: OwnFirmware | None = None,
    ) -> None:
        """Make the device; without a file of keys the public client alone is let in.

        Args:
            name: Of the concentrator.
            title: Its system title.
            keys: Its `keys.json`; the counters lie beside it.
            sources: Who knows the values; `window_expected` is known here.
            firmware: What was booted, and where the next one goes; None where nothing was.

        Raises:
            ConfigurationError: Keys or counters are damaged.
        """
        self.failing = ""
        self.on_failing = lambda _sentence: None
        self._ciphering: Ciphering | None = None
        policies = [AssociationPolicy(client_sap=PUBLIC_CLIENT, grants=PUBLIC_GRANTS)]
        found = load_keys(keys, title)
        if found is not None:
            self._counters = OwnCounters(keys.with_name(COUNTERS))
            self._ciphering = ciphering_of(found, self._counters)
            manager = AssociationPolicy(
                client_sap=CLIENT_MANAGEMENT_PROCESS,
                mechanism=Mechanism.HLS_GMAC,
                ciphering=self._ciphering,
                grants=MANAGER_GRANTS if firmware is not None else (Grant(read=ALL),),
            )
            policies.append(manager)
        known = sources._replace(window_expected=self._expected)
        objects = own_objects(f"{title[:3].decode(errors='replace')}{name}", known, firmware)
        self.images = None if firmware is None else receive_images(objects, firmware.firmware)
        self.device = LogicalDevice(objects=objects, associations=policies, system_title=title)

    def _expected(self) -> int:
        return 0 if self._ciphering is None else self._ciphering.window.expected

    def note(self) -> None:
        """Make durable what was accepted, before it is answered."""
        if self._ciphering is not None:
            self._counters.follow(self._ciphering.window.expected)
            if self.failing:
                self.failing = ""
                self.on_failing("")

    def failed(self, sentence: str) -> None:
        """Learn that counters could not be written; tell it once."""
        told, self.failing = bool(self.failing), sentence
        if not told:
            log.error("%s", sentence)
            self.on_failing(sentence)


class OwnConnection:
    """One way to the device, with its associations."""

    def __init__(self, own: OwnDevice) -> None:
        self._own = own
        self._server = ServerConnection(own.device, entropy=os.urandom)

    def answers(self, client: int, apdu: bytes) -> list[bytes]:
        """Return what answers an APDU of a client, in order.

        Where counters cannot be made durable, that is a refusal, and the association is over:
        what was asked may have been done, and the client cannot take it for that.
        """
        found = []
        try:
            answer = self._server.receive(client, apdu)
            self._own.note()
            while answer is not None:
                found.append(answer)
                answer = self._server.following()
        except UserError as error:
            self._own.failed(str(error))
            self._server.lost(client)
            return [NOT_POSSIBLE]
        return found

    def lost(self) -> None:
        """Forget all associations: the way is gone."""
        self._server.lost()


class OwnWire:
    """A connection of a tool, at the port for tools."""

    def __init__(self, wire: Wire, own: OwnDevice) -> None:
        self._wire = wire
        self._connection = OwnConnection(own)

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        """Answer; another logical device than ours does not."""
        if destination == MANAGEMENT_SERVER:
            for answer in self._connection.answers(source, apdu):
                self._wire.send(destination, source, answer)

    def closed(self, _reason: str) -> None:
        """Forget the tool's associations."""
        self._connection.lost()
