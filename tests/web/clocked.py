# SPDX-License-Identifier: Apache-2.0
"""Clocks for pages: right ones, a slow one that was corrected, two for a person."""

from openami.exchange.commands import CommandKind, CommandState
from openami.store import clocks, commands
from openami.store.clocks import Kept, Measured
from web.ami import DAY_US, Ami

FINE, SLOW, FAR, TIMELESS = 1, 2, 3, 4
COARSE = 6


def clock(ami: Ami) -> str:
    """Measure the clocks of an AMI; return the command that corrected one."""
    for day in range(6):
        at_us = ami.now_us - (6 - day) * DAY_US
        measure(ami, FINE, at_us, 0.2 - 0.05 * day, settled=True)
        slow = measure(ami, SLOW, at_us, -6.0 - 2.5 * day)
    command_id = commands.ask(
        ami.engine,
        meter_id=SLOW,
        kind=CommandKind.CLOCK,
        asked_by="clock keeping",
        reason="-18.5 \u00b1 0.2 s off",
        argument={"action": "shift", "shift_s": 18, "guard_s": 60.0},
    )
    for state in (CommandState.RESERVED, CommandState.SENT, CommandState.CONFIRMED):
        before = {CommandState.REQUESTED, CommandState.RESERVED, CommandState.SENT} - {state}
        commands.advance(ami.engine, command_id, _before(before, state), state, "")
    asked = slow.measured_us, command_id
    clocks.judge(ami.engine, slow, said="-18.5 \u00b1 0.2 s off", notice=False, asked=asked)
    measure(ami, SLOW, ami.now_us - DAY_US + 1, -0.5, settled=True, moved=True)
    measure(ami, SLOW, ami.now_us - 3_600_000_000, -2.9, settled=True)
    far = measure(ami, FAR, ami.now_us - 7_200_000_000, 3600.0)
    said = "+3600.0 s off, more than 900 s: find out which of the two is wrong"
    clocks.judge(ami.engine, far, said=said, notice=True)
    nothing = measure(ami, TIMELESS, ami.now_us - 7_200_000_000, None, status=1)
    said = "the clock tells no time: find out why, then set it with force"
    clocks.judge(ami.engine, nothing, said=said, notice=True)
    measure(ami, COARSE, ami.now_us - 100_000_000, 12.0, uncertainty_s=11.5)
    return command_id


def _before(states: set[CommandState], state: CommandState) -> set[CommandState]:
    order = [CommandState.REQUESTED, CommandState.RESERVED, CommandState.SENT]
    place = order.index(state) if state in order else len(order)
    return states & set(order[place - 1 : place])


def measure(
    ami: Ami,
    meter_id: int,
    at_us: int,
    off_s: float | None,
    *,
    settled: bool = False,
    moved: bool = False,
    uncertainty_s: float = 0.2,
    status: int = 0,
) -> Kept:
    measured = Measured(
        meter_id=meter_id,
        measured_us=at_us,
        deviation_s=off_s,
        uncertainty_s=uncertainty_s,
        status=status,
        moved=moved,
        worker="headend",
    )
    return clocks.record(ami.engine, measured, tolerated_s=30.0, settled=settled, keep=30)
