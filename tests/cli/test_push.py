# SPDX-License-Identifier: Apache-2.0
"""`openami push listen`: what arrives on each bearer, in blocks, ciphered, twice."""

import json
import os
import socket
import time
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cli.processes import Listening
from cli.runs import Run
from openami.cli.pushes import Inbox, PushKeys
from openami.dlms.apdu.block import cut
from openami.dlms.apdu.ciphered import AuthenticatedHeader, GeneralGloCiphering
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification, EventNotification
from openami.dlms.data import DoubleLongUnsigned, OctetString, Structure
from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.gateway import GatewayResponse
from openami.dlms.mbus import cut as cut_mbus
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.envelopes import GeneralTerms, seal_general
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from openami.dlms.wrapper import WrapperFrame
from openami.lifecycle.keys import MeterKeys
from playbooks.demo_meter import KEYS, METER_TITLE
from ports import free_port

VECTORS = Path(__file__).parent.parent / "vectors/dlms/pushes.toml"
ENERGY = Obis(1, 0, 1, 8, 0, 255)
ANY = "tcp://127.0.0.1:0"
WHERE = "127.0.0.1:1"


def notification(number: int = 7, *, confirmed: bool = False) -> bytes:
    return DataNotification(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(number, confirmed=confirmed),
        notification_body=Structure((OctetString(ENERGY.encode()), DoubleLongUnsigned(4711))),
    ).encode()


def sealed(apdu: bytes, counter: int = 1, **bits: bool) -> bytes:
    control = SecurityControl.of(SecuritySuite.AES_GCM_128, **bits)
    service = Cipher(KEYS).seal(control, counter, METER_TITLE, apdu)
    return GeneralGloCiphering(system_title=METER_TITLE, ciphered_service=service).encode()


def inbox(**changes: Any) -> Inbox:
    keys = PushKeys(guek=KEYS.encryption_key, gak=KEYS.authentication_key)
    return Inbox({METER_TITLE: keys}, **changes)


PUSHES = tomllib.loads(VECTORS.read_text(encoding="utf-8"))["vector"]


@pytest.mark.parametrize("row", PUSHES, ids=[row["name"] for row in PUSHES])
def test_pushes_of_the_field_are_taken(row: dict[str, Any]) -> None:
    found = inbox().take(bytes.fromhex(row["octets"]), WHERE)
    assert found is not None
    assert found.kind == "data-notification"
    assert found.control is None


def test_a_ciphered_push_is_opened_with_the_keys_of_its_meter() -> None:
    for number, octets in enumerate(
        (
            sealed(notification(), 1),
            sealed(notification(), 2, authenticated=False),
            GatewayResponse(physical_address=METER_TITLE, apdu=sealed(notification(), 3)).encode(),
            seal_general(
                Cipher(KEYS),
                4,
                notification(),
                GeneralTerms(transaction_id=b"\x01", originator=METER_TITLE, recipient=b""),
            ),
        )
    ):
        found = inbox().take(octets, WHERE)
        assert found is not None
        assert (found.system_title, found.counter) == (METER_TITLE, number + 1)
        assert found.told.readings[0].obis == ENERGY


def test_a_header_that_is_not_under_the_tag_has_to_be_said() -> None:
    form = AuthenticatedHeader.WITHOUT_HEADER
    terms = GeneralTerms(transaction_id=b"\x01", originator=METER_TITLE, recipient=b"", form=form)
    octets = seal_general(Cipher(KEYS), 4, notification(), terms)
    found = inbox(form=form).take(octets, WHERE)
    assert found is not None
    with pytest.raises(SecurityError, match="the tag does not match"):
        inbox().take(octets, WHERE)


def test_blocks_of_two_senders_do_not_mix() -> None:
    taken = inbox()
    first = [each.encode() for each in cut(sealed(notification(1), 1), 16)]
    second = [each.encode() for each in cut(sealed(notification(2), 2), 16)]
    found = []
    for one, other in zip(first, second, strict=True):
        found += [taken.take(one, "first"), taken.take(other, "second")]
    assert [each.invoke_id for each in found if each is not None] == [1, 2]


def test_a_counter_serves_once() -> None:
    taken = inbox()
    octets = sealed(notification(1, confirmed=True), 9)
    first, again = taken.take(octets, WHERE), taken.take(octets, WHERE)
    assert first is not None
    assert again is not None
    assert (first.repeated, again.repeated) == (False, True)
    assert first.confirm == again.confirm == bytes.fromhex("104000000100")
    with pytest.raises(SecurityError, match="used before"):
        taken.take(sealed(notification(2), 9), WHERE)
    later = taken.take(sealed(notification(3), 8), WHERE)  # an older one that waited somewhere
    assert later is not None


def test_what_cannot_be_taken_is_refused() -> None:
    stranger = GeneralGloCiphering(
        system_title=b"XXX\0\0\0\0\1", ciphered_service=sealed(notification())[11:]
    ).encode()
    for octets, why in (
        (stranger, "no keys of meter 5858580000000001 are known"),
        (sealed(notification())[:-1] + b"\0", "the tag does not match"),
        (b"\xc4\x01\xc1\x00\x05\x00\x00\x00\x01", "this is no notification"),
        (b"", "this is no notification"),
        (b"\x0f\x00", "octets"),
    ):
        with pytest.raises(DlmsError, match=why):
            inbox().take(octets, WHERE)
    with pytest.raises(SecurityError, match="a plain push is not taken here"):
        inbox(protected=True).take(notification(), WHERE)


def test_an_event_is_a_push_too() -> None:
    event = EventNotification(
        attribute=AttributeDescriptor(class_id=3, instance_id=ENERGY, attribute_id=2),
        value=DoubleLongUnsigned(5),
    )
    found = inbox().take(event.encode(), WHERE)
    assert found is not None
    assert found.kind == "event-notification"
    assert found.told.readings[0].value == 5


@pytest.fixture
def keys_json(tmp_path: Path) -> Path:
    keys = MeterKeys(
        epoch=1,
        guek=KEYS.encryption_key,
        gak=KEYS.authentication_key,
        kek=bytes(16),
        lls=bytes(16),
    )
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(keys.to_json(METER_TITLE)))
    return path


def address(url: str) -> tuple[str, int]:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host, int(port)


def test_a_confirmed_push_is_printed_kept_and_confirmed(keys_json: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pushes"
    words = ("push", "listen", ANY, "--keys", keys_json, "-o", folder, "--count", 2)
    frame = WrapperFrame(Sap(1), Sap(64), sealed(notification(7, confirmed=True))).encode()
    with (
        Listening(*words) as listening,
        socket.create_connection(address(listening.url), 10) as meter,
    ):
        for _ in range(2):
            meter.sendall(frame)
            answer = meter.recv(64)
            assert answer == WrapperFrame(Sap(64), Sap(1), b"\x10\x40\0\0\x07\0").encode()
        meter.sendall(WrapperFrame(Sap(1), Sap(64), notification(8)).encode())
        listening.process.wait(10)
    assert listening.process.returncode == 0
    out = listening.output
    assert "4F414D0000000007 data-notification 7" in out
    assert "authenticated and encrypted, invocation counter 1" in out
    assert "1.0.1.8.0.255  4711" in out
    assert "push 7 came again and is confirmed again" in out
    assert max(map(len, listening.lines)) <= 80
    kept = [json.loads(path.read_text()) for path in sorted(folder.iterdir())]
    assert sorted(each["invoke_id"] for each in kept) == [7, 8]
    assert kept[0]["values"][0]["value"] == 4711


def test_datagrams_and_lines_of_json(keys_json: Path) -> None:
    words = ("push", "listen", "udp://127.0.0.1:0", "--keys", keys_json, "--json", "--count", 1)
    with (
        Listening(*words) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as meter,
    ):
        frame = WrapperFrame(Sap(1), Sap(64), sealed(notification())).encode()
        meter.sendto(frame, address(listening.url))
        listening.process.wait(10)
    said = json.loads(listening.lines[-1])
    assert said["system_title"] == METER_TITLE.hex().upper()
    assert said["protection"] == "authenticated and encrypted"
    assert said["values"][0]["obis"] == "1.0.1.8.0.255"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    master, slave = os.openpty()
    path = tmp_path / "line"
    path.symlink_to(os.ttyname(slave))
    yield path, master
    os.close(master)
    os.close(slave)


def test_a_customer_port_is_heard(line: tuple[Path, int]) -> None:
    path, master = line
    key = ("--guek", KEYS.encryption_key.hex(), "--gak", KEYS.authentication_key.hex())
    words = ("push", "listen", f"hdlc+serial://{path}", *key, "--count", 1)
    with Listening(*words) as listening:
        apdu = sealed(notification() + b"")
        os.write(master, b"\x00\x55")  # what was left of another telegram
        for frame in cut_mbus(Sap(1), Sap(103), apdu):
            os.write(master, frame.encode())
        listening.process.wait(10)
    assert "4F414D0000000007 data-notification 7" in listening.output


P1 = b"""/ISk5\\2M550T-1012\r
\r
0-0:1.0.0(260101120000W)\r
1-0:1.8.1(000004.426*kWh)\r
!\r
"""


def test_an_adapter_on_the_network_is_called() -> None:
    with socket.create_server(("127.0.0.1", 0)) as adapter:
        url = f"hdlc+tcp://127.0.0.1:{adapter.getsockname()[1]}"
        words = ("push", "listen", url, "--dial", "--json", "--count", 1)
        with Listening(*words) as listening:
            wire, _ = adapter.accept()
            with wire:
                wire.sendall(P1)
                listening.process.wait(10)
    (said,) = [json.loads(line) for line in listening.lines if line.startswith("{")]
    assert said["kind"] == "p1-telegram"
    assert [each["obis"] for each in said["values"]][-1] == "1.0.1.8.1.255"


def test_nobody_to_call(openami: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"hdlc+tcp://127.0.0.1:{taken.getsockname()[1]}"
        outcome = openami("push", "listen", url, "--dial")
    assert outcome.status == 1
    assert "refused the connection" in outcome.sentence


TELEGRAMS = tomllib.loads((VECTORS.parent / "telegrams.toml").read_text(encoding="utf-8"))
PLAIN = ("hdlc_iskra550", "hdlc_kaifa_ma304h3e", "hdlc_norway_han_1phase")


def test_telegrams_of_the_field_are_heard_behind_the_network() -> None:
    sent = [bytes.fromhex(row["octets"]) for row in TELEGRAMS["vector"] if row["name"] in PLAIN]
    words = ("push", "listen", "hdlc+tcp://127.0.0.1:0", "--json", "--count", len(sent))
    with Listening(*words) as listening:
        for octets in sent:
            with socket.create_connection(address(listening.url), 10) as meter:
                meter.sendall(octets[:40])
                meter.sendall(octets[40:])
        listening.process.wait(10)
    said = [json.loads(line) for line in listening.lines if line.startswith("{")]
    assert [each["kind"] for each in said] == ["data-notification"] * len(sent)
    values = {each["obis"]: each["quantity"] for each in said[0]["values"]}
    assert values["1.0.1.7.0.255"] == "182"


def test_the_reference_meter_pushes(tmp_path: Path) -> None:
    keys = tmp_path / "meter.json"
    with Listening("simulate", "--listen", ANY, "--keys", keys, "--quiet") as first:
        assert first.urls  # its keys are there now
    with Listening("push", "listen", ANY, "--keys", keys, "--count", 2, "--protected") as listening:
        to = ("--push", listening.url, "--push-every", 0.2)
        with Listening("simulate", "--listen", ANY, "--keys", keys, *to):
            listening.process.wait(20)
    assert listening.process.returncode == 0
    assert "4F414DFE00000001 data-notification" in listening.output
    assert "1.0.1.8.0.255" in listening.output


def test_a_simulated_push_that_nobody_took_is_tried_again(tmp_path: Path) -> None:
    """The push setup has three retries, 30 calendar seconds apart."""
    keys, url = tmp_path / "meter.json", f"tcp://127.0.0.1:{free_port()}"
    to = ("--push", url, "--push-every", 1000, "--speed", 30)
    with Listening("simulate", "--listen", ANY, "--keys", keys, *to) as meter:
        deadline = time.monotonic() + 20
        while not any("was not sent" in line for line in meter.lines):
            assert time.monotonic() < deadline, meter.lines
            time.sleep(0.05)
        with Listening("push", "listen", url, "--keys", keys, "--count", 1) as listening:
            listening.process.wait(20)
    assert listening.process.returncode == 0
    assert "4F414DFE00000001 data-notification" in listening.output


def test_pushes_go_to_where_the_push_setup_says_if_that_is_wished(tmp_path: Path) -> None:
    keys, dump = tmp_path / "meter.json", tmp_path / "dump.json"
    original = files("openami.cosem.profiles").joinpath("reference-meter.json").read_text()
    with Listening("simulate", "--listen", ANY, "--keys", keys, "--quiet") as first:
        assert first.urls  # its keys are there now
    with Listening("push", "listen", ANY, "--keys", keys, "--count", 1) as listening:
        place = listening.url.removeprefix("tcp://").encode()
        told = "02031600" + bytes((9, len(place))).hex() + place.hex() + "1600"
        sent_to = "02031600" + "090e" + b"127.0.0.1:4061".hex() + "1600"
        assert sent_to in original
        dump.write_text(original.replace(sent_to, told).replace("127.0.0.1:4061", place.decode()))
        to = ("--push", "told", "--push-every", 1000)
        with Listening("simulate", dump, "--listen", ANY, "--keys", keys, *to):
            listening.process.wait(20)
    assert listening.process.returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tcp://127.0.0.1"], "names no port"),
        (["carrier-pigeon://x:1"], "has the unknown scheme carrier-pigeon"),
        ([ANY, "--guek", "00"], "--guek must be 32 or 64 hex digits"),
        ([ANY, "--gak", "00" * 16], "--gak serves only together with --guek"),
        ([ANY, "--title", "OAM"], "--title must be 16 hex digits"),
        ([ANY, "--baud", "9601"], "--baud 9601 must be one of 300"),
        (["tls://127.0.0.1:0"], "needs a certificate"),
    ],
)
def test_asked_wrongly(words: list[str], sentence: str, openami: Run) -> None:
    outcome = openami("push", "listen", *words)
    assert outcome.status == 2
    assert sentence in outcome.sentence


def test_keys_in_a_file(tmp_path: Path, openami: Run) -> None:
    config = tmp_path / "push.toml"
    held = {"guek": KEYS.encryption_key, "gak": KEYS.authentication_key}
    config.write_text("".join(f'{name} = "{key.hex()}"\n' for name, key in held.items()))
    words = ("push", "listen", ANY, "--config", config, "--count", 1)
    with (
        Listening(*words) as listening,
        socket.create_connection(address(listening.url), 10) as meter,
    ):
        meter.sendall(WrapperFrame(Sap(1), Sap(64), sealed(notification())).encode())
        listening.process.wait(10)
    assert "4F414D0000000007 data-notification 7" in listening.output
    config.write_text("colour = 1\n")
    outcome = openami("push", "listen", ANY, "--config", config)
    assert outcome.status == 2
    assert f"colour in {config} is not understood" in outcome.sentence


def test_a_line_that_is_not_there(openami: Run) -> None:
    outcome = openami("push", "listen", "hdlc+serial:///dev/no-such-line")
    assert outcome.status == 1
    assert "cannot be opened" in outcome.sentence
