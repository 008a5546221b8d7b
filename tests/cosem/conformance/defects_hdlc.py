# SPDX-License-Identifier: Apache-2.0
"""Broken HDLC stations."""

from collections.abc import Callable

import pytest

from cosem.conformance.defects import Damage, Defect, patched
from cosem.conformance.subject import Subject
from openami.cosem.conformance.station import assemble
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address, Station
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.fcs import check_sequence
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.hdlc.secondary import SecondaryStation

OWN = Address.server(1, 17, 2).encode()
CLIENT = Address.client(16).encode()


def address_end(body: bytes, start: int) -> int:
    while not body[start] & 1:
        start += 1
    return start + 1


def hears(wrong: Callable[[bytes, bytes], bool], **fields: bytes) -> Damage:
    """A station that takes frames which are wrong in one way for sound ones."""

    def repair(octets: bytes) -> bytes:
        body = octets.strip(b"\x7e")
        if not wrong(octets, body):
            return octets
        middle = address_end(body, 2)
        end = address_end(body, middle)
        information = body[end + 3 : -2] if len(body) > end + 3 else b""
        return assemble(
            fields.get("destination", body[2:middle]),
            fields.get("source", body[middle:end]),
            body[end],
            information,
        )

    def damage(subject: Subject, _: pytest.MonkeyPatch) -> None:
        subject.before = repair

    return damage


def length_of(body: bytes) -> int:
    return int.from_bytes(body[:2]) & 0x7FF


def has_wrong_check(octets: bytes, body: bytes) -> bool:
    return octets[:1] == b"\x7e" and check_sequence(body[:-2]) != body[-2:]


def header_is_wrong(_: bytes, body: bytes) -> bool:
    end = address_end(body, address_end(body, 2)) + 1
    return len(body) > end + 2 and check_sequence(body[:end]) != body[end : end + 2]


def says(change: Callable[[Frame, Frame | None], Frame | None]) -> Damage:
    """A station whose answers are changed, given what it answers to."""

    def first(octets: bytes) -> Frame | None:
        found = FrameReader().feed(octets)
        return found[0] if found and not isinstance(found[0], DecodeError) else None

    def after(octets: bytes, heard: bytes) -> bytes:
        frames = [each for each in FrameReader().feed(heard) if isinstance(each, Frame)]
        changed = [change(each, first(octets)) for each in frames]
        return b"".join(each.encode() for each in changed if each is not None)

    def damage(subject: Subject, _: pytest.MonkeyPatch) -> None:
        subject.after = after

    return damage


def instead(kind: Kind, other: Kind, to: Kind | None = None) -> Damage:
    """A station that answers with another kind of frame."""

    def change(frame: Frame, asked: Frame | None) -> Frame:
        asked_for = to is None or (asked is not None and asked.control.kind is to)
        if frame.control.kind is kind and asked_for:
            return frame._replace(control=control(other), information=b"")
        return frame

    return says(change)


def acknowledges(number: int) -> Damage:
    """A station whose RR always has the same N(R)."""

    def change(frame: Frame, _: Frame | None) -> Frame:
        if frame.control.kind is Kind.RR:
            return frame._replace(control=control(Kind.RR, receive_number=number))
        return frame

    return says(change)


def _in_ua(old: str, new: str) -> Damage:
    def change(frame: Frame, _: Frame | None) -> Frame:
        if frame.control.kind is not Kind.UA or not frame.information:
            return frame
        parameters = frame.information[3:].replace(bytes.fromhex(old), bytes.fromhex(new))
        head = frame.information[:2] + bytes((len(parameters),))
        return frame._replace(information=head + parameters)

    return says(change)


def _in_four_octets(frame: Frame, _: Frame | None) -> Frame:
    return frame._replace(source=Address(frame.source.upper, frame.source.lower, 4))


def _half_frame_ends_link(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.station.tick

    def tick(now: float) -> list[object]:
        if subject.station.line.frame_deadline is not None:
            subject.station.links.clear()
        return list(honest(now))

    subject.station.tick = tick


def _only_two(self: Station, received: Address, *, calling: bool) -> bool:
    del calling
    return received.size == self.size and received.lower == self.physical


def long_addresses() -> Subject:
    return Subject(address_octets=4)


DEFECTS = (
    Defect(
        "HDLC_FRAME_P1", "answers DISC by UA without a link", instead(Kind.DM, Kind.UA, Kind.DISC)
    ),
    Defect("HDLC_FRAME_P2", "leaves the link over half a frame", _half_frame_ends_link),
    Defect(
        "HDLC_FRAME_P3",
        "never leaves a silent link",
        patched(SecondaryStation, "_inactive_s", lambda *_: None),
    ),
    Defect(
        "HDLC_FRAME_N1",
        "takes frames without flags",
        hears(lambda octets, _: octets[:1] != b"\x7e" or octets[-1:] != b"\x7e"),
    ),
    Defect(
        "HDLC_FRAME_N2",
        "takes frames that are too short",
        hears(lambda _, body: 0 < length_of(body) - len(body) < 4),
    ),
    Defect(
        "HDLC_FRAME_N3", "does not look at the format type", hears(lambda _, b: b[0] >> 4 != 0xA)
    ),
    Defect(
        "HDLC_FRAME_N4",
        "does not look at the length",
        hears(lambda _, body: length_of(body) != len(body)),
    ),
    Defect("HDLC_FRAME_N5", "answers an unknown control field by RR", instead(Kind.FRMR, Kind.RR)),
    Defect("HDLC_FRAME_N7", "does not check the HCS", hears(header_is_wrong)),
    Defect("HDLC_FRAME_N8", "does not check the FCS", hears(has_wrong_check)),
    Defect("HDLC_ADDRESS_P_OWN", "answers from an address of 4 octets", says(_in_four_octets)),
    Defect(
        "HDLC_ADDRESS_P_SHORT",
        "knows its address in 4 octets only",
        patched(Station, "_is_here", _only_two),
        sound=long_addresses,
    ),
    Defect(
        "HDLC_ADDRESS_N1",
        "takes clients with long addresses",
        hears(lambda _, body: address_end(body, 4) > 5, source=CLIENT),
    ),
    Defect(
        "HDLC_ADDRESS_N4",
        "answers for logical devices that it has not",
        hears(lambda _, body: body[2 : address_end(body, 2)] != OWN, destination=OWN),
    ),
    Defect(
        "HDLC_ADDRESS_N6",
        "takes an address of 1 octet",
        hears(lambda _, body: address_end(body, 2) == 3, destination=OWN),
    ),
    Defect(
        "HDLC_ADDRESS_N7",
        "takes addresses of 3 octets",
        hears(lambda _, body: address_end(body, 2) == 5, destination=OWN),
    ),
    Defect(
        "HDLC_NDM2NRM_P1",
        "settles a window that nobody proposed",
        _in_ua("080400000001", "080400000002"),
    ),
    Defect("HDLC_NDM2NRM_P2", "writes windows on one octet", _in_ua("070400000003", "070103")),
    Defect("HDLC_INFO_P1", "acknowledges no segment", acknowledges(0)),
    Defect("HDLC_INFO_N1", "takes information that is too long", instead(Kind.FRMR, Kind.RR)),
    Defect("HDLC_INFO_N2", "takes any N(R)", instead(Kind.FRMR, Kind.RR)),
    Defect("HDLC_INFO_N3", "acknowledges what is out of sequence", acknowledges(2)),
    Defect("HDLC_NDMOP_N1", "answers I without a link", instead(Kind.DM, Kind.RR, Kind.I)),
)
