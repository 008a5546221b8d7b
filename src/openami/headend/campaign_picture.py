# SPDX-License-Identifier: Apache-2.0
"""A campaign as a picture: its waves by state, its meters over time; and the report as a page.

Drawn with classes only, so that a console's style sheet, light or dark, colours it; the page of a
report brings the same colours along.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from openami.exchange.campaign import MeterState
from openami.exchange.words import many
from openami.headend.campaign_report import Report

COLOURS: Final = {
    MeterState.PLANNED: "#c3cbca",
    MeterState.TRANSFERRING: "#56b4e9",
    MeterState.TRANSFERRED: "#0072b2",
    MeterState.VERIFIED: "#0072b2",
    MeterState.ACTIVATING: "#f0e442",
    MeterState.TRIAL: "#e69f00",
    MeterState.CONFIRMED: "#009e73",
    MeterState.REVERTED: "#d55e00",
    MeterState.FAILED: "#cc79a7",
    MeterState.IN_DOUBT: "#7a3e00",
    MeterState.SKIPPED: "#8a9694",
}
"""Okabe and Ito's colours, which the colour-blind tell apart."""

LEFT, WIDE, ROW, BAR = 110, 560, 34, 20
TOP, HIGH = 16, 180
LINES: Final = (
    ("has the image", MeterState.TRANSFERRED),
    ("confirmed", MeterState.CONFIRMED),
    ("reverted, failed or in doubt", MeterState.REVERTED),
)


def css_class(state: str) -> str:
    """Return the class of a state in pictures and pages."""
    return f"fw-{state.replace(' ', '-')}"


def colours_css() -> str:
    """Return the rules that colour a picture."""
    rules = [
        f".{css_class(state.value)} {{ fill: {colour}; }}\n"
        f".line-{css_class(state.value)} {{ stroke: {colour}; fill: none; stroke-width: 2; }}"
        for state, colour in COLOURS.items()
    ]
    return "\n".join(rules)


def waves_svg(waves: Sequence[Report]) -> str:
    """Return a bar for each wave, cut by the states of its meters; its length is its size."""
    most = max((wave["meters"] for wave in waves), default=1) or 1
    height = TOP + ROW * len(waves) + 4
    parts = [_open(height, "Waves, cut by the states of their meters")]
    for number, wave in enumerate(waves):
        y = TOP + ROW * number
        name = (
            f"canaries {wave['meters']:,}" if number == 0 else f"wave {number}: {wave['meters']:,}"
        )
        css = "fw-text" if wave["open"] else "fw-text fw-quiet"
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end" class="{css}">{name}</text>'
        )
        x = float(LEFT)
        for state in MeterState:
            count = wave["states"].get(state.value, 0)
            width = WIDE * count / most
            if count:
                title = f"<title>{count:,} {state.value}</title>"
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}"'
                    f' class="{css_class(state.value)}">{title}</rect>'
                )
                x += width
    return "\n".join([*parts, "</svg>"])


def bar_svg(states: Report) -> str:
    """Return one bar, cut by the states of meters."""
    total = sum(states.values()) or 1
    parts = ['<svg viewBox="0 0 240 12" class="fw-bar" role="img"><title>Meters by state</title>']
    x = 0.0
    for state in MeterState:
        if count := states.get(state.value, 0):
            width = max(240 * count / total, 1)
            parts.append(
                f'<rect x="{x:.1f}" width="{width:.1f}" height="12"'
                f' class="{css_class(state.value)}"><title>{count:,} {state.value}</title></rect>'
            )
            x += 240 * count / total
    return "".join([*parts, "</svg>"])


def timeline_svg(rows: Sequence[Sequence[float]], meters: int, opened: Sequence[float]) -> str:
    """Return how many meters had come how far, over time; a mark where each wave was opened.

    Args:
        rows: Of `campaign_report.timeline`.
        meters: In the whole campaign.
        opened: When waves were opened, real UTC seconds.
    """
    moments = [*(row[0] for row in rows), *opened]
    if not moments:
        return ""
    first, last = min(moments), max(moments)
    span = max(last - first, 1.0)
    top = max(meters, 1)

    def across(at_s: float) -> float:
        return round(LEFT + WIDE * (at_s - first) / span, 1)

    def down(count: float) -> float:
        return round(TOP + HIGH * (1 - count / top), 1)

    parts = [_open(TOP + HIGH + 44, "Meters over time")]
    for share in (0.0, 0.5, 1.0):
        y = down(top * share)
        parts.append(f'<path d="M{LEFT} {y}H{LEFT + WIDE}" class="fw-grid"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" class="fw-text">'
            f"{top * share:,.0f}</text>"
        )
    for number, at_s in enumerate(opened):
        x = across(at_s)
        parts.append(f'<path d="M{x} {TOP}V{TOP + HIGH}" class="fw-mark"/>')
        name = "canaries" if number == 0 else f"wave {number}"
        beside, anchor = (x + 4, "start") if x < LEFT + WIDE / 2 else (x - 4, "end")
        parts.append(
            f'<text x="{beside}" y="{TOP + 10 + 14 * (number % 3)}" text-anchor="{anchor}"'
            f' class="fw-text fw-quiet">{name}</text>'
        )
    for column, (_, state) in enumerate(LINES, 1):
        points = [(first, 0.0)]
        for row in rows:
            points += [(row[0], points[-1][1]), (row[0], row[column])]
        points.append((last, points[-1][1]))
        line = " ".join(f"{across(at_s)},{down(count)}" for at_s, count in points)
        parts.append(f'<polyline points="{line}" class="line-{css_class(state.value)}"/>')
    parts.append(f'<text x="{LEFT}" y="{TOP + HIGH + 18}" class="fw-text">0</text>')
    parts.append(
        f'<text x="{LEFT + WIDE}" y="{TOP + HIGH + 18}" text-anchor="end" class="fw-text">'
        f"{_span_text(span)} after the first wave was opened</text>"
    )
    return "\n".join([*parts, "</svg>"])


def legend(names: Sequence[tuple[str, MeterState]]) -> str:
    """Return what the colours mean."""
    entries = [
        f'<span class="fw-key"><svg width="12" height="12" aria-hidden="true"><rect width="12"'
        f' height="12" class="{css_class(state.value)}"/></svg> {escape(name)}</span>'
        for name, state in names
    ]
    return f'<p class="fw-legend">{" ".join(entries)}</p>'


def states_legend(states: Sequence[str]) -> str:
    """Return what the colours of these states mean."""
    return legend([(state.value, state) for state in MeterState if state.value in states])


def page(told: Report, meters: Sequence[Report]) -> str:
    """Return a report as a page that stands alone, with these of its meters."""
    name = escape(f"{told['name']}: {told['release']['version']}")
    sections = [
        f"<h1>{name}</h1>",
        f"<p><b>{escape(told['state'])}</b>, {escape(told['note'])}</p>",
        _definitions(_facts(told)),
        f"<h2>Waves</h2>{waves_svg(told['waves'])}{states_legend(list(told['states']))}",
        "<h2>Over time</h2>"
        + timeline_svg(told["timeline"], told["meters_in_all"], opened_s(told))
        + legend(LINES),
        "<h2>Versions</h2>" + _versions(told),
        "<h2>What happened</h2>" + _table(("at", "state", "wave", "by", "note"), _history(told)),
    ]
    if meters:
        columns = (
            *("meter_id", "wave", "state", "reason", "version_before", "version_after"),
            *("blocks_sent", "octets_sent", "attempts", "changed_at", "note"),
        )
        count = told["meters_in_all"]
        left = (
            f"<p>The first {len(meters):,}, those that did not do well before others; the report "
            "as JSON has all.</p>"
            if len(meters) < count
            else ""
        )
        sections.append(f"<h2>{many(count, 'meter')}</h2>{left}" + _table(columns, meters))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Campaign {name}</title><style>{_STYLE}\n{colours_css()}</style></head>\n"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def opened_s(told: Report) -> list[float]:
    """Return when each wave was opened, real UTC seconds."""
    found: dict[int, float] = {}
    for step in told["history"]:
        if step["wave"] >= 0:
            at_s = datetime.fromisoformat(step["at"]).timestamp()
            found.setdefault(step["wave"], at_s)
    return [found[wave] for wave in sorted(found)]


def _facts(told: Report) -> list[tuple[str, Any]]:
    release, again = told["release"], told["blocks_again"]
    spoken = told["broadcast"]
    return [
        ("release", f"{release['name']}, {release['version']}, {release['octets']:,} octets"),
        ("hash", release["hash"]),
        ("signed with", release["signed_with"]),
        ("verified", f"by {release['verified_by']} at {release['verified_at']}"),
        ("planned", f"by {told['asked_by']} at {told['asked_at']}"),
        ("meters", ", ".join(f"{count:,} {state}" for state, count in told["states"].items())),
        ("reasons", ", ".join(f"{n:,} {why}" for why, n in told["reasons"].items()) or "none"),
        (
            "sent",
            f"{told['octets_sent']:,} octets in {told['blocks_sent']:,} blocks"
            + (f", {again:,} of them beyond what their meters needed" if again else ""),
        ),
        (
            "broadcast",
            f"{spoken['octets']:,} octets in {spoken['blocks']:,} blocks to {spoken['groups']:,} "
            f"groups, of which meters heard {told['blocks_heard']:,}"
            if spoken["groups"]
            else "nothing",
        ),
    ]


def _definitions(rows: Sequence[tuple[str, Any]]) -> str:
    return _table(("what", "value"), [{"what": name, "value": value} for name, value in rows])


def _history(told: Report) -> list[Report]:
    """Return the steps; before the start no wave is open."""
    return [step | {"wave": None if step["wave"] < 0 else step["wave"]} for step in told["history"]]


def _versions(told: Report) -> str:
    before, after = told["versions_before"], told["versions_after"]
    rows = [
        {"version": version, "before": before.get(version, 0), "now": after.get(version, 0)}
        for version in sorted(before.keys() | after.keys())
    ]
    return _table(("version", "before", "now"), rows)


def _table(columns: Sequence[str], rows: Sequence[Report]) -> str:
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[column])}</td>" for column in columns) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else escape(str(value))


def _open(height: int, title: str) -> str:
    wide = LEFT + WIDE + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {height}" role="img"'
        f' class="fw-picture"><title>{title}</title>'
    )


def _span_text(span_s: float) -> str:
    for most_s, unit, name in ((120.0, 1, "s"), (7200.0, 60, "min"), (172_800.0, 3600, "h")):
        if span_s < most_s:
            return f"{span_s / unit:.0f}\u202f{name}"
    return f"{span_s / 86_400:.1f}\u202fd"


_STYLE: Final = """
body { font: 14px/1.45 system-ui, sans-serif; color: #12201f; }
body { margin: 24px auto; max-width: 1100px; padding: 0 16px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid #e3e6e6; }
td { vertical-align: top; }
.fw-picture { max-width: 760px; display: block; }
.fw-text { font: 12px system-ui, sans-serif; fill: #12201f; }
.fw-quiet { fill: #5c6b69; }
.fw-grid { stroke: #e3e6e6; } .fw-mark { stroke: #8a9694; stroke-dasharray: 3 3; }
.fw-key { margin-right: 14px; white-space: nowrap; } .fw-legend { font-size: 12px; }
"""
