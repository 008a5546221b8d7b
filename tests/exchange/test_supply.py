# SPDX-License-Identifier: Apache-2.0
"""What is known of a meter's supply, whatever the order in which its notices come."""

import itertools

import pytest

from openami.exchange.events import EventCode
from openami.exchange.supply import Evidence, Supply, Told

LOST, BACK = EventCode.POWER_FAILURE, EventCode.POWER_RETURNED
S = 1_000_000


def told(code: int, at_s: int, seconds: int = 0, real_us: int = 50) -> Told:
    found = Told.of(7, code, at_s * S, seconds, real_us)
    assert found is not None
    return found


FIRST = (told(LOST, 100), told(BACK, 160, 60))
SECOND = (told(LOST, 900), told(BACK, 1000, 100))


def known(*notices: Told) -> Supply:
    state = notices[0].first()
    for notice in notices[1:]:
        state = state.after(notice)
    return state


def test_a_gasp_and_a_return() -> None:
    lost = known(FIRST[0])
    assert (lost.lost_us, lost.is_lost, lost.evidence) == (100 * S, True, Evidence.GASP)
    assert (known(*FIRST).lost_us, known(*FIRST).returned_us) == (100 * S, 160 * S)
    assert known(*FIRST).evidence is Evidence.GASP


@pytest.mark.parametrize("order", list(itertools.permutations([*FIRST, *SECOND])))
def test_in_any_order_the_newest_outage_is_known_as_it_was(order: tuple[Told, ...]) -> None:
    state = known(*order)
    assert (state.lost_us, state.returned_us) == (900 * S, 1000 * S)


def test_a_return_without_its_gasp_tells_of_both() -> None:
    state = known(FIRST[1])
    assert (state.lost_us, state.returned_us) == (100 * S, 160 * S)
    assert state.evidence is Evidence.TOLD


def test_a_new_loss_belongs_to_no_outage_yet() -> None:
    judged = Supply(
        meter_id=7,
        lost_us=100 * S,
        evidence=Evidence.GASP,
        found_real_us=50,
        returned_us=160 * S,
        outage_id=3,
    )
    assert judged.after(SECOND[0]).outage_id is None
    assert judged.after(FIRST[0]) == judged  # late, and of the outage that is known
    assert judged.after(SECOND[1]).outage_id is None


def test_what_was_only_presumed_is_corrected_by_the_meter() -> None:
    presumed = Supply(
        meter_id=7, lost_us=98 * S, evidence=Evidence.PRESUMED, found_real_us=50, outage_id=3
    )
    gasped = presumed.after(FIRST[0])
    assert (gasped.lost_us, gasped.evidence, gasped.outage_id) == (100 * S, Evidence.GASP, 3)
    back = presumed.after(FIRST[1])
    assert (back.lost_us, back.returned_us) == (100 * S, 160 * S)
    assert (back.evidence, back.outage_id) == (Evidence.TOLD, 3)


def test_other_events_say_nothing_of_supply() -> None:
    for code in set(EventCode) - {LOST, BACK}:
        assert Told.of(7, code, 5, 0, 5) is None
