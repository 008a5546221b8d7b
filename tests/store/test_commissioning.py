# SPDX-License-Identifier: Apache-2.0
import pytest
from sqlalchemy import Engine

from openami.runtime.errors import UserError
from openami.store import commissioning, registry
from openami.store.commissioning import NEXT, Stage, State
from openami.store.leases import Worker
from openami.store.registry import Meter


@pytest.fixture(autouse=True)
def meters(engine: Engine) -> None:
    registry.import_meters(
        engine,
        [
            Meter(
                meter_id=n,
                title=b"OAM" + n.to_bytes(5),
                ldn=f"OAM{n:013}",
                region="north",
                concentrator=bytes(8),
                installed_us=0,
                capture_period_s=1800,
                address="tcp://127.0.0.1:1",
            )
            for n in (1, 2)
        ],
    )


def ask(engine: Engine, *meter_ids: int) -> int:
    return commissioning.ask(engine, meter_ids, asked_by="utility", reason="new houses")


def test_the_stages_lead_from_identity_into_operation() -> None:
    stages = [Stage.IDENTITY]
    while stages[-1] in NEXT:
        stages.append(NEXT[stages[-1]])
    assert stages == list(Stage)


def test_a_meter_passes_each_stage_once_and_leaves_its_history(engine: Engine) -> None:
    assert ask(engine, 1, 2) == 2
    assert ask(engine, 1) == 0  # it is under way
    for stage in NEXT:
        assert commissioning.advance(engine, 1, stage, f"{stage.value} is well")
        assert not commissioning.advance(engine, 1, stage, "said a worker that slept")
    assert commissioning.commissioning(engine, 1).state is State.OPERATING
    assert ask(engine, 1) == 0  # it is done
    passed = commissioning.history(engine, 1)
    assert [each.stage for each in passed] == [Stage.IDENTITY, *NEXT]
    assert passed[0].note == "asked by utility: new houses"
    assert commissioning.progress(engine) == {
        (Stage.OPERATING, State.OPERATING): 1,
        (Stage.IDENTITY, State.OPEN): 1,
    }
    assert [each.meter_id for each in claim(engine)] == [2]


def test_since_when_a_meter_operates(engine: Engine) -> None:
    ask(engine, 1, 2)
    for stage in list(NEXT)[:-1]:
        commissioning.advance(engine, 1, stage, "well")
    commissioning.hold(engine, 1, Stage.FIRST_READ, "it is silent")
    assert commissioning.operating_since(engine) == {1: None, 2: None}
    ask(engine, 1)
    commissioning.advance(engine, 1, Stage.FIRST_READ, "well")
    passed = commissioning.history(engine, 1)[-1].at_real_us
    assert commissioning.operating_since(engine) == {1: passed, 2: None}


def claim(engine: Engine, life: str = "1") -> list[commissioning.Commissioning]:
    given = commissioning.claim(engine, Worker("headend", life), seconds=60.0, limit=10)
    return [row for row, _ in given]


def test_who_is_held_goes_on_there_when_asked_again(engine: Engine) -> None:
    ask(engine, 1)
    commissioning.advance(engine, 1, Stage.IDENTITY, "well")
    assert commissioning.hold(engine, 1, Stage.KEYS, "it refuses")
    assert not commissioning.hold(engine, 1, Stage.KEYS, "it refuses")
    assert not commissioning.advance(engine, 1, Stage.KEYS, "said a worker that slept")
    assert claim(engine) == []
    assert [each.note for each in commissioning.in_state(engine, State.HELD)] == ["it refuses"]
    assert ask(engine, 1) == 1
    worker = Worker("headend", "1")
    ((again, lease),) = commissioning.claim(engine, worker, seconds=60.0, limit=10)
    assert again.stage is Stage.KEYS
    assert claim(engine) == []
    commissioning.postpone(engine, 1, "it is away", pause_s=0.0, lease=lease)
    assert claim(engine, "2")[0].attempts == 1


def test_a_meter_that_nobody_asked_for_is_named(engine: Engine) -> None:
    with pytest.raises(UserError, match="meter 2 was never commissioned"):
        commissioning.commissioning(engine, 2)
