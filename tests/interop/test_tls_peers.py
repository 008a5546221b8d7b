# SPDX-License-Identifier: Apache-2.0
"""OpenSSL's and GnuTLS' programs at the other end, as client and as server, for each suite.

`openssl` is the system's, of another major version than the one that we are linked with.
"""

import asyncio
import itertools
import logging
from pathlib import Path

import pytest

from interop.tlspeers import (
    ANSWER,
    GNUTLS_CIPHERS,
    REQUEST,
    gnutls_files,
    gnutls_offer,
    openssl_files,
    openssl_offer,
    read_until,
    running,
    tell,
)
from openami.transport.endpoint import dial
from openami.transport.tls import Role
from openami.transport.tlspolicy import SUITES, Cipher, Version
from openami.transport.udp import dial_wrapped_dtls
from openami.transport.url import Url
from openami.transport.wire import Limits
from ports import free_port
from transport.encounters import DATAGRAMS, KINDS, STREAMS, Kind, meet
from transport.hdlcmeter import until
from transport.parties import CONCENTRATOR, METER, Party, Pki

pytestmark = pytest.mark.interop

offers = pytest.mark.parametrize(
    ("kind", "cipher"), list(itertools.product(KINDS, Cipher)), ids=str
)
streams = pytest.mark.parametrize("kind", STREAMS, ids=str)
PATIENT = Limits(connect_timeout_s=30.0)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def suite_of(kind: Kind, cipher: Cipher) -> str:
    row = SUITES[cipher]
    return row.name_1_3 if kind.version is Version.TLS_1_3 else row.name


def s_client(url: Url, pki: Pki, *options: str) -> list[str]:
    return [
        *("openssl", "s_client", "-connect", f"127.0.0.1:{url.port}", "-verify_return_error"),
        *openssl_files(pki.identity(METER, Role.METER)),
        *options,
    ]


def gnutls_cli(url: Url, pki: Pki, *options: str) -> list[str]:
    """A name is compared with CN where a certificate has no other."""
    return [
        *("gnutls-cli", f"--port={url.port}", f"--verify-hostname={CONCENTRATOR.hex().upper()}"),
        *gnutls_files(pki.identity(METER, Role.METER)),
        *options,
        "127.0.0.1",
    ]


@offers
def test_their_openssl_client(kind: Kind, cipher: Cipher, pki: Pki) -> None:
    async def conversation() -> None:
        mtu = ("-mtu", "600") if kind is DATAGRAMS else ()
        async with (
            kind.listening(pki.concentrator()) as url,
            running(*s_client(url, pki, *openssl_offer(kind.version, cipher), *mtu)) as client,
        ):
            said = await read_until(client, b"Verify return code: 0 (ok)", b"Verification: OK")
            assert suite_of(kind, cipher).encode() in said
            await tell(client, REQUEST)
            await read_until(client, ANSWER)

    asyncio.run(conversation())


@offers
def test_their_gnutls_client(kind: Kind, cipher: Cipher, pki: Pki) -> None:
    async def conversation() -> None:
        options = [gnutls_offer(kind.version, cipher)]
        if kind is DATAGRAMS:
            options.append("--udp")
        async with (
            kind.listening(pki.concentrator()) as url,
            running(*gnutls_cli(url, pki, *options)) as client,
        ):
            said = await read_until(client, b"Simple Client Mode")
            assert b"The certificate is trusted" in said
            assert f"({GNUTLS_CIPHERS[cipher]})".encode() in said
            await tell(client, REQUEST)
            await read_until(client, ANSWER)

    asyncio.run(conversation())


@streams
def test_their_clients_resume_our_sessions(kind: Kind, pki: Pki, tmp_path: Path) -> None:
    async def conversation() -> None:
        there = pki.concentrator()
        kept = str(tmp_path / "session")
        offer = openssl_offer(kind.version, Cipher.AES128_GCM)
        async with kind.listening(there) as url:
            for option, resumed in (("-sess_out", 0), ("-sess_in", 1)):
                async with running(*s_client(url, pki, *offer, option, kept)) as client:
                    await tell(client, REQUEST)
                    await read_until(client, ANSWER)  # a session of TLS 1.3 came before it
                    assert client.stdin is not None
                    client.stdin.close()
                    await client.wait()
                assert (there.tls.tally.full, there.tls.tally.resumed) == (1, resumed)
            options = gnutls_offer(kind.version, Cipher.AES128_GCM), "--resume", "--waitresumption"
            async with running(*gnutls_cli(url, pki, *options)) as client:
                await read_until(client, b"This is a resumed session")
                await until(lambda: there.tls.tally.resumed == 2)

    asyncio.run(conversation())


@offers
def test_their_openssl_server(kind: Kind, cipher: Cipher, pki: Pki) -> None:
    async def conversation() -> None:
        datagrams = kind is DATAGRAMS
        number = free_port()
        async with running(
            *("openssl", "s_server", "-accept", f"127.0.0.1:{number}"),
            *openssl_files(pki.identity(CONCENTRATOR, Role.CONCENTRATOR)),
            *openssl_offer(kind.version, cipher),
            *("-Verify", "2", "-verify_return_error"),
            *(("-mtu", "600") if datagrams else ()),
            *(("-listen",) if datagrams and cipher is Cipher.AES128_GCM else ()),  # with cookies
        ) as server:
            await read_until(server, b"ACCEPT")
            here, secured = Party(), pki.meter()
            url = Url("dtls" if datagrams else "tls", "127.0.0.1", number)
            if datagrams:
                wire = await dial_wrapped_dtls(url, here.accept, secured, PATIENT)  # type: ignore[arg-type]
            else:
                wire = await dial(url, here.accept, secured=secured, limits=PATIENT)  # type: ignore[assignment]
            wire.send(16, 1, b"GET\n")
            said = await read_until(server, REQUEST)
            assert suite_of(kind, cipher).encode() in said
            await tell(server, ANSWER)
            await until(lambda: bool(here.handlers[0].frames))
            assert here.handlers[0].frames == [(1, 16, b"GET\n")]
            wire.close()
            await wire.gone()

    asyncio.run(conversation())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_their_gnutls_server_full_and_resumed(kind: Kind, pki: Pki) -> None:
    """Its echo takes text over TLS, and whole datagrams over DTLS."""

    async def conversation() -> None:
        datagrams = kind is DATAGRAMS
        number = free_port()
        async with running(
            *(
                "stdbuf",
                "-o0",
                "gnutls-serv",
                "--echo",
                f"--port={number}",
                *(["--udp"] if datagrams else []),
            ),
            *gnutls_files(pki.identity(CONCENTRATOR, Role.CONCENTRATOR)),
            *("--require-client-cert", "--verify-client-cert"),
            gnutls_offer(kind.version, Cipher.AES128_GCM),
        ) as server:
            await read_until(server, b"...done")
            secured = pki.meter()
            for resumed in (0, 1):
                here = Party()
                if datagrams:
                    url = Url("dtls", "127.0.0.1", number)
                    wire = await dial_wrapped_dtls(url, here.accept, secured, PATIENT)  # type: ignore[arg-type]
                    wire.send(16, 1, b"GET\n")
                    await until(lambda here=here: bool(here.handlers[0].frames))  # type: ignore[misc]
                    assert here.handlers[0].frames == [(16, 1, b"GET\n")]
                else:
                    url = Url("tls", "127.0.0.1", number)
                    wire = await dial(url, here.accept, secured=secured, limits=PATIENT)  # type: ignore[assignment]
                    words = b"This is a resumed session" if resumed else b"- Client Signature"
                    await read_until(server, words)
                    assert here.handlers[0].reasons == []
                wire.close()
                await wire.gone()
                assert (secured.tls.tally.full, secured.tls.tally.resumed) == (1, resumed)

    asyncio.run(conversation())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_their_client_without_a_certificate(
    kind: Kind, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        offer = openssl_offer(kind.version, Cipher.AES128_GCM)
        async with kind.listening(pki.concentrator()) as url:
            words = ["openssl", "s_client", "-connect", f"127.0.0.1:{url.port}", *offer]
            async with running(*words) as client:
                await read_until(client, b"alert")
            await until(lambda: "it sent no certificate" in caplog.text)

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_pre_shared_keys_open_nothing(
    kind: Kind, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        there = pki.concentrator()
        psk = ("-psk", "00" * 16, "-psk_identity", "meter", "-cipher", "PSK:@SECLEVEL=0")
        offer = openssl_offer(kind.version, Cipher.AES128_GCM)[:1]
        async with kind.listening(there) as url:
            words = ["openssl", "s_client", "-connect", f"127.0.0.1:{url.port}", *offer, *psk]
            async with running(*words) as client:
                await read_until(client, b"alert")
            await until(lambda: bool(caplog.records))
            assert there.tls.tally.full == there.tls.tally.resumed == 0
            assert not await meet(kind, url, pki.meter())

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())


def test_nobody_renegotiates(pki: Pki) -> None:
    async def conversation() -> None:
        kind = STREAMS[0]
        async with (
            kind.listening(pki.concentrator()) as url,
            running(*s_client(url, pki, "-tls1_2")) as client,
        ):
            await read_until(client, b"Verify return code: 0 (ok)")
            await tell(client, b"R\n")
            await read_until(client, b"no renegotiation")

    asyncio.run(conversation())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_who_asks_for_a_connection_id_is_served_without(kind: Kind, pki: Pki) -> None:
    """RFC 9146's extension 54, and one that nobody knows."""

    async def conversation() -> None:
        offer = openssl_offer(kind.version, Cipher.AES128_GCM)
        async with (
            kind.listening(pki.concentrator()) as url,
            running(*s_client(url, pki, *offer, "-serverinfo", "54,65000")) as client,
        ):
            await tell(client, REQUEST)
            assert b"SERVERINFO" not in await read_until(client, ANSWER)

    asyncio.run(conversation())
