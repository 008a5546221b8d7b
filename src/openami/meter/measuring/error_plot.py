# SPDX-License-Identifier: Apache-2.0
"""The picture of the errors: curves over the current inside the band of the limits.

Above, one curve for each power factor over a logarithmic current, the limits as bands: at unity
and, dashed, at the other power factors.  Below, each influence as a bar from nothing to its limit
and the variation as a point on it.
"""

from collections.abc import Iterator
from math import log10
from typing import Final

from openami.meter.measuring.accuracy import ERROR_LIMITS, MOST_IN, Errors, InfluenceRow, Load
from openami.meter.measuring.svg import element, picture, polyline, text

WIDTH: Final = 880
LEFT, RIGHT, TOP, BOTTOM = 76, 850, 92, 372
LEAST_IN: Final = 0.009
MOST_PERCENT: Final = 1.2
COLOURS: Final = {
    Load.UNITY: "var(--import)",
    Load.INDUCTIVE: "var(--export)",
    Load.CAPACITIVE: "var(--third)",
}
MARKS_IN: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, MOST_IN)
ROW: Final = 24
BARS_LEFT, BARS_RIGHT = 330, 690


def error_plot(errors: Errors) -> str:
    """Return the picture as SVG."""
    influences = list(_worst(errors.influences))
    height = BOTTOM + 110 + ROW * len(influences) + 40
    parts = [
        element("rect", width=WIDTH, height=height, fill="var(--ground)"),
        text(20, 30, "Errors of the measuring chain against class 0.5 S", "head"),
        text(
            20,
            50,
            "Simulated front end 5(100) A, calibrated at In, drifted since; in percent",
            "soft",
        ),
        *_legend(),
        *_bands(),
        *_axes(),
        *(_curve(errors, load) for load in Load),
        *_points(errors),
        *_influences(influences, BOTTOM + 84),
        text(
            20,
            height - 16,
            "Limits of the influences marked (?) come from one source: compare them with the"
            " standard.",
            "soft",
        ),
    ]
    return picture(WIDTH, height, "Errors of the measuring chain against class 0.5 S", parts)


def _x(current_in: float) -> float:
    span = log10(MOST_IN * 1.15 / LEAST_IN)
    return LEFT + (RIGHT - LEFT) * log10(current_in / LEAST_IN) / span


def _y(percent: float) -> float:
    return (TOP + BOTTOM) / 2 - percent / MOST_PERCENT * (BOTTOM - TOP) / 2


def _bands() -> Iterator[str]:
    for limit in ERROR_LIMITS:
        left, right = _x(limit.from_in), _x(limit.below_in)
        top, bottom = _y(limit.limit_percent), _y(-limit.limit_percent)
        if limit.load is Load.UNITY:
            yield element(
                "rect", x=left, y=top, width=right - left, height=bottom - top, fill="var(--band)"
            )
        if limit.load is not Load.CAPACITIVE:
            dash = "none" if limit.load is Load.UNITY else "5 4"
            for level in (top, bottom):
                yield element(
                    "line",
                    x1=left,
                    x2=right,
                    y1=level,
                    y2=level,
                    stroke="var(--accent)",
                    stroke_width=1.5,
                    stroke_dasharray=dash,
                )


def _axes() -> Iterator[str]:
    for percent in (-1.0, -0.5, 0.0, 0.5, 1.0):
        level = _y(percent)
        yield element("line", x1=LEFT, x2=RIGHT, y1=level, y2=level, stroke="var(--line)")
        yield text(LEFT - 10, level + 4, f"{percent:+.1f} %" if percent else "0 %", "end soft")
    for current in MARKS_IN:
        place = _x(current)
        yield element("line", x1=place, x2=place, y1=BOTTOM, y2=BOTTOM + 5, stroke="var(--soft)")
        words = "Imax" if current == MOST_IN else f"{current:g}"
        yield text(place, BOTTOM + 20, words, "middle soft")
    yield text((LEFT + RIGHT) / 2, BOTTOM + 40, "current in In (5 A)", "middle soft")


def _legend() -> Iterator[str]:
    place = 20.0
    for load in Load:
        yield element("circle", cx=place + 5, cy=72, r=4.5, fill=COLOURS[load])
        words = f"cos φ {load.words}"
        yield text(place + 16, 76, words)
        place += 40 + 7.2 * len(words)
    yield element(
        "rect", x=place, y=65, width=22, height=14, fill="var(--band)", stroke="var(--accent)"
    )
    yield text(place + 30, 76, "limits at cos φ 1")
    place += 150
    yield element(
        "line",
        x1=place,
        x2=place + 24,
        y1=72,
        y2=72,
        stroke="var(--accent)",
        stroke_width=1.5,
        stroke_dasharray="5 4",
    )
    yield text(place + 32, 76, "0.5 inductive, 0.8 capacitive")


def _curve(errors: Errors, load: Load) -> str:
    points = [
        (_x(row.current_in), _y(row.error_percent)) for row in errors.rows if row.load is load
    ]
    return polyline(points, COLOURS[load])


def _points(errors: Errors) -> Iterator[str]:
    """Draw points of decreasing size, so that curves that meet can still be told apart."""
    for load, radius in zip(Load, (6.5, 4.5, 2.5), strict=True):
        for row in errors.rows:
            if row.load is load:
                colour = COLOURS[load] if row.within else "var(--harm)"
                yield element(
                    "circle",
                    cx=_x(row.current_in),
                    cy=min(max(_y(row.error_percent), TOP), BOTTOM),
                    r=radius,
                    fill=colour,
                )


def _influences(rows: list[InfluenceRow], top: float) -> Iterator[str]:
    yield text(20, top - 8, "Variation of the error by influences, worst current", "head")
    for number, row in enumerate(rows):
        level = top + 14 + number * ROW
        influence = row.influence
        part = min(abs(row.variation_percent) / influence.limit_percent, 1.15)
        doubt = "" if influence.sure else " (?)"
        yield text(20, level + 5, f"{influence.name}, cos φ {influence.load.words}")
        yield element(
            "rect",
            x=BARS_LEFT,
            y=level - 6,
            width=BARS_RIGHT - BARS_LEFT,
            height=12,
            rx=2,
            fill="var(--band)",
            stroke="var(--accent)",
        )
        yield element(
            "circle",
            cx=BARS_LEFT + part * (BARS_RIGHT - BARS_LEFT),
            cy=level,
            r=4.5,
            fill="var(--import)" if row.within else "var(--harm)",
        )
        said = (
            f"{round(row.variation_percent, 4) + 0.0:+.4f} of ±{influence.limit_percent:g} %{doubt}"
        )
        yield text(RIGHT, level + 5, said, "end soft")


def _worst(rows: tuple[InfluenceRow, ...]) -> Iterator[InfluenceRow]:
    """Yield the row of each influence and load that moved the error most."""
    for influence in dict.fromkeys(row.influence for row in rows):
        mine = [row for row in rows if row.influence is influence]
        yield max(mine, key=lambda row: abs(row.variation_percent))
