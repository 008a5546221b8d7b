# SPDX-License-Identifier: Apache-2.0
"""How many strangers of one address may stand at a listener: handshakes under way, by address.

Half of a listener's connections may be handshakes under way (`tls.HALF_OPEN_SHARE`); without a
bound for each address a single one can hold them all and keep everybody else out.  Who shares an
address with many, behind a NAT or a gateway, is named as such and has the listener's bound alone.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from openami.runtime.config import Table

Network: TypeAlias = IPv4Network | IPv6Network

HALF_OPEN_PER_ADDRESS: Final = 64
GATEWAYS: Final = ("127.0.0.0/8", "::1/128")
"""Of a listener that is told no others: whoever dials from this machine shares its address."""


@dataclass(slots=True)
class Doors:
    """The handshakes under way at one listener.

    Attributes:
        most: How many one address may have; None: as many as the listener has room for.
        gateways: Networks whose addresses many peers share.
        refused: How many were turned away for it.
        on_crowd: Called with an address when it is turned away for the first time since it had
            no handshake under way: once for a flood, however long it is.
    """

    most: int | None = None
    gateways: tuple[Network, ...] = ()
    refused: int = 0
    on_crowd: Callable[[str], None] = lambda _address: None
    _under_way: Counter[str] = field(default_factory=Counter, repr=False)
    _crowds: set[str] = field(default_factory=set, repr=False)

    def enter(self, address: str) -> bool:
        """Let one more handshake of an address begin; False where it has too many."""
        known = self._under_way[address]
        if self.most is not None and known >= self.most and not is_in(address, self.gateways):
            self.refused += 1
            if address not in self._crowds:
                self._crowds.add(address)
                self.on_crowd(address)
            return False
        self._under_way[address] = known + 1
        return True

    def leave(self, address: str) -> None:
        """Learn that a handshake that was let in is over, whatever came of it."""
        self._under_way[address] -= 1
        if self._under_way[address] <= 0:
            del self._under_way[address]
            self._crowds.discard(address)


@lru_cache(maxsize=1024)
def is_in(address: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address belongs to one of some networks; a name belongs to none."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return networks such as ``10.0.0.0/8``, or single addresses.

    Raises:
        ValueError: One is neither.
    """
    return tuple(ip_network(text) for text in texts)


def doors_of(table: Table) -> tuple[int, tuple[Network, ...]]:
    """Read `half_open_per_address` and `gateways` of a listener's table.

    Raises:
        ConfigurationError: A key has a wrong value.
    """
    most = table.whole("half_open_per_address", HALF_OPEN_PER_ADDRESS, least=1)
    try:
        return most, parse_networks(table.texts("gateways", list(GATEWAYS)))
    except ValueError:
        wanted = 'a list of addresses or networks, e.g. ["10.1.2.0/24"]'
        raise table.refused("gateways", wanted) from None
