# SPDX-License-Identifier: Apache-2.0
"""Wrapper frames inside DTLS 1.2: who is let in, what is lost, who begins anew."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from openami.cosem.classes.measurement import Register
from openami.cosem.client import ClientParameters
from openami.dlms.hls import Mechanism
from openami.lifecycle.authority import Authority
from openami.runtime.errors import ConfigurationError, UserError
from openami.transport.client import open_session
from openami.transport.dtls import Cookies, client_random, cut
from openami.transport.dtlsport import dial_dtls, listen_dtls
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls
from openami.transport.tlspolicy import SUITES, Cipher, Policy
from openami.transport.udp import listen_wrapped_dtls, wrapped
from openami.transport.wire import Limits, WireError
from playbooks.demo_meter import ENERGY, PASSWORD, READER, DemoMeter
from transport.dtlsscene import ANY_PORT, Scene, play
from transport.hdlcmeter import until
from transport.parties import CONCENTRATOR, METER, Pki, Remembering, dialler
from transport.relay import BadLine, open_relay
from transport.test_udp import Serving

PARAMETERS = ClientParameters(client_sap=READER, mechanism=Mechanism.LLS, secret=PASSWORD)


def test_both_ends_know_each_other(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        wire = await scene.dial()
        await scene.echoed(wire, b"\xc0\x01")
        assert wire.peer is not None
        assert wire.peer.title == CONCENTRATOR
        assert scene.there.handlers[0].wire.peer == (METER, Role.METER)
        assert len(port.channels) == 1
        assert port.beginning == {}
        wire.close()
        await scene.there.handlers[0].ended.wait()
        assert scene.there.handlers[0].reasons == ["the peer closed the association"]
        assert scene.here.handlers[0].reasons == ["closed here"]
        assert port.channels == {}
        await port.close()

    play(act)


@pytest.mark.parametrize("cipher", Cipher)
def test_each_cipher_suite(pki: Pki, cipher: Cipher) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        accept = wrapped(scene.here.accept)  # type: ignore[arg-type]
        channel = await dial_dtls(port.url, accept, pki.meter(Policy(ciphers=(cipher,))))
        suite = SUITES[cipher].name
        assert channel.association.suite == suite
        assert next(iter(port.channels.values())).association.suite == suite
        await port.close()
        channel.close()

    play(act)


def test_a_suite_that_only_one_side_has(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki, Limits(connect_timeout_s=5.0))
        port = await listen_dtls(
            ANY_PORT,
            wrapped(scene.there.accept),  # type: ignore[arg-type]
            pki.concentrator(Policy(ciphers=(Cipher.AES128_GCM,))),
        )
        accept = wrapped(scene.here.accept)  # type: ignore[arg-type]
        with pytest.raises(
            WireError, match=r"it shares no cipher suite with us \(.* handshake failure\)"
        ):
            await dial_dtls(port.url, accept, pki.meter(Policy(ciphers=(Cipher.AES256_GCM,))))
        await port.close()

    play(act)


def test_an_apdu_as_long_as_a_record(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        wire = await scene.dial()
        await scene.echoed(wire, bytes(16_384 - 8))
        with pytest.raises(WireError, match="16377 octets does not fit a datagram of 16376"):
            wire.send(16, 1, bytes(16_377))
        wire.close()
        await port.close()

    play(act)


def test_a_session_with_a_meter(pki: Pki) -> None:
    async def act() -> None:
        meter = DemoMeter()
        port = await listen_wrapped_dtls(
            ANY_PORT, lambda wire: Serving(wire, meter), pki.concentrator()
        )
        async with open_session(port.url, PARAMETERS, secured=pki.meter()) as session:
            got = await session.run(session.client.get(Register.value, at=ENERGY))
            assert got == 123_456
        await port.close()

    play(act)


def wrong_title(pki: Pki) -> Secured:
    return dialler(pki.identity(METER, Role.METER), title=bytes(8))


def wrong_role(pki: Pki) -> Secured:
    return dialler(pki.identity(METER, Role.METER), role="head-end")


@pytest.mark.parametrize(
    ("dialled", "sentence"),
    [
        (wrong_title, r"it belongs to 4F414DC000000001 \(CN\) where 0000000000000000 is expected"),
        (wrong_role, r"it has role concentrator \(OU\) where head-end is expected"),
    ],
)
def test_the_wrong_listener(pki: Pki, dialled: Callable[[Pki], Secured], sentence: str) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        with pytest.raises(WireError, match=sentence):
            await scene.dial(secured=dialled(pki))
        await port.close()

    play(act)


def expired(pki: Pki) -> TlsIdentity:
    return pki.identity(METER, Role.METER, age=timedelta(days=3))


def not_yet_valid(pki: Pki) -> TlsIdentity:
    return pki.identity(METER, Role.METER, age=-timedelta(days=3))


def of_another_authority(pki: Pki) -> TlsIdentity:
    home = pki.folder / f"other{pki.issued}"
    return pki.identity(METER, Role.METER, by=Authority.create(home))


@pytest.mark.parametrize(
    ("identity", "here", "there"),
    [
        (expired, "our certificate .* has expired", "it has expired"),
        (not_yet_valid, "bad|expired|not accept", "it is not valid yet"),
        (of_another_authority, "does not know the authority", "an authority that is not trusted"),
    ],
)
def test_a_certificate_that_is_refused(
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
    identity: Callable[[Pki], TlsIdentity],
    here: str,
    there: str,
) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        with pytest.raises(WireError, match=here):
            await scene.dial(secured=dialler(identity(pki)))
        await until(lambda: there in caplog.text)
        assert scene.there.handlers == []
        assert port.channels == port.beginning == {}
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


def test_a_listener_of_an_authority_that_we_do_not_know(pki: Pki, tmp_path: Path) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        stranger = Pki(tmp_path)
        with pytest.raises(WireError, match="authority that is not trusted here"):
            await scene.dial(secured=stranger.meter())
        await port.close()

    play(act)


def test_a_role_that_is_not_let_in(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        secured = dialler(pki.identity(METER, Role.CLIENT))
        wire = await scene.dial(secured=secured)  # our side is content; the farewell follows
        await until(lambda: not wire.is_open)
        assert wire.reason == "the peer closed the association"
        assert "it has role client (OU) where meter is expected" in caplog.text
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


@pytest.mark.parametrize("seed", range(4))
def test_handshakes_on_a_bad_line(pki: Pki, seed: int) -> None:
    async def act() -> None:
        scene = Scene(pki, Limits(connect_timeout_s=60.0, handshake_timeout_s=60.0))
        port = await scene.listen()
        line = BadLine(seed, lost=0.2)
        relay = await open_relay(port.url, line)
        wire = await scene.dial(relay.url("dtls"))
        await scene.echoed(wire, b"\xc0\x02")
        wire.close()
        relay.close()
        await port.close()

    play(act)


@pytest.mark.parametrize("mtu", [256, 600, 1200])
def test_no_datagram_of_a_handshake_is_longer_than_the_mtu(pki: Pki, mtu: int) -> None:
    async def act() -> None:
        scene = Scene(pki)
        accept = wrapped(scene.there.accept)  # type: ignore[arg-type]
        port = await listen_dtls(ANY_PORT, accept, pki.concentrator(), mtu=mtu)
        relay = await open_relay(port.url)
        accept = wrapped(scene.here.accept)  # type: ignore[arg-type]
        channel = await dial_dtls(relay.url("dtls"), accept, pki.meter(), mtu=mtu)
        longest = max(len(data) for _, data in relay.seen)
        assert mtu * 0.7 < longest <= mtu
        channel.send(bytes(5000))
        await until(lambda: len(relay.seen[-1][1]) > 5000)
        channel.close()
        relay.close()
        await port.close()

    play(act)


@pytest.mark.parametrize("upward", [True, False])
def test_a_flight_that_is_lost_is_sent_again(pki: Pki, *, upward: bool) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        count = 0

        def fate(data: bytes, up: bool) -> list[bytes]:  # noqa: FBT001
            nonlocal count
            count += up is upward
            lose = up is upward and 2 < count <= 4 and client_random(data) is None
            return [] if lose else [data]

        relay = await open_relay(port.url, fate)
        wire = await scene.dial(relay.url("dtls"))
        await scene.echoed(wire, b"\xc0\x02")
        assert count > 4
        wire.close()
        relay.close()
        await port.close()

    play(act)


def test_records_that_are_lost_doubled_or_late(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        relay = await open_relay(port.url)
        wire = await scene.dial(relay.url("dtls"))
        relay.fate = line = BadLine(5)
        for n in range(200):
            wire.send(16, 1, bytes((0xC0, n)))
            await asyncio.sleep(0)
        await until(lambda: len(relay.seen) > 300)
        await asyncio.sleep(0.1)
        got = [apdu[1] for _, _, apdu in scene.there.handlers[0].frames]
        assert len(got) == len(set(got)), "a record that came twice is delivered once"
        assert 100 < len(got) < 200
        assert got != sorted(got), "late ones are delivered, late"
        assert line.count > 20
        relay.fate = lambda datagram, _upward: [datagram]
        await scene.echoed(wire, b"still")
        wire.close()
        relay.close()
        await port.close()

    play(act)


def test_altered_records_are_dropped(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        relay = await open_relay(port.url)
        wire = await scene.dial(relay.url("dtls"))
        relay.fate = lambda datagram, _upward: [
            datagram[:-1] + bytes((datagram[-1] ^ 1,)),
            b"",
            b"x",
        ]
        wire.send(16, 1, b"altered")
        await until(lambda: relay.seen[-1][1][:1] == b"\x17")
        relay.fate = lambda datagram, _upward: [datagram]
        await scene.echoed(wire, b"still")
        assert next(apdu for _, _, apdu in scene.there.handlers[0].frames) == b"still"
        wire.close()
        relay.close()
        await port.close()

    play(act)


def test_nobody_there(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        await port.close()
        with pytest.raises(WireError, match="nobody listens there"):
            await scene.dial()

    play(act)


def test_a_port_that_is_taken_and_a_listener_without_a_certificate(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(pki)
        port = await scene.listen()
        with pytest.raises(UserError, match="is in use by another process"):
            await listen_dtls(port.url, wrapped(Remembering), pki.concentrator())  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"dtls://127\.0\.0\.1:0 needs a certificate"):
            await listen_dtls(ANY_PORT, wrapped(Remembering), None)  # type: ignore[arg-type]
        await port.close()

    play(act)


def test_a_key_that_belongs_to_another_certificate(pki: Pki) -> None:
    async def act() -> None:
        identity = pki.identity(METER, Role.METER)
        secured = Secured(client_tls(identity), Expected(roles=frozenset({"concentrator"})))
        other = pki.identity(METER, Role.METER)
        identity.key.write_bytes(other.key.read_bytes())
        scene = Scene(pki)
        port = await scene.listen()
        with pytest.raises(ConfigurationError, match=r"is no key for tls\.crt"):
            await scene.dial(secured=secured)
        await port.close()

    play(act)


def test_flights_are_cut_between_records() -> None:
    records = [bytes(11) + n.to_bytes(2) + bytes(n) for n in (10, 500, 700, 1500, 0, 1)]
    datagrams = list(cut(b"".join(records), 1200))

    assert b"".join(datagrams) == b"".join(records)
    assert [len(each) for each in datagrams] == [10 + 13 + 513, 713, 1513, 13 + 14]
    assert list(cut(b"", 1200)) == []


def test_cookies_belong_to_an_address_and_grow_old() -> None:
    cookies = Cookies()
    cookie = cookies.of("a")
    assert cookies.is_good("a", cookie)
    assert not cookies.is_good("b", cookie)
    cookies.renew()
    assert cookies.is_good("a", cookie)
    cookies.renew()
    assert not cookies.is_good("a", cookie)
