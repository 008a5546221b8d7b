# SPDX-License-Identifier: Apache-2.0
"""How much an event matters: a table in TOML, ours or the operator's."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from openami.runtime.config import ConfigFile

FILE: Final = Path(__file__).with_name("severities.toml")
REMEDY: Final = "see openami/store/severities.toml for the shape"
OTHER: Final = "other"


class Severity(StrEnum):
    """How much; the gravest first."""

    HARM = "harm"
    LOOK = "look"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rated:
    """What a code is."""

    kind: str
    severity: Severity


UNKNOWN: Final = Rated(OTHER, Severity.LOOK)  # a person should look at what no table names


@dataclass(frozen=True, slots=True)
class Severities:
    """The table."""

    of: Mapping[int, Rated]

    @classmethod
    def load(cls, path: Path = FILE) -> Self:
        """Read a table.

        Raises:
            ConfigurationError: It is missing, or a row has no sense, or names a code again.
        """
        file = ConfigFile(path, REMEDY)
        found: dict[int, Rated] = {}
        for name in file.names:
            row = file.table(name)
            wanted = "one of harm, look, info"
            severity = row.parsed("severity", Severity, wanted)
            for code in row.wholes("codes", most=0xFFFF):
                if code in found:
                    raise row.refused("codes", f"a list without {code}, which stands above already")
                found[code] = Rated(row.text("kind", name), severity)
        file.refuse_unknown()
        return cls(found)

    def rate(self, code: int) -> Rated:
        """Return what a code is; one that the table does not name wants a look."""
        return self.of.get(code, UNKNOWN)

    @property
    def kinds(self) -> list[str]:
        """All kinds, in the order of the file."""
        return [*dict.fromkeys(rated.kind for rated in self.of.values())]

    def codes(self, *, kind: str = "", severity: str = "") -> list[int]:
        """Return the codes of a kind and a severity; empty names take all."""
        return [
            code
            for code, rated in self.of.items()
            if kind in {"", rated.kind} and severity in {"", rated.severity.value}
        ]
