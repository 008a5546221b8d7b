# SPDX-License-Identifier: Apache-2.0
"""Where everything lies below `var` (docs/architecture.md, 2)."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder tree of one AMI on one machine; `var` is its root."""

    var: Path

    @property
    def clock(self) -> Path:
        return self.var / "clock.json"

    @property
    def authority(self) -> Path:
        return self.var / "ca"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.var / 'openami.db'}"

    @property
    def lake(self) -> Path:
        return self.var / "lake"

    @property
    def headend(self) -> Path:
        return self.var / "headend"

    @property
    def concentrators(self) -> Path:
        return self.var / "concentrators"

    @property
    def meters(self) -> Path:
        return self.var / "meters"

    @property
    def fleet(self) -> Path:
        return self.var / "fleet"

    @property
    def firmware(self) -> Path:
        return self.var / "firmware"

    @property
    def mdm(self) -> Path:
        return self.var / "mdm"

    @property
    def web(self) -> Path:
        return self.var / "web"

    @property
    def logins(self) -> Path:
        return self.var / "logins.txt"

    @property
    def run(self) -> Path:
        return self.var / "run"

    def meter(self, title: bytes) -> Path:
        """Return the folder of the meter with this system title."""
        return self.meters / title.hex().upper()

    def concentrator(self, name: str) -> Path:
        """Return the folder of a concentrator."""
        return self.concentrators / name
