# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from sqlalchemy import Engine

from openami.store import data_quality as quality
from openami.store import registry
from openami.store.data_quality import Coverage, Finding
from openami.store.leases import Worker, release
from store.test_registry import meter

HERE, THERE = Worker("here", "1"), Worker("there", "1")


def due(engine: Engine, now_real_us: int, worker: Worker = HERE) -> list[int]:
    claimed = quality.claim_gaps(engine, now_real_us, worker, seconds=60)
    release(engine, [lease for _, lease in claimed])
    return [gap.meter_id for gap, _ in claimed]


def test_coverage_by_meter_and_region(engine: Engine) -> None:
    registry.import_meters(engine, [meter(number) for number in (1, 2, 3)])
    rows = [
        Coverage(meter_id=n, day=day, expected=48, actual=48 - n, estimated=n, suspect=0)
        for n in (1, 2, 3)
        for day in (10, 11)
    ]
    quality.put_coverage(engine, [replace(row, actual=0) for row in rows])
    quality.put_coverage(engine, rows)

    assert quality.coverage(engine, meter_id=2) == rows[2:4]
    assert len(quality.coverage(engine, from_day=11)) == 3
    north = quality.region_coverage(engine, 10, 11)[0]
    assert (north.region, north.meters, north.expected, north.actual) == ("north", 2, 96, 92)


def test_a_gap_opens_grows_is_tried_and_closes(engine: Engine) -> None:
    quality.open_gaps(engine, [(1, 100, 200), (2, 100, 300)], 1000)
    quality.open_gaps(engine, [(1, 100, 400)], 2000)
    quality.open_gaps(engine, [], 2000)

    first, second = quality.gaps(engine)
    assert (first.from_us, first.to_us, first.found_us, first.state) == (100, 400, 1000, "open")
    quality.attempt(engine, first.gap_id, 5000, "meter 1 is not attached")
    assert due(engine, 10) == [2]
    assert quality.gaps(engine, meter_id=1)[0].last_error == "meter 1 is not attached"

    quality.close_gaps(engine, [first.gap_id], quality.ESTIMATED)
    quality.close_gaps(engine, [second.gap_id], quality.FILLED)
    quality.close_gaps(engine, [], quality.FILLED)
    assert due(engine, 6000) == [1]
    assert quality.count_gaps(engine) == {"estimated": 1, "filled": 1}


def test_findings_are_stored_once_and_told_once(engine: Engine) -> None:
    one = Finding(
        meter_id=1, channel=1, start_us=5, code="vee.spike", numbers={"p1": 900}, found_us=10
    )
    two = replace(one, code="vee.negative", found_us=11)

    assert quality.add_findings(engine, [one, one]) == [one]
    assert quality.add_findings(engine, [one, two]) == [two]
    assert quality.add_findings(engine, []) == []
    assert quality.findings(engine) == [two, one]
    assert quality.findings(engine, codes=["vee.spike"], meter_id=1) == [one]
    assert quality.findings(engine, from_us=6) == []
    assert quality.count_findings(engine) == {"vee.negative": 1, "vee.spike": 1}
    assert quality.count_findings(engine, since_us=11) == {"vee.negative": 1}


def test_a_gap_is_asked_for_by_one_worker_and_never_past_the_uplink(engine: Engine) -> None:
    registry.import_meters(engine, [meter(number) for number in (1, 2)])
    quality.open_gaps(engine, [(1, 100, 200), (2, 100, 200)], 0)
    registry.set_attached(engine, {1: True}, 1, HERE.name)

    assert due(engine, 0, THERE) == [2]  # hangs nowhere: somebody has to note the attempt
    assert due(engine, 0, HERE) == [1, 2]
    quality.claim_gaps(engine, 0, HERE, seconds=60)
    assert due(engine, 0, HERE) == due(engine, 0, THERE) == []
