# SPDX-License-Identifier: Apache-2.0
"""Every message comes to rest exactly once, whatever is cut where."""

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Engine

from mdm.made import DAY_US, PERIOD_US, T0, fleet, load, message, wh
from openami.exchange.quality import Quality
from openami.mdm.intake import Drained, Intake
from openami.store import data_quality, due, inbox, live, publishing, registry
from openami.store.data_quality import Coverage
from openami.store.database import StoreUnavailableError, open_database
from openami.store.due import DueDay
from openami.store.inbox import Message
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import Lake

START_DAY = T0 // DAY_US


def put(engine: Engine, *messages: Message) -> None:
    inbox.put(engine, [(each, None) for each in messages])


def values(lake: Lake, meter_id: int = 1, channel: int = 1) -> list[tuple[int, int, int]]:
    frame = lake.series(meter_id, channel, 0, T0 + 400 * DAY_US)
    slots = (frame["start"].dt.epoch("us") - T0) // PERIOD_US
    return list(zip(slots, frame["value"], frame["version"], strict=True))


def test_a_message_goes_everywhere(engine: Engine, intake: Intake) -> None:
    put(engine, message(1, load(range(3)), octets=b"\xdd\x07"))

    assert intake.drain() == Drained(messages=1, rows=12)

    lake = intake.writer.lake
    assert values(lake) == [(slot, wh(slot), 1) for slot in range(3)]
    assert [value for _, value, _ in values(lake, channel=3)] == [row[4] for row in load(range(3))]
    raw = lake.raw_message(1)
    assert raw is not None
    assert (raw["octets"], raw["hops"], raw["kind"]) == (b"\xdd\x07", "north", "push")
    newest = live.latest(engine, channels=[1])
    assert [(each.start_us, each.value) for each in newest] == [(T0 + 2 * PERIOD_US, wh(2))]
    (entry,) = live.feed_after(engine, 0)
    assert (entry.kind, entry.body["wh"]) == ("interval", wh(2))
    assert data_quality.coverage(engine) == [
        Coverage(meter_id=1, day=START_DAY, expected=48, actual=3, estimated=0, suspect=0)
    ]
    assert due.due_days(engine, T0 + DAY_US) == [DueDay(1, START_DAY)]
    assert inbox.depth(engine) == 0
    assert intake.drain() == Drained()


def test_the_same_value_again_is_ignored(engine: Engine, intake: Intake) -> None:
    put(engine, message(1, load(range(3))), message(1, load(range(2, 5))))
    assert intake.drain().rows == 5 * 4
    put(engine, message(1, load(range(5)), kind="profile"))
    assert intake.drain() == Drained(messages=1, rows=0)

    assert values(intake.writer.lake) == [(slot, wh(slot), 1) for slot in range(5)]
    assert data_quality.coverage(engine)[0].actual == 5
    assert data_quality.findings(engine) == []


def test_a_different_value_is_the_next_version_and_a_finding(
    engine: Engine, intake: Intake
) -> None:
    put(engine, message(1, load(range(2))))
    intake.drain()
    changed = [(T0, 0, 777, 0, load([0])[0][4], 0)]
    put(engine, message(1, changed))
    assert intake.drain() == Drained(messages=1, rows=1, changed=1)

    assert values(intake.writer.lake) == [(0, 777, 2), (1, wh(1), 1)]
    assert intake.writer.lake.history(1, 1, T0)["value"].to_list() == [wh(0), 777]
    (finding,) = data_quality.findings(engine)
    assert (finding.code, finding.numbers) == (
        "intake.changed",
        {"before": wh(0), "after": 777, "version": 2},
    )
    assert data_quality.coverage(engine)[0].actual == 2


def test_two_different_values_in_one_batch_are_two_versions(engine: Engine, intake: Intake) -> None:
    put(engine, *(message(1, [(T0, 0, value, 0, 5, 0)]) for value in (10, 10, 20, 10)))
    intake.drain()

    assert intake.writer.lake.history(1, 1, T0)["value"].to_list() == [10, 20, 10]
    assert data_quality.coverage(engine)[0].actual == 1


def test_a_measured_value_supersedes_an_estimate_without_a_finding(
    engine: Engine, intake: Intake
) -> None:
    put(engine, message(1, load(range(2))))
    intake.drain()
    estimate = intake.writer.lake.series(1, 1, T0, T0 + PERIOD_US).with_columns(
        pl.lit(T0 + 2 * PERIOD_US).cast(pl.Datetime("us", "UTC")).alias("start"),
        pl.lit(wh(2), pl.Int64).alias("value"),
        pl.lit(int(Quality.ESTIMATED | Quality.LIKE_DAY), pl.Int16).alias("quality"),
        pl.lit(0, pl.Int64).alias("message_id"),
    )
    intake.writer.append_versions(estimate)
    data_quality.add_coverage(
        engine,
        [Coverage(meter_id=1, day=START_DAY, expected=0, actual=0, estimated=1, suspect=0)],
    )
    put(engine, message(1, load([2])))
    intake.drain()

    assert values(intake.writer.lake)[-1] == (2, wh(2), 2)
    assert data_quality.findings(engine) == []
    (day,) = data_quality.coverage(engine)
    assert (day.actual, day.estimated) == (3, 0)


def test_rows_that_cannot_be_are_findings_and_stay_in_raw(engine: Engine, intake: Intake) -> None:
    late = (T0 + 30 * DAY_US, 0, 1, 0, 1, 0)
    odd = (T0 + 1_000_000, 0, 1, 0, 1, 0)
    put(engine, replace(message(1, [late, odd, *load([0])]), received_us=T0))

    assert intake.drain().rows == 4
    codes = {(each.code, each.channel) for each in data_quality.findings(engine)}
    assert codes == {
        (code, channel)
        for code in ("intake.off_grid", "intake.implausible_time")
        for channel in (1, 2, 3, 4)
    }
    assert intake.writer.lake.raw_message(1) is not None


def test_a_value_told_otherwise_without_end_is_a_finding_and_others_are_kept(
    engine: Engine, intake: Intake
) -> None:
    put(engine, message(1, load([0])))
    intake.drain()
    last = intake.writer.lake.series(1, 1, T0, T0 + PERIOD_US).with_columns(
        pl.lit(8, pl.Int64).alias("value"), pl.lit(2**15 - 1, pl.Int16).alias("version")
    )
    intake.writer.append_versions(last)
    changed = [(T0, 0, 777, 0, load([0])[0][4], 0)]
    put(engine, message(1, changed), message(2, load([0], 2)))
    intake.drain()

    lake = intake.writer.lake
    (finding,) = data_quality.findings(engine, codes=["intake.unsteady"])
    assert (finding.meter_id, finding.numbers["value"]) == (1, 777)
    assert values(lake) == [(0, 8, 2**15 - 1)]
    assert values(lake, 2) == [(0, wh(0, 2), 1)]
    assert lake.sizes()["raw"].rows == 3


def test_a_message_that_makes_no_sense_is_rejected_with_its_reason(
    engine: Engine, intake: Intake
) -> None:
    put(engine, message(1, load([0])), replace(message(2, load([0])), rows=b"\x01\x05garbage"))
    put(engine, replace(message(99, []), rows=b""))

    assert intake.drain() == Drained(messages=3, rows=4, rejected=2)
    stranger, known = inbox.rejections(engine)
    assert known.title == fleet(2)[1].title
    assert known.reason.startswith("profile rows: ")
    assert stranger.title == b""
    assert intake.writer.lake.sizes()["raw"].rows == 3
    assert inbox.depth(engine) == 0


def test_a_cut_between_the_lake_and_the_end_repeats_nothing(
    engine: Engine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine, message(1, load(range(3))))
    intake.drain()
    put(engine, message(1, [(T0, 0, 777, 0, 1, 0)]), message(1, load(range(2, 4))))

    def cut(*_arguments: object) -> None:
        raise InterruptedError

    for victim in ("openami.mdm.intake.inbox.finish", "openami.mdm.intake.live.put_latest"):
        with monkeypatch.context() as patch:
            patch.setattr(victim, cut)
            with pytest.raises(InterruptedError):
                intake.drain()
    assert inbox.depth(engine) == 2
    put(engine, message(1, load([4])))  # what comes later waits for the batch that was cut

    again = Intake(engine, intake.writer, intake.zone, 1800, intake.now_us)
    assert again.drain().messages == 2
    assert again.drain().messages == 1

    assert values(intake.writer.lake) == [
        (0, 777, 2),
        *((slot, wh(slot), 1) for slot in range(1, 5)),
    ]
    assert data_quality.coverage(engine)[0].actual == 5
    assert len(data_quality.findings(engine, codes=["intake.changed"])) == 2  # channels 1 and 3
    assert intake.writer.lake.sizes()["raw"].rows == 4


def test_a_full_disk_keeps_the_batch(
    engine: Engine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine, message(1, load(range(3))))

    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("openami.store.delta.write_deltalake", full)
        with pytest.raises(StoreUnavailableError, match="free space"):
            intake.drain()
    assert inbox.depth(engine) == 1

    assert intake.drain().rows == 12


DRAIN = """
import sys
from pathlib import Path
from zoneinfo import ZoneInfo
from openami.mdm.intake import Intake
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter
folder = Path(sys.argv[1])
engine = open_database(f"sqlite:///{folder / 'openami.db'}")
writer = IntervalWriter(folder / "lake")
intake = Intake(engine, writer, ZoneInfo("UTC"), 1800, lambda: 1_709_337_600_000_000, 10)
print("ready", flush=True)
count = 0
while intake.drain().messages:
    count += 1
    if count % 5 == 0:
        writer.compact_next(files_at_least=2)
"""


@pytest.mark.faults
def test_kill_9_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    registry.import_meters(engine, fleet(10))
    messages = [message(n, load([slot], n)) for slot in range(24) for n in range(1, 11)]
    put(engine, *messages)
    entropy = random.Random(1)
    kills = 0
    for _ in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", DRAIN, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        if kills < 6:
            time.sleep(entropy.random() * 0.25)
            process.kill()
        process.stdout.close()
        if process.wait() == 0:
            break
        kills += 1
    assert kills == 6

    lake = Lake(tmp_path / "lake")
    for number in range(1, 11):
        assert values(lake, number) == [(slot, wh(slot, number), 1) for slot in range(24)]
    assert lake.versions(None, None, 0, T0 + DAY_US).height == 240 * 4
    assert lake.sizes()["raw"].rows == 240
    assert lake.sizes()["readings_history"].rows == 0
    assert [each.actual for each in data_quality.coverage(engine)] == [24] * 10
    assert len(live.feed_after(engine, 0)) == 240
    assert inbox.depth(engine) == 0
    engine.dispose()


def test_a_database_older_than_the_lake_gives_new_numbers(
    engine: Engine, writer: IntervalWriter, intake: Intake
) -> None:
    put(engine, message(1, load([0])))
    intake.drain()
    older = open_database("sqlite:///" + str(writer.lake.folder.parent / "old.db"), create=True)
    registry.import_meters(older, fleet(1))
    put(older, replace(message(1, load([1])), message_id=0))

    Intake(older, writer, intake.zone, 1800, intake.now_us).drain()

    assert [slot for slot, _, _ in values(writer.lake)] == [0, 1]
    older.dispose()


def test_readings_and_findings_go_to_the_outbox_with_what_they_say(
    engine: Engine, intake: Intake
) -> None:
    put(engine, message(2, load(range(1))))
    intake.drain()
    assert publishing.waiting(engine) == []  # nobody asked for it
    intake.publishes = True
    put(engine, message(1, load(range(1))))
    intake.drain()
    put(engine, message(1, [(T0, 0, 777, 0, load([0])[0][4], 0)]))
    intake.drain()

    said = [(each.subject, json.loads(each.body)) for each in publishing.waiting(engine)]
    assert [subject for subject, _ in said] == [
        "openami.readings.1",
        "openami.readings.1",
        "openami.findings.1",
    ]
    assert said[0][1]["columns"] == ["channel", "start_us", "value", "quality", "version"]
    assert [1, T0, wh(0), 0, 1] in said[0][1]["readings"]
    assert said[1][1]["readings"] == [[1, T0, 777, 0, 2]]
    assert said[2][1]["numbers"] == {"before": wh(0), "after": 777, "version": 2}
