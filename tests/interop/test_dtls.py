# SPDX-License-Identifier: Apache-2.0
"""OpenSSL's own client and server at the other end of our DTLS."""

import asyncio
import logging
import socket

import pytest

from openami.transport.tls import Role, TlsIdentity
from openami.transport.tlspolicy import SUITES
from openami.transport.udp import dial_wrapped_dtls, listen_wrapped_dtls
from openami.transport.url import Url
from openami.transport.wire import Limits
from transport.hdlcmeter import until
from transport.parties import CONCENTRATOR, METER, Party, Pki, echo

pytestmark = pytest.mark.interop

REQUEST = bytes.fromhex("0001 0010 0001 0003") + b"GET"
ANSWER = bytes.fromhex("0001 0001 0010 0003") + b"GET"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def files(identity: TlsIdentity) -> list[str]:
    return [
        *("-cert", str(identity.certificate)),
        *("-key", str(identity.key)),
        *("-CAfile", str(identity.ca)),
    ]


async def openssl(*words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        "openssl", *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )


async def read_until(process: asyncio.subprocess.Process, wanted: bytes) -> bytes:
    assert process.stdout is not None
    got = b""
    async with asyncio.timeout(30.0):
        while wanted not in got:
            octets = await process.stdout.read(4096)
            assert octets, got.decode(errors="replace")
            got += octets
    return got


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
        return port


@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values()])
def test_their_client(pki: Pki, suite: str) -> None:
    async def act() -> None:
        there = Party(echo)
        port = await listen_wrapped_dtls(
            Url("dtls", "127.0.0.1", 0),
            there.accept,  # type: ignore[arg-type]  # any carrier will do
            pki.concentrator(),
        )
        client = await openssl(
            *("s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port.url.port}"),
            *files(pki.identity(METER, Role.METER)),
            *("-cipher", f"{suite}:@SECLEVEL=0", "-mtu", "600", "-verify_return_error"),
        )
        said = await read_until(client, b"Verify return code: 0 (ok)")
        assert suite.encode() in said
        assert client.stdin is not None
        client.stdin.write(REQUEST)
        await client.stdin.drain()
        await read_until(client, ANSWER)
        assert there.handlers[0].frames == [(16, 1, b"GET")]
        client.stdin.close()
        await there.handlers[0].ended.wait()
        await client.wait()
        await port.close()

    asyncio.run(act())


def test_their_client_without_a_certificate(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        there = Party(echo)
        port = await listen_wrapped_dtls(
            Url("dtls", "127.0.0.1", 0),
            there.accept,  # type: ignore[arg-type]
            pki.concentrator(),
        )
        client = await openssl("s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port.url.port}")
        assert b"alert" in await read_until(client, b"alert")
        await until(lambda: "it sent no certificate" in caplog.text)
        assert there.handlers == []
        client.kill()
        await client.wait()
        await port.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(act())


@pytest.mark.parametrize("listen", [(), ("-listen",)], ids=["plain", "with cookies"])
def test_their_server(pki: Pki, listen: tuple[str, ...]) -> None:
    async def act() -> None:
        number = free_port()
        server = await openssl(
            *("s_server", "-dtls1_2", "-accept", f"127.0.0.1:{number}", *listen),
            *files(pki.identity(CONCENTRATOR, Role.CONCENTRATOR)),
            *("-Verify", "2", "-verify_return_error", "-mtu", "600"),
        )
        await read_until(server, b"ACCEPT")
        here = Party()
        wire = await dial_wrapped_dtls(
            Url("dtls", "127.0.0.1", number),
            here.accept,  # type: ignore[arg-type]
            pki.meter(),
            Limits(connect_timeout_s=30.0),
        )
        wire.send(16, 1, b"GET")
        await read_until(server, REQUEST)
        assert server.stdin is not None
        server.stdin.write(ANSWER)
        await server.stdin.drain()
        await until(lambda: bool(here.handlers[0].frames))
        assert here.handlers[0].frames == [(1, 16, b"GET")]
        wire.close()
        await wire.gone()
        server.terminate()
        await server.wait()

    asyncio.run(act())
