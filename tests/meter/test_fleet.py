# SPDX-License-Identifier: Apache-2.0
"""A fleet in one process: one journal for all, rings that the journal repairs, commands."""

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter.house import (
    CIPHER,
    DAY_S,
    INSTALLED_S,
    Hop,
    MeterInMemory,
    Reader,
    config_in,
    expected_wh,
)
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, Register
from openami.dlms.apdu.ciphered import GeneralCiphering
from openami.dlms.obis import Obis
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.exchange.events import EventCode
from openami.meter import fleet_adopt, street
from openami.meter.fleet import Fleet, make_room_for_descriptors
from openami.meter.fleet_profile import FleetProfile
from openami.meter.fleet_records import FleetRecords
from openami.meter.load import INTERVAL_S
from openami.meter.management import Management
from openami.meter.metrology import ClosedInterval
from openami.meter.objects import DISCONNECT, SOURCE
from openami.meter.replay import ReplayedLoad
from openami.runtime.clock import FixedClock
from openami.runtime.errors import UserError

POWER = Obis(1, 0, 1, 7, 0, 255)


class Yard:
    """A fleet of three whose calendar the test moves; every start opens the files anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s, self.pace_s = 0.0, 0.0
        self.clock = FixedClock(INSTALLED_S * 10**6)
        self.hops = {number: Hop() for number in (1, 2, 3)}
        homes = {number: folder / "meters" / str(number) for number in self.hops}
        for home in homes.values():
            home.mkdir(parents=True)
        self.configs = [config_in(home, number) for number, home in homes.items()]
        self.start()

    def start(self) -> None:
        self.fleet = Fleet(self.folder / "fleet", self.configs, self.clock)
        for meter in self.fleet.meters:
            attach(meter.management, self.hops[meter.meter_id])

    def run(self, calendar_s: int, steps: int = 10) -> None:
        for _ in range(steps):
            self.clock.set(self.clock.now_us() + calendar_s // steps * 10**6)
            for _ in range(3):
                self.fleet.step(self.now_s)
                self.now_s += self.pace_s

    @property
    def counters(self) -> list[int]:
        """Invocation counters of all pushes, meter by meter."""
        return [counter for title in self.titles for counter in self.counters_of(title)]

    @property
    def titles(self) -> list[bytes]:
        return [config.title for config in self.configs]

    def counters_of(self, title: bytes) -> list[int]:
        pushes = self.hops[int.from_bytes(title[3:])].pushes
        return [counter_of(octets) for octets in dict.fromkeys(pushes)]

    def logged(self, meter_id: int) -> list[int]:
        ring = self.fleet.meters[meter_id - 1].management.events.ring
        return [int(event["code"]) for event in ring.read(ring.first, ring.last)]

    @property
    def closed(self) -> int:
        return (self.clock.now_us() // 10**6 - INSTALLED_S) // INTERVAL_S

    def intervals(self, meter_id: int) -> list[ClosedInterval]:
        ring = self.fleet.meters[meter_id - 1].management.profile.ring
        return [ClosedInterval.decode(row.tobytes()) for row in ring.read(ring.first, ring.last)]

    def verify(self) -> None:
        for number, hop in self.hops.items():
            expected = expected_wh(1, self.closed, ReplayedLoad(number, 1))
            assert [interval.import_wh for interval in self.intervals(number)] == expected
            assert hop.wh() == expected


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    found = Yard(tmp_path)
    yield found
    found.fleet.close()


def test_every_meter_pushes_its_own_home(yard: Yard) -> None:
    yard.run(3 * DAY_S)

    yard.verify()
    figures = yard.fleet.figures()
    assert figures["intervals closed"] == 3 * 144
    assert figures["pushes pending"] == 0


def test_a_killed_fleet_goes_on_where_it_was(yard: Yard) -> None:
    for _ in range(3):
        yard.run(DAY_S)
        yard.start()  # without closing the one before
    yard.run(DAY_S)

    yard.verify()


def test_lost_profiles_are_counted_again(yard: Yard) -> None:
    yard.run(2 * DAY_S)
    before = [yard.intervals(number) for number in yard.hops]
    (yard.folder / "fleet" / "profile-1.blocks").unlink()

    yard.start()
    yard.run(DAY_S)

    assert [yard.intervals(number)[:96] for number in yard.hops] == before
    yard.verify()


def test_damaged_profiles_are_set_aside_and_counted_again(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    yard.run(DAY_S)
    yard.fleet.close()
    with (yard.folder / "fleet" / "profile-1.blocks").open("r+b") as file:
        file.write(b"nothing of use")

    with caplog.at_level(logging.ERROR):
        yard.start()
    yard.run(DAY_S)

    assert "profile-1.blocks.damaged-1" in caplog.text
    assert EventCode.STATE_RESTORED in yard.logged(2)
    yard.verify()


def test_a_lost_journal_costs_no_counter_and_no_value(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    yard.run(2 * DAY_S)
    yard.fleet.close()
    used = max(yard.counters)
    (yard.folder / "fleet" / "management.journal").write_bytes(b"nothing of use")

    with caplog.at_level(logging.ERROR):
        yard.start()
    yard.run(DAY_S)

    assert "management.journal.damaged-1" in caplog.text
    assert min(yard.counters[-3:]) > used + 16 * 86_400
    assert EventCode.STATE_RESTORED in yard.logged(1)
    yard.verify()


def test_a_removed_journal_is_doubted_as_well(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    yard.run(DAY_S)
    used = max(yard.counters)
    (yard.folder / "fleet" / "management.journal").unlink()

    yard.start()
    yard.run(DAY_S)

    assert "management.journal is gone" in caplog.text
    assert min(yard.counters[-3:]) > used + 16 * 86_400


def test_no_counter_comes_twice_after_kills(yard: Yard) -> None:
    for _ in range(4):
        yard.run(DAY_S)
        yard.start()

    each = {title: yard.counters_of(title) for title in yard.titles}
    assert all(len(set(counters)) == len(counters) >= 40 for counters in each.values())


def test_a_long_journal_is_shortened_and_forgets_nothing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openami.meter.fleet_records.LONGEST_OCTETS", 500)
    yard.start()
    for _ in range(3):
        yard.run(DAY_S)
        yard.fleet.meters[0].management.log_event(EventCode.FAILED_LOGIN)

    assert (yard.folder / "fleet" / "management.journal").stat().st_size < 2000
    yard.start()
    assert yard.logged(1) == [EventCode.FAILED_LOGIN] * 3
    assert yard.fleet.figures()["pushes pending"] == 0
    yard.run(DAY_S)
    yard.verify()


def test_a_command_takes_effect_at_once_and_survives_a_kill(yard: Yard) -> None:
    yard.run(DAY_S)
    meter = yard.fleet.meters[1]
    reader = Reader(meter.management.connection().receive, 1, server_title=b"")
    reader.run(reader.client.associate())
    assert str(ReplayedLoad(2, 1).week(yard.clock.now_us() // 10**6)) == reader.run(
        reader.client.get(Data.value, at=SOURCE)
    )

    reader.run(reader.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))

    assert meter.management.breaker_settled
    assert reader.run(reader.client.get(DisconnectControl.output_state, at=DISCONNECT)) is False
    assert reader.run(reader.client.get(Register.value, at=POWER)) == 0
    yard.start()
    yard.run(DAY_S)
    assert [interval.import_wh for interval in yard.intervals(2)[48:]] == [0] * 48
    expected = expected_wh(1, 96, ReplayedLoad(3, 1))
    assert [interval.import_wh for interval in yard.intervals(3)] == expected


def test_meters_without_supply_gasp_go_dark_and_tell_when_it_is_back(yard: Yard) -> None:
    yard.run(DAY_S)
    yard.pace_s = 0.5
    yard.now_s += 1.0
    file = yard.folder / "fleet" / "supply.json"
    street.store(file, {1, 2})
    cut_s = yard.clock.now_us() // 10**6
    yard.run(6 * 3600)

    assert [len(hop.notices) for hop in yard.hops.values()] == [1, 1, 0]
    (gasp,) = yard.hops[1].notices
    assert gasp.code == EventCode.POWER_FAILURE
    assert not gasp.confirmed
    assert yard.fleet.figures()["without supply"] == 2
    assert yard.fleet.figures()["last gasps"] == 2
    meter = yard.fleet.meters[0]
    assert meter.management.notices.dark
    assert meter.momentary().voltage_dv == 0
    rows = len(yard.hops[1].rows)
    assert rows == 48  # nothing is pushed in the dark

    yard.start()  # a fleet that is restarted in the dark stays dark
    yard.run(6 * 3600)
    assert len(yard.hops[1].notices) == 1
    assert len(yard.hops[1].rows) == rows

    file.unlink()
    back_s = yard.clock.now_us() // 10**6
    yard.run(12 * 3600)
    back = yard.hops[1].notices[1]
    assert back.code == EventCode.POWER_RETURNED
    assert back.at_s == pytest.approx(back_s, abs=2 * 3600)
    assert back.at_s - back.seconds == pytest.approx(cut_s, abs=2 * 3600)
    dark = [each for each in yard.intervals(1) if each.status]
    assert len(dark) > 20
    assert all(each.import_wh == 0 for each in dark[1:-1])
    assert yard.hops[1].wh() == [each.import_wh for each in yard.intervals(1)]
    assert yard.hops[3].wh() == expected_wh(1, yard.closed, ReplayedLoad(3, 1))


def test_a_damaged_file_of_the_street_changes_nothing_and_is_named(yard: Yard) -> None:
    file = yard.folder / "fleet" / "supply.json"
    yard.run(3600)
    yard.pace_s = 0.5
    for text in ('{"without_supply": ["two"]}', "[]", '{"without_supply": 3}', "no JSON"):
        file.write_text(text)
        yard.run(3600)
        assert "supply.json" in str(yard.fleet.figures()["alarm"])
        assert yard.fleet.figures()["without supply"] == 0
    street.store(file, {3})
    yard.run(3600)
    assert yard.fleet.figures()["alarm"] == ""
    assert yard.fleet.figures()["without supply"] == 1


def test_a_ring_on_a_full_disk_is_filled_later(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    yard.run(DAY_S)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr("os.pwrite", full)
        yard.run(DAY_S)
    assert len(yard.intervals(1)) == 48
    said = [record.getMessage() for record in caplog.records]
    assert len(said) < 4
    assert yard.fleet.figures()["alarm"]
    yard.run(DAY_S)

    yard.verify()


def test_too_few_descriptors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system sets no limit")

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "setrlimit", refused)
    with pytest.raises(UserError, match="raise the limit"):
        make_room_for_descriptors(hard + 1)


def attach(management: Management, hop: Hop) -> None:
    """Let a meter push to a hop."""

    def push(octets: bytes) -> None:
        if (invoke_id := hop.take(octets)) is not None:
            management.confirm_push(invoke_id, 0.0)

    management.outbox.attached(push, 0.0)
    management.notices.attached(push, 0.0)


def counter_of(octets: bytes) -> int:
    """Return the invocation counter of a push."""
    envelope = decode_envelope(octets)
    assert isinstance(envelope, GeneralCiphering)
    return open_envelope(CIPHER, envelope)[1].invocation_counter


def single_with_a_past(home: Path) -> tuple[MeterInMemory, list[ClosedInterval]]:
    """Return a meter that has its own files, closed, as earlier fleets kept them."""
    single = MeterInMemory(config_in(home, 1))
    single.attach()
    single.run(2 * DAY_S, steps=30)
    single.management.log_event(EventCode.FAILED_LOGIN)
    rows = single.intervals()
    single.bank.set_breaker(1, single.calendar_s, closed=False)
    single.management.breaker_stands(closed=False, at_s=single.calendar_s)
    single.management.move(ControlState.DISCONNECTED)
    for end in (single.bank, single.management):
        end.close()
    return single, rows


def test_meters_with_files_of_their_own_are_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "meters" / "1"
    home.mkdir(parents=True)
    single, rows = single_with_a_past(home)
    (tmp_path / "fleet").mkdir()
    (home / "metrology" / "metrology.journal").rename(tmp_path / "fleet" / "metrology.journal")
    clock = FixedClock(single.calendar_s * 10**6)
    used = max(map(counter_of, single.hop.pushes))

    for number in range(1, 3):  # first from the meter's files, then from the fleet's
        fleet = Fleet(tmp_path / "fleet", [single.config], clock)
        management, hop = fleet.meters[0].management, Hop()
        assert management.outbox.pending == 0
        ring = management.events.ring
        assert EventCode.FAILED_LOGIN in ring.read(1, ring.last)["code"]
        attach(management, hop)
        clock.set(clock.now_us() + INTERVAL_S * 10**6)
        fleet.step(0.0)
        (pushed,) = hop.pushes
        assert counter_of(pushed) > used
        used = counter_of(pushed)
        kept = management.profile.ring.read(1, 1000)
        found = [ClosedInterval.decode(row.tobytes()) for row in kept]
        assert found[: len(rows)] == rows
        assert [row.import_wh for row in found[len(rows) :]] == [0] * number
        fleet.step(0.0)
    assert "damaged" not in caplog.text
    assert not [path.name for path in home.iterdir() if path.suffix in {".ring", ".cell"}]


@pytest.mark.parametrize("step", ["adopt", "shorten", "write_intervals", "rename", "remove_files"])
def test_taking_over_is_cut_off_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    home = tmp_path / "meters" / "1"
    home.mkdir(parents=True)
    single, rows = single_with_a_past(home)
    (tmp_path / "fleet").mkdir()
    (home / "metrology" / "metrology.journal").rename(tmp_path / "fleet" / "metrology.journal")
    clock = FixedClock(single.calendar_s * 10**6)
    used = max(map(counter_of, single.hop.pushes))

    def cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    of = next(each for each in (FleetRecords, FleetProfile, fleet_adopt) if hasattr(each, step))
    with monkeypatch.context() as patched:
        patched.setattr(of, step, cut)
        with pytest.raises(KeyboardInterrupt):
            Fleet(tmp_path / "fleet", [single.config], clock)

    fleet = Fleet(tmp_path / "fleet", [single.config], clock)

    management, hop = fleet.meters[0].management, Hop()
    logged = management.events.ring.read(1, 1000)["code"].tolist()
    assert logged.count(EventCode.FAILED_LOGIN) == 1
    kept = management.profile.ring.read(1, 1000)
    assert [ClosedInterval.decode(row.tobytes()) for row in kept][: len(rows)] == rows
    attach(management, hop)
    clock.set(clock.now_us() + INTERVAL_S * 10**6)
    fleet.step(0.0)
    assert min(map(counter_of, hop.pushes)) > used
    assert not [path.name for path in home.iterdir() if path.suffix in {".ring", ".cell"}]
