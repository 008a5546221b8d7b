# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: requests go round, silence costs pauses, unknown addresses come last."""

from concentrator.lines.lineparts import line_config
from openami.concentrator.lines.roster import MOST_REQUESTS, ROW, Request, Roster, Station, What
from openami.dlms.hdlc.address import Address
from openami.transport.url import Url

URL = Url.serial("/dev/ttyS9")
GET = Request(1, 1, b"\xc0")


def roster(now_s: float = 0.0, **changes: object) -> Roster:
    return Roster(line_config(URL, poll_events_s=10.0, absent_first_s=1.0, **changes), now_s)


def met(of: Roster, *physical: int) -> list[Station]:
    stations = [Station(Address(1, number, 2), title=b"OAM%05d" % number) for number in physical]
    for station in stations:
        of.met(station, 0.0)
    return stations


def test_requests_of_two_meters_take_turns() -> None:
    line = roster()
    first, second = met(line, 16, 17)
    for _ in range(2):
        line.ask(first, GET)
    line.ask(second, GET)
    order = []
    for _ in range(3):
        turn = line.next(1.0)
        assert turn is not None
        assert turn.what is What.REQUEST
        turn.station.requests.popleft()
        order.append(turn.station)
    assert order == [first, second, first]


def test_a_meter_that_is_silent_is_looked_for_ever_less_often() -> None:
    line = roster(physical=(16,), absent_most_s=5.0)
    (station,) = met(line, 16)
    line.ask(station, GET)
    assert line.missed(station, 0.0) == [GET]
    pauses, now_s = [], 0.0
    for _ in range(4):
        assert line.next(line.due_s() - 0.01) is None
        pauses.append(line.due_s() - now_s)
        now_s = line.due_s()
        turn = line.next(now_s)
        assert turn is not None
        assert turn.what is What.LOOK
        line.missed(station, now_s)
    assert pauses == [1.0, 2.0, 4.0, 5.0]
    line.answered(station, now_s)
    assert line.due_s() == now_s + 10.0  # asked for events again


def test_the_first_search_is_quick_and_later_ones_leave_the_line_alone() -> None:
    line = roster(physical=(16, 17, 18), look_s=30.0)
    found = []
    for _ in range(3):
        turn = line.next(0.0)
        assert turn is not None
        assert turn.what is What.SEARCH
        found.append(turn.station.address.lower)
        line.searched(turn.station, 0.0)
    assert found == [16, 17, 18]
    assert line.next(29.0) is None
    turn = line.next(30.0)
    assert turn is not None
    assert turn.station.address.lower == 16


def test_many_requests_do_not_starve_what_is_due() -> None:
    line = roster(physical=(16, 17))
    busy, other = met(line, 16, 17)
    other.due_s = 0.0
    for _ in range(ROW + 2):
        line.ask(busy, GET)
    kinds = []
    for _ in range(ROW + 1):
        turn = line.next(1.0)
        assert turn is not None
        kinds.append(turn.what)
        if turn.what is What.REQUEST:
            turn.station.requests.popleft()
    assert kinds == [What.REQUEST] * ROW + [What.EVENTS]


def test_too_many_requests_of_one_meter_are_refused() -> None:
    line = roster()
    (station,) = met(line, 16)
    assert all(line.ask(station, GET) for _ in range(MOST_REQUESTS))
    assert not line.ask(station, GET)
