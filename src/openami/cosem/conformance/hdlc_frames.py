# SPDX-License-Identifier: Apache-2.0
"""HDLC cases on frames and addresses (IEC 62056-46, 6.4.2 and 6.4.4).

Each FRAME_N case is a row of `DAMAGES`: what is wrong with the frame, in one or more ways.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from openami.cosem.conformance.case import (
    Failed,
    Family,
    Group,
    Need,
    NotApplicable,
    Script,
    Wait,
)
from openami.cosem.conformance.station import Damage, Station, named
from openami.cosem.conformance.trial import Trial
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import CONTROLS, Kind
from openami.dlms.hdlc.parameters import LinkParameters

FRAMES: Final = "IEC 62056-46, 6.4.2"
PROCEDURES: Final = "IEC 62056-46, 6.4.4"
ADDRESSES: Final = "IEC 62056-46, 6.4.2.3 and table 5"
UNKNOWN_CONTROL: Final = next(
    each.octet
    for each in CONTROLS
    if each.kind is Kind.UNKNOWN and each.poll_final and each.octet & 0x03 == 0x03
)
UNKNOWN_LOGICAL: Final = 0x5A
"""A logical device that no meter has: between the reserved addresses and CALLING."""
PROPOSAL: Final = LinkParameters.symmetric(512, 1).encode()

DAMAGES: Final[Mapping[str, tuple[str, Mapping[str, Damage]]]] = MappingProxyType(
    {
        "HDLC_FRAME_N1": (
            "flags are missing",
            {
                "without its opening flag": Damage(opening=False),
                "without its closing flag": Damage(closing=False),
                "without both flags": Damage(opening=False, closing=False),
            },
        ),
        "HDLC_FRAME_N2": (
            "the frame is too short",
            {f"short of {count} octets": Damage(cut=count) for count in (1, 2, 3)},
        ),
        "HDLC_FRAME_N3": (
            "the format type is not 3",
            {f"of format type {number:X}": Damage(format_type=number) for number in (0x8, 0xB, 2)},
        ),
        "HDLC_FRAME_N4": (
            "the length is wrong",
            {
                "that says one octet too much": Damage(longer=1),
                "that says one octet too little": Damage(longer=-1),
                "that says 20 octets too much": Damage(longer=20),
            },
        ),
        "HDLC_FRAME_N7": ("the HCS is wrong", {"whose HCS is wrong": Damage(hcs=0x0100)}),
        "HDLC_FRAME_N8": ("the FCS is wrong", {"whose FCS is wrong": Damage(fcs=0x0100)}),
    }
)


def _damaged(case: str) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        station = Station(trial)
        yield from station.start()
        # Only a frame with information has an HCS.
        proposal = PROPOSAL if case == "HDLC_FRAME_N7" else b""
        for said, damage in DAMAGES[case][1].items():
            octets = station.octets(Kind.SNRM, proposal, damage)
            yield from station.silent(octets, f"SNRM {said}")
        yield from station.connect()
        for said, damage in DAMAGES[case][1].items():
            # With information DISC has an HCS too; the mode must not change either way.
            octets = station.octets(Kind.DISC, PROPOSAL if proposal else b"", damage)
            yield from station.silent(octets, f"DISC {said}")
        frame = yield from station.expect(station.octets(Kind.RR), Kind.RR, "RR, the link open")
        yield from station.leave()
        return f"nothing answered, and the link stood as before ({frame})"

    return script


def _frame_p1(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    yield from station.connect()
    frame = yield from station.expect(station.octets(Kind.RR), Kind.RR, "RR")
    if frame.control.receive_number != 0:
        raise Failed(f"{frame} came to RR on a fresh link; the clause asks for N(R) = 0")
    yield from station.expect(station.octets(Kind.DISC), Kind.UA, "DISC")
    yield from station.expect(station.octets(Kind.DISC), Kind.DM, "a second DISC")
    return None


def _frame_p2(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    yield from station.connect()
    whole = station.octets(Kind.DISC)
    yield from station.silent(whole[:-4], "the first half of a DISC")
    yield from station.expect(station.octets(Kind.RR), Kind.RR, "RR behind half a DISC")
    yield from station.leave()
    return None


def _frame_p3(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    if station.link.inactivity_s is None:
        raise NotApplicable("the meter declares no inactivity time-out")
    yield from station.start()
    yield from station.connect()
    yield Wait(station.link.inactivity_s * 1.1, "the inactivity time-out and a tenth")
    yield from station.expect(station.octets(Kind.DISC), Kind.DM, "DISC after the time-out")
    return None


def _frame_n5(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    yield from station.connect()
    octets = station.octets(UNKNOWN_CONTROL)
    frame = yield from station.expect(octets, Kind.FRMR, f"control field {UNKNOWN_CONTROL:02X}")
    yield from station.connect()
    yield from station.leave()
    reason = frame.information.hex(" ").upper()
    return f"FRMR {reason or 'without information'}, then the link was set up anew"


def _address_p1(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    frame = yield from station.connect()
    yield from station.leave()
    size = frame.source.size
    return f"the answer came from {frame.source}, {size} octet{'s' * (size > 1)} as declared"


def _address_p2(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    if station.link.address_octets != 4 or max(station.link.logical, station.link.physical) > 0x7D:
        raise NotApplicable("only a meter of 4-octet addresses, both below 7E, takes 2 octets")
    yield from station.start()
    station.server = Address.server(station.link.logical, station.link.physical, 2)
    octets = station.octets(Kind.SNRM)
    frames = yield from station.listen(octets)
    if len(frames) != 1 or frames[0].control.kind is not Kind.UA:
        raise Failed(f"{named(frames)} came to SNRM with an address of 2 octets")
    yield from station.leave()
    return None


def _address_n1(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    for size in (2, 4):
        source = Address.server(station.client.upper, 0, size).encode()
        octets = station.octets(Kind.SNRM, source=source)
        yield from station.silent(octets, f"SNRM whose source has {size} octets")
    yield from station.connect()
    yield from station.leave()
    return None


def _address_n4(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    physical = station.link.physical
    unknown = {
        1: Address.server(UNKNOWN_LOGICAL, size=1),
        2: Address.server(UNKNOWN_LOGICAL, physical if physical < 0x7E else 0x11, 2),
        4: Address.server(UNKNOWN_LOGICAL, physical, 4),
    }
    for size, address in unknown.items():
        octets = station.octets(Kind.SNRM, destination=address.encode())
        yield from station.silent(octets, f"SNRM to the unknown {address} in {size} octets")
    yield from station.connect()
    yield from station.leave()
    return None


def _address_n6(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    if station.link.address_octets == 1:
        raise NotApplicable("the meter's own address has 1 octet")
    yield from station.start()
    if station.link.logical > 0x7D:
        raise NotApplicable("the logical address does not fit into 1 octet")
    short = Address.server(station.link.logical, size=1).encode()
    octets = station.octets(Kind.SNRM, destination=short)
    yield from station.silent(octets, "SNRM to the upper address alone")
    return None


def _address_n7(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    for size in (3, 5):
        address = bytes(size - 1) + bytes((station.link.logical << 1 & 0xFE | 1,))
        octets = station.octets(Kind.SNRM, destination=address)
        yield from station.silent(octets, f"SNRM to an address of {size} octets")
    yield from station.connect()
    yield from station.leave()
    return None


_case = Family(group=Group.HDLC, needs=(Need.HDLC,)).case


CASES: Final = (
    _case(
        "HDLC_FRAME_P1",
        "a link is set up, asked and left",
        PROCEDURES,
        "SNRM; RR; DISC; DISC",
        "UA with F = 1; RR with N(R) = 0; UA; DM",
        _frame_p1,
    ),
    _case(
        "HDLC_FRAME_P2",
        "half a frame is given up",
        FRAMES,
        "SNRM; the first half of DISC; the inter-octet time-out; RR",
        "UA; silence; RR: the link stands",
        _frame_p2,
    ),
    _case(
        "HDLC_FRAME_P3",
        "a silent link is left",
        PROCEDURES,
        "SNRM; the inactivity time-out and a tenth; DISC",
        "UA; DM",
        _frame_p3,
        slow=True,
    ),
    *(
        _case(
            name,
            title,
            FRAMES,
            "SNRM and, on an open link, DISC: " + "; ".join(rows),
            "silence, and the mode does not change",
            _damaged(name),
        )
        for name, (title, rows) in DAMAGES.items()
    ),
    _case(
        "HDLC_FRAME_N5",
        "the control field is unknown",
        PROCEDURES,
        f"SNRM; a frame with control field {UNKNOWN_CONTROL:02X}; SNRM",
        "UA; FRMR, its information optional; UA",
        _frame_n5,
    ),
    _case(
        "HDLC_ADDRESS_P_OWN",
        "the declared address is answered with the same structure",
        ADDRESSES,
        "SNRM to the declared address",
        "UA from the same address in as many octets",
        _address_p1,
    ),
    _case(
        "HDLC_ADDRESS_P_SHORT",
        "a meter of 4-octet addresses takes 2 octets",
        ADDRESSES,
        "SNRM to both halves in 2 octets",
        "UA",
        _address_p2,
    ),
    _case(
        "HDLC_ADDRESS_N1",
        "the source is longer than 1 octet",
        ADDRESSES,
        "SNRM from addresses of 2 and 4 octets; SNRM",
        "silence; UA",
        _address_n1,
    ),
    _case(
        "HDLC_ADDRESS_N4",
        "the destination is unknown",
        ADDRESSES,
        "SNRM to unknown addresses of 1, 2 and 4 octets; SNRM",
        "silence; UA",
        _address_n4,
    ),
    _case(
        "HDLC_ADDRESS_N6",
        "1 octet is too short where 2 or 4 are needed",
        ADDRESSES,
        "SNRM to the upper address in 1 octet",
        "silence",
        _address_n6,
    ),
    _case(
        "HDLC_ADDRESS_N7",
        "an address has 3 or 5 octets",
        ADDRESSES,
        "SNRM to addresses of 3 and 5 octets; SNRM",
        "silence; UA",
        _address_n7,
    ),
)
