# SPDX-License-Identifier: Apache-2.0
"""HDLC cases on negotiation and on the transfer of information (IEC 62056-46, 6.4.4)."""

from dataclasses import replace
from typing import Final

from openami.cosem.conformance.case import Failed, Family, Group, Inconclusive, Need, Script
from openami.cosem.conformance.station import Station, named
from openami.cosem.conformance.trial import Trial, shown
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.frame import LONGEST_INFORMATION_OCTETS
from openami.dlms.hdlc.llc import FROM_CLIENT
from openami.dlms.hdlc.parameters import WINDOW_VALUE_OCTETS, LinkParameters

NEGOTIATION: Final = "IEC 62056-46, 6.4.4.4.3"
TRANSFER: Final = "IEC 62056-46, 6.4.4.5 and 6.4.4.9"
WINDOW: Final = 4
AARE: Final = b"\x61"


def _ndm2nrm_p1(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    yield from station.connect(LinkParameters.symmetric(LONGEST_INFORMATION_OCTETS, 1).encode())
    settled = station.parameters
    sizes = settled.max_information_transmit_octets, settled.max_information_receive_octets
    if max(sizes) > LONGEST_INFORMATION_OCTETS:
        raise Failed(f"UA settles {max(sizes)} octets where {LONGEST_INFORMATION_OCTETS} were said")
    if max(settled.window_transmit, settled.window_receive) > 1:
        raise Failed("UA settles a window above 1 where 1 was proposed")
    yield from station.leave()
    return f"UA settles {sizes[0]} octets to send and {sizes[1]} to receive"


def _ndm2nrm_p2(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    frame = yield from station.connect(LinkParameters.symmetric(128, WINDOW).encode())
    settled = station.parameters
    if max(settled.window_transmit, settled.window_receive) > WINDOW:
        raise Failed(f"UA settles a window above the {WINDOW} that was proposed")
    for identifier, octets in _parameters(frame.information):
        if identifier in {0x07, 0x08} and octets != WINDOW_VALUE_OCTETS:
            raise Failed(
                f"UA [{frame.information.hex(' ').upper()}] writes parameter {identifier:02X} on "
                f"{octets} octets; the clause asks for {WINDOW_VALUE_OCTETS}"
            )
    yield from station.leave()
    return f"UA settles windows of {settled.window_transmit} and {settled.window_receive}"


def _parameters(information: bytes) -> list[tuple[int, int]]:
    """Return identifier and length of each parameter; the field was found sound before."""
    found = []
    offset = 3
    end = 3 + information[2] if len(information) > 2 else 0
    while offset + 1 < end:
        found.append((information[offset], information[offset + 1]))
        offset += 2 + information[offset + 1]
    return found


def opening_of(trial: Trial) -> tuple[Station, bytes]:
    """Return a station that speaks for a declared client, and the AARQ of its association."""
    link = trial.declaration.link
    for association in trial.declaration.associations:
        if link is not None and association.client_sap == link.client:
            own = replace(trial, association=association)
            return Station(trial, association.client_sap), own.aarq()
    raise Inconclusive("no association is declared for the client of the link")


def _info_p1(trial: Trial) -> Script[str | None]:
    station, aarq = opening_of(trial)
    for pieces in (1, 3):
        yield from station.start()
        yield from station.connect()
        _, again = opening_of(trial)
        room = station.parameters.max_information_receive_octets
        if pieces == 1 and len(aarq) + len(FROM_CLIENT) > room:
            trial.remarks.append(f"the AARQ is longer than the {room} octets of one frame")
            continue
        size = room if pieces == 1 else -(-(len(again) + len(FROM_CLIENT)) // pieces)
        answer = yield from station.transfer(aarq if pieces == 1 else again, size)
        if answer[:1] != AARE:
            raise Failed(f"{shown(answer)} came to the AARQ in {pieces} frames; an AARE is due")
    yield from station.leave()
    return None


def _info_n1(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    yield from station.connect()
    room = station.parameters.max_information_receive_octets
    octets = station.octets(Kind.I, (FROM_CLIENT + bytes(room))[: room + 1])
    frames = yield from station.listen(octets)
    if any(frame.control.kind is not Kind.FRMR for frame in frames):
        raise Failed(f"{named(frames)} came to {room + 1} octets of information")
    yield from station.connect()
    yield from station.leave()
    return f"{named(frames)} came to {room + 1} octets where {room} are settled"


def _info_n2(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    yield from station.connect()
    octets = station.octets(Kind.RR, numbers=(0, 1))
    yield from station.expect(octets, Kind.FRMR, "RR that acknowledges what was never sent")
    yield from station.connect()
    yield from station.leave()
    return None


def _info_n3(trial: Trial) -> Script[str | None]:
    station, aarq = opening_of(trial)
    yield from station.start()
    yield from station.connect()
    octets = station.octets(Kind.I, FROM_CLIENT + aarq[:64], numbers=(1, 0))
    frame = yield from station.expect(octets, Kind.RR, "I with N(S) = 1 where 0 is due")
    if frame.control.receive_number != 0:
        raise Failed(f"{frame} came to I with N(S) = 1; the clause asks for N(R) = 0")
    yield from station.leave()
    return None


def _ndmop_n1(trial: Trial) -> Script[str | None]:
    station, aarq = opening_of(trial)
    yield from station.start()
    octets = station.octets(Kind.I, FROM_CLIENT + aarq[:64])
    frames = yield from station.listen(octets)
    if any(frame.control.kind is not Kind.DM for frame in frames):
        raise Failed(f"{named(frames)} came to I without a link; accepted are DM and silence")
    yield from station.connect()
    yield from station.leave()
    return f"{named(frames)} came"


_case = Family(group=Group.HDLC, needs=(Need.HDLC,)).case


CASES: Final = (
    _case(
        "HDLC_NDM2NRM_P1",
        "the longest information field is negotiated",
        NEGOTIATION,
        "SNRM that proposes 2030 octets and a window of 1",
        "UA with no more than that",
        _ndm2nrm_p1,
    ),
    _case(
        "HDLC_NDM2NRM_P2",
        "the window is negotiated",
        NEGOTIATION,
        "SNRM that proposes windows of 4",
        "UA with windows of at most 4, each written on 4 octets",
        _ndm2nrm_p2,
    ),
    _case(
        "HDLC_INFO_P1",
        "an APDU travels in one frame and in segments",
        TRANSFER,
        "AARQ in one I frame; AARQ in three segments",
        "AARE; RR with the right N(R) for each segment, then AARE",
        _info_p1,
    ),
    _case(
        "HDLC_INFO_N1",
        "the information is too long",
        TRANSFER,
        "I with one octet more than settled; SNRM",
        "FRMR or silence; UA",
        _info_n1,
    ),
    _case(
        "HDLC_INFO_N2",
        "what was never sent is acknowledged",
        TRANSFER,
        "RR with N(R) = 1 on a fresh link; SNRM",
        "FRMR; UA",
        _info_n2,
    ),
    _case(
        "HDLC_INFO_N3",
        "a frame is out of sequence",
        TRANSFER,
        "I with N(S) = 1 on a fresh link",
        "RR with N(R) = 0",
        _info_n3,
    ),
    _case(
        "HDLC_NDMOP_N1",
        "information comes without a link",
        TRANSFER,
        "I in NDM; SNRM",
        "DM or silence; UA",
        _ndmop_n1,
    ),
)
