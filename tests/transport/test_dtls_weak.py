# SPDX-License-Identifier: Apache-2.0
"""Chains that OpenSSL would take at security level 0, and that are refused here."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from openami.transport.dtlsport import listen_dtls
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls, server_tls
from openami.transport.udp import wrapped
from openami.transport.wire import WireError
from transport.dtlsscene import ANY_PORT, Scene, play
from transport.parties import CONCENTRATOR, METER, Pki

Hash = hashes.SHA1 | hashes.SHA224 | hashes.SHA256
PEM = serialization.Encoding.PEM


def named(*names: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in names])


class WeakPki:
    """An authority with a key and a hash of one's choice."""

    def __init__(self, folder: Path, key: CertificateIssuerPrivateKeyTypes, signed: Hash) -> None:
        self.folder = folder
        self._key = key
        self._hash = signed
        self._name = named((NameOID.COMMON_NAME, "weak authority"))
        self.certificate = self._issue(self._name, key.public_key(), authority=True)

    def _issue(self, name: x509.Name, public: object, *, authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        return builder.sign(self._key, self._hash)  # type: ignore[arg-type]

    def identity(self, title: bytes, role: Role) -> TlsIdentity:
        home = self.folder / role
        home.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        name = named(
            (NameOID.COMMON_NAME, title.hex().upper()),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, role),
        )
        certificate = self._issue(name, key.public_key(), authority=False)
        private = key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (home / "ca.crt").write_bytes(self.certificate.public_bytes(PEM))
        (home / "tls.crt").write_bytes(certificate.public_bytes(PEM))
        (home / "tls.key").write_bytes(private)
        return TlsIdentity(home / "ca.crt", home / "tls.crt", home / "tls.key")


@pytest.mark.parametrize(
    ("key", "signed", "problem"),
    [
        (rsa.generate_private_key(65537, 2048), hashes.SHA256(), "is not EC P-256 or P-384"),
        (ec.generate_private_key(ec.SECP521R1()), hashes.SHA256(), "is not EC P-256 or P-384"),
        (ec.generate_private_key(ec.SECP224R1()), hashes.SHA256(), "is not EC P-256 or P-384"),
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA224(), "weaker than SHA-256"),
    ],
    ids=["rsa", "p-521", "p-224", "sha-224"],
)
def test_weak_chains_are_refused_by_both_ends(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    key: CertificateIssuerPrivateKeyTypes,
    signed: Hash,
    problem: str,
) -> None:
    weak = WeakPki(tmp_path, key, signed)
    there = server_tls(weak.identity(CONCENTRATOR, Role.CONCENTRATOR))
    here = client_tls(weak.identity(METER, Role.METER))

    async def act() -> None:
        scene = Scene(Pki(tmp_path))
        accept = wrapped(scene.there.accept)  # type: ignore[arg-type]
        let_in = Secured(there, Expected(roles=frozenset({Role.METER})))
        scene.port = await listen_dtls(ANY_PORT, accept, let_in)
        wanted = Secured(here, Expected(roles=frozenset({Role.CONCENTRATOR})))
        with pytest.raises(WireError, match=f"wrong certificate: .*{problem}"):
            await scene.dial(secured=wanted)
        assert scene.there.handlers == []
        await scene.port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=["p-256", "p-384"])
def test_strong_chains_are_taken(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    strong = WeakPki(tmp_path, ec.generate_private_key(curve), hashes.SHA256())

    async def act() -> None:
        scene = Scene(Pki(tmp_path))
        accept = wrapped(scene.there.accept)  # type: ignore[arg-type]
        there = server_tls(strong.identity(CONCENTRATOR, Role.CONCENTRATOR))
        let_in = Secured(there, Expected(roles=frozenset({Role.METER})))
        scene.port = await listen_dtls(ANY_PORT, accept, let_in)
        here = client_tls(strong.identity(METER, Role.METER))
        wire = await scene.dial(
            secured=Secured(here, Expected(roles=frozenset({Role.CONCENTRATOR})))
        )
        await scene.echoed(wire, b"strong")
        wire.close()
        await scene.port.close()

    play(act)
