# SPDX-License-Identifier: Apache-2.0
"""A calendar that is stopped, killed and started again never goes back."""

import time
from pathlib import Path

import pytest

from openami.runtime.calendar_owner import MARGIN_S, CalendarOwner
from openami.runtime.clock import Clock

FIRST = 1_790_000_000_000_000


def owner(folder: Path) -> CalendarOwner:
    return CalendarOwner(folder / "clock.json", folder / "clock.beat")


def test_stop_and_start_go_on_where_it_was(tmp_path: Path) -> None:
    owner(tmp_path).start(first_us=FIRST, speed=1000.0)
    time.sleep(0.02)
    owner(tmp_path).freeze()
    stood = Clock(tmp_path / "clock.json").now_us()
    time.sleep(0.02)
    again = owner(tmp_path).start(first_us=0, speed=1.0)

    assert stood > FIRST
    assert again.base_us == stood


@pytest.mark.parametrize("heartbeat", ["whole", "torn", "none"])
def test_after_a_kill_it_does_not_go_back(tmp_path: Path, heartbeat: str) -> None:
    first = owner(tmp_path)
    first.start(first_us=FIRST, speed=100.0)
    if heartbeat != "none":
        first.beat()
    if heartbeat == "torn":
        (tmp_path / "clock.beat").write_text("{")
    seen = Clock(tmp_path / "clock.json").now_us()
    again = owner(tmp_path).start(first_us=0, speed=100.0)

    assert seen <= again.base_us <= seen + 2 * MARGIN_S * 100 * 1_000_000
