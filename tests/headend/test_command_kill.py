# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the head-end on the way of a command: what became of it is proven, never sent twice.

The meter is `openami simulate` with all of its classes' behaviour, another code than our meter's.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headend.dying_headend import COMMAND_POINTS
from headend.test_key_changes_kill import Ami
from openami.exchange.commands import CommandKind, CommandState
from openami.store import commands

pytestmark = pytest.mark.faults

NEVER_LEFT = {"command about to be sent", "command recorded as sent"}
SHIFT_S = 300


@pytest.fixture
def ami(tmp_path: Path) -> Iterator[Ami]:
    made = Ami(tmp_path)
    yield made
    made.close()


def test_a_kill_at_any_step_leaves_a_shift_done_once_or_not(ami: Ami) -> None:
    """A shift that was sent twice would be seen: the clock would be off by twice as much."""
    off_s = 0.0
    for number, point in enumerate(COMMAND_POINTS):
        asked = ami.ask(CommandKind.CLOCK, action="shift", shift_s=SHIFT_S, force=True)
        ami.headend_dies(point)
        ami.headend.start()
        found = ami.settled(asked)
        assert ami.headend.end() == 0
        steps = [step.state for step in commands.history(ami.engine, asked)]
        assert steps.count(CommandState.SENT) == (0 if point == COMMAND_POINTS[0] else 1)
        was_done = point not in NEVER_LEFT
        if point == "command on its way":  # it may have arrived, or died with the connection
            was_done = found.state is CommandState.CONFIRMED
        wanted = CommandState.CONFIRMED if was_done else CommandState.FAILED
        assert found.state is wanted, (point, steps)
        assert found.result is not None
        moved_s = found.result["deviation_after_s"] - off_s if number else 0.0
        assert number == 0 or abs(moved_s - SHIFT_S * was_done) < 5, (point, moved_s)
        off_s = found.result["deviation_after_s"]
