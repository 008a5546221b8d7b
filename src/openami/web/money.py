# SPDX-License-Identifier: Apache-2.0
"""Prices for pages: the tariff's rates as amounts with a sign.

Amounts are for energy alone; the daily charge is named beside them and belongs to the bill.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from openami.mdm.tariff import Rate, Tariff, default_tariff
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml

SIGNS: Final = {"AUD": "$", "NZD": "$", "USD": "$", "CAD": "$", "EUR": "€", "GBP": "£"}
REMEDY: Final = "correct the tariff named in web/config.toml, or leave it out"


@dataclass(frozen=True, slots=True)
class Prices:
    """A tariff as pages show it."""

    tariff: Tariff

    @property
    def currency(self) -> str:
        """Return the sign that stands before an amount, or the code where it has none."""
        return SIGNS.get(self.tariff.currency, f"{self.tariff.currency}\u00a0")

    def at(self, us: int) -> Rate:
        """Return the rate at a moment."""
        return self.tariff.rate_at(us)

    def cost(self, starts_us: Sequence[int], values_wh: Sequence[int]) -> Decimal:
        """Return the price of intervals, exactly."""
        return self.tariff.bill(zip(starts_us, values_wh, strict=True)).energy


def load_prices(path: Path | None, zone: ZoneInfo) -> Prices:
    """Read the tariff's TOML file; without one, the demo's tariff.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    if path is None:
        return Prices(default_tariff(zone))
    try:
        return Prices(Tariff.of(read_toml(path, REMEDY).get("tariff", {}), zone))
    except ConfigurationError as error:
        if str(path) in str(error):
            raise
        raise ConfigurationError(f"{path}: {error}") from error
