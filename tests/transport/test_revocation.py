# SPDX-License-Identifier: Apache-2.0
"""Certificates that were taken back: refused at once, in abbreviated handshakes too."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from openami.lifecycle.authority import Authority
from openami.runtime.errors import ConfigurationError
from openami.transport.revocation import RevocationList
from openami.transport.tls import Role, server_tls
from openami.transport.wire import WireError
from transport.dtlsscene import Scene, play
from transport.encounters import KINDS, Kind, meet, refused
from transport.hdlcmeter import until
from transport.parties import CONCENTRATOR, METER, Pki, dialler


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_meter_is_let_in_until_its_certificate_is_taken_back(
    kind: Kind, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        path = pki.revoke(tmp_path / "ca.crl")
        identity = pki.identity(METER, Role.METER, policy=kind.policy)
        meter, other = dialler(identity), pki.meter(kind.policy)
        async with kind.listening(pki.concentrator(kind.policy, path)) as url:
            await meet(kind, url, meter)
            assert await meet(kind, url, meter), "resumed"
            pki.revoke(path, identity)
            await refused(kind, url, meter)
            await until(lambda: "its authority has revoked it" in caplog.text)
            fresh = dialler(identity)  # without a session
            await refused(kind, url, fresh)
            await meet(kind, url, other)

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    assert all(record.exc_info is None for record in caplog.records)


def test_a_dialler_refuses_a_listener_that_was_revoked(pki: Pki, tmp_path: Path) -> None:
    async def act() -> None:
        there = pki.concentrator()
        path = pki.revoke(tmp_path / "ca.crl", there.tls.identity)
        scene = Scene(pki, there=there)
        port = await scene.listen()
        here = replace(pki.identity(METER, Role.METER), revoked=path)
        with pytest.raises(WireError, match="its authority has revoked it"):
            await scene.dial(secured=dialler(here))
        await port.close()

    play(act)


def listed(path: Path, pki: Pki) -> RevocationList:
    return RevocationList(path, [pki.authority.certificate])


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_list_that_is_damaged_later_leaves_the_former_in_force(
    pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = pki.identity(METER, Role.METER)
    path = pki.revoke(tmp_path / "ca.crl", identity)
    revocation = listed(path, pki)
    assert revocation.is_revoked(certificate(identity.certificate))
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], b"nothing"):
        path.write_bytes(damaged)
        assert revocation.is_revoked(certificate(identity.certificate))
        assert "the list before it stays in force" in caplog.text
        caplog.clear()
    path.unlink()
    assert revocation.is_revoked(certificate(identity.certificate))
    pki.revoke(path)
    assert not revocation.is_revoked(certificate(identity.certificate))


def test_lists_of_several_authorities_stand_in_one_file(pki: Pki, tmp_path: Path) -> None:
    second = Authority.create(tmp_path / "second")
    identity = pki.identity(METER, Role.METER)
    ours = pki.revoke(tmp_path / "ours.crl", identity).read_bytes()
    theirs = pki.revoke(tmp_path / "theirs.crl", by=second).read_bytes()
    path = tmp_path / "both.crl"
    path.write_bytes(theirs + b"\n" + ours)
    both = RevocationList(path, [pki.authority.certificate, second.certificate])
    assert both.is_revoked(certificate(identity.certificate))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign"])
def test_a_list_that_cannot_be_used_at_the_start_is_refused(
    damage: str, pki: Pki, tmp_path: Path
) -> None:
    path = pki.revoke(tmp_path / "ca.crl")
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[:100])
        case _:
            pki.revoke(path, by=Authority.create(tmp_path / "stranger"))
    identity = replace(pki.identity(CONCENTRATOR, Role.CONCENTRATOR), revoked=path)
    with pytest.raises(ConfigurationError, match=r"ca\.crl .*: have the authority issue it again"):
        server_tls(identity)


def test_an_overdue_list_is_used_and_warned_about(
    pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = pki.identity(METER, Role.METER)
    path = pki.revoke(tmp_path / "ca.crl", identity, due_days=-1)
    assert listed(path, pki).is_revoked(certificate(identity.certificate))
    assert "is overdue since" in caplog.text
