# SPDX-License-Identifier: Apache-2.0
"""Last gasp, restoration, alarms: what leaves the meter when, and what does not."""

import pytest

from openami.exchange.events import EventCode
from openami.exchange.notice import EventNotice
from openami.meter.notices import MOST_WAITING, Notices, NoticeSettings

SETTINGS = NoticeSettings(reserve_s=5.0, jitter_s=2.0)
LOST_S = 1_793_491_200


class Told:
    """A meter's notices, and what came out of them; sealing numbers the octets."""

    def __init__(
        self, draw: float = 0.5, settings: NoticeSettings = SETTINGS, lost_at_s: int | None = None
    ) -> None:
        self.sent: list[bytes] = []
        self.sealed = 0
        self.notices = Notices(settings, self._seal, lambda: draw, (4.0, 16.0), lost_at_s)
        self.notices.attached(self.sent.append, 0.0)

    def _seal(self, apdu: bytes) -> tuple[bytes, int]:
        self.sealed += 1
        return apdu, self.sealed

    def at(self, *moments_s: float) -> list[EventNotice]:
        """Tick at these moments; return what left since the last call."""
        for now_s in moments_s:
            self.notices.tick(now_s)
        sent, self.sent[:] = [EventNotice.decode(each) for each in self.sent], []
        return sent


def lost(told: Told) -> None:
    told.notices.event(EventCode.POWER_FAILURE, LOST_S)


def test_one_last_gasp_leaves_after_its_jitter_unconfirmed_and_never_again() -> None:
    told = Told(draw=0.5)
    lost(told)
    assert told.at(10.0, 10.9) == []
    (gasp,) = told.at(11.0)
    assert (gasp.code, gasp.at_s, gasp.confirmed) == (EventCode.POWER_FAILURE, LOST_S, False)
    assert told.at(11.1, 12.0, 14.0, 30.0) == []
    assert told.notices.gasps == 1


def test_it_is_dark_when_the_capacitor_is_empty() -> None:
    told = Told()
    lost(told)
    told.at(10.0, 14.9)
    assert not told.notices.dark
    told.at(15.0)
    assert told.notices.dark


@pytest.mark.parametrize(("draw", "gasps"), [(0.0, 1), (0.4, 1), (0.5, 0), (0.9, 0)])
def test_a_weak_capacitor_loses_those_that_drew_late(draw: float, gasps: int) -> None:
    told = Told(draw, NoticeSettings(reserve_s=1.0, jitter_s=2.0))
    lost(told)
    assert len(told.at(*(n / 10 for n in range(40)))) == gasps


def test_without_a_connection_no_gasp_leaves() -> None:
    told = Told()
    told.notices.detached()
    lost(told)
    assert told.at(*range(20)) == []
    assert told.notices.dark


def test_a_restoration_tells_the_duration_and_is_repeated_until_it_is_receipted() -> None:
    told = Told()
    lost(told)
    told.at(*range(10))
    light: list[bool] = []
    told.notices.on_light = lambda: light.append(True)
    told.notices.event(EventCode.POWER_RETURNED, LOST_S + 3600)
    assert light == [True]
    (back,) = told.at(20.0, 21.0)
    assert (back.code, back.at_s, back.seconds) == (
        EventCode.POWER_RETURNED,
        LOST_S + 3600,
        3600,
    )
    assert back.confirmed
    assert told.at(24.9) == []
    assert told.at(25.0) == [back]  # after 4 s
    assert told.at(32.9) == []
    assert told.at(33.0) == [back]  # after 8 s more
    assert not told.notices.confirm(99, 33.0)
    assert told.notices.confirm(told.sealed, 33.0)
    assert told.at(34.0, 99.0) == []
    assert told.notices.pending == 0


def test_a_short_dip_within_the_reserve_tells_both_and_never_goes_dark() -> None:
    told = Told(draw=0.0)
    light: list[bool] = []
    told.notices.on_light = lambda: light.append(True)
    lost(told)
    assert [each.code for each in told.at(10.0)] == [EventCode.POWER_FAILURE]
    told.notices.event(EventCode.POWER_RETURNED, LOST_S + 1)
    assert [each.seconds for each in told.at(11.0)] == [1]
    assert light == []


def test_a_meter_that_begins_in_the_dark_says_nothing_until_the_supply_is_back() -> None:
    told = Told(lost_at_s=LOST_S)
    assert told.at(0.0, 9.0) == []
    assert told.notices.dark
    told.notices.event(EventCode.POWER_RETURNED, LOST_S + 7)
    assert [each.seconds for each in told.at(10.0, 11.0)] == [7]


def test_alarms_go_one_after_another_and_wait_in_the_dark() -> None:
    told = Told()
    told.notices.event(EventCode.TERMINAL_COVER_REMOVED, LOST_S)
    told.notices.event(EventCode.STRONG_FIELD, LOST_S + 1)
    told.notices.event(EventCode.TERMINAL_COVER_CLOSED, LOST_S + 2)  # no alarm
    assert [each.code for each in told.at(1.0, 2.0)] == [EventCode.TERMINAL_COVER_REMOVED]
    told.notices.confirm(told.sealed, 2.0)
    lost(told)
    assert [each.code for each in told.at(3.0, 4.5, 9.0)] == [EventCode.POWER_FAILURE]
    told.notices.event(EventCode.POWER_RETURNED, LOST_S + 9)
    assert [each.code for each in told.at(20.0, 21.0)] == [EventCode.STRONG_FIELD]


def test_what_waits_is_bounded() -> None:
    told = Told()
    for _ in range(3 * MOST_WAITING):
        told.notices.event(EventCode.STRONG_FIELD, LOST_S)
    assert told.notices.pending == MOST_WAITING


def test_the_alarms_are_those_of_the_settings() -> None:
    told = Told(settings=NoticeSettings(alarms=frozenset({EventCode.TERMINAL_COVER_CLOSED})))
    told.notices.event(EventCode.STRONG_FIELD, LOST_S)
    assert told.at(1.0) == []
    told.notices.event(EventCode.TERMINAL_COVER_CLOSED, LOST_S)
    assert len(told.at(2.0)) == 1


def test_confirms_of_others_are_not_its_own() -> None:
    assert not Told().notices.confirm(0, 0.0)
