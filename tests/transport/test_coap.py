# SPDX-License-Identifier: Apache-2.0
"""APDUs in CoAP messages, plain and inside DTLS."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest

from openami.coap.layer import Transmission
from openami.coap.message import Message, path_options
from openami.coap.numbers import Code, Type
from openami.coap.peer import PeerSettings
from openami.cosem.asking.association import ALL_SERVICES
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.client import ClientParameters
from openami.cosem.rights import FULL_ACCESS
from openami.dlms.data import OctetString
from openami.dlms.errors import DecodeError
from openami.dlms.hls import Mechanism
from openami.runtime.errors import UserError
from openami.transport.carrier import Carrier
from openami.transport.client import open_session
from openami.transport.coapwire import DEFAULT_COAP, CoapSettings, CoapWire, dial_coap, listen_coap
from openami.transport.datagrams import UdpPort
from openami.transport.dtlsport import DtlsPort
from openami.transport.url import Url
from openami.transport.wire import WireError
from playbooks.demo_meter import ENERGY, NOTE, PASSWORD, READER, DemoMeter
from transport.hdlcmeter import Serving as Silenced
from transport.hdlcmeter import until
from transport.parties import CONCENTRATOR, METER, Pki, Remembering
from transport.relay import BadLine, open_relay
from transport.test_udp import Serving

PARAMETERS = ClientParameters(client_sap=READER, mechanism=Mechanism.LLS, secret=PASSWORD)
BRISK = PeerSettings(transmission=Transmission(ack_timeout_s=0.02, max_retransmit=9))
QUICK = CoapSettings(peer=BRISK)


def any_port(scheme: str) -> Url:
    return Url(scheme, "127.0.0.1", 0)  # type: ignore[arg-type]


def play(act: Callable[[], Coroutine[None, None, None]]) -> None:
    async def to_the_end() -> None:
        await act()
        await asyncio.sleep(0.01)  # sockets are closed by then

    asyncio.run(to_the_end())


class Scene:
    """A listener and a wire to it; both remember what they get."""

    def __init__(self, answer: Callable[[Carrier, int, int, bytes], None] | None = None) -> None:
        self.answer = answer
        self.there: list[Remembering] = []
        self.here: list[Remembering] = []

    def accept_there(self, wire: Carrier) -> Remembering:
        self.there.append(Remembering(wire, self.answer))  # type: ignore[arg-type]
        return self.there[-1]

    def accept_here(self, wire: Carrier) -> Remembering:
        self.here.append(Remembering(wire))  # type: ignore[arg-type]
        return self.here[-1]

    async def open(
        self, settings: CoapSettings = QUICK, here: CoapSettings | None = None, path: str = ""
    ) -> tuple[UdpPort | DtlsPort, CoapWire]:
        port = await listen_coap(any_port("coap"), self.accept_there, settings=settings)
        url = replace(port.url, path=path)
        wire = await dial_coap(url, self.accept_here, settings=here or settings)
        return port, wire


def echo(wire: Carrier, source: int, destination: int, apdu: bytes) -> None:
    wire.send(destination, source, apdu)


@pytest.mark.parametrize("scheme", ["coap", "coaps"])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("confirmable", [True, False])
def test_a_session_with_a_meter(pki: Pki, scheme: str, *, bare: bool, confirmable: bool) -> None:
    async def act() -> None:
        meter = DemoMeter()
        settings = CoapSettings(
            bare=bare, confirmable=confirmable, client_sap=READER, content_format=42
        )
        port = await listen_coap(
            any_port(scheme),
            lambda wire: Serving(wire, meter),
            settings=settings,
            secured=pki.concentrator(),
        )
        async with open_session(
            port.url, PARAMETERS, secured=pki.meter(), coap=settings
        ) as session:
            got = await session.run(session.client.get(Register.value, at=ENERGY))
            assert got == 123_456
        await port.close()

    play(act)


def test_a_session_on_a_bad_line() -> None:
    async def act() -> None:
        meter = DemoMeter()
        port = await listen_coap(
            any_port("coap"), lambda wire: Serving(wire, meter), settings=QUICK
        )
        relay = await open_relay(port.url, BadLine(3))
        async with open_session(relay.url("coap"), PARAMETERS, coap=QUICK) as session:
            for _ in range(20):
                got = await session.run(session.client.get(Register.value, at=ENERGY))
                assert got == 123_456
        relay.close()
        await port.close()

    play(act)


@pytest.mark.parametrize("confirmable", [True, False])
def test_general_blocks_arrive_whole_and_in_order(*, confirmable: bool) -> None:
    async def act() -> None:
        scene = Scene()
        port, wire = await scene.open(replace(QUICK, confirmable=confirmable))
        sent = [bytes((number,)) * (100 if number % 3 else 3000) for number in range(40)]
        for apdu in sent:
            wire.send(16, 1, apdu)
        await until(lambda: bool(scene.there))
        there = scene.there[0]

        def all_there() -> bool:
            carrier = there.wire
            assert isinstance(carrier, CoapWire)
            carrier.silent(1, 16)
            return len(there.frames) == len(sent)

        await until(all_there)
        assert [apdu for _, _, apdu in there.frames] == sent
        wire.close()
        await port.close()

    play(act)


@pytest.mark.parametrize("every", [3, 4])
def test_general_blocks_on_a_bad_line(every: int) -> None:
    async def act() -> None:
        meter = DemoMeter()
        meter.associations[READER] = replace(meter.associations[READER], grants=FULL_ACCESS)
        port = await listen_coap(
            any_port("coap"), lambda wire: Silenced(wire, meter), settings=QUICK
        )
        relay = await open_relay(port.url, BadLine(every))
        parameters = replace(
            PARAMETERS, conformance=ALL_SERVICES, max_receive_pdu_octets=200, block_window=4
        )
        value = OctetString(bytes(range(256)) * 12)
        async with open_session(
            relay.url("coap"), parameters, coap=QUICK, timeout_s=1.0
        ) as session:
            await session.run(session.client.set(Data.value, value, at=NOTE))
            assert await session.run(session.client.get(Data.value, at=NOTE)) == value
        relay.close()
        await port.close()

    play(act)


def test_long_apdus_travel_in_blocks() -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open()
        apdu = bytes(range(256)) * 255
        wire.send(16, 1, apdu)
        await until(lambda: bool(scene.here[0].frames))
        assert scene.there[0].frames == [(16, 1, apdu)]
        assert scene.here[0].frames == [(1, 16, apdu)]
        wire.close()
        await port.close()

    play(act)


def test_both_ends_know_each_other(pki: Pki) -> None:
    async def act() -> None:
        scene = Scene(echo)
        port = await listen_coap(any_port("coaps"), scene.accept_there, secured=pki.concentrator())
        wire = await dial_coap(port.url, scene.accept_here, secured=pki.meter())
        assert wire.peer is not None
        assert wire.peer.title == CONCENTRATOR
        await until(lambda: bool(scene.there))
        there = scene.there[0].wire
        assert there.peer is not None
        assert there.peer.title == METER
        wire.close()
        await scene.there[0].ended.wait()
        await port.close()

    play(act)


@pytest.mark.parametrize("confirmable", [True, False])
def test_a_server_pushes_to_its_client(*, confirmable: bool) -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open(replace(QUICK, confirmable=confirmable))
        wire.send(16, 1, b"hello")
        await until(lambda: len(scene.here[0].frames) == 1)
        scene.there[0].wire.send(1, 64, b"\x0fpush" + bytes(3000))
        await until(lambda: len(scene.here[0].frames) == 2)
        assert scene.here[0].frames[1] == (1, 64, b"\x0fpush" + bytes(3000))
        wire.close()
        await port.close()

    play(act)


def test_an_answer_that_takes_its_time() -> None:
    async def act() -> None:
        scene = Scene()
        patient = replace(QUICK, peer=replace(BRISK, ack_delay_s=0.01))
        port, wire = await scene.open(patient)
        wire.send(16, 1, b"slow")
        await until(lambda: bool(scene.there) and bool(scene.there[0].frames))
        await asyncio.sleep(0.1)
        scene.there[0].wire.send(1, 16, b"at last")
        await until(lambda: bool(scene.here[0].frames))
        assert scene.here[0].frames == [(1, 16, b"at last")]
        assert len(scene.there[0].frames) == 1
        wire.close()
        await port.close()

    play(act)


def test_a_request_that_wants_no_answer_gets_an_empty_one() -> None:
    async def act() -> None:
        scene = Scene()
        settings = replace(QUICK, answer_s=0.05)
        port, wire = await scene.open(settings)
        wire.send(16, 1, b"unconfirmed")
        await until(lambda: wire.coap.deadline is None)
        assert scene.here[0].frames == []
        assert wire.is_open
        # What is said after that goes as a notification.
        scene.there[0].wire.send(1, 16, b"late")
        await until(lambda: bool(scene.here[0].frames))
        wire.close()
        await port.close()

    play(act)


def test_the_wrong_path() -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open(path="/elsewhere")
        wire.send(16, 1, b"x")
        await until(lambda: not wire.is_open)
        assert wire.reason == "the peer answers 4.04 not found"
        assert scene.here[0].reasons == ["the peer answers 4.04 not found"]
        with pytest.raises(WireError, match=r"nothing can be sent to .*: the peer answers 4\.04"):
            wire.send(16, 1, b"x")
        await port.close()

    play(act)


def test_another_path_at_both_ends() -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open(replace(QUICK, path="/dlms/1"))
        wire.send(16, 1, b"x")
        await until(lambda: bool(scene.here[0].frames))
        wire.close()
        await port.close()

    play(act)


@pytest.mark.parametrize("bare", [False, True])
def test_payloads_that_are_no_frames(caplog: pytest.LogCaptureFixture, *, bare: bool) -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open(replace(QUICK, bare=bare))
        answers: list[Message] = []
        wire._channel.user.datagram = lambda octets: answers.append(Message.decode(octets))  # type: ignore[attr-defined]
        for number, (code, payload) in enumerate(((Code.POST, b""), (Code.GET, b""))):
            message = Message(
                type=Type.CON,
                code=code,
                message_id=number,
                options=path_options("/d"),
                payload=payload,
            )
            wire._channel.send(message.encode())
        await until(lambda: len(answers) == 2)
        assert [each.code for each in answers] == [Code.BAD_REQUEST, Code.METHOD_NOT_ALLOWED]
        assert "a request is refused" in caplog.text
        assert scene.there[0].frames == []
        wire.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


def test_an_answer_that_is_no_frame_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open(replace(QUICK, bare=True), here=QUICK)
        wire.send(16, 1, b"x")  # the frame is an APDU there, and comes back as one
        await until(lambda: bool(scene.here[0].frames))
        wire._settings = replace(QUICK, bare=True)
        wire.send(16, 1, b"bare")
        wire._settings = QUICK
        await until(lambda: "an answer is dropped" in caplog.text)
        assert wire.is_open
        wire.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


def test_a_peer_that_breaks_the_rules_of_dlms(caplog: pytest.LogCaptureFixture) -> None:
    def break_off(_wire: Carrier, _source: int, _destination: int, apdu: bytes) -> None:
        raise DecodeError("nonsense", apdu, 0, "here")

    async def act() -> None:
        scene = Scene(break_off)
        port, wire = await scene.open()
        wire.send(16, 1, b"x")
        await until(lambda: "nonsense" in caplog.text)
        assert len(scene.there[0].reasons) == 1
        wire.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"\x40", "4 octets at least"),
        (b"\x80GET / HTTP", "CoAP version is 2"),
        (bytes.fromhex("40000001"), "CON 0.00 empty 1 is no request"),
        (bytes.fromhex("60440001"), "is no request"),
    ],
)
def test_strangers_who_make_no_sense_leave_nothing_behind(
    octets: bytes, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open()
        wire._channel.send(octets)
        await until(lambda: "a datagram is dropped" in caplog.text)
        assert fault in caplog.text
        assert isinstance(port, UdpPort)
        assert port.wires == {}
        assert scene.there == []
        wire.send(16, 1, b"sense")
        await until(lambda: bool(scene.here[0].frames))
        wire.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


def test_nobody_answers() -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open()
        relay = await open_relay(port.url, lambda _datagram, _upward: [])
        hasty = replace(QUICK, peer=PeerSettings(transmission=Transmission(ack_timeout_s=0.01)))
        lonely = await dial_coap(relay.url("coap"), scene.accept_here, settings=hasty)
        lonely.send(16, 1, b"x")
        await until(lambda: not lonely.is_open)
        assert lonely.reason == "not acknowledged, though it was sent 5 times"
        relay.close()
        wire.close()
        await port.close()

    play(act)


def test_a_notification_that_nobody_takes(caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open(here=replace(QUICK, path="/other"), path="/d")
        wire.send(16, 1, b"hello")
        await until(lambda: bool(scene.here[0].frames))
        wire._settings = replace(QUICK, path="/other")
        scene.there[0].wire.send(1, 64, b"push")
        await until(lambda: "a notification was not taken: the peer answers 4.04" in caplog.text)
        assert scene.there[0].wire.is_open
        wire.close()
        await port.close()

    with caplog.at_level(logging.WARNING):
        play(act)


def test_what_cannot_be_sent_or_opened() -> None:
    async def act() -> None:
        scene = Scene(echo)
        port, wire = await scene.open()
        with pytest.raises(WireError, match="65536 octets does not fit a frame of 65535"):
            wire.send(16, 1, bytes(65536))
        wire.close()
        await wire.gone()
        for open_it in (listen_coap, dial_coap):
            with pytest.raises(UserError, match="needs a certificate"):
                await open_it(any_port("coaps"), scene.accept_there)
        await port.close()

    play(act)


def test_a_request_is_answered_in_the_default_settings() -> None:
    assert DEFAULT_COAP.path == "/d"
    assert not DEFAULT_COAP.bare
    assert DEFAULT_COAP.confirmable
