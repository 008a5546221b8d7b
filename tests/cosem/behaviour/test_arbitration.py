# SPDX-License-Identifier: Apache-2.0
"""The arbitrator, and the samples around a trigger."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, World
from cosem.behaviour.schedules import Noted, script
from openami.cosem.behaviour.arbitration import Arbiter
from openami.cosem.behaviour.waveform import CaptureStatus, Waveform
from openami.cosem.classes.data_tables import MeasurementDataMonitoring, TriggerSource
from openami.cosem.classes.monitoring import Arbitrator
from openami.cosem.classes.tariff import ActionSpecification, Script, ScriptTable
from openami.cosem.classes.time_event import ScheduledScript
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Array, BitString, CompactArray, Integer, Long, Structure, Unsigned
from openami.dlms.obis import Obis

ARBITRATOR, WAVE = Obis(0, 0, 96, 3, 20, 255), Obis(1, 0, 32, 7, 124, 255)
SCRIPTS = Obis(0, 0, 10, 0, 105, 255)


def bits(text: str) -> BitString:
    return BitString.from_bits(text)


def arbitrator(**more: Any) -> Arbitrator:
    values = {
        "actions": (script(1), script(2)),  # disconnect, reconnect
        "permissions_table": (bits("11"), bits("11"), bits("10")),
        "weightings_table": ((1, 1), (5, 5), (5, 0)),
    }
    return Arbitrator(ARBITRATOR, **{**values, **more})


def world(row: Arbitrator) -> tuple[World, Noted]:
    noted = Noted()
    return noted.world(row, zone=BERLIN, now_us=NOON), noted


def ask(of: World, actor: int, wanted: str) -> None:
    of.life.inside.invoke(68, ARBITRATOR, 1, Structure((Unsigned(actor), bits(wanted))))


def test_the_largest_sum_of_weights_is_carried_out() -> None:
    row = arbitrator()
    here, noted = world(row)
    ask(here, 1, "10")
    assert row.last_outcome == 1
    ask(here, 2, "01")  # 1 against 5
    assert row.last_outcome == 2
    ask(here, 3, "10")  # 1 + 5 against 5
    assert row.last_outcome == 1
    assert [number for number, _ in noted.taken()] == [1, 2, 1]
    ask(here, 1, "00")  # 5 against 5: nothing is done
    assert row.last_outcome == 1
    assert noted.taken() == []
    assert row.most_recent_requests_table == Array((bits("00"), bits("01"), bits("10")))


def test_permissions_limit_what_counts() -> None:
    row = arbitrator()
    here, noted = world(row)
    ask(here, 3, "11")
    assert row.most_recent_requests_table == Array((bits("00"), bits("00"), bits("10")))
    noted.taken()
    for actor, wanted, result in (
        (3, "01", ActionResult.READ_WRITE_DENIED),
        (0, "10", ActionResult.OBJECT_UNDEFINED),
        (4, "10", ActionResult.OBJECT_UNDEFINED),
        (1, "100", ActionResult.TYPE_UNMATCHED),
    ):
        with pytest.raises(Refused) as refused:
            ask(here, actor, wanted)
        assert refused.value.result == result
    assert noted.taken() == []


def test_reset_forgets_and_a_state_goes_on() -> None:
    row = arbitrator()
    here, _ = world(row)
    ask(here, 2, "01")
    again = arbitrator()
    there, _ = world(again)
    there.life.restore(here.life.state())
    assert again.last_outcome == 2
    assert again.most_recent_requests_table == row.most_recent_requests_table
    again.invoke(Arbitrator.reset, Integer(0))
    assert again.last_outcome == 0
    assert again.most_recent_requests_table == Array([bits("00")] * 3)

    dumped = arbitrator(most_recent_requests_table=Array((bits("01"),)), last_outcome=2)
    there, _ = world(dumped)
    assert dumped.last_outcome == 2
    assert dumped.most_recent_requests_table == Array((bits("01"), bits("00"), bits("00")))


@given(st.data())
def test_the_outcome_is_a_plain_sum(data: st.DataObject) -> None:
    actors = data.draw(st.integers(1, 4))
    weights = data.draw(
        st.lists(
            st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=actors, max_size=actors
        )
    )
    row = arbitrator(
        actions=(script(1), script(2), script(3)),
        permissions_table=(bits("111"),) * actors,
        weightings_table=tuple(map(tuple, weights)),
    )
    here, noted = world(row)
    latest: dict[int, str] = {}
    for _ in range(data.draw(st.integers(0, 6))):
        actor = data.draw(st.integers(0, actors - 1))
        latest[actor] = data.draw(st.text("01", min_size=3, max_size=3))
        noted.taken()
        ask(here, actor + 1, latest[actor])
        sums = [
            sum(weights[who][action] for who, text in latest.items() if text[action] == "1")
            for action in range(3)
        ]
        unit = here.life.acting[ARBITRATOR]
        assert isinstance(unit, Arbiter)
        assert unit.sums() == sums
        wins = [action + 1 for action in range(3) if sums[action] == max(sums) > 0]
        assert [number for number, _ in noted.taken()] == (wins if len(wins) == 1 else [])


def wave(before: int = 2, after: int = 3) -> tuple[World, MeasurementDataMonitoring, Waveform]:
    row = MeasurementDataMonitoring(
        WAVE,
        number_of_samples_before_trigger=before,
        number_of_samples_after_trigger=after,
    )
    step = ActionSpecification(2, 66, WAVE, 2, Integer(0))
    here = World([row, ScriptTable(SCRIPTS, scripts=(Script(1, (step,)),))])
    unit = here.life.acting[WAVE]
    assert isinstance(unit, Waveform)
    return here, row, unit


def shown(row: MeasurementDataMonitoring) -> list[Any]:
    data = row.waveform_data
    assert isinstance(data, CompactArray)
    return list(axdr_data.expand(data))


def test_samples_around_a_trigger() -> None:
    here, row, unit = wave()
    assert shown(row) == []
    for value in range(5):
        unit.sample(Long(value))
    row.invoke(MeasurementDataMonitoring.trigger, Integer(0))
    assert (row.status, row.trigger_source) == (CaptureStatus.RUNNING, TriggerSource(0, 0))
    with pytest.raises(Refused):
        unit.trigger()
    for value in range(5, 9):
        unit.sample(Long(value))
    assert shown(row) == [3, 4, 5, 6, 7]
    assert (row.status, row.trigger_time) == (CaptureStatus.COMPLETE, NOON)
    state = here.life.state()

    there, other, _ = wave()
    there.life.restore(state)
    assert shown(other) == [3, 4, 5, 6, 7]
    other.invoke(MeasurementDataMonitoring.reset, Integer(0))
    assert (shown(other), other.status) == ([], CaptureStatus.IDLE)


def test_a_script_is_a_local_trigger_and_no_samples_are_none() -> None:
    here, row, unit = wave(before=1, after=0)
    unit.sample(Long(4))
    assert here.life.run(ScheduledScript(SCRIPTS, 1), by=WAVE)
    assert (shown(row), row.trigger_source) == ([4], TriggerSource(1, 0))
    _, _, idle = wave(before=0, after=0)
    with pytest.raises(Refused):
        idle.trigger()


def test_a_capture_that_was_running_is_lost_with_the_power() -> None:
    here, row, unit = wave()
    unit.trigger(cause=9)
    there, other, _ = wave()
    there.life.restore(here.life.state())
    assert (row.status, other.status) == (CaptureStatus.RUNNING, CaptureStatus.IDLE)
    assert other.trigger_source == TriggerSource(0, 9)
