# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed of the link between a device's modules: both ends, before and in a session."""

from random import Random
from typing import Final

from device.modules import MODULES, link
from openami.device.frame import FrameReader
from openami.device.handshake import ANSWER, OPEN, HandshakeError, Opening, answer
from openami.device.link import Link, Message
from openami.device.session import Direction, Session


def frames(octets: bytes) -> object:
    """A stream brings the same frames at once and octet by octet."""
    found = FrameReader().feed(octets)
    slow = FrameReader()
    assert [each for octet in octets for each in slow.feed(bytes((octet,)))] == found
    assert FrameReader().feed(b"".join(each.encode() for each in found)) == found
    return found


def joined() -> tuple[Link, Link]:
    ends = link(opens=True), link(opens=False)
    for _ in range(3):
        for here, there in (ends, ends[::-1]):
            here.tick(0.0)
            there.receive(here.take_output(), 0.0)
    return ends


def stranger(octets: bytes) -> object:
    """Whatever is on the line: no message comes of it, and what was joined stays joined."""
    ends = joined()
    for number, line in enumerate(octets.split(b"\xff")):
        for end in ends:
            events = end.receive(line + b"\x00", number / 1000)
            assert not any(isinstance(event, Message) for event in events)
            assert end.joined
    return ends


def handshake(octets: bytes) -> object:
    """Nobody opens or answers without the key."""
    opening = Opening.begin(MODULES[0], Random(1).randbytes)
    for kind in (OPEN, ANSWER):
        try:
            if kind == OPEN:
                answer(MODULES[1], octets, Random(2).randbytes)
            else:
                opening.answered(octets)
        except HandshakeError:
            continue
        raise AssertionError(f"kind {kind} was taken")
    return None


def peer(octets: bytes) -> object:
    """The peer itself may say anything: kind, sequence, acknowledgement, then its words."""
    way = Direction(bytes(16), bytes(7))
    there, end = Session(1, way, way), link(opens=False)
    end._session = Session(1, way, way)
    for words in octets.split(b"\xff"):
        if len(words) >= 3:
            kind, sequence, ack = words[:3]
            end.receive(there.seal(kind, words[3:1000], sequence=sequence, ack=ack).encode(), 0.0)
            assert 0 <= end.room <= end.window
            if end.room:
                end.send(64, words[:9], 0.0)
    return end


LINK_TARGETS: Final = {
    "link-frames": frames,
    "link-stranger": stranger,
    "link-handshake": handshake,
    "link-peer": peer,
}
