# SPDX-License-Identifier: Apache-2.0
"""An issuing authority below a root: who must send or trust which certificate of the chain."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls, server_tls
from transport.encounters import KINDS, Kind, meet, refused
from transport.hdlcmeter import until
from transport.parties import CONCENTRATOR, METER

kinds = pytest.mark.parametrize("kind", KINDS, ids=str)
PEM = serialization.Encoding.PEM
OTHER = bytes.fromhex("4F414D0000000666")


class Holder:
    """A certificate and its key; it signs others, whether it may or not."""

    def __init__(self, name: x509.Name, issuer: "Holder | None", *, is_authority: bool) -> None:
        now = datetime.now(UTC)
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())
        above = issuer or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(above.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .sign(above.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)


def authority(name: str, issuer: Holder | None = None) -> Holder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return Holder(subject, issuer, is_authority=True)


def device(title: bytes, role: Role, issuer: Holder) -> Holder:
    rows = (NameOID.COMMON_NAME, title.hex().upper()), (NameOID.ORGANIZATIONAL_UNIT_NAME, role)
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in rows])
    return Holder(subject, issuer, is_authority=False)


class Chain:
    """A root, an authority that issues, and a device of each kind."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder = folder
        self.policy = kind.policy
        self.root = authority("root")
        self.issuing = authority("issuing", self.root)
        self.meter = device(METER, Role.METER, self.issuing)
        self.concentrator = device(CONCENTRATOR, Role.CONCENTRATOR, self.issuing)

    def identity(self, holder: Holder, sent: list[Holder], trusted: list[Holder]) -> TlsIdentity:
        home = self.folder / str(len(list(self.folder.iterdir())))
        home.mkdir()
        key = holder.key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (home / "ca.crt").write_bytes(b"".join(each.pem for each in trusted))
        (home / "tls.crt").write_bytes(b"".join(each.pem for each in (holder, *sent)))
        (home / "tls.key").write_bytes(key)
        return TlsIdentity(home / "ca.crt", home / "tls.crt", home / "tls.key", self.policy)

    def listener(self, trusted: list[Holder]) -> Secured:
        identity = self.identity(self.concentrator, [self.issuing], trusted)
        return Secured(server_tls(identity), Expected(roles=frozenset({"meter"})))

    def dialler(self, holder: Holder, sent: list[Holder]) -> Secured:
        identity = self.identity(holder, sent, [self.root])
        return Secured(client_tls(identity), Expected(roles=frozenset({"concentrator"})))


@kinds
def test_a_meter_that_sends_its_own_certificate_only(kind: Kind, tmp_path: Path) -> None:
    """Its issuing authority is trusted by itself, without the root."""

    async def conversation() -> None:
        chain = Chain(tmp_path, kind)
        async with kind.listening(chain.listener([chain.issuing])) as url:
            await meet(kind, url, chain.dialler(chain.meter, []))

    asyncio.run(conversation())


@kinds
def test_a_meter_that_sends_what_leads_to_the_root(kind: Kind, tmp_path: Path) -> None:
    async def conversation() -> None:
        chain = Chain(tmp_path, kind)
        async with kind.listening(chain.listener([chain.root])) as url:
            await meet(kind, url, chain.dialler(chain.meter, [chain.issuing]))

    asyncio.run(conversation())


@kinds
def test_a_chain_with_a_gap_is_refused(
    kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        chain = Chain(tmp_path, kind)
        async with kind.listening(chain.listener([chain.root])) as url:
            await refused(kind, url, chain.dialler(chain.meter, []))
            await until(lambda: "an authority that is not trusted here" in caplog.text)

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())


@kinds
def test_a_device_is_no_authority(
    kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has a meter's key can sign with it, and gets nobody in by that."""

    async def conversation() -> None:
        chain = Chain(tmp_path, kind)
        forged = device(OTHER, Role.METER, chain.meter)
        async with kind.listening(chain.listener([chain.root, chain.issuing])) as url:
            await refused(kind, url, chain.dialler(forged, [chain.meter, chain.issuing]))
            await until(lambda: "it was issued by a device, which is no authority" in caplog.text)

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
