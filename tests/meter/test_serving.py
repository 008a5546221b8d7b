# SPDX-License-Identifier: Apache-2.0
"""A meter's connections: what is answered, what waits, what is written into the event log."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from meter.house import CIPHER, DAY_S, HEAD_END, KEYS, MeterInMemory, Reader, config_in, parameters
from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.refusals import AccessError, AssociationError
from openami.device.storage import StorageError
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.get import GetRequestNormal
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.association import State
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.exchange.events import EventCode
from openami.meter import serving
from openami.meter.config import PLAIN
from openami.meter.objects import DISCONNECT, LDN
from openami.meter.serving import MeterLine, MeterUplink, listen_plain, listen_protected
from openami.transport.client import open_session
from openami.transport.tls import Role, Secured
from openami.transport.url import ENCRYPTED, Scheme, Url
from openami.transport.wire import WireError
from transport.parties import METER, Pki, dialler

IMPORT = Obis(1, 0, 1, 8, 0, 255)
LOOPBACK = Url("tcp", "127.0.0.1", 0)


@dataclass
class FakeWire:
    """Remembers what was sent."""

    sent: list[tuple[int, int, bytes]] = field(default_factory=list)
    address: str = "here"

    def send(self, source: int, destination: int, apdu: bytes) -> None:
        self.sent.append((source, destination, apdu))


@pytest.fixture
def meter(tmp_path: Path) -> MeterInMemory:
    found = MeterInMemory(config_in(tmp_path))
    found.run(DAY_S)
    return found


def line_of(meter: MeterInMemory, *, plain: bool = False) -> tuple[MeterLine, FakeWire]:
    wire = FakeWire()
    return MeterLine(meter.management, wire, plain=plain), wire  # type: ignore[arg-type]  # stands in


def asking(line: MeterLine, wire: FakeWire) -> Callable[[int, bytes], bytes | None]:
    def receive(client: int, apdu: bytes) -> bytes | None:
        line.frame(client, 1, apdu)
        source, destination, answer = wire.sent.pop()
        assert (source, destination) == (1, client)
        return answer

    return receive


def test_receipts_are_taken_on_the_uplink_only(meter: MeterInMemory) -> None:
    sent: list[bytes] = []
    meter.management.outbox.attached(sent.append, 0.0)
    meter.management.tick_pushes(0.0)
    receipt = b"\x10" + sent[0][2:6] + b"\x00"
    line_of(meter, plain=True)[0].frame(64, 1, receipt)
    assert meter.management.outbox.receipts == 0

    line, _ = line_of(meter)
    line.frame(64, 1, receipt)

    assert meter.management.outbox.receipts == 1
    with pytest.raises(DlmsError):
        line.frame(64, 1, b"\x10\x00")


def test_another_logical_device_does_not_answer(meter: MeterInMemory) -> None:
    line, wire = line_of(meter)
    line.frame(16, 99, b"\x60\x00")
    assert wire.sent == []


def test_what_everybody_is_told_is_done_and_not_answered(meter: MeterInMemory) -> None:
    line, wire = line_of(meter)
    public = Reader(asking(line, wire), 16)
    line.frame(16, 0x7F, next(public.client.associate()))
    assert wire.sent == []
    assert line._server.state(16) is State.ASSOCIATED


def test_a_wrong_password_is_an_event(meter: MeterInMemory) -> None:
    line, wire = line_of(meter, plain=True)
    reader = Reader(asking(line, wire), 32, secret=b"guess")
    with pytest.raises(AssociationError):
        reader.run(reader.client.associate())
    assert meter.logged()[-1] == EventCode.FAILED_LOGIN


def test_a_wrong_key_is_an_event(meter: MeterInMemory) -> None:
    line, wire = line_of(meter)
    wrong = Cipher(KeySet(encryption_key=KEYS.gak, authentication_key=KEYS.guek))
    reader = Reader(asking(line, wire), 1, cipher=wrong)
    with pytest.raises(DlmsError):
        reader.run(reader.client.associate())
    assert meter.logged()[-1] == EventCode.FAILED_LOGIN


def test_a_replayed_request_is_an_event(meter: MeterInMemory) -> None:
    line, wire = line_of(meter)
    heard: list[bytes] = []
    ask = asking(line, wire)

    def receive(client: int, apdu: bytes) -> bytes | None:
        heard.append(apdu)
        return ask(client, apdu)

    reader = Reader(receive, 1)
    reader.run(reader.client.associate())
    reader.run(reader.client.get(Register.value, at=IMPORT))

    line.frame(1, 1, heard[-1])

    assert wire.sent[-1][2][:1] == b"\xd8"
    assert meter.logged()[-1] == EventCode.REPLAY_REFUSED


def test_an_answer_waits_for_the_breaker_and_none_overtakes_it(meter: MeterInMemory) -> None:
    async def story() -> None:
        line, wire = line_of(meter)
        reader = Reader(asking(line, wire), 1)
        reader.run(reader.client.associate())
        steps = reader.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT)
        line.frame(1, 1, next(steps))
        assert wire.sent == []

        line.frame(16, 1, request_of_name())
        assert wire.sent == []
        meter.run(10, steps=3)

        assert [client for _, client, _ in wire.sent] == [1, 16]

    asyncio.run(story())


def request_of_name() -> bytes:
    attribute = AttributeDescriptor(class_id=1, instance_id=LDN, attribute_id=2)
    return GetRequestNormal(
        invoke_id_and_priority=InvokeIdAndPriority.of(1), attribute=attribute
    ).encode()


def test_an_answer_does_not_wait_for_ever(
    meter: MeterInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LONGEST_WAIT_S", 0.01)

    async def story() -> None:
        line, wire = line_of(meter)
        reader = Reader(asking(line, wire), 1)
        reader.run(reader.client.associate())
        steps = reader.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT)
        line.frame(1, 1, next(steps))
        await asyncio.sleep(0.1)
        assert len(wire.sent) == 1
        line.closed("test over")

    asyncio.run(story())


def test_a_full_disk_leaves_a_request_unanswered_and_says_so(
    meter: MeterInMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line, wire = line_of(meter)

    def full(_count: int) -> int:
        raise StorageError("counters.cell cannot be written: free space")

    monkeypatch.setattr(meter.management._records.counters, "reserve", full)
    reader = Reader(asking(line, wire), 1)
    with caplog.at_level(logging.ERROR):
        line.frame(1, 1, next(reader.client.associate()))

    assert wire.sent == []
    assert "a request stays unanswered: counters.cell" in caplog.text
    assert meter.management.outbox.pending > 0


def test_the_plain_listener_serves_tools_and_survives_garbage(
    meter: MeterInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        with caplog.at_level(logging.WARNING):
            listener = await listen_plain(meter.management, LOOPBACK)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.url.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await reader.read() == b""
            writer.close()
            async with open_session(listener.url, parameters(32)) as session:
                value = await session.run(session.client.get(Register.value, at=IMPORT))
                assert value == meter.intervals()[-1].import_register_wh
            async with open_session(listener.url, parameters(16)) as session:
                name = await session.run(session.client.get(Data.value, at=LDN))
                assert name == b"OAM0000000000001"
        finally:
            await listener.close()

    asyncio.run(story())
    assert "without TLS" in caplog.text


@pytest.mark.parametrize("scheme", sorted(PLAIN))
def test_the_plain_listener_on_datagrams(meter: MeterInMemory, scheme: Scheme) -> None:
    async def story() -> None:
        listener = await listen_plain(meter.management, Url(scheme, "127.0.0.1", 0))
        try:
            async with open_session(listener.url, parameters(32)) as session:
                value = await session.run(session.client.get(Register.value, at=IMPORT))
                assert value == meter.intervals()[-1].import_register_wh
        finally:
            await listener.close()

    asyncio.run(story())


@pytest.mark.parametrize("scheme", sorted(ENCRYPTED))
def test_the_protected_listener_lets_in_tools_of_our_authority(
    meter: MeterInMemory, scheme: Scheme, tmp_path: Path
) -> None:
    pki = Pki(tmp_path)
    own = pki.identity(METER, Role.METER)
    meter.management.config = replace(meter.management.config, identity=own)

    def tool(role: Role) -> Secured:
        return dialler(pki.identity(bytes(8), role), role=Role.METER, title=METER)

    async def story() -> None:
        listener = await listen_protected(meter.management, Url(scheme, "127.0.0.1", 0))
        try:
            for role in (Role.CLIENT, Role.HEAD_END):
                async with open_session(
                    listener.url, parameters(32), secured=tool(role)
                ) as session:
                    name = await session.run(session.client.get(Data.value, at=LDN))
                    assert name == b"OAM0000000000001"
            with pytest.raises(WireError):
                async with open_session(
                    listener.url, parameters(32), secured=tool(Role.METER), timeout_s=3.0
                ):
                    pass
        finally:
            await listener.close()

    asyncio.run(story())


def test_live_values_are_refused_while_metrology_is_silent(meter: MeterInMemory) -> None:
    line, wire = line_of(meter, plain=True)
    reader = Reader(asking(line, wire), 32)
    reader.run(reader.client.associate())
    voltage = Obis(1, 0, 12, 7, 0, 255)
    assert reader.run(reader.client.get(Register.value, at=voltage)) > 2000
    assert meter.management_end.momentary() is not None
    meter.management_end.tick(meter.now_s + 10)

    with pytest.raises(AccessError, match="temporary"):
        reader.run(reader.client.get(Register.value, at=voltage))
    last = meter.intervals()[-1]
    assert reader.run(reader.client.get(Register.value, at=IMPORT)) == last.import_register_wh


def test_a_plain_uplink_is_warned_about(
    meter: MeterInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        MeterUplink(meter.management)
    assert "dials without TLS" in caplog.text
    assert CIPHER.keys.suite == 0
    assert meter.config.head_end_title == HEAD_END
