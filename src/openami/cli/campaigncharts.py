# SPDX-License-Identifier: Apache-2.0
"""A picture of studied campaigns: how many meters run the new firmware, by time."""

from collections.abc import Sequence
from html import escape
from typing import Final

from openami.headend.campaign_study import Studied

LEFT, WIDE, TOP, HIGH = 64, 620, 24, 260
FULL_WIDE, FULL_HIGH = LEFT + WIDE + 190, TOP + HIGH + 56
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
HOUR_S: Final = 3600.0
STEPS_H: Final = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336)
MOST_TICKS: Final = 9
POINTS: Final = 400


def chart(curves: Sequence[tuple[str, Studied]], meters: int) -> str:
    """Return an SVG: the share of meters that run it, of each study; simulated, and said so."""
    last_s = max((done.waves_s[-1][1] for _, done in curves), default=HOUR_S) or HOUR_S

    def across(at_s: float) -> float:
        return round(LEFT + WIDE * at_s / last_s, 1)

    def down(count: float) -> float:
        return round(TOP + HIGH * (1 - count / meters), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {FULL_WIDE} {FULL_HIGH}">',
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        "<style>text { font: 12px system-ui, sans-serif; }</style>",
        f"<title>Firmware campaigns for {meters:,} meters, simulated</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    step = next((each for each in STEPS_H if last_s / HOUR_S / each <= MOST_TICKS), STEPS_H[-1])
    for hour in range(0, int(last_s / HOUR_S) + 1, step):
        x, text = across(hour * HOUR_S), f"{hour}\u202fh" if step < 24 else f"{hour / 24:g}\u202fd"
        parts.append(f'<path d="M{x} {TOP}V{TOP + HIGH}" stroke="#e3e6e6"/>')
        parts.append(f'<text x="{x}" y="{TOP + HIGH + 18}" text-anchor="middle">{text}</text>')
    for percent in (0, 25, 50, 75, 100):
        y = down(meters * percent / 100)
        parts.append(f'<path d="M{LEFT} {y}H{LEFT + WIDE}" stroke="#e3e6e6"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{percent}\u202f%</text>')
    for number, (name, done) in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        stride = max(1, len(done.confirmed_s) // POINTS)
        points = [(0.0, 0)]
        for index in range(0, len(done.confirmed_s), stride):
            at_s = done.confirmed_s[index]
            if at_s - points[-1][0] > last_s / 100:  # between waves nothing comes
                points.append((at_s, points[-1][1]))
            points.append((at_s, index + 1))
        if done.confirmed_s:
            points.append((done.confirmed_s[-1], len(done.confirmed_s)))
        line = " ".join(f"{across(at_s)},{down(count)}" for at_s, count in points)
        dash = ' stroke-dasharray="5 3"' if "broadcast" in name else ""
        style = f'fill="none" stroke="{colour}" stroke-width="2"{dash}'
        parts.append(f'<polyline points="{line}" {style}/>')
        x, y = LEFT + WIDE + 12, TOP + 18 * number + 8
        parts.append(f'<path d="M{x} {y}h20" {style}/>')
        parts.append(f'<text x="{x + 26}" y="{y + 4}">{escape(name)}</text>')
    parts.append(
        f'<text x="{LEFT}" y="{TOP + HIGH + 40}">after the start; meters whose new firmware is'
        " confirmed; simulated links</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"
