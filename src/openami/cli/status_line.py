# SPDX-License-Identifier: Apache-2.0
"""The live line of `openami up`: how the AMI is, the most telling figures first.

A narrow terminal cuts the end of the line, so what a person misses least stands there.
"""

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from openami.runtime.status import FRESH_S, Status
from openami.runtime.supervisor import Child, ChildState


def calendar_text(local: datetime, speed: float) -> str:
    """Return the calendar as the pages show it, in their zone, and how fast it runs."""
    return f"{local:%a %d %b %H:%M %Z} ×{speed:g}"


def status_line(calendar: str, statuses: Sequence[Status], children: Sequence[Child]) -> Text:
    """Return the one line that says how the AMI is; what a silent process said does not count."""

    def total(name: str, *prefixes: str) -> int:
        return sum(
            int(status.figures.get(name, 0))
            for status in statuses
            if status.fresh and status.process.startswith(prefixes)
        )

    running = sum(child.state is ChildState.RUNNING for child in children)
    parts = [
        calendar,
        f"{running}/{len(children)} processes",
        f"{total('meters attached', 'concentrator-')} meters",
        f"{total('rows stored', 'mdm'):,} values",
        f"{total('gaps open', 'mdm')} gaps",
        f"journals {total('journal', 'concentrator-')}",
        f"inbox {total('inbox', 'mdm')}",
    ]
    if restarts := sum(child.restarts for child in children):
        parts.append(f"restarts {restarts}")
    return Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")


def silent(statuses: Sequence[Status], up_s: float) -> list[str]:
    """Return the processes that have spoken since we started, `up_s` ago, and speak no more."""
    return [status.process for status in statuses if 2 * FRESH_S < status.age_s < up_s]
