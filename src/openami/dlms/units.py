# SPDX-License-Identifier: Apache-2.0
"""Physical units by their code in `scaler_unit` (DLMS UA 1000-1 Ed. 12, 4.3.2, Table 4)."""

from decimal import Decimal
from types import MappingProxyType
from typing import Final

_ROWS: Final = (  # first code, symbols of the codes from there on
    (1, "a mo wk d h min s ° °C currency m m/s m³ m³ m³/h m³/h m³/d m³/d"),
    (19, "l kg N Nm Pa bar J J/h W VA var Wh VAh varh A C V V/m F Ω"),
    (39, "Ωm²/m Wb T A/m H Hz 1/Wh 1/varh 1/VAh V²h A²h kg/s S K"),
    (53, "1/V²h 1/A²h 1/m³ % Ah"),
    (60, "Wh/m³ J/m³ mol% g/m³ Pa·s J/kg g/cm² atm"),
    (70, "dBm dBµV dB"),
    (128, "in ft lb °F °R in² ft² acre in³ ft³ acre·ft gal(imp) gal(US) lbf psi lb/ft³ lb/(ft·s)"),
    (145, "ft²/s BTU therm(EU) therm(US) BTU/lb BTU/ft³"),  # 151, 161, 166: sources differ
    (152, "ft/s ft³/s ft³/min ft³/h ft³/d acre·ft/s acre·ft/min acre·ft/h acre·ft/d"),
    (162, "gal(imp)/s gal(imp)/min gal(imp)/h gal(imp)/d"),
    (167, "gal(US)/s gal(US)/min gal(US)/h gal(US)/d BTU/s BTU/min BTU/h BTU/d"),
    (254, "other"),
)
_NAMES: Final = {code: name for row, text in _ROWS for code, name in enumerate(text.split(), row)}

UNITS: Final = MappingProxyType({**_NAMES, 255: ""})
"""Code to symbol; 255 is a number without unit."""


def symbol(code: int) -> str:
    """Return the symbol of a unit; a code that this edition does not name stays a number."""
    return UNITS.get(code, f"unit {code}")


def scaled(value: int, scaler: int) -> Decimal:
    """Return value x 10**scaler, exact, with as many decimals as the scaler has."""
    return Decimal(value).scaleb(scaler) if scaler <= 0 else Decimal(value * 10**scaler)
