# SPDX-License-Identifier: Apache-2.0
"""Programs of others that speak TLS and DTLS: how they are told what to offer, and listened to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from openami.transport.certificates import TlsIdentity
from openami.transport.tlspolicy import SUITES, Cipher, Version

REQUEST = bytes.fromhex("0001 0010 0001 0004") + b"GET\n"
ANSWER = bytes.fromhex("0001 0001 0010 0004") + b"GET\n"
GNUTLS_CIPHERS = {
    Cipher.AES128_GCM: "AES-128-GCM",
    Cipher.AES256_GCM: "AES-256-GCM",
    Cipher.AES128_CCM_8: "AES-128-CCM-8",
}
OPENSSL_VERSIONS = {
    Version.TLS_1_2: "-tls1_2",
    Version.TLS_1_3: "-tls1_3",
    Version.DTLS_1_2: "-dtls1_2",
}
Process = asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def running(*words: str) -> AsyncIterator[Process]:
    """Run a program that is told and heard through pipes; it is ended at the end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def read_until(process: Process, *wanted: bytes) -> bytes:
    """Return what a program says until one of `wanted` is in it."""
    assert process.stdout is not None
    got = b""
    async with asyncio.timeout(30.0):
        while not any(each in got for each in wanted):
            octets = await process.stdout.read(4096)
            assert octets, got.decode(errors="replace")
            got += octets
    return got


async def tell(process: Process, octets: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(octets)
    await process.stdin.drain()


def openssl_files(identity: TlsIdentity) -> list[str]:
    return [
        *("-cert", str(identity.certificate)),
        *("-key", str(identity.key)),
        *("-CAfile", str(identity.ca)),
    ]


def openssl_offer(version: Version, cipher: Cipher) -> list[str]:
    suite = SUITES[cipher]
    offer = [OPENSSL_VERSIONS[version], "-cipher", f"{suite.name}:@SECLEVEL=0"]
    if version is Version.TLS_1_3:
        offer += ["-ciphersuites", suite.name_1_3]
    return offer


def gnutls_files(identity: TlsIdentity) -> list[str]:
    return [
        f"--x509cafile={identity.ca}",
        f"--x509certfile={identity.certificate}",
        f"--x509keyfile={identity.key}",
    ]


def gnutls_offer(version: Version, cipher: Cipher) -> str:
    name = version.replace(" ", "")
    return (
        f"--priority=NONE:+VERS-{name}:+{GNUTLS_CIPHERS[cipher]}:+AEAD:+ECDHE-ECDSA:"
        "+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP256R1-SHA256:+GROUP-SECP256R1:+COMP-NULL:+CTYPE-X509"
    )
