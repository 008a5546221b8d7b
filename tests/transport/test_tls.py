# SPDX-License-Identifier: Apache-2.0
"""Who gets in: every wrong certificate, version and stranger meets one clear sentence.

Peers that our own code cannot imitate are OpenSSL's `s_client` and `s_server`, run as processes.
"""

import asyncio
import contextlib
import logging
import socket
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from openami.lifecycle.authority import Authority
from openami.runtime.errors import ConfigurationError
from openami.transport.endpoint import Listener, dial, listen
from openami.transport.tls import (
    Expected,
    PeerIdentity,
    Role,
    Secured,
    TlsIdentity,
    client_tls,
    server_tls,
)
from openami.transport.tlspolicy import DEFAULT_POLICY, SUITES, Cipher, Policy, Version
from openami.transport.url import Url
from openami.transport.wire import Limits, WireError
from transport.parties import ANY_PORT, CONCENTRATOR, METER, Party, Pki, dialler, echo

NARROW = Policy(versions=(Version.TLS_1_2,), ciphers=(Cipher.AES128_GCM,))
ONE_SUITE = SUITES[Cipher.AES128_GCM].name
NO_OTHER = f"(no shared cipher): {ONE_SUITE}"
OTHER = bytes.fromhex("4F414DC000000002")


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def serving(
    pki: Pki, limits: Limits | None = None, policy: Policy = DEFAULT_POLICY
) -> tuple[Listener, Party]:
    party = Party(echo)
    secured = pki.concentrator(policy)
    listener = await listen(
        ANY_PORT["tls"], party.accept, secured=secured, limits=limits or Limits()
    )
    return listener, party


async def round_trip(listener: Listener, secured: Secured) -> None:
    """Prove that the service goes on: a good meter is served."""
    here = Party()
    wire = await dial(listener.url, here.accept, secured=secured)
    wire.send(1, 1, b"still there")
    await until(here.handlers[0].arrived)
    wire.close()
    await wire.gone()


def test_both_ends_know_each_other(pki: Pki) -> None:
    async def conversation() -> None:
        listener, party = await serving(pki)
        wire = await dial(listener.url, Party().accept, secured=pki.meter())
        await until(party.met)
        assert wire.peer == PeerIdentity(CONCENTRATOR, "concentrator")
        assert party.handlers[0].wire.peer == PeerIdentity(METER, "meter")
        assert str(wire.peer) == "concentrator 4F414DC000000001"
        wire.close()
        await listener.close()

    asyncio.run(conversation())


Attempt = Callable[[Listener, Pki], Awaitable[str]]


async def refused(listener: Listener, secured: Secured) -> str:
    """Dial and return the sentence of the dialling side, now or just after the handshake."""
    here = Party()
    try:
        wire = await dial(listener.url, here.accept, secured=secured)
    except WireError as refusal:
        return str(refusal)
    await until(here.handlers[0].ended)
    return wire.reason or ""


async def other_authority(listener: Listener, pki: Pki) -> str:
    stranger = Authority.create(pki.folder / f"stranger-{pki.issued}")
    return await refused(listener, dialler(pki.identity(METER, Role.METER, by=stranger)))


async def expired(listener: Listener, pki: Pki) -> str:
    old = pki.identity(METER, Role.METER, age=timedelta(days=2))
    return await refused(listener, dialler(old))


async def not_yet_valid(listener: Listener, pki: Pki) -> str:
    early = pki.identity(METER, Role.METER, age=timedelta(days=-2))
    return await refused(listener, dialler(early))


async def wrong_role(listener: Listener, pki: Pki) -> str:
    return await refused(listener, dialler(pki.identity(METER, Role.CLIENT)))


async def dialler_wants_another_title(listener: Listener, pki: Pki) -> str:
    return await refused(listener, dialler(pki.identity(METER, Role.METER), title=OTHER))


async def dialler_wants_another_role(listener: Listener, pki: Pki) -> str:
    return await refused(listener, dialler(pki.identity(METER, Role.METER), role="head-end"))


async def dialler_trusts_another_authority(listener: Listener, pki: Pki) -> str:
    stranger = Authority.create(pki.folder / f"stranger-{pki.issued}")
    good = pki.identity(METER, Role.METER)
    good.ca.write_bytes(stranger.pem)
    return await refused(listener, dialler(good))


@pytest.mark.parametrize("version", [Version.TLS_1_2, Version.TLS_1_3])
@pytest.mark.parametrize(
    ("attempt", "dialler_says", "listener_says"),
    [
        (other_authority, "does not know the authority of our", "issued by an authority that"),
        (expired, "has expired; renew it", "it has expired"),
        (not_yet_valid, "finds our certificate", "it is not valid yet"),
        (wrong_role, "it does not accept us as client 4F414D0000000001", "role client (OU) where"),
        (dialler_wants_another_title, "belongs to 4F414DC000000001 (CN)", None),
        (dialler_wants_another_role, "role concentrator (OU) where head-end is", None),
        (dialler_trusts_another_authority, "issued by an authority that", "not know the authority"),
    ],
)
def test_a_wrong_certificate_is_told_on_both_sides(  # noqa: PLR0917  one table, two versions
    attempt: Attempt,
    dialler_says: str,
    listener_says: str | None,
    version: Version,
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def conversation() -> str:
        listener, _ = await serving(pki, policy=Policy(versions=(version,)))
        sentence = await attempt(listener, pki)
        await round_trip(listener, pki.meter())
        await listener.close()
        return sentence

    caplog.set_level(logging.WARNING)
    sentence = asyncio.run(conversation())

    assert dialler_says in sentence
    warnings = [record.getMessage() for record in caplog.records]
    if listener_says is not None:
        assert any(listener_says in warning for warning in warnings)
    assert all(record.exc_info is None for record in caplog.records)


def test_a_listener_learns_that_the_dialler_turned_away(pki: Pki) -> None:
    async def conversation() -> None:
        listener, party = await serving(pki)
        await dialler_wants_another_title(listener, pki)
        await until(party.met)
        await until(party.handlers[0].ended)
        (reason,) = party.handlers[0].reasons
        assert "it does not accept us as concentrator 4F414DC000000001" in reason
        await listener.close()

    asyncio.run(conversation())


async def openssl(*arguments: str) -> str:
    """Run an OpenSSL client against us until it ends; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        "openssl",
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return output.decode(errors="replace")


@pytest.mark.parametrize(
    ("options", "with_certificate", "sentence"),
    [
        (["-tls1_3"], True, "none of the versions here (TLS 1.2)"),
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], True, "none of the versions here (TLS 1.2)"),
        (
            ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
            True,
            NO_OTHER,
        ),
        (["-tls1_2", "-curves", "P-384"], True, NO_OTHER),
        (["-tls1_2"], False, "it sent no certificate"),
    ],
)
def test_foreign_clients_that_do_not_fit_are_refused(
    options: list[str],
    with_certificate: bool,  # noqa: FBT001
    sentence: str,
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def conversation() -> None:
        listener, party = await serving(pki, policy=NARROW)
        arguments = ["s_client", "-connect", f"127.0.0.1:{listener.url.port}", *options]
        if with_certificate:
            who = pki.identity(METER, Role.METER)
            arguments += ["-cert", str(who.certificate), "-key", str(who.key)]
        await openssl(*arguments)
        assert not party.handlers
        await round_trip(listener, pki.meter())
        await listener.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    (record,) = caplog.records
    assert sentence in record.getMessage()


def test_a_foreign_client_that_fits_is_served(pki: Pki) -> None:
    async def conversation() -> str:
        listener, party = await serving(pki)
        who = pki.identity(METER, Role.METER)
        output = await openssl(
            *("s_client", "-connect", f"127.0.0.1:{listener.url.port}", "-tls1_2"),
            *("-cert", str(who.certificate), "-key", str(who.key), "-CAfile", str(who.ca)),
            *("-curves", "P-256:P-384", "-verify_return_error"),
        )
        await until(party.met)
        await listener.close()
        return output

    output = asyncio.run(conversation())
    assert "Verify return code: 0 (ok)" in output
    assert "Server Temp Key: ECDH, prime256v1" in output
    assert "Cipher    : ECDHE-ECDSA-AES128-GCM-SHA256" in output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-tls1_3"], "none of the versions here (TLS 1.2)"),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], ONE_SUITE),
    ],
)
def test_foreign_servers_that_do_not_fit_are_refused(
    options: list[str], sentence: str, pki: Pki
) -> None:
    async def conversation() -> str:
        who = pki.identity(CONCENTRATOR, Role.CONCENTRATOR)
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_server", "-accept", "127.0.0.1:0", *options),
            *("-cert", str(who.certificate), "-key", str(who.key)),
            stdin=subprocess.PIPE,  # at its end, s_server would hang up
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(20):
                while not (line := await process.stdout.readline()).startswith(b"ACCEPT"):
                    pass
            port = int(line.rsplit(b":", 1)[1])
            with pytest.raises(WireError) as refusal:
                await dial(Url("tls", "127.0.0.1", port), Party().accept, secured=pki.meter(NARROW))
        finally:
            process.kill()
            await process.wait()
        return str(refusal.value)

    assert sentence in asyncio.run(conversation())


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n", "HTTP"),
        (bytes.fromhex("0001 0010 0001 0002 c001"), "does not speak TLS"),
        (bytes(range(256)), "refused"),
    ],
)
def test_garbage_on_a_tls_port_is_one_warning(
    octets: bytes, sentence: str, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        listener, party = await serving(pki)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.url.port)
        writer.write(octets)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        assert not party.handlers
        await round_trip(listener, pki.meter())
        await listener.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    (record,) = caplog.records
    assert sentence in record.getMessage()
    assert record.exc_info is None


def test_a_handshake_that_never_ends_is_given_up(pki: Pki) -> None:
    async def conversation() -> None:
        listener, _ = await serving(pki, Limits(handshake_timeout_s=0.2))
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.url.port)
        writer.write(b"\x16\x03\x01")
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await round_trip(listener, pki.meter())
        await listener.close()

    asyncio.run(conversation())


def test_handshakes_under_way_leave_room_for_those_that_stand(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def conversation() -> None:
        listener, _ = await serving(pki, Limits(max_connections=4))
        idle = [await asyncio.open_connection("127.0.0.1", listener.url.port) for _ in range(2)]
        with pytest.raises(WireError, match=r"closed|reset"):
            await dial(listener.url, Party().accept, secured=pki.meter())
        for _, writer in idle:
            writer.close()
        while listener.wires:  # noqa: ASYNC110  nobody tells when
            await asyncio.sleep(0.01)
        await round_trip(listener, pki.meter())
        await listener.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    assert "2 TLS handshakes are under way already" in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_a_hash_that_security_level_0_would_admit_is_refused(pki: Pki) -> None:
    async def conversation() -> str:
        listener, party = await serving(pki)
        who = pki.identity(METER, Role.METER)
        output = await openssl(
            *("s_client", "-connect", f"127.0.0.1:{listener.url.port}", "-tls1_2"),
            *("-cert", str(who.certificate), "-key", str(who.key)),
            *("-sigalgs", "ECDSA+SHA1", "-cipher", "ALL:@SECLEVEL=0"),
        )
        assert not party.handlers
        await listener.close()
        return output

    assert "alert" in asyncio.run(conversation())


def test_dialling_a_port_that_stays_silent_ends_in_time(pki: Pki) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # the system accepts, nobody speaks
        url = Url("tls", "127.0.0.1", silent.getsockname()[1])
        dialling = dial(
            url, Party().accept, secured=pki.meter(), limits=Limits(connect_timeout_s=0.2)
        )
        with pytest.raises(WireError, match="did not complete the TLS handshake within"):
            asyncio.run(dialling)


def test_dialling_tls_at_a_plain_port_names_the_remedy(pki: Pki) -> None:
    async def conversation() -> None:
        plain = await listen(ANY_PORT["tcp"], Party(echo).accept)
        url = Url("tls", plain.url.host, plain.url.port)
        with pytest.raises(WireError) as refusal:
            await dial(url, Party().accept, secured=pki.meter())
        assert "closed the connection" in str(refusal.value) or "TLS" in str(refusal.value)
        await plain.close()

    asyncio.run(conversation())


def test_an_altered_record_ends_the_connection(pki: Pki) -> None:
    async def conversation() -> None:
        listener, party = await serving(pki)
        wire = await dial(listener.url, Party().accept, secured=pki.meter())
        await until(party.met)
        wire._transport.write(bytes.fromhex("1703030020") + bytes(32))  # type: ignore[union-attr]
        await until(party.handlers[0].ended)
        (reason,) = party.handlers[0].reasons
        assert reason == "a record was altered on the way"
        await wire.gone()
        await listener.close()

    asyncio.run(conversation())


def test_two_hundred_connections_at_once(pki: Pki) -> None:
    async def conversation() -> None:
        listener, party = await serving(pki)
        secured = pki.meter()
        ends = [Party() for _ in range(200)]
        wires = await asyncio.gather(
            *(dial(listener.url, end.accept, secured=secured) for end in ends)
        )
        for number, wire in enumerate(wires):
            wire.send(number, 1, number.to_bytes(2))
        for number, end in enumerate(ends):
            await until(end.handlers[0].arrived)
            assert end.handlers[0].frames == [(1, number, number.to_bytes(2))]
        assert len(party.handlers) == len(listener.wires) == 200
        for wire in wires:
            wire.close()
        await listener.close()
        assert not listener.wires

    asyncio.run(conversation())


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
@pytest.mark.parametrize("damage", ["missing", "corrupt", "foreign"])
def test_files_that_cannot_be_used_are_named(name: str, damage: str, pki: Pki) -> None:
    identity = pki.identity(METER, Role.METER)
    path: Path = getattr(identity, name)
    match damage:
        case "missing":
            path.unlink()
        case "corrupt":
            path.write_bytes(path.read_bytes()[:60])
        case _:
            foreign = {"ca": identity.key, "certificate": identity.ca}
            stranger = pki.identity(METER, Role.METER).key
            path.write_bytes(foreign.get(name, stranger).read_bytes())

    for settings in (client_tls, server_tls):
        with pytest.raises(ConfigurationError) as refusal:
            settings(identity)
        assert str(path) in str(refusal.value)
        assert "provision" in str(refusal.value)


def test_expectations_are_values() -> None:
    peer = PeerIdentity(METER, "meter")
    Expected(roles=frozenset({"meter"})).verify(peer, Path("ca.crt"))
    Expected(roles=frozenset({"meter"}), title=METER).verify(peer, Path("ca.crt"))
    with pytest.raises(WireError, match="wrong certificate"):
        Expected(roles=frozenset({"meter"}), title=OTHER).verify(peer, Path("ca.crt"))


def test_identity_shows_no_key(pki: Pki) -> None:
    identity = pki.identity(METER, Role.METER)
    assert isinstance(identity, TlsIdentity)
    assert "PRIVATE" not in repr(identity)
