# SPDX-License-Identifier: Apache-2.0
"""The programs of an image: where each begins, how much room it has, what it may hold.

A module that is denied to a program is left out; it may only be imported inside of functions there,
behind a door that the program can find closed, and `sources` refuses anything else.  Libraries that
are not in `ROM` cannot be imported at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

ROM: Final = ("OpenSSL", "_cffi_backend", "cbor2", "cryptography", "numpy", "typing_extensions")
"""Libraries that stand beside the interpreter; with it they are what the device has as ROM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program.

    Attributes:
        name: In messages and measurements.
        entry: ``module:function``; the function takes the arguments and returns an exit status.
        room_octets: What the program may have.
        denied: Modules, with all below them, that it does without; each with the reason.
        libraries: Those of `ROM` that it may import.
    """

    name: str
    entry: str
    room_octets: int
    denied: Mapping[str, str]
    libraries: tuple[str, ...]

    def denies(self, module: str) -> str | None:
        """Return why a module is left out; None if it is not."""
        for root, reason in self.denied.items():
            if module == root or module.startswith(f"{root}."):
                return reason
        return None


NO_TOOLS: Final = {
    "openami.cli": "commands are for people",
    "openami.store": "a meter has no database",
    "openami.access": "a meter knows no accounts",
    "openami.cosem.client": "a meter asks nobody",
    "openami.cosem.asking": "a meter asks nobody",
    "openami.cosem.conformance": "tests others",
    "openami.dlms.bulk": "reads whole profiles of others",
    "openami.dlms.xmlform": "XML is for people",
}

ASKS_METERS: Final = frozenset({"openami.cosem.client", "openami.cosem.asking"})
"""Of these, what a concentrator needs all the same: on a line it asks who is there."""

MANAGEMENT: Final = Program(
    name="management",
    entry="openami.meter.part:main",
    room_octets=150 * 1024,
    denied=MappingProxyType(
        NO_TOOLS
        | {
            "openami.meter.measuring": "metrology measures",
            "openami.meter.replay": "metrology has the home behind it",
            "openami.meter.metrology_process": "another module",
            "openami.meter.run": "the backplane",
            "openami.meter.fleet": "many meters in one process, from source",
        }
    ),
    libraries=("OpenSSL", "_cffi_backend", "cryptography", "numpy", "typing_extensions"),
)
"""The non-secure world."""

SECURE: Final = Program(
    name="secure",
    entry="openami.device.secure.process:main",
    room_octets=70 * 1024,
    denied=MappingProxyType(
        NO_TOOLS
        | {
            "openami.cosem": "objects are management's",
            "openami.dlms.apdu.registry": "services are management's",
            "openami.meter": "the secure world knows no meter",
            "openami.transport": "the secure world has a door, and no line",
        }
    ),
    libraries=("_cffi_backend", "cbor2", "cryptography", "typing_extensions"),
)
"""The secure world."""

PROGRAMS: Final = (SECURE, MANAGEMENT)
"""What an image holds."""

METROLOGY: Final = Program(
    name="metrology",
    entry="openami.meter.metrology_part:main",
    room_octets=64 * 1024,
    denied=MappingProxyType(
        NO_TOOLS
        | {
            "openami.cosem": "metrology speaks to management alone",
            "openami.coap": "metrology speaks to management alone",
            "openami.meter.management": "another module",
            "openami.meter.config": "holds management's keys",
            "openami.meter.run": "the backplane",
        }
    ),
    libraries=("_cffi_backend", "cryptography", "numpy", "typing_extensions"),
)
"""The other module of a meter; it has an image of its own."""

CONCENTRATOR: Final = Program(
    name="concentrator",
    entry="openami.concentrator.part:main",
    room_octets=512 * 1024,
    denied=MappingProxyType(
        {name: why for name, why in NO_TOOLS.items() if name not in ASKS_METERS}
        | {
            "openami.concentrator.installing": "a command puts images there",
            "openami.concentrator.module": "what verifies and starts the program",
            "openami.concentrator.standing": "files are shown to people by a command",
        }
    ),
    libraries=("OpenSSL", "_cffi_backend", "cryptography", "typing_extensions"),
)
"""The program of a concentrator, which has an image of its own and a Linux box for its room."""

BOOT: Final = Program(
    name="boot",
    entry="openami.device.boothost:main",
    room_octets=30 * 1024,
    denied=MappingProxyType(NO_TOOLS | {"openami.meter": "boot knows no meter"}),
    libraries=("_cffi_backend", "cryptography"),
)
"""The immutable region."""
