# SPDX-License-Identifier: Apache-2.0
"""A picture of how soon values were there, with the corner that each rule asks for."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import polars as pl

from openami.headend.sla import Rule, Start
from openami.runtime.clock import MICROSECONDS

LEFT, WIDE, TOP, HIGH = 64, 620, 24, 260
FULL_WIDE, FULL_HIGH = LEFT + WIDE + 140, TOP + HIGH + 56
LOW_S, TOP_S = 1.0, 7 * 86_400.0
TICKS: Final = {
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    21_600: "6 h",
    86_400: "1 d",
    604_800: "7 d",
}
POINTS: Final = 200


def chart(observations: pl.DataFrame, rules: Sequence[Rule], title: str) -> str:
    """Return an SVG: the share of what was due that was there within a time, of each region."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {FULL_WIDE} {FULL_HIGH}">',
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        "<style>text { font: 12px system-ui, sans-serif; }</style>",
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for second, text in TICKS.items():
        x = _across(second)
        parts.append(f'<path d="M{x} {TOP}V{TOP + HIGH}" stroke="#e3e6e6"/>')
        parts.append(f'<text x="{x}" y="{TOP + HIGH + 18}" text-anchor="middle">{text}</text>')
    for percent in (0, 25, 50, 75, 100):
        y = _down(percent)
        parts.append(f'<path d="M{LEFT} {y}H{LEFT + WIDE}" stroke="#e3e6e6"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{percent}\u202f%</text>')
    parts.append(
        f'<text x="{LEFT}" y="{TOP + HIGH + 40}">time after the end of the interval</text>'
    )
    colours = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
    regions = observations["region"].unique().sort().to_list()
    for number, region in enumerate(regions):
        colour = colours[number % len(colours)]
        parts.append(_curve(observations.filter(pl.col("region") == region), colour))
        y = TOP + 16 * number + 8
        x = LEFT + WIDE + 12
        parts.append(f'<path d="M{x} {y}h16" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 22}" y="{y + 4}">{escape(region)}</text>')
    corners = [rule for rule in rules if rule.start is Start.MOMENT]
    for number, rule in enumerate(corners):
        x, y = _across(rule.within_s), _down(rule.percent)
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="none" stroke="#c2371f"/>')
        parts.append(
            f'<text x="{x - 6}" y="{y + 18 + 16 * number}" text-anchor="end" fill="#c2371f">'
            f"{escape(rule.name)}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _curve(observations: pl.DataFrame, colour: str) -> str:
    took = ((observations["done_us"] - observations["from_us"]) / MICROSECONDS).drop_nulls().sort()
    due = observations.height
    points = []
    for number in range(POINTS + 1):
        second = LOW_S * (TOP_S / LOW_S) ** (number / POINTS)
        there = took.search_sorted(second, side="right")
        points.append(f"{_across(second)},{_down(100 * int(there) / due)}")
    line = " ".join(points)
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _across(second: float) -> float:
    share = math.log(min(max(second, LOW_S), TOP_S) / LOW_S) / math.log(TOP_S / LOW_S)
    return round(LEFT + WIDE * share, 1)


def _down(percent: float) -> float:
    return round(TOP + HIGH * (1 - percent / 100), 1)
