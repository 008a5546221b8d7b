# SPDX-License-Identifier: Apache-2.0
"""Recovery over a service line: messages, reasons, and an image that comes in parts."""

import base64
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.sealedmeter import KEYS, flash_with, image, spoil
from openami.device.bootregion import BootRegion
from openami.device.payload.judge import policy
from openami.device.recovery import BLOCK_OCTETS, RecoveryServer
from openami.device.smp import (
    ECHO,
    LINE_OCTETS,
    RESET,
    STATE,
    UPLOAD,
    Code,
    Group,
    LineReader,
    Op,
    Smp,
    SmpError,
    to_lines,
)
from openami.firmware.bank import M2351, Bank
from openami.firmware.boot import Running, boot
from openami.firmware.flash import SimulatedFlash
from openami.firmware.state import UpdateState
from openami.firmware.update import Update
from openami.firmware.verify import Policy

messages = st.builds(
    Smp,
    op=st.sampled_from(Op),
    group=st.integers(0, 0xFFFF),
    command=st.integers(0, 0xFF),
    sequence=st.integers(0, 0xFF),
    body=st.dictionaries(
        st.text(max_size=6), st.binary(max_size=300) | st.integers(-(2**63), 2**63), max_size=3
    ),
)


def xmodem(octets: bytes) -> int:
    crc = 0
    for octet in octets:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def test_a_message_is_as_the_protocol_draws_it() -> None:
    request = Smp(op=Op.WRITE, group=0, command=ECHO, sequence=1, body={"d": "hi"})
    assert request.encode() == bytes.fromhex("02 00 0006 0000 01 00 a1 61 64 62 68 69")
    whole = base64.b64decode(to_lines(request)[2:-1])
    assert to_lines(request)[:2] == b"\x06\x09"
    assert whole[:2] == (len(request.encode()) + 2).to_bytes(2)
    assert whole[-2:] == xmodem(request.encode()).to_bytes(2)
    assert xmodem(b"123456789") == 0x31C3


@given(messages)
def test_a_message_crosses_a_line_as_it_was(message: Smp) -> None:
    line = to_lines(message)
    assert all(len(part) < LINE_OCTETS for part in line.split(b"\n"))
    assert list(LineReader().feed(b"noise\n" + line)) == [message]
    assert Smp.decode(message.encode()) == message


@given(messages, st.data())
def test_a_message_that_was_spoilt_is_never_another(message: Smp, data: st.DataObject) -> None:
    line = bytearray(to_lines(message))
    at = data.draw(st.integers(0, len(line) - 2))
    line[at] ^= data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    reader = LineReader()
    # The last bits of base64 may mean nothing.
    assert all(found == message for found in reader.feed(bytes(line) + b"\n"))
    assert list(reader.feed(to_lines(message))) == [message]


@given(st.binary(max_size=200))
def test_any_octets_are_messages_or_noise(octets: bytes) -> None:
    list(LineReader().feed(octets))


@pytest.mark.parametrize(
    "octets",
    ["02 00 00", "02 00 0002 0000 01 00 a0", "05 00 0001 0000 01 00 a0", "00000001000000 80"],
)
def test_octets_that_are_no_message_are_refused(octets: str) -> None:
    with pytest.raises(SmpError):
        Smp.decode(bytes.fromhex(octets))


bodies = st.dictionaries(
    st.sampled_from(["off", "data", "len", "d", "x"]),
    st.binary(max_size=1200) | st.integers(-(2**40), 2**40) | st.booleans() | st.text(max_size=4),
    max_size=4,
)
asked = st.tuples(
    st.sampled_from(Op), st.integers(0, 2), st.sampled_from([ECHO, RESET, STATE, UPLOAD, 9]), bodies
)


@settings(max_examples=40)
@given(st.lists(asked, max_size=12))
def test_whatever_is_asked_is_answered_and_nothing_breaks(
    questions: list[tuple[Op, int, int, dict[str, object]]],
) -> None:
    flash = flash_with()
    spoil(flash, Bank.A)
    server = RecoveryServer(flash, demanded(flash), "why")

    for op, group, command, body in questions:
        request = Smp(op=op, group=group, command=command, body={**body})
        response = server.answer(request)
        assert (response is None) == (op in {Op.READ_RESPONSE, Op.WRITE_RESPONSE})
        if response is not None:
            assert len(to_lines(response)) > 0


def demanded(flash: SimulatedFlash) -> Policy:
    return policy(BootRegion.read(flash).keys)


class Line:
    """A technician at a device that recovers."""

    def __init__(self, flash: SimulatedFlash, reason: str = "why") -> None:
        self.flash = flash
        self.server = RecoveryServer(flash, demanded(flash), reason)

    def ask(self, op: Op, group: int, command: int, **body: object) -> dict[object, object]:
        request = Smp(op=op, group=group, command=command, sequence=9, body={**body})
        response = self.server.answer(request)
        assert response is not None
        assert (response.op, response.sequence) == (op + 1, 9)
        return dict(response.body)

    def upload(self, octets: bytes, step: int, start: int = 0, stop: int | None = None) -> None:
        offset = start
        while offset < (len(octets) if stop is None else stop):
            body: dict[str, object] = {"off": offset, "data": octets[offset : offset + step]}
            if not offset:
                body["len"] = len(octets)
            answer = self.ask(Op.WRITE, Group.IMAGE, UPLOAD, **body)
            assert answer["rc"] == 0, answer
            assert isinstance(answer["off"], int)
            assert answer["off"] > offset
            offset = answer["off"]


@pytest.fixture
def line() -> Line:
    flash = flash_with()
    spoil(flash, Bank.A)
    return Line(flash, "no bank holds an image that may run")


def runs(flash: SimulatedFlash) -> str:
    found = boot(flash, M2351, policy(KEYS))
    assert isinstance(found, Running), found
    return str(found.verified.version)


def test_it_says_why_nothing_runs(line: Line) -> None:
    state = line.ask(Op.READ, Group.IMAGE, STATE)
    assert state["rsn"] == "no bank holds an image that may run"
    first, second = state["images"]  # type: ignore[misc]
    assert first["slot"] == 0  # type: ignore[index]
    assert "altered" in first["rsn"]  # type: ignore[index]
    assert "erased" in second["rsn"]  # type: ignore[index]
    assert line.ask(Op.WRITE, Group.SYSTEM, ECHO, d="hi") == {"r": "hi"}


@pytest.mark.parametrize("step", [1, 100, 1024, 1500])
def test_an_image_that_came_in_parts_runs_after_a_reset(line: Line, step: int) -> None:
    new = image("2.0.0", 3, payload=None)
    line.upload(new.encode(), step)
    assert line.ask(Op.WRITE, Group.SYSTEM, RESET) == {"rc": 0}
    assert line.server.reset
    assert runs(line.flash) == "2.0.0+0"


def test_an_upload_that_was_cut_off_goes_on(line: Line) -> None:
    big = image("2.0.0", 3, payload=image().payload)
    octets = big.encode() + b"\xff" * 5000
    line.upload(octets, 100, stop=4000)
    later = Line(line.flash)
    answer = later.ask(Op.WRITE, Group.IMAGE, UPLOAD, off=0, data=octets[:100], len=len(octets))
    assert answer == {"rc": 0, "off": 4000 // BLOCK_OCTETS * BLOCK_OCTETS}
    later.upload(octets, 100, start=3 * BLOCK_OCTETS)
    assert runs(line.flash) == "2.0.0+0"


def test_bad_images_are_refused_with_their_reason_and_another_can_follow(line: Line) -> None:
    octets = bytearray(image("2.0.0", 3).encode())
    octets[0x211] ^= 1
    with pytest.raises(AssertionError, match="altered"):
        line.upload(bytes(octets), 512)
    with pytest.raises(AssertionError, match="older than what ran"):
        line.upload(image("0.9.0", 0).encode(), 512)
    assert Update(line.flash, M2351, policy(KEYS)).state is UpdateState.FAILED
    line.upload(image("2.0.0", 3).encode(), 512)
    assert runs(line.flash) == "2.0.0+0"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, Code.INVALID),
        ({"off": 0, "data": b"x"}, Code.INVALID),
        ({"off": 0, "data": "text", "len": 9}, Code.INVALID),
        ({"off": 9, "data": b"x"}, Code.BAD_STATE),
        ({"off": 0, "data": b"x", "len": 10**6}, Code.BAD_STATE),
        ({"off": 0, "data": b"xy", "len": 1}, Code.TOO_LARGE),
    ],
)
def test_uploads_that_make_no_sense_are_refused(
    line: Line, body: dict[str, object], code: Code
) -> None:
    answer = line.ask(Op.WRITE, Group.IMAGE, UPLOAD, **body)
    assert answer["rc"] == code
    assert answer["rsn"]


def test_commands_that_are_not_there_are_refused(line: Line) -> None:
    known = {(0, ECHO, Op.WRITE), (0, RESET, Op.WRITE), (1, STATE, Op.READ), (1, UPLOAD, Op.WRITE)}
    for group, command, op in itertools.product((0, 1, 2, 64), range(8), (Op.READ, Op.WRITE)):
        if (group, command, op) not in known:
            assert line.ask(op, group, command)["rc"] == Code.NOT_SUPPORTED
    assert not line.server.reset


def test_a_device_without_its_state_takes_nothing_and_says_so() -> None:
    flash = flash_with()
    for page in M2351.pages(M2351.state):
        flash.erase(page)
    line = Line(flash)
    answer = line.ask(Op.WRITE, Group.IMAGE, UPLOAD, off=0, data=b"x", len=100)
    assert answer["rc"] == Code.BAD_STATE
    assert "prepare the device" in str(answer["rsn"])


def test_the_power_may_be_cut_at_every_write_of_a_recovery(line: Line) -> None:
    new = image("2.0.0", 3).encode()
    line.upload(new, 512)
    cuts = range(len(line.flash.operations) + 1)
    for done in cuts:
        flash = line.flash.after_cut(done, random.Random(done).randrange)
        if not isinstance(boot(flash, M2351, policy(KEYS)), Running):
            Line(flash).upload(new, 512)
            assert runs(flash) == "2.0.0+0"
