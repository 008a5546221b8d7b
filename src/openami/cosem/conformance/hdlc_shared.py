# SPDX-License-Identifier: Apache-2.0
"""HDLC cases on a line that several share: broadcasts, and more than one client.

IEC 62056-46, 6.4.2.4: a frame to everybody carries P = 0 and is not answered, an I frame to
everybody is discarded, and nobody sends from the addresses NO_STATION and ALL_STATION.  Each
client has a link of its own (6.4.4.1).
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.conformance.case import Failed, Family, Group, Need, NotApplicable, Script
from openami.cosem.conformance.hdlc_links import AARE, opening_of
from openami.cosem.conformance.station import Station, named
from openami.cosem.conformance.trial import Trial, shown
from openami.dlms.hdlc.address import NO_STATION, Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.llc import FROM_CLIENT

BROADCAST: Final = "IEC 62056-46, 6.4.2.4"
LINKS: Final = "IEC 62056-46, 6.4.4.1"
LARGEST_CLIENT: Final = 0x7D
UNCONFIRMED_GET: Final = FROM_CLIENT + bytes.fromhex("C00181 0001 00002A0000FF 02 00")
"""Get-Request-Normal for the logical device name that wants no answer, behind its LLC header."""
EVERYBODY_ON_ONE_OCTET: Final = Address.client(0x7F).encode()
NOBODY: Final = Address.client(NO_STATION).encode()


def everybody(size: int) -> bytes:
    """Return ALL_STATION in an address of `size` octets, in all of its parts."""
    part = 0x3FFF if size == 4 else 0x7F
    return Address.server(part, part if size > 1 else 0, size).encode()


def _on_a_link(
    send: Callable[[Station], list[tuple[bytes, str]]],
) -> Callable[[Trial], Script[str | None]]:
    """Send frames that must not be answered on a link, and see that it stands as before."""

    def script(trial: Trial) -> Script[str | None]:
        station = Station(trial)
        yield from station.start()
        yield from station.connect()
        frames = send(station)
        for octets, said in frames:
            yield from station.silent(octets, said)
            frame = yield from station.expect(station.octets(Kind.RR), Kind.RR, "RR behind it")
            if frame.control.receive_number != 0:
                raise Failed(f"{frame} came behind {said}, which must not count: N(R) = 0 is due")
        yield from station.leave()
        return f"silence came to {', '.join(said for _, said in frames)}; the link stood"

    return script


def _unnumbered(station: Station, *, poll: bool) -> bytes:
    return station.octets(
        control(Kind.UI, poll_final=poll).octet,
        UNCONFIRMED_GET,
        destination=everybody(station.link.address_octets),
    )


def _to_everybody(station: Station) -> list[tuple[bytes, str]]:
    return [(_unnumbered(station, poll=False), "UI to ALL_STATION")]


def _polling_everybody(station: Station) -> list[tuple[bytes, str]]:
    return [(_unnumbered(station, poll=True), "UI with P = 1 to ALL_STATION")]


def _numbered_to_everybody(station: Station) -> list[tuple[bytes, str]]:
    there = everybody(station.link.address_octets)
    octets = station.octets(Kind.I, UNCONFIRMED_GET, destination=there)
    return [(octets, "I to ALL_STATION")]


def _sources(trial: Trial) -> Script[str | None]:
    station = Station(trial)
    yield from station.start()
    for source, name in ((NOBODY, "NO_STATION"), (EVERYBODY_ON_ONE_OCTET, "ALL_STATION")):
        octets = station.octets(Kind.SNRM, source=source)
        yield from station.silent(octets, f"SNRM from {name}")
    yield from station.connect()
    yield from station.leave()
    return None


def _second_client(trial: Trial) -> int:
    link = trial.declaration.link
    for association in trial.declaration.associations:
        sap = association.client_sap
        if link is not None and sap != link.client and sap <= LARGEST_CLIENT:
            return sap
    raise NotApplicable("the declaration names no second client that HDLC could carry")


def _clients(trial: Trial) -> Script[str | None]:
    first, aarq = opening_of(trial)
    other = Station(trial, _second_client(trial))
    for station in (first, other):
        yield from station.start()
    yield from first.connect()
    frames = yield from other.listen(other.octets(Kind.SNRM))
    if not frames or frames[0].control.kind is Kind.DM:
        yield from first.leave()
        raise NotApplicable(f"{named(frames)} came to the SNRM of a second client: one at a time")
    if frames[0].control.kind is not Kind.UA:
        raise Failed(f"{named(frames)} came to the SNRM of a second client; UA or DM is due")
    room = first.parameters.max_information_receive_octets
    answer = yield from first.transfer(aarq, room)
    if answer[:1] != AARE:
        raise Failed(f"{shown(answer)} came to the AARQ beside a second client; an AARE is due")
    frame = yield from other.expect(other.octets(Kind.RR), Kind.RR, "RR of the second client")
    if frame.control.receive_number != 0:
        raise Failed(f"{frame} came to a client that has sent nothing: N(R) = 0 is due")
    yield from other.expect(other.octets(Kind.DISC), Kind.UA, "DISC of the second client")
    sent = -(-(len(aarq) + len(FROM_CLIENT)) // room) % 8
    octets = first.octets(Kind.RR, numbers=(0, first.received))
    frame = yield from first.expect(octets, Kind.RR, "RR after the second client left")
    if frame.control.receive_number != sent:
        raise Failed(f"{frame} came after the second client left; N(R) = {sent} is due")
    yield from first.leave()
    return f"clients {first.client} and {other.client} had a link each"


_case = Family(prefix="HDLC_", group=Group.HDLC, needs=(Need.HDLC,)).case


UNCOUNTED: Final = "silence; the link stands, RR with N(R) = 0"

CASES: Final = (
    _case(
        "BROADCAST_P_UI",
        "a frame to everybody is not answered",
        BROADCAST,
        "UI with P = 0 to ALL_STATION with an unconfirmed GET; RR",
        UNCOUNTED,
        _on_a_link(_to_everybody),
    ),
    _case(
        "BROADCAST_N_POLL",
        "a frame to everybody that polls is discarded",
        BROADCAST,
        "UI with P = 1 to ALL_STATION; RR",
        UNCOUNTED,
        _on_a_link(_polling_everybody),
    ),
    _case(
        "BROADCAST_N_I",
        "numbered information to everybody is discarded",
        BROADCAST,
        "I with N(S) = 0 to ALL_STATION; RR",
        UNCOUNTED,
        _on_a_link(_numbered_to_everybody),
    ),
    _case(
        "BROADCAST_N_SOURCE",
        "nobody and everybody send nothing",
        BROADCAST,
        "SNRM from NO_STATION and from ALL_STATION; SNRM",
        "silence; UA",
        _sources,
    ),
    _case(
        "CLIENTS_P",
        "two clients on one line have a link each",
        LINKS,
        "SNRM of two clients; AARQ of the first; RR and DISC of the second; RR of the first",
        "UA or DM to the second; its numbers are its own, and its DISC leaves the other link",
        _clients,
    ),
)
