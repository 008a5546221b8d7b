# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.mdm.tariff import Bill, Rate, Tariff, default_tariff
from openami.runtime.clock import to_us
from openami.runtime.errors import ConfigurationError

SYDNEY = ZoneInfo("Australia/Sydney")
TARIFF = default_tariff(SYDNEY)
HALF_HOUR_US = 1_800_000_000


def us(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return to_us(datetime(year, month, day, hour, minute, tzinfo=SYDNEY))


@pytest.mark.parametrize(
    ("moment", "rate"),
    [
        ((2024, 3, 4, 14, 59), "shoulder"),  # a Monday
        ((2024, 3, 4, 15), "peak"),
        ((2024, 3, 4, 20, 59), "peak"),
        ((2024, 3, 4, 21), "shoulder"),
        ((2024, 3, 4, 22), "off-peak"),
        ((2024, 3, 5, 6, 59), "off-peak"),
        ((2024, 3, 5, 7), "shoulder"),
        ((2024, 3, 9, 16), "shoulder"),  # a Saturday
    ],
)
def test_the_rate_follows_the_local_clock(moment: tuple[int, int, int, int], rate: str) -> None:
    assert TARIFF.rate_at(us(*moment)).name == rate


@pytest.mark.parametrize(("month", "day", "intervals"), [(4, 7, 50), (10, 6, 46), (3, 4, 48)])
def test_days_of_23_and_25_hours_are_priced_whole(month: int, day: int, intervals: int) -> None:
    """On 2024-04-07 Sydney's clocks went back, on 2024-10-06 forward: off-peak hours differ."""
    start, end = us(2024, month, day), us(2024, month, day + 1)
    series = [(moment, 1000) for moment in range(start, end, HALF_HOUR_US)]
    assert len(series) == intervals

    bill = TARIFF.bill(series, days=1)

    sunday = month != 3
    peak = 0 if sunday else 12
    off_peak = 18 + intervals - 48
    shoulder = 48 - 18 - peak
    expected = {
        name: count * price
        for name, count, price in (
            ("peak", peak, Decimal("0.46")),
            ("off-peak", off_peak, Decimal("0.19")),
            ("shoulder", shoulder, Decimal("0.27")),
        )
        if count
    }
    assert bill.by_rate == expected
    assert bill.total == sum(expected.values()) + Decimal("1.10")
    assert bill.energy_wh == intervals * 1000


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 20_000)), max_size=50))
def test_a_bill_is_exactly_the_sum_of_its_intervals(series: list[tuple[int, int]]) -> None:
    bill = TARIFF.bill(series)

    assert bill.energy == sum((TARIFF.cost(*each) for each in series), Decimal(0))
    assert bill.total == bill.energy


def test_rounding_happens_once_and_half_up() -> None:
    assert Bill(0, Decimal("1.005"), Decimal(0), {}).rounded == Decimal("1.01")
    assert Bill(0, Decimal("1.0049"), Decimal(0), {}).rounded == Decimal("1.00")


TEXT = """
[tariff]
name = "Flat nights"
currency = "EUR"
daily_charge = "0.50"
[[tariff.rate]]
name = "night"
price_per_kwh = "0.20"
days = ["fri", "sat"]
from = "22:00"
to = 06:00:00
[[tariff.rate]]
name = "day"
price_per_kwh = "0.30"
"""


def test_a_tariff_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tariff.toml"
    path.write_text(TEXT)

    tariff = Tariff.load(path, ZoneInfo("UTC"))

    assert (tariff.name, tariff.currency, tariff.daily_charge) == (
        "Flat nights",
        "EUR",
        Decimal("0.50"),
    )
    for moment, name in (
        (datetime(2024, 3, 8, 23, tzinfo=UTC), "night"),  # a Friday
        (datetime(2024, 3, 10, 5, tzinfo=UTC), "night"),  # the night that began on Saturday
        (datetime(2024, 3, 10, 23, tzinfo=UTC), "day"),
        (datetime(2024, 3, 8, 5, tzinfo=UTC), "day"),
    ):
        assert tariff.rate_at(to_us(moment)).name == name


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("[tariff]\n", "[x]\n", r"has no table \[tariff\]"),
        ('"0.20"', "0.20", "write a decimal in quotes"),
        ('"0.20"', '"a"', "write a decimal in quotes"),
        ('"0.20"', '"NaN"', "write a decimal in quotes"),
        ('"22:00"', '"25:00"', "write a time of day"),
        ('["fri", "sat"]', '["someday"]', "write a list of"),
        ('name = "night"', "x = 1", "has no name"),
        ('price_per_kwh = "0.30"', 'price_per_kwh = "0.30"\nfrom = "07:00"', "must hold always"),
    ],
)
def test_a_wrong_tariff_is_named(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    path = tmp_path / "tariff.toml"
    text = TEXT.replace(before, after, 1)
    if after == "[x]\n":
        text = text.replace("tariff.rate", "x.rate")
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=sentence):
        Tariff.load(path, SYDNEY)


def test_a_tariff_without_rates_is_named() -> None:
    with pytest.raises(ConfigurationError, match="has no rate"):
        Tariff.of({"daily_charge": "1"}, SYDNEY)
    with pytest.raises(ConfigurationError, match="is no table"):
        Tariff.of({"rate": [3]}, SYDNEY)
    assert Rate(name="x", price_per_kwh=Decimal(1)).from_time == time()
