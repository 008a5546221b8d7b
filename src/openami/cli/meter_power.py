# SPDX-License-Identifier: Apache-2.0
"""What may be done to a meter without power only: two at its files would use a counter twice."""

from pathlib import Path

from openami.runtime.errors import UserError
from openami.runtime.layout import Layout
from openami.runtime.status import read_statuses


def refuse_power(home: Path) -> None:
    """Refuse a meter that runs.

    Args:
        home: Its folder.

    Raises:
        UserError: It has power.
    """
    if _runs(home.resolve().parent.parent, "meter"):
        raise UserError(f"{home.name} has power: take it away, and try again")


def refuse_running_fleet(home: Path) -> None:
    """Refuse a fleet that runs.

    Args:
        home: Its folder.

    Raises:
        UserError: It runs.
    """
    if _runs(home.resolve().parent, "fleet"):
        raise UserError(f"the fleet in {home} runs: stop it, and try again")


def _runs(var: Path, process: str) -> bool:
    statuses = read_statuses(Layout(var).run)
    return any(
        each.process == process and each.fresh and Path(f"/proc/{each.pid}").exists()
        for each in statuses
    )
