# SPDX-License-Identifier: Apache-2.0
"""A demo meter behind a real port, in a thread of its own: commands run beside it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from openami.cosem.device import LogicalDevice
from openami.cosem.server import ServerConnection
from openami.dlms.hdlc.address import Station
from openami.transport.anywhere import OpenPort, listen_anywhere
from openami.transport.carrier import AcceptCarrier, Carrier
from openami.transport.coapwire import DEFAULT_COAP, CoapSettings
from openami.transport.hdlc import HdlcServerWire
from openami.transport.hdlcpoint import HdlcListener, listen_hdlc
from openami.transport.tls import Secured
from openami.transport.url import Url
from playbooks.demo_meter import DemoMeter, entropy
from transport.hdlcmeter import Serving as ServingLine

STATION = Station.of([1], 17)
TCP = Url("tcp", "127.0.0.1", 0)
HDLC = Url("hdlc+tcp", "127.0.0.1", 0)
ADDRESS = ("--server-address", "1/17")
"""How a tool names the meter on HDLC; on TCP it changes nothing."""

Spoil = Callable[[bytes], bytes | None]  # what becomes of an answer; None drops it


@dataclass
class Serving:
    """One connection to the meter."""

    wire: Carrier
    server: ServerConnection
    spoil: Spoil

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        answer = self.server.receive(source, apdu)
        while answer is not None:
            if (spoilt := self.spoil(answer)) is not None:
                self.wire.send(destination, source, spoilt)
            answer = self.server.following()

    def closed(self, _reason: str) -> None:
        self.server.lost()


@dataclass
class ServedMeter:
    """Use as a context manager; `url` is where it listens."""

    url: Url
    secured: Secured | None = None
    meter: LogicalDevice = field(default_factory=DemoMeter)
    spoil: Spoil = lambda answer: answer
    coap: CoapSettings = DEFAULT_COAP
    accept: AcceptCarrier | None = None  # None serves the meter

    def __enter__(self) -> Self:
        ready = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            listener: OpenPort | HdlcListener
            if self.url.scheme == "hdlc+tcp":
                listener = await listen_hdlc(self.url, self._accept_line, STATION)
            else:
                accept = self.accept or self._accept
                listener = await listen_anywhere(
                    self.url, accept, secured=self.secured, coap=self.coap
                )
            self.url = listener.url
            ready.set()
            await self._stop.wait()
            await listener.close()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _accept_line(self, wire: HdlcServerWire) -> ServingLine:
        return ServingLine(wire, self.meter)

    def _accept(self, wire: Carrier) -> Serving:
        server = ServerConnection(self.meter, entropy=entropy())
        return Serving(wire, server, self.spoil)
