# SPDX-License-Identifier: Apache-2.0
"""What of `device.toml` metrology is told: what it measures, and how it is joined to management.

It reads no keys: those of DLMS and TLS are management's, and their files are closed to it.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from openami.runtime.config import ConfigFile, Table
from openami.transport.spi import SLOTS

FILE: Final = "device.toml"
MICROSECONDS: Final = 1_000_000
MOST_METERS: Final = 2**24 - 1  # as `lifecycle.plan` numbers them


class LinkKind(StrEnum):
    """What is between a meter's two modules."""

    UART = "uart"
    SPI = "spi"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetrologyConfig:
    """What both modules of a meter are told."""

    home: Path
    meter_id: int
    title: bytes
    installed_s: int  # calendar time of the first capture period, seconds UTC
    capture_period_s: int
    seed: int
    profile_days: int  # how far the load profile reaches back
    link: LinkKind = LinkKind.UART  # between metrology and management
    slot_octets: int = 64  # of SPI
    waveforms: bool = False  # what is replayed passes through the measuring chain

    @property
    def name(self) -> str:
        return f"meter {self.title.hex().upper()}"

    @property
    def remark(self) -> str:
        """What is said of the load behind its home and week."""
        return ", measured from simulated waveforms" if self.waveforms else ""

    @property
    def profile_entries(self) -> int:
        return self.profile_days * 86_400 // self.capture_period_s

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `device.toml` in `home`.

        Raises:
            ConfigurationError: It is missing, or a key is, or has a wrong value.
        """
        return cls.read(home, ConfigFile(home / FILE))

    @classmethod
    def read(cls, home: Path, file: ConfigFile) -> Self:
        """Read an open file; what is for management alone is passed over."""
        meter, metrology = file.table("meter"), file.table("metrology")
        return cls(
            home=home,
            meter_id=meter.whole("id", least=1, most=MOST_METERS),
            title=meter.title("title"),
            installed_s=meter.whole("installed_us") // MICROSECONDS,
            capture_period_s=meter.whole("capture_period_s", least=60, most=86_400),
            seed=file.table("load").whole("seed", most=2**31),
            profile_days=file.table("profile").whole("days", 60, least=1, most=3660),
            link=metrology.parsed("link", LinkKind, '"uart" or "spi"', LinkKind.UART),
            slot_octets=_slot_octets(metrology),
            waveforms=metrology.flag("waveforms", default=False),
        )


def _slot_octets(metrology: Table) -> int:
    found = metrology.whole("slot_octets", SLOTS[0])
    if found not in SLOTS:
        raise metrology.refused("slot_octets", " or ".join(map(str, SLOTS)))
    return found
