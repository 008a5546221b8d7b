# SPDX-License-Identifier: Apache-2.0
"""A time-of-use tariff, exact: what energy cost, by the household's local clock.

Prices are decimals and stay exact; only `Bill.rounded` rounds, once, at the bill line.  An interval
is priced by the local time at which it starts, so days with 23 and 25 hours need no care.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Final, Self
from zoneinfo import ZoneInfo

from openami.runtime.clock import from_us
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml

WH_IN_KWH: Final = 1000
CENT: Final = Decimal("0.01")
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY: Final = frozenset(range(7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A price in part of the week; [from_time, to_time), midnight to midnight when equal."""

    name: str
    price_per_kwh: Decimal
    days: frozenset[int] = EVERY_DAY  # 0 is Monday
    from_time: time = time()
    to_time: time = time()

    def holds(self, local: datetime) -> bool:
        """Tell whether this rate holds at a local time; one over midnight counts by its start."""
        moment = local.time()
        if self.from_time == self.to_time:
            return local.weekday() in self.days
        if self.from_time < self.to_time:
            return local.weekday() in self.days and self.from_time <= moment < self.to_time
        if moment >= self.from_time:
            return local.weekday() in self.days
        return moment < self.to_time and (local.weekday() - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Bill:
    """What a series cost, exactly."""

    energy_wh: int
    energy: Decimal
    standing: Decimal
    by_rate: Mapping[str, Decimal]

    @property
    def total(self) -> Decimal:
        return self.energy + self.standing

    @property
    def rounded(self) -> Decimal:
        """The bill line: to cents, half up."""
        return self.total.quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Rates in order of precedence: the first that holds is the price; the last always holds."""

    name: str
    currency: str
    daily_charge: Decimal
    rates: Sequence[Rate]
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def rate_at(self, moment_us: int) -> Rate:
        """Return the rate at a moment, microseconds UTC."""
        local = from_us(moment_us).astimezone(self.zone)
        return next(rate for rate in self.rates if rate.holds(local))

    def cost(self, start_us: int, energy_wh: int) -> Decimal:
        """Return what the energy of one interval cost."""
        return self.rate_at(start_us).price_per_kwh * energy_wh / WH_IN_KWH

    def bill(self, intervals: Iterable[tuple[int, int]], *, days: int = 0) -> Bill:
        """Price intervals (start_us, energy_wh) and standing charges of whole days."""
        by_rate: dict[str, Decimal] = {}
        total_wh = 0
        for start_us, energy_wh in intervals:
            rate = self.rate_at(start_us)
            cost = rate.price_per_kwh * energy_wh / WH_IN_KWH
            by_rate[rate.name] = by_rate.get(rate.name, Decimal(0)) + cost
            total_wh += energy_wh
        energy = sum(by_rate.values(), Decimal(0))
        return Bill(total_wh, energy, self.daily_charge * days, by_rate)

    @classmethod
    def load(cls, path: Path, zone: ZoneInfo) -> Self:
        """Read a TOML file with a table `[tariff]` and its `[[tariff.rate]]`.

        Raises:
            ConfigurationError: The file is missing or something in it is wrong.
        """
        tables = read_toml(path, "name an existing tariff file, or none for the demo's tariff")
        table = tables.get("tariff")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path} has no table [tariff]: write one")
        return cls.of(table, zone)

    @classmethod
    def of(cls, table: Mapping[str, object], zone: ZoneInfo) -> Self:
        """Read the table `[tariff]`.

        Raises:
            ConfigurationError: A key is missing or wrong.
        """
        rows = table.get("rate", [])
        if not isinstance(rows, list) or not rows:
            raise ConfigurationError("[tariff] has no rate: write at least one [[tariff.rate]]")
        rates = [_rate(row) for row in rows]
        last = rates[-1]
        if last.days != EVERY_DAY or last.from_time != last.to_time:
            sentence = f"[[tariff.rate]] {last.name} is the last and must hold always"
            raise ConfigurationError(f"{sentence}: leave out its days, from and to")
        return cls(
            name=str(table.get("name", "time of use")),
            currency=str(table.get("currency", "AUD")),
            daily_charge=_decimal(table, "daily_charge"),
            rates=rates,
            zone=zone,
        )


def default_tariff(zone: ZoneInfo) -> Tariff:
    """Return the demo's tariff: three rates as Australian households know them."""
    working = frozenset(range(5))
    return Tariff(
        name="Demo time of use",
        currency="AUD",
        daily_charge=Decimal("1.10"),
        rates=(
            Rate(
                name="peak",
                price_per_kwh=Decimal("0.46"),
                days=working,
                from_time=time(15),
                to_time=time(21),
            ),
            Rate(
                name="off-peak",
                price_per_kwh=Decimal("0.19"),
                from_time=time(22),
                to_time=time(7),
            ),
            Rate(name="shoulder", price_per_kwh=Decimal("0.27")),
        ),
        zone=zone,
    )


def _rate(row: object) -> Rate:
    if not isinstance(row, dict):
        raise ConfigurationError("[[tariff.rate]] is no table: write name and price_per_kwh")
    name = str(row.get("name", ""))
    if not name:
        raise ConfigurationError("[[tariff.rate]] has no name: give it one")
    return Rate(
        name=name,
        price_per_kwh=_decimal(row, "price_per_kwh"),
        days=_days(row.get("days")),
        from_time=_time(row, "from"),
        to_time=_time(row, "to"),
    )


def _decimal(table: Mapping[str, object], key: str) -> Decimal:
    text = table.get(key, "0" if key == "daily_charge" else None)
    try:
        value = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite():
        sentence = f'[tariff] {key} is {text!r}: write a decimal in quotes, e.g. "0.27"'
        raise ConfigurationError(sentence)
    return value


def _days(names: object) -> frozenset[int]:
    if names is None:
        return EVERY_DAY
    if isinstance(names, list) and names and all(name in WEEKDAYS for name in names):
        return frozenset(WEEKDAYS.index(name) for name in names)
    raise ConfigurationError(f"[[tariff.rate]] days is {names!r}: write a list of {WEEKDAYS}")


def _time(row: Mapping[str, object], key: str) -> time:
    value = row.get(key)
    if value is None or value == "24:00":
        return time()
    if isinstance(value, time):
        return value
    try:
        return time.fromisoformat(str(value))
    except ValueError:
        sentence = f'[[tariff.rate]] {key} is {value!r}: write a time of day, e.g. "07:00"'
        raise ConfigurationError(sentence) from None
