# SPDX-License-Identifier: Apache-2.0
"""Meter data management whole: from the inbox to estimates, as parts and as a process."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mdm.made import DAY_US, PERIOD_US, T0, fleet, load, message, wh
from openami.exchange.quality import Quality
from openami.mdm.config import MdmConfig
from openami.mdm.process import BATCHES_A_ROUND, FILES_A_DAY, ROUND_S, Mdm, run
from openami.runtime.clock import CalendarState, FixedClock, boot_id
from openami.runtime.errors import ConfigurationError, UserError
from openami.store import data_quality, due, inbox, live, registry
from openami.store.database import open_database

HOUR_US = 3_600_000_000


class Ticks:
    """Monotonic time that passes a minute at each look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 60.0
        return self.now_s


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(T0)


@pytest.fixture
def mdm(tmp_path: Path, clock: FixedClock) -> Iterator[Mdm]:
    config = MdmConfig(
        zone=ZoneInfo("UTC"),
        capture_period_s=1800,
        database=f"sqlite:///{tmp_path / 'openami.db'}",
        lake=tmp_path / "lake",
    )
    mdm = Mdm(config, clock, monotonic_s=Ticks())
    registry.import_meters(mdm.engine, fleet(2))
    yield mdm
    mdm.close()


def put(mdm: Mdm, slots: range, meter_id: int = 1) -> None:
    inbox.put(mdm.engine, [(message(meter_id, load(slots, meter_id)), None)])


def settle(mdm: Mdm) -> None:
    for _ in range(100):
        if not mdm.round():
            return
    raise AssertionError("there is always something to do")


def day(mdm: Mdm, meter_id: int = 1, number: int = 0) -> list[tuple[int, int, int]]:
    from_us = T0 + number * DAY_US
    frame = mdm.writer.lake.series(meter_id, 1, from_us, from_us + DAY_US)
    return list(zip(frame["value"], frame["quality"], frame["version"], strict=True))


def asked(mdm: Mdm) -> None:
    for gap in data_quality.gaps(mdm.engine):
        data_quality.attempt(mdm.engine, gap.gap_id, 0, "meter is silent")


def test_a_gap_is_found_asked_for_estimated_and_superseded(mdm: Mdm, clock: FixedClock) -> None:
    put(mdm, range(20))
    put(mdm, range(23, 48))
    put(mdm, range(48), meter_id=2)
    clock.set(T0 + DAY_US + HOUR_US)
    settle(mdm)

    (gap,) = data_quality.gaps(mdm.engine, meter_id=1, states=["open"])[:1]
    assert (gap.from_us, gap.to_us) == (T0 + 20 * PERIOD_US, T0 + 23 * PERIOD_US)
    assert [each.code for each in data_quality.findings(mdm.engine, codes=["vee.missing"])] == [
        "vee.missing"
    ] * 2  # import and export
    clock.set(T0 + DAY_US + 8 * HOUR_US)
    settle(mdm)
    assert len(day(mdm)) == 45  # nobody has asked the meter again yet

    asked(mdm)
    settle(mdm)
    estimated = day(mdm)[20:23]
    bits = int(Quality.ESTIMATED | Quality.INTERPOLATED | Quality.SCALED)
    assert [quality for _, quality, _ in estimated] == [bits] * 3
    assert sum(value for value, _, _ in estimated) == sum(wh(slot) for slot in (20, 21, 22))
    (counts,) = data_quality.coverage(mdm.engine, meter_id=1, to_day=T0 // DAY_US + 1)
    assert (counts.expected, counts.actual, counts.estimated) == (48, 45, 3)
    assert data_quality.gaps(mdm.engine, meter_id=1)[0].state == "estimated"

    put(mdm, range(20, 23))
    settle(mdm)
    assert day(mdm) == [(wh(slot), 0, 2 if 20 <= slot < 23 else 1) for slot in range(48)]
    (counts,) = data_quality.coverage(mdm.engine, meter_id=1, to_day=T0 // DAY_US + 1)
    assert (counts.actual, counts.estimated) == (48, 0)
    filled = data_quality.gaps(mdm.engine, meter_id=1, states=["filled"])
    assert [each.from_us for each in filled] == [gap.from_us]
    assert data_quality.findings(mdm.engine, codes=["intake.changed", "vee.duplicate"]) == []


def test_a_long_gap_leans_on_like_days(mdm: Mdm, clock: FixedClock) -> None:
    put(mdm, range(7 * 48))
    put(mdm, range(7 * 48 + 10, 8 * 48))
    clock.set(T0 + 8 * DAY_US + 8 * HOUR_US)
    settle(mdm)
    asked(mdm)
    clock.set(T0 + 8 * DAY_US + 15 * HOUR_US)
    settle(mdm)

    estimated = day(mdm, number=7)[:10]
    bits = int(Quality.ESTIMATED | Quality.LIKE_DAY | Quality.SCALED)
    assert [quality for _, quality, _ in estimated] == [bits] * 10
    assert sum(value for value, _, _ in estimated) == sum(wh(s) for s in range(336, 346))


def test_a_silent_meter_is_estimated_a_day_at_a_time_and_scaled_when_it_is_back(
    mdm: Mdm, clock: FixedClock
) -> None:
    put(mdm, range(48))
    clock.set(T0 + 2 * DAY_US)
    settle(mdm)
    asked(mdm)
    clock.set(T0 + 2 * DAY_US + 12 * HOUR_US)
    settle(mdm)

    first = day(mdm, number=1)
    assert [quality for _, quality, _ in first] == [Quality.ESTIMATED | Quality.LIKE_DAY] * 48
    assert day(mdm, number=2) == []
    assert data_quality.gaps(mdm.engine, meter_id=1)[0].state == "open"

    put(mdm, range(5 * 24, 5 * 24 + 2))
    clock.set(T0 + 3 * DAY_US)
    settle(mdm)
    gap = data_quality.gaps(mdm.engine, meter_id=1)[0]
    assert (gap.from_us, gap.to_us, gap.state) == (
        T0 + DAY_US,
        T0 + 5 * 24 * PERIOD_US,
        "estimated",
    )
    both = [*day(mdm, number=1), *day(mdm, number=2)[:24]]
    assert {quality for _, quality, _ in both} == {
        Quality.ESTIMATED | Quality.LIKE_DAY | Quality.SCALED
    }
    assert sum(value for value, _, _ in both) == sum(wh(slot) for slot in range(48, 120))
    assert [version for _, _, version in both] == [2] * 48 + [1] * 24


def test_a_spike_and_a_wrong_sum_become_suspect_versions(mdm: Mdm, clock: FixedClock) -> None:
    rows = load(range(96))
    rows[58] = (rows[58][0], 0, 9000, 0, rows[58][4], 0)
    inbox.put(mdm.engine, [(message(1, rows), None)])
    clock.set(T0 + 2 * DAY_US + HOUR_US)
    settle(mdm)

    assert day(mdm, number=1)[10] == (9000, Quality.SUSPECT, 2)
    assert mdm.writer.lake.history(1, 1, T0 + 58 * PERIOD_US)["quality"].to_list() == [0, 32]
    found = {each.code: each for each in data_quality.findings(mdm.engine, meter_id=1)}
    assert set(found) == {"vee.spike", "vee.sum"}
    assert found["vee.spike"].numbers["p1_wh"] == 9000
    assert {each.start_us for each in found.values()} == {T0 + 58 * PERIOD_US}
    counts = data_quality.coverage(mdm.engine, meter_id=1)[1]
    assert (counts.actual, counts.suspect) == (48, 1)
    kinds = [entry.kind for entry in live.feed_after(mdm.engine, 0)]
    assert kinds.count("finding") == len(data_quality.findings(mdm.engine))

    before = len(data_quality.findings(mdm.engine))
    put(mdm, range(1))  # the same value again: nothing to do
    inbox.put(mdm.engine, [(message(1, rows, kind="profile"), None)])
    settle(mdm)
    assert day(mdm, number=1)[10] == (9000, Quality.SUSPECT, 2)
    assert len(data_quality.findings(mdm.engine)) == before


def test_two_measured_values_for_one_interval_are_a_duplicate(mdm: Mdm) -> None:
    put(mdm, range(3))
    settle(mdm)
    changed = load(range(3))
    changed[1] = (changed[1][0], 0, 55, 0, changed[1][4], 0)
    inbox.put(mdm.engine, [(message(1, changed), None)])
    settle(mdm)

    codes = [each.code for each in data_quality.findings(mdm.engine, meter_id=1)]
    assert sorted(codes) == ["intake.changed", "vee.duplicate"]


def test_settled_days_are_put_in_order(mdm: Mdm, clock: FixedClock) -> None:
    for slot in range(8):
        put(mdm, range(slot, slot + 1))
        clock.set(T0 + (slot + 1) * PERIOD_US)
        mdm.round()
    clock.set(T0 + 2 * DAY_US)
    settle(mdm)

    assert mdm.writer.lake.sizes()["readings"].files == 1
    assert [value for value, _, _ in day(mdm)] == [wh(slot) for slot in range(8)]
    assert mdm.figures()["compactions"]


def test_files_are_put_in_order_where_the_inbox_never_rests(mdm: Mdm, clock: FixedClock) -> None:
    for slot in range(FILES_A_DAY):
        put(mdm, range(slot, slot + 1))
        clock.set(T0 + (slot + 1) * PERIOD_US)
        assert mdm.round()

    assert mdm.writer.lake.sizes()["readings"].files == 1
    assert [value for value, _, _ in day(mdm)] == [wh(slot) for slot in range(FILES_A_DAY)]


def test_messages_gather_between_two_looks_at_the_inbox(
    mdm: Mdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(mdm, "_monotonic_s", lambda: now_s)
    put(mdm, range(1))
    mdm.round()
    for slot in range(1, 4):
        put(mdm, range(slot, slot + 1))
        mdm.round()
    before = mdm.progress.commits, mdm.progress.messages
    now_s += ROUND_S
    mdm.round()

    assert (before, (mdm.progress.commits, mdm.progress.messages)) == ((1, 1), (2, 4))


def test_what_a_full_batch_left_is_drained_at_once(
    mdm: Mdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdm, "_monotonic_s", lambda: 100.0)
    mdm.intake.batch_messages = 1
    for slot in range(BATCHES_A_ROUND + 1):
        put(mdm, range(slot, slot + 1))
    mdm.round()
    assert inbox.depth(mdm.engine) == 1
    mdm.round()
    assert inbox.depth(mdm.engine) == 0


def test_a_day_is_validated_and_estimated_without_the_registry_of_all_meters(
    mdm: Mdm, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(mdm, range(20, 48))
    clock.set(T0 + 2 * DAY_US)
    mdm.intake.drain()
    mdm.gaps.run()
    clock.set(T0 + 3 * DAY_US)

    def unwanted(*_: object, **__: object) -> list[registry.Meter]:
        raise AssertionError("all meters were read")

    monkeypatch.setattr(registry, "meters", unwanted)
    assert mdm.validator.run().days == 1
    assert mdm.estimator.run() > 0


def test_gaps_are_looked_up_again_after_a_restart(mdm: Mdm, clock: FixedClock) -> None:
    put(mdm, range(10))
    clock.set(T0 + DAY_US)
    settle(mdm)
    before = data_quality.gaps(mdm.engine)
    put(mdm, range(10, 48))
    mdm.intake.drain()
    mdm.close()

    again = Mdm(mdm.config, clock, monotonic_s=Ticks())
    mdm.writer._lock = again.writer._lock
    settle(again)

    assert len(before) == 2
    (left,) = data_quality.gaps(again.engine)
    assert (left.meter_id, left.from_us) == (2, T0)


def test_a_full_disk_is_an_alarm_and_nothing_is_lost(
    mdm: Mdm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(mdm, range(10))

    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    async def scene() -> None:
        stop = asyncio.Event()
        with monkeypatch.context() as patch:
            patch.setattr("openami.store.delta.write_deltalake", full)
            task = asyncio.create_task(run(mdm, stop, tmp_path / "run"))
            await until(lambda: "free space" in str(mdm.figures()["alarm"]))
        await until(lambda: mdm.progress.rows == 40)
        await until(lambda: not mdm.progress.alarm)
        stop.set()
        await task

    asyncio.run(scene())
    assert json.loads((tmp_path / "run" / "mdm.json").read_text())["figures"]
    assert len(day(mdm)) == 10


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def home(var: Path, extra: str = "") -> Path:
    folder = var / "mdm"
    folder.mkdir(parents=True)
    text = '[mdm]\nzone = "Australia/Sydney"\ncapture_period_s = 1800\n'
    text += '[store]\ndatabase = "../openami.db"\nlake = "../lake"\n'
    (folder / "config.toml").write_text(text + extra)
    return folder


@pytest.mark.system
def test_the_command_runs_until_told_and_goes_on_after_kill_9(tmp_path: Path) -> None:
    folder = home(tmp_path)
    CalendarState(
        base_us=T0 + DAY_US, epoch_monotonic_s=0.0, speed=1.0, running=False, boot=boot_id()
    ).store(tmp_path / "clock.json")
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    registry.import_meters(engine, fleet(2))
    starter = "import sys; from openami.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", starter, "mdm", "run", "--home", str(folder)]
    for number, end in enumerate((signal.SIGKILL, signal.SIGTERM)):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        slots = range(number * 24, number * 24 + 24)
        inbox.put(engine, [(message(1, load(slots)), None)])
        deadline = time.monotonic() + 60
        while inbox.depth(engine) or due.due_days(engine, T0 + DAY_US):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(end)
        _, said = process.communicate(timeout=30)
        assert process.returncode == (-9 if end is signal.SIGKILL else 0), said
        assert "Traceback" not in said
    engine.dispose()
    config = MdmConfig.load(folder)
    mdm = Mdm(config, FixedClock(T0))
    assert [value for value, _, _ in day(mdm)] == [wh(slot) for slot in range(48)]
    mdm.close()


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ("[vee]\nspike_ratio = -1", r"\[vee\] spike_ratio is -1, not a number"),
        ("[vee]\nnonsense = 1", r"\[vee\] has no key nonsense; known are"),
        ("wrong = 1", r"\[store\] has no key wrong"),
        ("[vee]\nspike_ratio = true", "spike_ratio is True"),
    ],
)
def test_wrong_configuration_is_named(tmp_path: Path, extra: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        MdmConfig.load(home(tmp_path, extra))


def test_wrong_values_are_named(tmp_path: Path) -> None:
    folder = home(tmp_path)
    path = folder / "config.toml"
    good = path.read_text()
    for before, after, sentence in (
        ("Australia/Sydney", "Mars/Base", "IANA"),
        ("1800", "1799", "divide a day"),
        ("[mdm]", "mdm = 3\n[x]", r"not a table \[mdm\]"),
        ("[mdm]", "[mdm", "not valid TOML"),
    ):
        path.write_text(good.replace(before, after))
        with pytest.raises(ConfigurationError, match=sentence):
            MdmConfig.load(folder)
    path.write_text(good + "[vee]\nlike_days = 5\n")
    assert MdmConfig.load(folder).limits.like_days == 5


def test_a_lake_that_another_process_writes_is_refused(mdm: Mdm) -> None:
    with pytest.raises(UserError, match="another process writes"):
        Mdm(replace(mdm.config), FixedClock(T0))
