# SPDX-License-Identifier: Apache-2.0
"""libcoap's client and server at the other end of our CoAP, plain and inside DTLS."""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from openami.coap.layer import Transmission
from openami.coap.message import Option, path_options
from openami.coap.numbers import Code, OptionNumber
from openami.coap.peer import Answered, CoapPeer, PeerEvent, PeerSettings
from openami.dlms.sap import Sap
from openami.dlms.wrapper import WrapperFrame
from openami.transport.coapwire import CoapSettings, listen_coap
from openami.transport.datagrams import Channel, dial_datagrams
from openami.transport.dtlsport import dial_dtls
from openami.transport.tls import Role, TlsIdentity
from openami.transport.url import Url
from ports import free_ports
from transport.parties import CONCENTRATOR, METER, Pki, Remembering, echo

pytestmark = pytest.mark.interop

CLIENT = shutil.which("coap-client-openssl") or "coap-client-openssl"
SERVER = shutil.which("coap-server-openssl") or "coap-server-openssl"
APDU = random.Random(1).randbytes(5000)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def files(identity: TlsIdentity) -> list[str]:
    return [
        *("-c", str(identity.certificate)),
        *("-j", str(identity.key)),
        *("-R", str(identity.ca)),
    ]


async def run(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(90):
        said, _ = await process.communicate()
    return said.decode(errors="replace")


@pytest.mark.parametrize("scheme", ["coap", "coaps"])
@pytest.mark.parametrize(
    "options",
    [(), ("-N",), ("-b", "64"), ("-b", "256", "-l", "8,15")],
    ids=["confirmable", "non", "small blocks", "loss"],
)
def test_their_client(pki: Pki, tmp_path: Path, scheme: str, options: tuple[str, ...]) -> None:
    async def act() -> None:
        handlers: list[Remembering] = []

        def accept(wire: object) -> Remembering:
            handlers.append(Remembering(wire, echo))  # type: ignore[arg-type]
            return handlers[-1]

        brisk = PeerSettings(transmission=Transmission(ack_timeout_s=0.3))
        port = await listen_coap(
            Url(scheme, "127.0.0.1", 0),  # type: ignore[arg-type]
            accept,
            settings=CoapSettings(peer=brisk),
            secured=pki.concentrator(),
        )
        apdu = APDU[:100] if options == ("-N",) else APDU
        sent, got = tmp_path / "sent", tmp_path / "got"
        sent.write_bytes(WrapperFrame(Sap(16), Sap(1), apdu).encode())
        said = await run(
            *(CLIENT, "-m", "post", "-f", str(sent), "-o", str(got), "-B", "60", *options),
            *(files(pki.identity(METER, Role.METER)) if scheme == "coaps" else ()),
            f"{scheme}://127.0.0.1:{port.url.port}/d",
        )
        assert got.exists(), said
        assert got.read_bytes() == WrapperFrame(Sap(1), Sap(16), apdu).encode(), said
        assert handlers[0].frames == [(16, 1, apdu)], "it was done once"
        await port.close()

    asyncio.run(act())


class Asking:
    """Drives a `CoapPeer` over a channel."""

    def __init__(self, channel: Channel, settings: PeerSettings) -> None:
        self.peer = CoapPeer(settings, os.urandom)
        self.channel = channel
        self.events: list[PeerEvent] = []
        self.loop = asyncio.get_running_loop()

    def datagram(self, octets: bytes) -> None:
        self.events += self.peer.receive(octets, self.loop.time())
        self.flush()

    def closed(self, reason: str) -> None:
        del reason

    def flush(self) -> None:
        for datagram in self.peer.data_to_send():
            self.channel.send(datagram)

    async def ask(
        self, code: Code, path: str, payload: bytes = b"", *more: Option
    ) -> tuple[int, bytes]:
        options = (*path_options(path), *more)
        self.peer.request(code, options, payload, self.loop.time())
        self.flush()
        async with asyncio.timeout(60):
            while not self.events:
                await asyncio.sleep(0.01)
                self.events += self.peer.tick(self.loop.time())
                self.flush()
        event = self.events.pop(0)
        assert isinstance(event, Answered), event
        return event.code, event.payload


@pytest.mark.parametrize("scheme", ["coap", "coaps"])
@pytest.mark.parametrize(
    ("exponent", "loss"), [(6, ()), (2, ()), (5, ("-l", "8,14"))], ids=["large", "small", "loss"]
)
def test_their_server(pki: Pki, scheme: str, exponent: int, loss: tuple[str, ...]) -> None:
    async def act() -> None:
        number, _ = free_ports(2)  # the next one is theirs for DTLS
        server = await asyncio.create_subprocess_exec(
            *(SERVER, "-A", "127.0.0.1", "-p", str(number), "-d", "10", "-v", "3", *loss),
            *files(pki.identity(CONCENTRATOR, Role.CONCENTRATOR)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        made: list[Asking] = []
        settings = PeerSettings(
            size_exponent=exponent, transmission=Transmission(ack_timeout_s=0.3, max_retransmit=8)
        )

        def accept(channel: Channel) -> Asking:
            made.append(Asking(channel, settings))
            return made[-1]

        try:
            await asyncio.sleep(0.5)
            if scheme == "coaps":
                url = Url("coaps", "127.0.0.1", number + 1)
                await dial_dtls(url, accept, pki.meter())
            else:
                await dial_datagrams(Url("coap", "127.0.0.1", number), accept)
            asking = made[0]
            code, payload = await asking.ask(Code.GET, "/.well-known/core")
            assert code == Code.CONTENT
            assert b"</async>" in payload
            code, _ = await asking.ask(Code.PUT, "/load", APDU)
            assert code == Code.CREATED
            code, payload = await asking.ask(Code.GET, "/load")
            assert (code, payload) == (Code.CONTENT, APDU)
            query = (int(OptionNumber.URI_QUERY), b"2")
            code, payload = await asking.ask(Code.GET, "/async", b"", query)
            assert (code, payload) == (Code.CONTENT, b"done")  # on its own, after 2 s
            code, _ = await asking.ask(Code.GET, "/nowhere")
            assert code == Code.NOT_FOUND
            asking.channel.close()
        finally:
            server.terminate()
            await server.wait()

    asyncio.run(act())
