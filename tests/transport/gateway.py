# SPDX-License-Identifier: Apache-2.0
"""A gateway with demo meters behind it: reads the header, and only that."""

from dataclasses import dataclass, field

from openami.cosem.server import ServerConnection
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.transport.carrier import Carrier
from openami.transport.hdlc import HdlcServerWire
from playbooks.demo_meter import DemoMeter, entropy

ADDRESS = bytes.fromhex("4F414D0000000001")
NOT_POSSIBLE = bytes.fromhex("d80101")


@dataclass
class Gateway:
    """Serves whoever speaks to one meter on network 3 through it."""

    wire: Carrier | HdlcServerWire
    server: ServerConnection = field(
        default_factory=lambda: ServerConnection(DemoMeter(), entropy=entropy())
    )

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        if apdu[:1] != bytes((GatewayRequest.TAG,)):
            self.wire.send(destination, source, NOT_POSSIBLE)  # it is no meter itself
            return
        request = GatewayRequest.decode(apdu)
        answer: bytes | None = NOT_POSSIBLE
        if (request.network_id, request.physical_address) == (3, ADDRESS):
            answer = self.server.receive(source, request.apdu)
        if answer is not None:
            response = GatewayResponse(
                network_id=request.network_id,
                physical_address=request.physical_address,
                apdu=answer,
            )
            self.wire.send(destination, source, response.encode())

    def disconnected(self, client: int) -> None:
        self.server.lost(client)

    def closed(self, _reason: str) -> None:
        self.server.lost()
