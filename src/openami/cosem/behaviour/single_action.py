# SPDX-License-Identifier: Apache-2.0
"""Single action schedules: a script at set times (class 22, 4.5.7).

The type says what execution_time may hold; where a time or date has open fields it comes round as
often.  A time that was missed (the device was off, the clock was set forward) is made up for once,
with the latest; the standard leaves that open, and `makes_up` turns it off.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from openami.cosem.behaviour.due import Done, Next
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import MINUTE_US, Rule, Zone
from openami.cosem.classes.time_event import ExecutionTime, SingleActionSchedule
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.errors import DecodeError

LATE_US: Final = MINUTE_US
"""How late a tick may be before what is due counts as missed."""
NO_TIME: Final = b"\xff" * 4
"""A time that is never: meters write it into schedules that are not in use."""


class ScheduleType(NamedTuple):
    """What the type of a single action schedule permits."""

    many: bool
    times_differ: bool
    open_dates: bool


TYPES: Final = {
    1: ScheduleType(many=False, times_differ=False, open_dates=True),
    2: ScheduleType(many=True, times_differ=False, open_dates=False),
    3: ScheduleType(many=True, times_differ=False, open_dates=True),
    4: ScheduleType(many=True, times_differ=True, open_dates=False),
    5: ScheduleType(many=True, times_differ=True, open_dates=True),
}


def fits(times: Sequence[ExecutionTime], of_type: ScheduleType) -> bool:
    """Return whether execution times are what a type permits; none at all always are."""
    if len(times) > 1 and not of_type.many:
        return False
    if len({each.time for each in times}) > 1 and not of_type.times_differ:
        return False
    return of_type.open_dates or all(_is_whole(each.date) for each in times if each.time != NO_TIME)


def _is_whole(date: bytes) -> bool:
    return date[:2] != b"\xff\xff" and all(octet < 0xFD for octet in date[2:4])


def rules(times: Sequence[ExecutionTime]) -> list[Rule]:
    """Return the rules that execution times stand for.

    Raises:
        DecodeError: One is no time or no date.
    """
    return [Rule.of_octets(each.time, each.date) for each in times if each.time != NO_TIME]


class SingleAction:
    """Serves one single action schedule.

    Args:
        row: The object.
        life: Its device.
        makes_up: Whether a time that was missed is made up for.
    """

    def __init__(self, row: SingleActionSchedule, life: Life, *, makes_up: bool = True) -> None:
        self._row = row
        self._life = life
        self._makes_up = makes_up
        self._done = Done(life.now_us())
        self._next = Next()
        row.bind_sink(SingleActionSchedule.execution_time, self._write)
        try:
            self._rules = rules(row.execution_time)
        except DecodeError as error:
            self._rules = []
            life.report(row.values[1], f"execution_time is not understood: {error}")

    def due_us(self) -> int | None:
        zone = self._life.zone()
        since = self._done.until_us or 0
        return self._next.after(since, zone, lambda start: self._first_after(start, zone))

    def tick(self, now_us: int) -> None:
        if self._done.passes(now_us, self.due_us()):
            return
        zone = self._life.zone()
        since = self._done.since(now_us)
        times = [
            at_us
            for each in self._rules
            if (at_us := each.before(now_us, zone, since_us=since)) is not None
        ]
        if times and (self._makes_up or now_us - max(times) <= LATE_US):
            self._life.run(self._row.executed_script, by=self._row.logical_name)

    def state(self) -> int | None:
        """Return until when everything was carried out, microseconds UTC."""
        return self._done.until_us

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._done.until_us = state

    def _first_after(self, since_us: int, zone: Zone) -> int | None:
        found = (each.after(since_us, zone) for each in self._rules)
        return min((at_us for at_us in found if at_us is not None), default=None)

    def _write(self, times: tuple[ExecutionTime, ...]) -> None:
        """Take other times; what they name in the past is not made up for."""
        of_type = TYPES.get(self._row.values.get(3, 5))
        if of_type is None or not fits(times, of_type):
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        try:
            self._rules = rules(times)
        except DecodeError:
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
        self._next.forget()
        self._done.until_us = self._life.now_us()


def bind_single_action_schedule(row: SingleActionSchedule, life: Life) -> SingleAction:
    """Bind a single action schedule to the scripts of its device."""
    return SingleAction(row, life)
