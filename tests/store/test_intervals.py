# SPDX-License-Identifier: Apache-2.0
"""The lake: appends, days put in order, reading, power cuts, full disks."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openami.exchange.quality import Quality
from openami.runtime.errors import UserError
from openami.store.database import StoreUnavailableError
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import (
    DAY_US,
    RAW_SCHEMA,
    SCHEMA,
    Lake,
    current,
    day_number,
    day_of,
    start_us,
    with_partitions,
)

HALF_HOUR_US = 1_800_000_000
DAY = date(2024, 3, 1)
T0 = day_number(DAY) * DAY_US
NO_RAW = pl.DataFrame(schema=RAW_SCHEMA).with_columns(pl.lit(None, pl.Date).alias("day"))


def readings(*rows: tuple[int, int, int, int, int]) -> pl.DataFrame:
    """Rows of (meter_id, channel, slot, value, version)."""
    return pl.DataFrame(
        {
            "meter_id": [row[0] for row in rows],
            "channel": [row[1] for row in rows],
            "start": [T0 + row[2] * HALF_HOUR_US for row in rows],
            "value": [row[3] for row in rows],
            "quality": [0 for _ in rows],
            "version": [row[4] for row in rows],
            "received_us": [T0 for _ in rows],
            "message_id": [1 for _ in rows],
        }
    ).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def raw(message_id: int, octets: bytes = b"\xdd") -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "message_id": [message_id],
            "meter_id": [1],
            "received_us": [T0],
            "kind": ["push"],
            "key_epoch": [1],
            "hops": ["north"],
            "clock_status": [0],
            "octets": [octets],
        },
        schema=RAW_SCHEMA,
    )
    return frame.with_columns(pl.lit(DAY).alias("day"))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IntervalWriter]:
    writer = IntervalWriter(tmp_path / "lake")
    yield writer
    writer.close()


def all_of(lake: Lake) -> list[tuple[int, int, int, int]]:
    frame = lake.values(None, None, T0 - DAY_US, T0 + 40 * DAY_US)
    slots = [(moment - T0) // HALF_HOUR_US for moment in start_us(frame)]
    columns = (frame["meter_id"], frame["channel"], slots, frame["value"])
    return list(zip(*columns, strict=True))


def test_a_reader_may_come_first(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    assert lake.series(1, 1, T0, T0 + DAY_US).is_empty()
    assert lake.sums(None, 1, T0, T0 + DAY_US).is_empty()
    assert lake.history(1, 1, T0).is_empty()
    assert lake.raw_message(1) is None
    assert lake.sizes()["readings"].rows == 0

    writer = IntervalWriter(tmp_path / "lake")
    writer.append(1, readings((1, 1, 0, 100, 1)), raw(1))
    assert lake.series(1, 1, T0, T0 + DAY_US)["value"].to_list() == [100]
    assert lake.series(1, 1, T0, T0).is_empty()
    assert lake.values([], None, T0, T0 + DAY_US).is_empty()
    writer.close()


def test_a_batch_is_written_once(writer: IntervalWriter) -> None:
    assert writer.last_batch() == 0
    writer.append(4, readings((1, 1, 0, 100, 1)), raw(1))
    writer.append(4, readings((1, 1, 0, 100, 1)), raw(1))
    writer.append(3, readings((1, 1, 1, 100, 1)), raw(2))
    writer.append(5, pl.DataFrame(schema=SCHEMA), NO_RAW)

    assert writer.last_batch() == 5
    assert writer.lake.versions(None, None, T0, T0 + DAY_US).height == 1
    assert writer.lake.sizes()["raw"].rows == 1


def test_a_table_that_missed_a_batch_gets_it(writer: IntervalWriter) -> None:
    rows = with_partitions(readings((1, 1, 0, 100, 1)))
    columns = list(writer.lake.readings.form.columns)
    writer.lake.readings.append(rows.select(columns), "inbox/mdm/readings", 9)

    writer.append(9, readings((1, 1, 0, 100, 1)), raw(1))

    sizes = writer.lake.sizes()
    assert (sizes["readings"].rows, sizes["raw"].rows) == (1, 1)


def test_a_second_writer_is_refused(writer: IntervalWriter) -> None:
    with pytest.raises(UserError, match="another process writes the lake"):
        IntervalWriter(writer.lake.folder)


def test_the_highest_version_is_the_value_before_and_after_reduce(writer: IntervalWriter) -> None:
    writer.append(1, readings((1, 1, 0, 100, 1), (1, 1, 1, 200, 1), (2, 1, 0, 7, 1)), NO_RAW)
    writer.append_versions(readings((1, 1, 0, 101, 2)))
    writer.append_versions(readings((1, 1, 0, 102, 3)))
    before = all_of(writer.lake)
    assert before == [(1, 1, 0, 102), (1, 1, 1, 200), (2, 1, 0, 7)]

    assert writer.reduce(DAY, 0)
    assert not writer.reduce(DAY, 0)
    assert not writer.reduce(date(2030, 1, 1), 0)

    assert all_of(writer.lake) == before
    sizes = writer.lake.sizes()
    assert (sizes["readings"].rows, sizes["readings"].files) == (3, 1)
    assert sizes["readings_history"].rows == 2
    versions = writer.lake.history(1, 1, T0)
    assert versions["value"].to_list() == [100, 101, 102]
    assert versions["version"].to_list() == [1, 2, 3]


def test_reduce_takes_a_batch_and_ignores_an_older_version(writer: IntervalWriter) -> None:
    writer.append_versions(readings((1, 1, 0, 100, 3)))

    writer.reduce(DAY, 0, readings((1, 1, 0, 50, 2), (1, 1, 1, 60, 1)))

    assert all_of(writer.lake) == [(1, 1, 0, 100), (1, 1, 1, 60)]
    assert writer.lake.history(1, 1, T0)["value"].to_list() == [50, 100]


def test_a_reduce_cut_after_the_history_can_be_done_again(
    writer: IntervalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append_versions(readings((1, 1, 0, 100, 1)))
    writer.append_versions(readings((1, 1, 0, 101, 2)))

    def cut(*arguments: object, mode: str, **named: object) -> None:
        if mode == "overwrite":
            raise InterruptedError
        write_deltalake(*arguments, mode=mode, **named)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr("openami.store.delta.write_deltalake", cut)
        with pytest.raises(UserError):
            writer.reduce(DAY, 0)
    assert writer.lake.sizes()["readings_history"].rows == 1
    assert writer.lake.sizes()["readings"].rows == 2

    writer.reduce(DAY, 0)

    assert writer.lake.sizes()["readings_history"].rows == 1
    assert writer.lake.history(1, 1, T0)["value"].to_list() == [100, 101]


def test_reduce_goes_on_after_another_writer_crossed(
    writer: IntervalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append_versions(readings((1, 1, 0, 100, 1)))
    writer.append_versions(readings((1, 1, 0, 101, 2)))
    crossed: list[bool] = []
    keep = IntervalWriter._keep_history

    def cross(self: IntervalWriter, *arguments: object) -> None:
        keep(self, *arguments)  # type: ignore[arg-type]
        if not crossed:
            crossed.append(True)
            other = Lake(self.lake.folder).readings
            frame = with_partitions(readings((1, 1, 5, 500, 1)))
            other.append(frame.select(list(other.form.columns)))

    monkeypatch.setattr(IntervalWriter, "_keep_history", cross)

    assert writer.reduce(DAY, 0)
    assert all_of(writer.lake) == [(1, 1, 0, 101), (1, 1, 5, 500)]
    assert writer.lake.sizes()["readings_history"].rows == 1


def test_reading_is_bounded_by_meter_channel_and_time(writer: IntervalWriter) -> None:
    everything = [
        (m, c, s, m * 1000 + c * 100 + s, 1) for m in (1, 2) for c in (1, 2) for s in range(96)
    ]
    writer.append(1, readings(*everything), NO_RAW)
    lake = writer.lake

    found = lake.series(2, 1, T0 + 40 * HALF_HOUR_US, T0 + 56 * HALF_HOUR_US)
    assert found["value"].to_list() == [2100 + slot for slot in range(40, 56)]
    assert lake.values([1, 2], [1, 2], T0, T0 + DAY_US).height == 4 * 48
    assert lake.values(None, [2], T0, T0 + HALF_HOUR_US)["value"].to_list() == [1200, 2200]


def test_sums_tell_how_many_meters_and_estimates(writer: IntervalWriter) -> None:
    frame = readings((1, 1, 0, 10, 1), (2, 1, 0, 20, 1), (1, 1, 1, 30, 1), (3, 1, 0, 5, 1))
    marked = frame.with_columns(
        quality=pl.when(pl.col("meter_id") == 2)
        .then(int(Quality.ESTIMATED | Quality.LIKE_DAY))
        .otherwise(0)
        .cast(pl.Int16)
    )
    writer.append(1, marked, NO_RAW)

    sums = writer.lake.sums([1, 2], 1, T0, T0 + DAY_US)

    assert sums.select("value", "meters", "estimated").rows() == [(30, 2, 1), (30, 1, 0)]


def test_a_value_can_be_followed_to_its_octets(writer: IntervalWriter) -> None:
    for number in range(1, 60):
        writer.append(number, readings((1, 1, number, 1, 1)), raw(number, bytes([number])))

    message = writer.lake.raw_message(37)
    assert message is not None
    assert (message["octets"], message["hops"]) == (b"\x25", "north")
    assert writer.compact_raw_next()
    assert not writer.compact_raw_next()
    assert writer.lake.sizes()["raw"].files == 1
    assert writer.lake.raw_message(37) == message


def test_compaction_takes_the_partition_with_most_files(writer: IntervalWriter) -> None:
    for slot in range(6):
        writer.append_versions(readings((1, 1, slot, slot, 1)))
    writer.append_versions(readings((1, 1, 48, 1, 1)))
    before = all_of(writer.lake)

    assert writer.compact_next(files_at_least=6)
    assert not writer.compact_next(files_at_least=6)
    assert all_of(writer.lake) == before
    assert [count for _, _, count in writer.partitions()] == [1, 1]


def test_checkpoints_and_vacuum_lose_nothing(writer: IntervalWriter) -> None:
    for slot in range(48):
        writer.append(slot + 1, readings((1, 1, slot, slot, 1)), NO_RAW)
    writer.reduce(DAY, 0)
    writer.append(60, readings((1, 1, 50, 50, 1)), NO_RAW)
    writer.append(61, readings((1, 1, 51, 51, 1)), NO_RAW)
    before = all_of(writer.lake)

    writer.maintain()
    folder = writer.lake.readings.folder / "_delta_log"
    assert (folder / "_last_checkpoint").exists()
    writer.close()

    again = IntervalWriter(writer.lake.folder)
    writer._lock = again._lock
    assert all_of(again.lake) == before
    assert again.last_batch() == 61


@pytest.mark.parametrize("damage", ["entry torn", "entry empty", "file torn", "file zeroed"])
def test_a_torn_commit_is_taken_back_and_the_batch_comes_again(tmp_path: Path, damage: str) -> None:
    """What a power cut may leave of a commit whose fsync never returned."""
    writer = IntervalWriter(tmp_path / "lake")
    writer.append(1, readings((1, 1, 0, 100, 1)), raw(1))
    before = {file.path for file in writer.lake.readings.files()}
    writer.append(2, readings((1, 1, 1, 200, 1)), raw(2))
    (new,) = {file.path for file in writer.lake.readings.files()} - before
    writer.close()
    entry = max((writer.lake.readings.folder / "_delta_log").glob("*.json"))
    victim = entry if damage.startswith("entry") else Path(new)
    octets = victim.read_bytes()
    keep = {"torn": octets[: len(octets) // 2], "empty": b"", "zeroed": b"\0" * len(octets)}
    victim.write_bytes(keep[damage.split()[1]])

    again = IntervalWriter(tmp_path / "lake")
    assert all_of(again.lake) == [(1, 1, 0, 100)]
    assert len(list((tmp_path / "lake").rglob("*.torn"))) >= 1  # what was taken back is kept
    again.append(2, readings((1, 1, 1, 200, 1)), raw(2))
    assert all_of(again.lake) == [(1, 1, 0, 100), (1, 1, 1, 200)]
    assert again.lake.sizes()["raw"].rows == 2
    again.close()


def test_a_torn_rewrite_is_taken_back(tmp_path: Path) -> None:
    writer = IntervalWriter(tmp_path / "lake")
    writer.append_versions(readings((1, 1, 0, 100, 1)))
    writer.append_versions(readings((1, 1, 0, 101, 2)))
    writer.reduce(DAY, 0)
    (new,) = writer.lake.readings.files()
    writer.close()
    Path(new.path).write_bytes(b"PAR1")

    again = IntervalWriter(tmp_path / "lake")

    assert all_of(again.lake) == [(1, 1, 0, 101)]
    assert again.lake.history(1, 1, T0)["value"].to_list() == [100, 101]
    again.close()


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    writer = IntervalWriter(tmp_path / "lake")
    for slot in range(30):
        writer.append_versions(readings((1, 1, slot, 100, 1)))
    writer.close()
    (tmp_path / "lake" / "readings" / "_delta_log" / f"{2:020}.json").write_bytes(b"{garbage")

    with pytest.raises(UserError, match=r"lake/readings cannot be used .*backup"):
        IntervalWriter(tmp_path / "lake")


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store.test_intervals import NO_RAW, readings
from openami.store.database import StoreUnavailableError
from openami.store.interval_writer import IntervalWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = IntervalWriter(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
try:
    writer.append(2, readings((1, 1, 1, 200, 1)), NO_RAW)
except StoreUnavailableError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.append(2, readings((1, 1, 1, 200, 1)), NO_RAW)
"""


def test_a_full_disk_is_a_sentence_and_the_batch_comes_again(tmp_path: Path) -> None:
    writer = IntervalWriter(tmp_path / "lake")
    writer.append(1, readings((1, 1, 0, 100, 1)), NO_RAW)
    writer.close()

    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "lake"), tests],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "free space on its disk" in done.stdout
    assert all_of(Lake(tmp_path / "lake")) == [(1, 1, 0, 100), (1, 1, 1, 200)]


def test_a_reader_survives_a_file_that_went_away(writer: IntervalWriter) -> None:
    writer.append_versions(readings((1, 1, 0, 100, 1)))
    reader = Lake(writer.lake.folder)
    old = reader.readings.files()
    writer.append_versions(readings((1, 1, 0, 101, 2)))
    writer.reduce(DAY, 0)
    for file in old:
        Path(file.path).unlink()
    reader.readings._files = old
    reader.readings._indexed = writer.lake.readings._fresh().version()

    assert all_of(reader) == [(1, 1, 0, 101)]


rows = st.tuples(
    st.integers(1, 3), st.integers(1, 2), st.integers(0, 95), st.integers(0, 9), st.integers(1, 5)
)


@given(st.lists(rows, min_size=1, max_size=30))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_current_is_the_highest_version_of_each_identity(
    found: list[tuple[int, int, int, int, int]],
) -> None:
    highest: dict[tuple[int, int, int], int] = {}
    for meter_id, channel, slot, _, version in found:
        key = (meter_id, channel, slot)
        highest[key] = max(version, highest.get(key, 0))

    frame = current(readings(*found))

    slots = [(moment - T0) // HALF_HOUR_US for moment in start_us(frame)]
    keys = list(zip(frame["meter_id"], frame["channel"], slots, strict=True))
    assert keys == sorted(highest)
    assert frame["version"].to_list() == [highest[key] for key in keys]


def test_when_the_first_of_all_came_is_found_in_the_days_until_then(
    writer: IntervalWriter,
) -> None:
    assert writer.lake.first_received_us() is None
    for batch, (slot, came_us) in enumerate(
        [(0, 2 * DAY_US + 9), (50, 2 * DAY_US + 7), (97, 2 * DAY_US + 8), (200, 5)], 1
    ):
        came = pl.lit(T0 + came_us, pl.Int64).alias("received_us")
        writer.append(batch, readings((1, 1, slot, 1, 1)).with_columns(came), NO_RAW)
    assert writer.lake.first_received_us() == T0 + 2 * DAY_US + 7


def test_days_and_numbers_agree() -> None:
    assert day_of(T0) == day_of(T0 + DAY_US - 1) == DAY
    assert day_of(T0 - 1) == date(2024, 2, 29)
    assert current(pl.DataFrame(schema=SCHEMA)).is_empty()
    assert issubclass(StoreUnavailableError, UserError)


def test_an_acknowledged_entry_is_never_taken_back(tmp_path: Path) -> None:
    writer = IntervalWriter(tmp_path / "lake")
    for slot in range(5):
        writer.append_versions(readings((1, 1, slot, 100, 1)))
    writer.close()
    log_folder = tmp_path / "lake" / "readings" / "_delta_log"
    entry = log_folder / f"{3:020}.json"
    octets = entry.read_bytes()
    entry.write_bytes(octets[:100])

    with pytest.raises(UserError, match=r"3\.json or a file that it names is damaged.*backup"):
        IntervalWriter(tmp_path / "lake")

    entry.write_bytes(octets)
    again = IntervalWriter(tmp_path / "lake")
    assert len(all_of(again.lake)) == 5
    again.close()


def test_both_torn_entries_of_a_vacuum_are_taken_back(tmp_path: Path) -> None:
    writer = IntervalWriter(tmp_path / "lake")
    writer.append_versions(readings((1, 1, 0, 100, 1)))
    writer.close()
    log_folder = tmp_path / "lake" / "readings" / "_delta_log"
    (log_folder / f"{2:020}.json").write_bytes(b"")
    (log_folder / f"{3:020}.json").write_bytes(b'{"commitInfo":{"operation":"VACUUM END"}}')

    again = IntervalWriter(tmp_path / "lake")

    again.append_versions(readings((1, 1, 1, 101, 1)))
    assert all_of(again.lake) == [(1, 1, 0, 100), (1, 1, 1, 101)]
    again.close()
