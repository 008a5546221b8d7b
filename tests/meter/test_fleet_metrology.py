# SPDX-License-Identifier: Apache-2.0
"""Many meters counted at once: the same values as one by one, through kills, cuts and damage."""

import logging
import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from meter.house import DAY_S, INSTALLED_S, MeterInMemory, Reader, config_in
from openami.cosem.classes.disconnect import DisconnectControl
from openami.device.storage import StorageError
from openami.exchange.events import EventCode
from openami.meter.config import MeterConfig
from openami.meter.fleet import Fleet
from openami.meter.fleet_metrology import FleetMetrology, profile_files
from openami.meter.fleet_profile import BLOCK, RECENT, RECORD, FleetProfile, crc32_of_rows
from openami.meter.load import INTERVAL_S
from openami.meter.metrology import BreakerChange, ClosedInterval, Metrology
from openami.meter.metrology_process import metrology_of
from openami.meter.objects import DISCONNECT
from openami.meter.profile import INTERVAL
from openami.runtime.clock import FixedClock
from openami.runtime.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests lose, they take away themselves."""
    monkeypatch.setattr("os.fdatasync", lambda _descriptor: None)


class Rack:
    """A fleet's metrology over one file, and beside it each of its meters alone."""

    def __init__(self, folder: Path, configs: Sequence[MeterConfig], capacity: int = 500) -> None:
        self.path = folder / "profile-1.blocks"
        self.configs = list(configs)
        self.now_s = INSTALLED_S
        self.changes: list[tuple[int, BreakerChange]] = []
        self.alone = [metrology_of(config) for config in configs]
        self.closed: list[list[ClosedInterval]] = [[] for _ in configs]
        ids = [config.meter_id for config in configs]
        period_s = configs[0].capture_period_s
        self.take(FleetProfile.make(self.path, ids, period_s=period_s, capacity=capacity))

    def take(self, profile: FleetProfile) -> None:
        self.profile = profile
        self.rack = FleetMetrology(
            profile, self.configs, lambda meter_id, change: self.changes.append((meter_id, change))
        )
        places = {config.meter_id: column for column, config in enumerate(self.configs)}
        for meter_id, change in self.changes:
            self.rack.restore(places[meter_id], change)

    def restart(self) -> str | None:
        """Open the files anew, without having closed them."""
        profile, finding = FleetProfile.open(self.path)
        assert profile is not None
        self.take(profile)
        return finding

    def go(self, seconds: int) -> None:
        self.now_s += seconds
        self.rack.advance(self.now_s)
        for meter, closed in zip(self.alone, self.closed, strict=True):
            closed.extend(meter.advance(self.now_s))

    def move(self, column: int, *, closed: bool) -> None:
        ours = self.rack.set_breaker(column, self.now_s, closed=closed)
        assert ours == self.alone[column].set_breaker(self.now_s, closed=closed)

    def rows(self, column: int) -> list[ClosedInterval]:
        rows = self.profile.read(column, self.profile.oldest, self.profile.newest)
        return [ClosedInterval.decode(row.tobytes()) for row in rows]

    def verify(self) -> None:
        for column, (meter, closed) in enumerate(zip(self.alone, self.closed, strict=True)):
            assert self.rows(column) == closed
            assert self.rack.breaker_closed(column) == meter.breaker_closed
            mine = self.rack.of(column)
            assert mine.momentary(self.now_s + 77) == meter.momentary(self.now_s + 77)
            assert mine.last == meter.last


def configs_in(folder: Path, count: int = 5, **changes: int) -> list[MeterConfig]:
    return [config_in(folder / str(number), number, **changes) for number in range(1, count + 1)]


def drive(rack: Rack, steps: int, *, kills: bool) -> None:
    """Let time pass in uneven steps while breakers move now and then."""
    chance = random.Random(7)
    for _ in range(steps):
        rack.go(chance.choice([1, 40, 700, 1800, 1801, 5000, 9000]))
        if chance.random() < 0.5:
            rack.move(chance.randrange(len(rack.configs)), closed=chance.random() < 0.6)
        if kills and chance.random() < 0.2:
            rack.restart()


@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("period_s", [900, 1800, 3600])
def test_each_meter_counts_as_it_does_alone(tmp_path: Path, period_s: int, *, kills: bool) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path, capture_period_s=period_s))

    drive(rack, 60, kills=kills)

    rack.verify()
    assert sum(row.import_wh for column in range(5) for row in rack.rows(column)) > 1000


def test_a_meter_that_was_installed_within_an_interval(tmp_path: Path) -> None:
    first, second = configs_in(tmp_path, 2)
    late = config_in(tmp_path / "3", 3, installed_s=INSTALLED_S + 4000)
    rack = Rack(tmp_path, [first, second, late])

    drive(rack, 20, kills=True)

    rack.verify()
    assert rack.rows(2)[0].end_s == INSTALLED_S + 3 * INTERVAL_S


def test_remainders_of_a_breaker_s_seconds_are_carried(tmp_path: Path) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path, 3))
    for _ in range(4):
        rack.go(1000)
        rack.move(1, closed=False)
        rack.go(333)
        rack.move(1, closed=True)
        rack.go(2 * INTERVAL_S)

    rack.verify()
    assert any(row.import_remainder_ws for row in rack.rows(1))


def test_crc_of_many_rows_is_that_of_each() -> None:
    octets = np.frombuffer(random.Random(1).randbytes(300 * INTERVAL.itemsize), INTERVAL)

    assert crc32_of_rows(octets).tolist() == [zlib.crc32(row.tobytes()) for row in octets]


def test_a_full_disk_leaves_intervals_open_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path))
    rack.go(DAY_S)

    def full() -> None:
        raise StorageError("profile-1.blocks cannot be written (No space left): free space")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(rack.profile, "sync", full)
        for _ in range(5):
            rack.go(INTERVAL_S)
            rack.move(1, closed=bool(rack.now_s // INTERVAL_S % 2))
            assert len(rack.rows(0)) == 48
        assert rack.rack.failing
    assert len(caplog.records) == 1
    rack.go(INTERVAL_S)

    assert not rack.rack.failing
    rack.verify()


def test_what_a_power_cut_tore_is_counted_again(tmp_path: Path) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path))
    rack.go(DAY_S)
    octets = rack.path.read_bytes()
    end = octets.rindex(rack.profile.last[0].tobytes())
    for cut in range(end - BLOCK.size, end + 100, 9):
        rack.path.write_bytes(octets[:cut])

        assert rack.restart() is None
        assert len(rack.rows(4)) == 47
        rack.go(0)
        rack.verify()


def test_an_unsynced_block_in_pieces_is_counted_again(tmp_path: Path) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path))
    rack.go(DAY_S)
    octets = bytearray(rack.path.read_bytes())
    at = octets.rindex(rack.profile.last[2].tobytes())
    octets[at : at + 30] = bytes(30)
    rack.path.write_bytes(octets)

    assert rack.restart() is None
    assert len(rack.rows(0)) == 47
    rack.go(0)
    rack.verify()


def test_a_durable_record_that_is_damaged_is_a_hole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path))
    rack.go(3 * DAY_S)
    rack.go(INTERVAL_S)
    with rack.path.open("r+b") as file:
        for age in (3, RECENT + 5):
            file.seek(rack.profile._place(rack.profile.newest - age) + BLOCK.size)
            file.seek(RECORD.itemsize + 9, 1)
            file.write(b"\xa5\xa5")

    with caplog.at_level(logging.ERROR):
        finding = rack.restart()
        rows = rack.rows(1)

    assert finding is not None
    assert "1 bad records" in finding
    lost = {145 - 3, 145 - RECENT - 5}
    assert [row.sequence for row in rows] == [n for n in range(1, 146) if n not in lost]
    assert rack.profile.holes == {1: lost}
    assert rack.rows(0) == rack.closed[0]


def test_the_newest_blocks_take_the_place_of_the_oldest(tmp_path: Path) -> None:
    rack = Rack(tmp_path, configs_in(tmp_path), capacity=60)
    rack.go(DAY_S)
    rack.go(DAY_S)
    rack.restart()

    assert rack.rows(3) == rack.closed[3][-60:]
    assert rack.path.stat().st_size < 4096 + 61 * 5 * RECORD.itemsize + 61 * BLOCK.size


def test_waveforms_are_measured_as_the_meter_alone_does(tmp_path: Path) -> None:
    plain, measured = config_in(tmp_path, 1), config_in(tmp_path, 2, waveforms=True)
    rack = Rack(tmp_path, [plain, measured])

    rack.go(2 * INTERVAL_S)
    rack.restart()
    rack.go(INTERVAL_S)

    rack.verify()


class Pair:
    """A fleet of two, and the same meter with both its modules."""

    def __init__(self, folder: Path) -> None:
        homes = [folder / name for name in ("alone", "1", "2")]
        for home in homes:
            home.mkdir()
        self.folder = folder
        self.single = MeterInMemory(config_in(homes[0], 1))
        self.configs = [config_in(home, number) for number, home in enumerate(homes[1:], 1)]
        self.clock = FixedClock(INSTALLED_S * 10**6)
        self.start()

    def start(self) -> None:
        self.fleet = Fleet(self.folder / "fleet", self.configs, self.clock)

    def go(self, seconds: int) -> None:
        self.single.run(seconds, steps=4)
        self.clock.set(self.single.calendar_s * 10**6)
        self.fleet.step(0.0)

    def move(self, *, closed: bool) -> None:
        for management in (self.single.management, self.fleet.meters[0].management):
            reader = Reader(management.connection().receive, 1, server_title=b"")
            reader.run(reader.client.associate())
            method = DisconnectControl.remote_reconnect
            if not closed:
                method = DisconnectControl.remote_disconnect
            reader.run(reader.client.act(method, 0, at=DISCONNECT))
            reader.run(reader.client.release())
        self.single.run(0, steps=10)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    found = Pair(tmp_path)
    yield found
    found.fleet.close()


def rows_of(fleet: Fleet, place: int) -> list[ClosedInterval]:
    ring = fleet.meters[place].management.profile.ring
    return [ClosedInterval.decode(row.tobytes()) for row in ring.read(ring.first, ring.last)]


def events_of(fleet: Fleet, place: int) -> list[tuple[int, int]]:
    ring = fleet.meters[place].management.events.ring
    return [(int(row["end_s"]), int(row["code"])) for row in ring.read(ring.first, ring.last)]


def test_a_fleet_s_meter_has_the_values_and_events_of_a_single_one(pair: Pair) -> None:
    for number in range(6):
        pair.go(20_000)
        pair.move(closed=bool(number % 2))
        pair.go(4 * INTERVAL_S)
        if number % 3 == 1:
            pair.start()  # kill -9 of one, restart of the other
            pair.single.start_metrology()
            pair.single.start_management()
            pair.single.run(0, steps=30)

    assert rows_of(pair.fleet, 0) == pair.single.intervals()
    codes = [code for _, code in events_of(pair.fleet, 0)]
    # A module of its own says each time that it starts.
    assert codes == [
        code for code in pair.single.logged() if code >= EventCode.DISCONNECTED_REMOTELY
    ]
    assert codes[:2] == [EventCode.DISCONNECTED_REMOTELY, EventCode.CONNECTED_REMOTELY]
    assert sum(row.import_wh for row in rows_of(pair.fleet, 0)) > 0
    assert events_of(pair.fleet, 1) == []


def test_a_breaker_s_history_outlives_lost_profiles(pair: Pair) -> None:
    pair.go(9_000)
    pair.move(closed=False)
    pair.go(20_000)
    pair.move(closed=True)
    pair.go(20_000)
    before = rows_of(pair.fleet, 0)
    for path in profile_files(pair.folder / "fleet"):
        path.unlink()

    pair.start()
    pair.fleet.step(0.0)

    assert rows_of(pair.fleet, 0) == before == pair.single.intervals()
    assert 0 in [row.import_wh for row in before]


def test_meters_that_join_later_have_a_file_of_their_own(pair: Pair) -> None:
    pair.go(DAY_S)
    pair.fleet.close()
    (pair.folder / "3").mkdir()
    pair.configs.append(config_in(pair.folder / "3", 3))
    pair.start()
    pair.go(DAY_S)
    pair.fleet.close()
    pair.configs = [pair.configs[2], pair.configs[0]]  # one goes, the others change places
    pair.start()
    pair.go(DAY_S)

    assert len(profile_files(pair.folder / "fleet")) == 2
    for place, config in enumerate(pair.configs):
        alone = Metrology.advance(metrology_of(config), pair.single.calendar_s)
        assert rows_of(pair.fleet, place) == alone


def test_a_meter_that_comes_back_is_counted_on(pair: Pair) -> None:
    pair.go(DAY_S)
    pair.fleet.close()
    both = pair.configs
    pair.configs = both[:1]
    pair.start()
    pair.go(DAY_S)
    pair.fleet.close()
    pair.configs = both
    pair.start()
    pair.go(DAY_S)

    alone = Metrology.advance(metrology_of(both[1]), pair.single.calendar_s)
    assert rows_of(pair.fleet, 0) == pair.single.intervals()
    found = {row.sequence: row for row in rows_of(pair.fleet, 1)}
    assert found.items() >= {row.sequence: row for row in alone if row.sequence > 96}.items()
    assert found.keys() >= set(range(1, 49))


def test_different_capture_periods_are_refused(tmp_path: Path) -> None:
    configs = [config_in(tmp_path, 1), config_in(tmp_path, 2, capture_period_s=900)]

    with pytest.raises(ConfigurationError, match="a fleet of its own"):
        Fleet(tmp_path / "fleet", configs, FixedClock(INSTALLED_S * 10**6))
