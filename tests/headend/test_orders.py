# SPDX-License-Identifier: Apache-2.0
"""An argument of a wrong type is refused in a sentence, whatever JSON can hold there."""

import re
from typing import Any

import pytest

from openami.exchange.commands import CommandKind
from openami.headend.orders import OrderError, order_of

DAYS = [{"id": 1, "switch": [{"at": "00:00", "tariff": 1}]}]
TARIFF: dict[str, Any] = {
    "name": "winter26",
    "days": DAYS,
    "weeks": [{"name": "all", "days": [1] * 7}],
    "seasons": [{"name": "year", "start": "01-01", "week": "all"}],
}
ODD: tuple[Any, ...] = ([], {}, 1.5, True, None, "\ud800", [[]], {"a": []})


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", ["name", "days", "weeks", "seasons", "activate", "special_days"])
def test_an_odd_part_of_a_tariff_is_refused_by_place(name: str, odd: object) -> None:
    if (name, odd) == ("special_days", []):
        return  # it empties the table
    with pytest.raises(OrderError, match=re.escape(name)):
        order_of(CommandKind.TARIFF, TARIFF | {name: odd})


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", ["items", "on_failure"])
def test_an_odd_part_of_a_bundle_is_refused_by_place(name: str, odd: object) -> None:
    with pytest.raises(OrderError, match=re.escape(f"bundle.{name}")):
        order_of(CommandKind.BUNDLE, {"items": [{"kind": "read"}]} | {name: odd})


@pytest.mark.parametrize("odd", [*ODD, "x"], ids=repr)
@pytest.mark.parametrize("name", ["action", "force", "guard_s"])
def test_an_odd_part_of_a_clock_order_is_refused_by_place(name: str, odd: object) -> None:
    if (name, odd) == ("force", True) or (
        name == "guard_s" and odd in (None, 1.5) and odd is not True
    ):
        return
    with pytest.raises(OrderError, match=re.escape(f"clock.{name}")):
        order_of(CommandKind.CLOCK, {"action": "set"} | {name: odd})
