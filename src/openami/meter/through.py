# SPDX-License-Identifier: Apache-2.0
"""What management is told of what is behind walls: its secure world, and where TLS ends."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Through:
    """What management is told of the partition.

    Attributes:
        uplink: The door where its uplink is dialled; None where that has no TLS.
        callers: Descriptor of the door where callers come in; None where none may.
        user: The partition's.
    """

    uplink: Path | None
    callers: int | None
    user: int

    @property
    def words(self) -> tuple[str, str, str]:
        """As the program of an image reads it."""
        callers = "" if self.callers is None else str(self.callers)
        return "" if self.uplink is None else str(self.uplink), callers, str(self.user)

    @classmethod
    def of_words(cls, uplink: str, callers: str, user: str) -> "Through":
        """Read what `words` gave."""
        return cls(Path(uplink) if uplink else None, int(callers) if callers else None, int(user))


@dataclass(frozen=True, slots=True)
class Behind:
    """Where management's keys are.

    Attributes:
        door: Of the secure world; None where the keys are in management.
        tls: The partition where TLS ends; None where it ends in management.
    """

    door: Path | None = None
    tls: Through | None = None
