# SPDX-License-Identifier: Apache-2.0
"""All interface classes, by chapter of the Blue Book (DLMS UA 1000-1).

Classes enter the registry when their module is imported; importing this one imports them all.
Clauses are those of edition 12; a chapter without a clause came in a later edition.
"""

from types import ModuleType
from typing import Final, NamedTuple

from openami.cosem.classes import (
    access_control,
    associations,
    cellular,
    data_tables,
    disconnect,
    g3,
    g3_adaptation,
    g3_hybrid,
    image_transfer,
    internet,
    iso_networks,
    lpwan,
    mbus,
    measurement,
    monitoring,
    payment,
    prime,
    protection,
    push,
    setup_ports,
    sfsk,
    tariff,
    time_event,
    wisun,
    zigbee,
)
from openami.cosem.model import REGISTRY, InterfaceClass


class Chapter(NamedTuple):
    """A chapter of the Blue Book: the name of its page, its title and clause, its modules."""

    name: str
    title: str
    clause: str
    modules: tuple[ModuleType, ...]

    def classes(self) -> list[type[InterfaceClass]]:
        """Return the chapter's classes, by id and version."""
        names = {module.__name__ for module in self.modules}
        found = [each for each in REGISTRY.values() if each.__module__ in names]
        return sorted(found, key=lambda each: (each.class_id, each.version))


CHAPTERS: Final = (
    Chapter("measurement", "Parameters and measured data", "4.3", (measurement, data_tables)),
    Chapter(
        "access-control",
        "Access control and management",
        "4.4",
        (access_control, associations, image_transfer, push, protection),
    ),
    Chapter(
        "time-and-events",
        "Time- and event-bound control",
        "4.5 (class 6: 4.3.5)",
        (time_event, tariff, disconnect, monitoring),
    ),
    Chapter("payment", "Payment metering", "4.6", (payment,)),
    Chapter("local-ports", "Local ports and modems", "4.7", (setup_ports, cellular)),
    Chapter("m-bus", "M-Bus", "4.8", (mbus,)),
    Chapter("internet", "Internet", "4.9", (internet,)),
    Chapter("s-fsk", "S-FSK power line and LLC layers", "4.10 and 4.11", (sfsk,)),
    Chapter("prime", "PRIME power line", "4.12", (prime,)),
    Chapter("g3", "G3-PLC and hybrid G3", "4.13", (g3, g3_adaptation, g3_hybrid)),
    Chapter("zigbee", "ZigBee", "4.14", (zigbee,)),
    Chapter("wi-sun", "Wi-SUN, RPL and MPL", "", (wisun,)),
    Chapter("lpwan", "SCHC over LPWAN, LoRaWAN", "", (lpwan,)),
    Chapter("iso-networks", "ISO/IEC 14908, ISO/IEC 12139-1, attestation", "", (iso_networks,)),
)

LATER: Final = frozenset({66, 116, *range(130, 134), *range(140, 144), 160, 161, 162, 170})
"""Classes that edition 12 does not have, in whichever chapter they stand; after a class list of
edition 17."""
