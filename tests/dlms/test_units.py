# SPDX-License-Identifier: Apache-2.0
from decimal import Decimal

import pytest

from openami.dlms.units import UNITS, scaled, symbol


@pytest.mark.parametrize(
    ("code", "name"),
    [(1, "a"), (7, "s"), (13, "m³"), (18, "m³/d"), (19, "l"), (27, "W"), (30, "Wh"), (32, "varh"),
     (33, "A"), (35, "V"), (38, "Ω"), (44, "Hz"), (52, "K"), (53, "1/V²h"), (56, "%"), (57, "Ah"),
     (60, "Wh/m³"), (67, "atm"), (70, "dBm"), (72, "dB"), (128, "in"),
     (137, "ft³"), (144, "lb/(ft·s)"), (150, "BTU/ft³"), (152, "ft/s"), (160, "acre·ft/d"),
     (165, "gal(imp)/d"), (170, "gal(US)/d"), (174, "BTU/d"), (255, "")],
)  # fmt: skip
def test_symbols_stand_at_their_codes(code: int, name: str) -> None:
    assert symbol(code) == name


def test_an_unnamed_code_stays_a_number() -> None:
    assert symbol(200) == "unit 200"
    metric = {*range(1, 58), *range(60, 68), 70, 71, 72}
    imperial = set(range(128, 175)) - {151, 161, 166}
    assert set(UNITS) == metric | imperial | {254, 255}


@pytest.mark.parametrize(
    ("value", "scaler", "text"),
    [(12345, -3, "12.345"), (12000, -3, "12.000"), (5, 0, "5"), (5, 3, "5000"), (-1, -1, "-0.1")],
)
def test_scaling_is_exact(value: int, scaler: int, text: str) -> None:
    assert scaled(value, scaler) == Decimal(text)
    assert format(scaled(value, scaler), "f") == text
