# SPDX-License-Identifier: Apache-2.0
"""The display: which screens follow each other, how long each stays, and what stands on it.

A list of OBIS codes is walked through, `dwell_s` for each, after a test of all segments.  What is
not measured shows as dashes, never as zero.  An energy register goes on from nothing when its
digits are full, as a mechanical one does; a momentary value that does not fit shows dashes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Final

import numpy as np

from openami.dlms.obis import Obis
from openami.meter.measuring.accumulators import ROWS, Accumulators, Quantity, obis_c
from openami.meter.measuring.chain import DEAD_V, ChainConfig, Frame
from openami.meter.measuring.lcd import TEST_SCREEN, VALUE_DIGITS, Screen
from openami.meter.measuring.pulses import TOTAL
from openami.meter.measuring.signal import PHASES
from openami.meter.metrology import Momentary

DASHES: Final = "-" * VALUE_DIGITS
TIME, DATE = Obis(1, 0, 0, 9, 1, 255), Obis(1, 0, 0, 9, 2, 255)
ERRORS: Final = Obis(0, 0, 97, 97, 0, 255)
ENERGY, INSTANT = 8, 7  # value group D
MICRO_PER_KILO: Final = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One screen of the list.

    Attributes:
        obis: What it shows.
        unit: Its symbol on the glass.
        decimals: Digits behind the point.
        code: What stands in the small digits, where it is not C.D.E.
    """

    obis: Obis
    unit: str = ""
    decimals: int = 0
    code: str = ""

    @property
    def shown_code(self) -> str:
        return self.code or f"{self.obis.c}.{self.obis.d}.{self.obis.e}"

    @property
    def is_energy(self) -> bool:
        return self.obis.d == ENERGY


def _item(c: int, d: int, unit: str, decimals: int) -> Item:
    return Item(obis=Obis(1, 0, c, d, 0, 255), unit=unit, decimals=decimals)


ITEMS: Final = (
    Item(obis=TIME, code="0.9.1"),
    Item(obis=DATE, code="0.9.2"),
    _item(1, ENERGY, "kWh", 2),
    _item(2, ENERGY, "kWh", 2),
    _item(5, ENERGY, "kvarh", 2),
    _item(8, ENERGY, "kvarh", 2),
    _item(1, INSTANT, "kW", 3),
    _item(3, INSTANT, "kvar", 3),
    _item(32, INSTANT, "V", 1),
    _item(52, INSTANT, "V", 1),
    _item(72, INSTANT, "V", 1),
    _item(31, INSTANT, "A", 2),
    _item(51, INSTANT, "A", 2),
    _item(71, INSTANT, "A", 2),
    _item(14, INSTANT, "Hz", 2),
    _item(13, INSTANT, "cos φ", 3),
    Item(obis=ERRORS, code="F.F"),
)
"""The list of a three-phase meter."""
REPLAY_ITEMS: Final = (
    Item(obis=TIME, code="0.9.1"),
    Item(obis=DATE, code="0.9.2"),
    _item(1, ENERGY, "kWh", 2),
    _item(2, ENERGY, "kWh", 2),
    _item(1, INSTANT, "kW", 3),
    _item(12, INSTANT, "V", 1),
    _item(11, INSTANT, "A", 2),
    Item(obis=ERRORS, code="F.F"),
)
"""The list of a meter whose load is replayed as power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayConfig:
    """What the display goes through.

    Attributes:
        items: In this order, over and over.
        dwell_s: How long each stays.
        test_s: How long all segments are dark after the start.
        offset_s: Local time minus UTC.
    """

    items: tuple[Item, ...] = ITEMS
    dwell_s: float = 5.0
    test_s: float = 2.0
    offset_s: int = 0

    def __post_init__(self) -> None:
        if not self.items or self.dwell_s <= 0 or self.test_s < 0:
            raise ValueError(
                f"{len(self.items)} screens of {self.dwell_s} s are no display: name at least one,"
                " and a time above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the meter knows at one moment.

    Attributes:
        at_s: The calendar, seconds UTC.
        of: Values in the display's units (kWh, kW, V, A, Hz); what is missing is not measured.
        phases: Which phases have voltage.
        quadrant: 1 to 4; None where nothing flows.
        tariff: The active tariff.
        error: The error register; 0 is none.
        relay_closed: Whether the supply is connected.
    """

    at_s: int
    of: Mapping[Obis, Decimal] = field(default_factory=dict)
    phases: frozenset[int] = frozenset()
    quadrant: int | None = None
    tariff: int | None = 1
    error: int = 0
    relay_closed: bool = True


class Display:
    """Chooses the screen.

    Args:
        config: What it goes through.
    """

    def __init__(self, config: DisplayConfig) -> None:
        self.config = config

    def screen(self, since_s: float, values: Values) -> Screen:
        """Return the screen `since_s` seconds after the start."""
        if since_s < self.config.test_s:
            return TEST_SCREEN
        turn = int((since_s - self.config.test_s) // self.config.dwell_s)
        return self.show(self.config.items[turn % len(self.config.items)], values)

    def screens(self, values: Values) -> list[Screen]:
        """Return all screens in their order, the test of the glass first."""
        return [TEST_SCREEN, *(self.show(item, values) for item in self.config.items)]

    def show(self, item: Item, values: Values) -> Screen:
        """Return one item's screen."""
        return Screen(
            code=item.shown_code,
            value=self._words(item, values),
            unit=item.unit,
            phases=values.phases,
            quadrant=values.quadrant,
            tariff=values.tariff,
            alarm=values.error != 0,
            relay_closed=values.relay_closed,
        )

    def _words(self, item: Item, values: Values) -> str:
        local = datetime.fromtimestamp(values.at_s, UTC) + timedelta(seconds=self.config.offset_s)
        if item.obis == TIME:
            return f"{local:%H:%M:%S}"
        if item.obis == DATE:
            return f"{local:%y.%m.%d}"
        if item.obis == ERRORS:
            return f"{values.error:0{VALUE_DIGITS}d}"
        value = values.of.get(item.obis)
        return DASHES if value is None else digits(value, item)


def digits(value: Decimal, item: Item) -> str:
    """Return a value's digits: a register from its full width of digits, others as they come."""
    step = Decimal(1).scaleb(-item.decimals)
    if item.is_energy:
        whole = int(value.quantize(step, ROUND_DOWN).scaleb(item.decimals)) % 10**VALUE_DIGITS
        words = f"{whole:0{VALUE_DIGITS}d}"
        return f"{words[: -item.decimals]}.{words[-item.decimals :]}" if item.decimals else words
    words = f"{value.quantize(step, ROUND_HALF_EVEN):f}"
    fits = sum(each != "." for each in words) <= VALUE_DIGITS
    return words if fits else DASHES


def measured(
    config: ChainConfig, frame: Frame, energy: Accumulators, at_s: int, *, meter: int = 0
) -> Values:
    """Return what the chain knows of one meter, by the codes of its rows."""
    of: dict[Obis, Decimal] = {}
    for row in range(ROWS):
        for quantity in Quantity:
            register = int(energy.micro[meter, row, quantity])
            of[_obis(obis_c(row, quantity), ENERGY)] = Decimal(register) / MICRO_PER_KILO
    for phase in range(PHASES):
        of[_obis(32 + 20 * phase, INSTANT)] = _decimal(frame.voltage_v[meter, phase])
        of[_obis(31 + 20 * phase, INSTANT)] = _decimal(frame.current_a[meter, phase])
    of[_obis(91, INSTANT)] = _decimal(frame.current_a[meter, PHASES])
    active, reactive = frame.active_w[meter, TOTAL], frame.reactive_var[meter, TOTAL]
    of[_obis(1, INSTANT)] = _decimal(active / 1000)
    of[_obis(3, INSTANT)] = _decimal(reactive / 1000)
    of[_obis(9, INSTANT)] = _decimal(frame.apparent_va[meter, TOTAL] / 1000)
    for c, value in ((14, frame.frequency_hz[meter]), (13, frame.power_factor[meter, TOTAL])):
        if not np.isnan(value):
            of[_obis(c, INSTANT)] = _decimal(value)
    alive = frame.voltage_v[meter] >= DEAD_V * config.nominal_v
    flows = frame.apparent_va[meter, TOTAL] > 0
    return Values(
        at_s=at_s,
        of=of,
        phases=frozenset(n + 1 for n in range(PHASES) if alive[n]),
        quadrant=quadrant(active, reactive) if flows else None,
    )


def replayed(shown: Momentary) -> Values:
    """Return what a meter of replayed load knows: one phase, no reactive power."""
    return Values(
        at_s=shown.at_s,
        of={
            _obis(1, ENERGY): Decimal(shown.import_register_wh) / 1000,
            _obis(2, ENERGY): Decimal(shown.export_register_wh) / 1000,
            _obis(1, INSTANT): Decimal(shown.power_w) / 1000,
            _obis(12, INSTANT): Decimal(shown.voltage_dv) / 10,
            _obis(11, INSTANT): Decimal(shown.current_ca) / 100,
        },
        phases=frozenset({1}),
        quadrant=(1 if shown.power_w > 0 else 2) if shown.power_w else None,
        relay_closed=shown.breaker_closed,
    )


def quadrant(active_w: float, reactive_var: float) -> int:
    """Return the quadrant: I and IV import, II and III export; I and II reactive import."""
    if active_w >= 0:
        return 1 if reactive_var >= 0 else 4
    return 2 if reactive_var >= 0 else 3


def _obis(c: int, d: int) -> Obis:
    return Obis(1, 0, c, d, 0, 255)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))
