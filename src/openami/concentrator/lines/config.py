# SPDX-License-Identifier: Apache-2.0
"""`[line.NAME]` of `config.toml`: one line and how to speak on it (docs/concentrator.md, 3)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from openami.dlms.hdlc.address import LONGEST_OCTETS, Address
from openami.dlms.hdlc.link import LinkTimings
from openami.dlms.hdlc.parameters import GENEROUS, LinkParameters
from openami.dlms.sap import ALL_STATION, MANAGEMENT_LOGICAL_DEVICE
from openami.runtime.config import Table, system_title
from openami.transport.serial import SPEEDS
from openami.transport.url import Scheme, Url

LINE_SCHEMES: Final[frozenset[Scheme]] = frozenset({"hdlc+tcp", "hdlc+serial"})
ALL_LONG: Final = 0x3FFF
"""All stations, in addresses of 4 octets."""
BITS_PER_OCTET: Final = 10  # start, eight data, stop
RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
NAMED: Final = re.compile(r"(\d{1,5})=([0-9A-Fa-f]{16})")
MOST_PHYSICAL: Final = {1: 0, 2: 0x7D, 4: 0x3FFD}  # above: calling and all-station
PARAMETERS: Final = LinkParameters(
    max_information_transmit_octets=GENEROUS.max_information_transmit_octets,
    max_information_receive_octets=GENEROUS.max_information_receive_octets,
    window_transmit=1,
    window_receive=1,
)
"""What is proposed: long frames, and a window of one, as a shared line wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineConfig:
    """One line."""

    name: str
    url: Url
    baud: int
    logical: int  # the meters' logical device
    address_octets: int  # of server addresses
    physical: tuple[int, ...]  # where to look for meters
    titles: Mapping[int, bytes]  # of meters that do not say theirs, by physical address
    poll_events_s: float  # from one question for events to the next; 0: never asked
    look_s: float  # from one look at an address without a meter to the next look at any
    absent_first_s: float  # pause before a silent meter is looked for again
    absent_most_s: float  # the longest such pause
    answer_s: float  # how long a meter may take for an answer that it has not got ready
    quiet_s: float  # silence before another meter is spoken to
    reopen_s: float  # before a TCP connection that is gone is dialled again
    timings: LinkTimings
    parameters: LinkParameters = PARAMETERS

    @classmethod
    def of(cls, name: str, table: Table) -> "LineConfig":
        """Read one table.

        Raises:
            ConfigurationError: A key is missing or has a wrong value.
        """
        url = Url.of(table, "url", LINE_SCHEMES)
        baud = table.whole("baud", 9600, least=300)
        if baud not in SPEEDS:
            raise table.refused("baud", f"one of {', '.join(str(rate) for rate in SPEEDS)}")
        size = table.whole("address_octets", 2, least=1, most=4)
        if size not in MOST_PHYSICAL:
            raise table.refused("address_octets", "1, 2 or 4")
        most = MOST_PHYSICAL[size]
        titles = _titles(table, most)
        physical = _physical(table, most) if size > 1 else (0,)
        return cls(
            name=name,
            url=url,
            baud=baud,
            logical=table.whole("logical_device", MANAGEMENT_LOGICAL_DEVICE, least=1, most=0x7D),
            address_octets=size,
            physical=tuple(dict.fromkeys((*physical, *titles))),
            titles=titles,
            poll_events_s=table.number("poll_events_s", 10.0),
            look_s=table.number("look_s", 30.0, least=0.001),
            absent_first_s=table.number("absent_first_s", 10.0, least=0.001),
            absent_most_s=table.number("absent_most_s", 900.0, least=0.001),
            answer_s=table.number("answer_s", 10.0, least=0.001),
            quiet_s=table.number("quiet_s", 0.02),
            reopen_s=table.number("reopen_s", 2.0, least=0.001),
            timings=LinkTimings(
                response_s=table.number("response_s", 1.5, least=0.001),
                retries=table.whole("retries", 2, most=10),
                inter_octet_s=table.number("inter_octet_s", 0.2, least=0.001),
                octet_s=BITS_PER_OCTET / baud if url.scheme == "hdlc+serial" else 0.0,
            ),
        )

    @property
    def everybody(self) -> Address:
        """The address of all meters of the line, and of all their logical devices."""
        every = ALL_LONG if self.address_octets == LONGEST_OCTETS else ALL_STATION
        physical = every if self.address_octets > 1 else 0
        return Address.server(every, physical, self.address_octets)

    @property
    def octet_s(self) -> float:
        """How long the line takes for an octet."""
        return BITS_PER_OCTET / self.baud

    def address(self, physical: int) -> Address:
        """Return the server address of a meter."""
        return Address.server(self.logical, physical, self.address_octets)


def _physical(table: Table, most: int) -> tuple[int, ...]:
    """Read `physical = "16-40,64"`: which addresses may have a meter."""
    found: list[int] = []
    for part in table.text("physical", "16-125").split(","):
        match = RANGE.fullmatch(part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high or high > most:
            raise table.refused("physical", f"a list such as 16-40,64 of addresses up to {most}")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))


def _titles(table: Table, most: int) -> Mapping[int, bytes]:
    """Read `titles = ["17=4F414D0000000001"]`: whose title no question to it would tell."""
    found: dict[int, bytes] = {}
    for text in table.texts("titles", []):
        match = NAMED.fullmatch(text.replace(" ", ""))
        if match is None or int(match[1]) > most:
            raise table.refused("titles", f"a list of ADDRESS=TITLE, addresses up to {most}")
        found[int(match[1])] = system_title(match[2])
    return MappingProxyType(found)
