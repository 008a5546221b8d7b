# SPDX-License-Identifier: Apache-2.0
"""What is done to a simulated meter at its terminals and to its case, told by a file.

The file stands for the world outside: `openami meter terminals` writes it, the running metrology
looks at it and measures what it says.  Without a file the supply is sound and the case shut.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from openami.meter.measuring.appliances import Household, Resistive
from openami.meter.measuring.signal import Harmonic, Supply
from openami.meter.measuring.watch import Tampering
from openami.meter.supply import MILLION, Share
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json, write_durably

FILE: Final = "terminals.json"
REMEDY: Final = "write it again with `openami meter terminals`, or remove it"
MOST_LEVEL: Final = 2.0
MOST_HARMONIC: Final = 0.5
MOST_FIELD_MT: Final = 1000.0
SOUND_DEG: Final = (0.0, -120.0, 120.0)
REVERSED_DEG: Final = (0.0, 120.0, -120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminals:
    """The world outside.

    Attributes:
        level_l1: Voltage of L1 against what the supply gives; likewise L2, L3.
        harmonic_5: Fifth harmonic of the voltages, as a part of the fundamental.
        sequence_reversed: L2 and L3 have changed places.
        neutral_lost: The current does not return through the meter.
        current_reversed: It flows backwards through the meter.
        terminal_cover_open: What the switch says.
        meter_cover_open: What the switch says.
        magnet_mt: Field at the sensor.
    """

    level_l1: float = 1.0
    level_l2: float = 1.0
    level_l3: float = 1.0
    harmonic_5: float = 0.0
    sequence_reversed: bool = False
    neutral_lost: bool = False
    current_reversed: bool = False
    terminal_cover_open: bool = False
    meter_cover_open: bool = False
    magnet_mt: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (
            ("level_l1", MOST_LEVEL),
            ("level_l2", MOST_LEVEL),
            ("level_l3", MOST_LEVEL),
            ("harmonic_5", MOST_HARMONIC),
            ("magnet_mt", MOST_FIELD_MT),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} is no number: {value!r}")
            if not 0 <= value <= most:
                raise ValueError(f"{name} is {value:g}: use 0 to {most:g}")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; a sound supply and a shut case where there is none.

        Raises:
            ConfigurationError: It is damaged.
        """
        if not path.exists():
            return cls()
        said = read_json(path, REMEDY)
        try:
            return cls(**said)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{path}: {error}: {REMEDY}") from None

    def store(self, path: Path) -> None:
        """Write the file.

        Raises:
            UserError: The folder cannot be written.
        """
        write_durably(path, json.dumps(asdict(self), indent=1).encode())

    @property
    def tampering(self) -> Tampering:
        return Tampering(
            terminal_cover_open=self.terminal_cover_open,
            meter_cover_open=self.meter_cover_open,
            magnet_mt=self.magnet_mt,
        )

    def share(self, at_s: int) -> Share:
        """Return what of a sound supply's energy the home takes from a second on.

        It draws from L1 like a resistor: by the square of the RMS voltage, harmonics and all.
        """
        taken = round(MILLION * self.level_l1**2 * (1 + self.harmonic_5**2))
        return Share(at_s, 0, taken) if self.current_reversed else Share(at_s, taken)

    def home(self, power_w: int, voltage_v: float, sampling_hz: int) -> Household:
        """Return what is at the terminals while a home draws `power_w` from L1 at `voltage_v`."""
        supply = Supply(
            sampling_hz=sampling_hz,
            voltage_v=voltage_v,
            angles_deg=REVERSED_DEG if self.sequence_reversed else SOUND_DEG,
            levels=(self.level_l1, self.level_l2, self.level_l3),
            harmonics=(Harmonic(order=5, part=self.harmonic_5),) if self.harmonic_5 else (),
        )
        drawn_w = -power_w if self.current_reversed else power_w
        return Household(
            supply=supply,
            appliances=(Resistive(power_w=drawn_w),),
            neutral=0.0 if self.neutral_lost else 1.0,
        )
