# SPDX-License-Identifier: Apache-2.0
"""A fleet in one process: one journal for all, rings that the journal repairs, commands."""

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter.house import DAY_S, INSTALLED_S, Hop, Reader, config_in, expected_wh
from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.classes.measurement import Data, Register
from openami.dlms.obis import Obis
from openami.meter.fleet import Fleet, make_room_for_descriptors
from openami.meter.load import INTERVAL_S
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
            self._attach(meter.meter_id)

    def _attach(self, meter_id: int) -> None:
        management = self.fleet.meters[meter_id - 1].management

        def push(octets: bytes) -> None:
            if (invoke_id := self.hops[meter_id].take(octets)) is not None:
                management.confirm_push(invoke_id, 0.0)

        management.outbox.attached(push, 0.0)

    def run(self, calendar_s: int, steps: int = 10) -> None:
        for _ in range(steps):
            self.clock.set(self.clock.now_us() + calendar_s // steps * 10**6)
            for _ in range(3):
                self.fleet.step(0.0)

    @property
    def closed(self) -> int:
        return (self.clock.now_us() // 10**6 - INSTALLED_S) // INTERVAL_S

    def intervals(self, meter_id: int) -> list[ClosedInterval]:
        ring = self.fleet.meters[meter_id - 1].management.profile.ring
        return [ClosedInterval.decode(bytes(row)) for row in ring.read(ring.first, ring.last)]

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


def test_rows_that_a_ring_lost_come_back_from_the_journal(yard: Yard) -> None:
    yard.run(2 * DAY_S)
    for config in yard.configs:
        (config.home / "profile.ring").unlink()

    yard.start()
    yard.run(DAY_S)

    yard.verify()


def test_a_lost_journal_is_replaced_by_the_rings(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    yard.run(2 * DAY_S)
    yard.fleet.close()
    (yard.folder / "fleet" / "metrology.journal").write_bytes(b"nothing of use")

    with caplog.at_level(logging.ERROR):
        yard.start()
    yard.run(DAY_S)

    assert "metrology.journal.damaged-1" in caplog.text
    yard.verify()


def test_a_long_journal_is_shortened_once_the_rings_are_safe(yard: Yard) -> None:
    yard.run(2 * DAY_S)
    yard.fleet.bank._longest_octets = 5000
    assert yard.fleet.bank.is_long

    yard.run(DAY_S)

    assert (yard.folder / "fleet" / "metrology.journal").stat().st_size < 5000
    yard.start()
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


def test_too_few_descriptors_are_named() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system sets no limit")
    with pytest.raises(UserError, match="raise the limit"):
        make_room_for_descriptors(hard + 1)
