# SPDX-License-Identifier: Apache-2.0
"""The figures of a run as a table and as JSON."""

import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.measure import BARE, DLMS_COSEM, FRESH, GURUX, OPENSSL, OURS, Row
from openami.dlms.security import channel

BESIDE: Final = (GURUX, DLMS_COSEM, OPENSSL, BARE, FRESH)


BUSY_WATCH_S: Final = 1.0


def machine() -> dict[str, object]:
    """Return where and when a run is made, and how busy the machine was before it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiled": not str(channel.__file__).endswith(".py"),
        "busy_before": round(_busy(), 2),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _busy() -> float:
    """Return which part of all cores others use while we sleep; 0 where nobody can tell."""

    def ticks() -> tuple[int, int]:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
        counts = [int(count) for count in line.split()[1:]]
        return sum(counts), counts[3] + counts[4]  # all, idle and waiting for disks

    try:
        total, idle = ticks()
        time.sleep(BUSY_WATCH_S)
        total_after, idle_after = ticks()
    except OSError:
        return 0.0
    return 1 - (idle_after - idle) / max(total_after - total, 1)


def as_json(about: Mapping[str, object], rows: Sequence[Row]) -> dict[str, object]:
    """Return a run for machines: medians, ratios and every round."""
    return {
        "machine": dict(about),
        "figures": [
            {
                "name": row.name,
                "unit": row.unit,
                "less_is_better": row.less_is_better,
                "goal": _goal(row) or None,
                "reached": row.reached(),
                "median": {who: row.median(who) for who in row.rounds},
                "ratio": {who: row.ratio(who) for who in row.rounds if who != OURS},
                "rounds": row.rounds,
                "note": row.note,
            }
            for row in rows
        ],
    }


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table as docs/bench.md has it."""
    parties = (OURS, *BESIDE)
    lines = [
        "| figure | unit | " + " | ".join(parties) + " | goal |",
        "|---|---|" + "---:|" * len(parties) + "---|",
    ]
    for row in rows:
        beside = (_beside(row, who) for who in BESIDE)
        cells = (row.name, row.unit, _number(row.median(OURS)), *beside, _verdict(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def show(
    about: Mapping[str, object], rows: Sequence[Row], console: Console, *, judged: bool
) -> None:
    """Print the table: medians, and beside each other party the median of ours ÷ theirs.

    Args:
        about: What `machine` returned before the run.
        rows: The figures.
        console: Where to.
        judged: Whether to say which goals were reached; a quick run cannot.
    """
    quick = "" if judged else "; a quick run, whose figures mean little"
    table = Table(
        title=f"OpenAMI and its peers: medians, in brackets ours ÷ theirs in the same round{quick}",
        caption=f"{about['date']}, {about['cpu']}, {about['cores']} cores, "
        f"{about['system']}, Python {about['python']}, "
        f"{'hot modules compiled' if about['compiled'] else 'nothing compiled'}; "
        f"others kept the cores {about['busy_before']:.0%} busy before the run",
    )
    table.add_column("figure")
    table.add_column("unit")
    for who in (OURS, *BESIDE):
        table.add_column(who, justify="right", no_wrap=True)
    table.add_column("goal")
    for number, row in enumerate(rows, 1):
        table.add_row(
            f"{row.name} ({number})",
            row.unit,
            _number(row.median(OURS)),
            *(_beside(row, who) for who in BESIDE),
            _verdict(row) if judged else _goal(row),
        )
    console.print(table)
    for number, row in enumerate(rows, 1):
        if row.note:
            console.print(f"({number}) {row.note}", highlight=False)


def _beside(row: Row, who: str) -> str:
    ratio = row.ratio(who)
    return "" if ratio is None else f"{_number(row.median(who))} (×{_number(ratio)})"


def _number(figure: float | None) -> str:
    """Return three significant digits."""
    if figure is None:
        return ""
    if figure >= 1e6:
        return f"{figure / 1e6:.3g} M"
    if figure >= 1000:
        return f"{round(figure, -2 if figure >= 10_000 else -1):,.0f}"
    return f"{figure:.3g}"


def _goal(row: Row) -> str:
    goal = row.goal
    if goal is None:
        return ""
    sign = "≤" if row.less_is_better else "≥"
    if goal.beside is None:
        return f"{sign} {_number(goal.figure)}"
    return f"{sign} {goal.figure:g} × {goal.beside}"


def _verdict(row: Row) -> str:
    reached = row.reached()
    if reached is None:
        return ""
    return f"{_goal(row)}: {'reached' if reached else 'missed'}"
