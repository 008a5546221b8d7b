# SPDX-License-Identifier: Apache-2.0
"""The whole meter in memory: metrology, link, management, pushes, server; and its restarts."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.lines import Line
from meter.house import DAY_S, HEAD_END, INSTALLED_S, MeterInMemory, Reader, config_in, expected_wh
from openami.cosem.classes.access_control import AssociationLn, SapAssignment, SecuritySetup
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register
from openami.cosem.classes.push import PushSetup
from openami.cosem.classes.time_event import Clock
from openami.cosem.refusals import AccessError, AssociationError
from openami.device.storage import StorageError
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.data import OctetString
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.exchange.events import EventCode
from openami.meter import objects
from openami.meter.load import INTERVAL_S
from openami.meter.metrology import ClosedInterval
from openami.meter.outbox import PUSH_SETUP

IMPORT = Obis(1, 0, 1, 8, 0, 255)
POWER = Obis(1, 0, 1, 7, 0, 255)
VOLTAGE = Obis(1, 0, 12, 7, 0, 255)


@pytest.fixture
def meter(tmp_path: Path) -> MeterInMemory:
    return MeterInMemory(config_in(tmp_path))


def manager(meter: MeterInMemory) -> Reader:
    connection = meter.management.connection()
    reader = Reader(connection.receive, 1)
    reader.run(reader.client.associate())
    return reader


def test_pushes_carry_exactly_the_data_sets_wh(meter: MeterInMemory) -> None:
    meter.attach()
    meter.run(3 * DAY_S, steps=80)

    assert meter.hop.wh() == expected_wh(1, 3 * 48)
    assert sorted(meter.hop.rows) == [INSTALLED_S + n * INTERVAL_S for n in range(1, 3 * 48 + 1)]
    assert meter.management.outbox.pending == 0
    assert meter.management.outbox.receipts == len(meter.hop.pushes)


def test_after_an_outage_many_rows_travel_in_one_push(meter: MeterInMemory) -> None:
    meter.run(2 * DAY_S)
    assert meter.management.outbox.pending == 96

    meter.attach()
    meter.run(0, steps=2)

    assert len(meter.hop.pushes) == 2
    assert meter.hop.wh() == expected_wh(1, 96)


def test_an_unreceipted_push_is_sent_again_the_same_octets(meter: MeterInMemory) -> None:
    meter.hop.confirming = False
    meter.attach()
    meter.run(DAY_S)
    meter.now_s += 100
    meter.run(0, steps=1)
    assert len(meter.hop.pushes) > 1
    assert len(set(meter.hop.pushes)) == 1

    meter.hop.confirming = True
    meter.now_s += 100
    meter.run(0, steps=3)

    assert meter.hop.wh() == expected_wh(1, 48)
    assert len(set(meter.hop.pushes)) == 2


def test_receipts_survive_a_restart(meter: MeterInMemory) -> None:
    meter.attach()
    meter.run(DAY_S)
    before = len(meter.hop.pushes)
    meter.start_management()
    meter.attach()
    meter.run(DAY_S)

    assert meter.hop.wh() == expected_wh(1, 96)
    assert len(meter.hop.pushes) <= before + 24  # nothing that had its receipt was sent again


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["metrology", "management", "wait", "time"]), max_size=12))
def test_restarts_in_any_order_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    meter = MeterInMemory(config_in(tmp_path_factory.mktemp("meter")))
    meter.attach()
    for act in acts:
        if act == "metrology":
            meter.start_metrology()
        elif act == "management":
            meter.start_management()
            meter.attach()
        elif act == "time":
            meter.calendar_s += 7 * INTERVAL_S
        else:
            meter.run(5 * INTERVAL_S, steps=4)
    meter.run(DAY_S, steps=40)

    closed = (meter.calendar_s - INSTALLED_S) // INTERVAL_S
    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, closed)
    assert meter.hop.wh() == expected_wh(1, closed)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.floats(min_value=0.05, max_value=0.5))
def test_a_bad_line_delays_and_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, badness: float
) -> None:
    meter = MeterInMemory(config_in(tmp_path_factory.mktemp("meter")))
    draw = Random(seed)
    meter.up, meter.down = Line(draw, badness), Line(draw, badness)
    meter.attach()
    meter.run(2 * DAY_S, steps=60)
    assert meter.bank.meters[1].last.sequence == 96  # metrology waited for nobody
    meter.up.badness = meter.down.badness = 0.0
    meter.run(60, steps=30)

    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)
    assert meter.hop.wh() == expected_wh(1, 96)


def test_a_lost_ring_is_filled_again_from_metrology(meter: MeterInMemory) -> None:
    meter.attach()
    meter.run(2 * DAY_S)
    (meter.config.home / "profile.ring").write_bytes(b"rubbish")

    meter.start_management()
    meter.run(10, steps=4)

    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)
    assert EventCode.STATE_RESTORED in meter.logged()


def test_a_lost_journal_of_metrology_costs_no_interval_that_was_acknowledged(
    meter: MeterInMemory,
) -> None:
    meter.run(DAY_S)
    meter.run(10, steps=4)
    meter.bank.close()
    journal = meter.config.home / "metrology" / "metrology.journal"
    journal.write_bytes(b"\xa5" * 3000)

    meter.start_metrology()
    meter.run(DAY_S)
    meter.run(10, steps=4)

    assert journal.with_name("metrology.journal.damaged-1").exists()
    assert meter.bank.finding is not None  # which metrology's process logs, with an event
    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)


def test_a_calendar_that_begins_anew_is_waited_for(meter: MeterInMemory) -> None:
    """As it does when the file of the calendar was removed."""
    meter.attach()
    meter.run(DAY_S)
    before = meter.calendar_s
    meter.calendar_s = INSTALLED_S
    meter.run(DAY_S // 2)
    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 48)
    meter.run(before + DAY_S - meter.calendar_s)

    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)
    assert meter.hop.wh() == expected_wh(1, 96)


def test_a_hole_in_the_ring_is_filled_again(meter: MeterInMemory) -> None:
    meter.run(2 * DAY_S)
    meter.management.close()
    path = meter.config.home / "profile.ring"
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 0xFF
    path.write_bytes(octets)

    meter.start_management()
    assert len(meter.management.profile.ring.holes) == 1
    meter.run(10, steps=4)

    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)


def test_every_damaged_file_costs_one_sentence_and_no_interval(
    meter: MeterInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    meter.attach()
    meter.run(DAY_S)
    meter.management.close()
    names = ["profile.ring", "events.ring", "management.cell", "counters.cell"]
    for name in names:
        (meter.config.home / name).write_bytes(b"\xa5" * 3000)
    caplog.clear()

    with caplog.at_level(logging.ERROR):
        meter.start_management()
    meter.attach()
    meter.run(DAY_S)

    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == len(names)
    for name, sentence in zip(names, said, strict=True):
        assert f"{name}.damaged-1" in sentence
    assert meter.logged()[0] == EventCode.STATE_RESTORED
    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)
    # Counters went up, not back: no octets were ever sealed twice under one counter.
    invoke_ids = [int.from_bytes(push[2:6]) for push in meter.hop.pushes]
    assert len(set(invoke_ids)) == len(set(meter.hop.pushes))


def test_a_full_disk_of_management_leaves_intervals_with_metrology(
    meter: MeterInMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    meter.attach()
    meter.run(DAY_S)

    def full(_intervals: object) -> None:
        raise StorageError("/var/profile.ring cannot be written (No space left): free space")

    monkeypatch.setattr(meter.management, "store", full)
    with caplog.at_level(logging.ERROR):
        meter.run(DAY_S, steps=20)
    assert [record.getMessage() for record in caplog.records] == [
        "/var/profile.ring cannot be written (No space left): free space"
    ]
    assert len(meter.intervals()) == 48
    monkeypatch.undo()
    meter.run(10, steps=20)

    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 96)
    assert meter.hop.wh() == expected_wh(1, 96)


def test_intervals_that_close_when_there_is_room_again_wait_for_those_refused(
    meter: MeterInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter.run(DAY_S)

    def full(_intervals: object) -> None:
        raise StorageError("/var/profile.ring cannot be written (No space left): free space")

    with monkeypatch.context() as patch:
        patch.setattr(meter.management, "store", full)
        meter.run(INTERVAL_S, steps=2)
    meter.run(DAY_S, steps=48)  # an interval each 0.3 s: sooner than the refused one is asked for
    meter.run(10, steps=20)

    assert [interval.import_wh for interval in meter.intervals()] == expected_wh(1, 97)
    assert not (meter.config.home / "profile.ring.damaged-1").exists()


def test_a_gap_that_nobody_can_fill_begins_a_new_ring(
    meter: MeterInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    meter.run(DAY_S)
    late = ClosedInterval(sequence=200, end_s=INSTALLED_S + 200 * INTERVAL_S, import_wh=7)

    with caplog.at_level(logging.ERROR):
        meter.management.store([late])

    assert meter.intervals() == [late]
    assert "intervals 49 to 199 are nowhere any more" in caplog.text
    assert (meter.config.home / "profile.ring.damaged-1").exists()


def test_the_manager_reads_and_the_profile_is_exact(meter: MeterInMemory) -> None:
    meter.run(2 * DAY_S)
    reader = manager(meter)
    client = reader.client
    start = datetime.fromtimestamp(INSTALLED_S, UTC)

    octets = reader.run(
        client.profile(
            objects.LOAD_PROFILE, start + timedelta(hours=12), start + timedelta(hours=36)
        )
    )

    columns = decode_profile(octets)
    assert columns.rows == 49
    assert columns.values[2].tolist() == expected_wh(24, 72)
    assert columns.values[4].tolist()[-1] == sum(expected_wh(1, 72))
    assert reader.run(client.get(Register.value, at=IMPORT)) == sum(expected_wh(1, 96))
    assert reader.run(client.get(Register.scaler_unit, at=VOLTAGE)) == (-1, 35)
    assert 2100 < reader.run(client.get(Register.value, at=VOLTAGE)) < 2500
    assert reader.run(client.get(Register.value, at=POWER)) >= 0
    assert reader.run(client.get(Data.value, at=objects.SOURCE)).startswith("SGSC home ")
    assert reader.run(client.get(ProfileGeneric.entries_in_use, at=objects.LOAD_PROFILE)) == 96
    assert reader.run(client.get(ProfileGeneric.capture_period, at=objects.LOAD_PROFILE)) == 1800
    shown = reader.run(client.get(Clock.time, at=objects.CLOCK)).to_utc()
    assert shown == datetime.fromtimestamp(meter.calendar_s, UTC)
    assert reader.run(client.get(SecuritySetup.client_system_title, at=objects.SECURITY_SETUP)) == (
        HEAD_END
    )
    found = reader.run(client.get(AssociationLn.object_list, at=Obis(0, 0, 40, 0, 0, 255)))
    assert len(found) > 20
    reader.run(client.release())


def test_the_public_client_sees_the_way_in_only(meter: MeterInMemory) -> None:
    meter.run(DAY_S)
    reader = Reader(meter.management.connection().receive, 16)
    client = reader.client
    reader.run(client.associate())

    names = reader.run(client.get(SapAssignment.sap_assignment_list, at=objects.SAP_LIST))
    assert names == ((1, b"OAM0000000000001"),)
    assert reader.run(client.get(Data.value, at=objects.LDN)) == b"OAM0000000000001"
    assert reader.run(client.get(Data.value, at=objects.FRAME_COUNTER)) == 0
    for hidden in (IMPORT, POWER):
        with pytest.raises(AccessError):
            reader.run(client.get(Register.value, at=hidden))


def test_the_reader_is_let_in_on_the_plain_listener_only(meter: MeterInMemory) -> None:
    meter.run(DAY_S)
    reader = Reader(meter.management.connection(plain=True).receive, 32)
    reader.run(reader.client.associate())
    assert reader.run(reader.client.get(Register.value, at=IMPORT)) == sum(expected_wh(1, 48))
    with pytest.raises(AccessError):
        reader.run(reader.client.act(DisconnectControl.remote_disconnect, 0, at=objects.DISCONNECT))

    stranger = Reader(meter.management.connection().receive, 32)
    with pytest.raises(DlmsError):
        stranger.run(stranger.client.associate())


def test_a_wrong_password_is_refused(meter: MeterInMemory) -> None:
    reader = Reader(meter.management.connection(plain=True).receive, 32, secret=b"guess")
    with pytest.raises(AssociationError):
        reader.run(reader.client.associate())


def test_the_frame_counter_tells_the_next_counter_also_after_a_restart(
    meter: MeterInMemory,
) -> None:
    meter.run(DAY_S)
    reader = manager(meter)
    used = reader.client.channel
    assert used is not None
    counter = reader.run(reader.client.get(Data.value, at=objects.FRAME_COUNTER))
    meter.management.note_state()

    meter.start_management()
    public = Reader(meter.management.connection().receive, 16)
    public.run(public.client.associate())

    assert counter > 1000
    assert public.run(public.client.get(Data.value, at=objects.FRAME_COUNTER)) == counter


def test_the_push_setup_can_be_written_and_pushes(meter: MeterInMemory) -> None:
    meter.run(DAY_S)
    reader = manager(meter)
    client = reader.client

    reader.run(client.set(PushSetup.randomisation_start_interval, 30, at=PUSH_SETUP))
    assert reader.run(client.get(PushSetup.randomisation_start_interval, at=PUSH_SETUP)) == 30
    reader.run(client.act(PushSetup.push, 0, at=PUSH_SETUP))
    with pytest.raises(AccessError):
        reader.run(client.set(Data.value, OctetString(b"mine"), at=objects.LDN))


def test_disconnect_stops_the_energy_and_connect_lets_it_flow(meter: MeterInMemory) -> None:
    meter.run(DAY_S)
    reader = manager(meter)
    client = reader.client
    control = objects.DISCONNECT

    reader.run(client.act(DisconnectControl.remote_disconnect, 0, at=control))
    assert not meter.management.breaker_settled
    meter.run(10, steps=3)
    assert meter.management.breaker_settled
    assert not reader.run(client.get(DisconnectControl.output_state, at=control))
    assert reader.run(client.get(DisconnectControl.control_state, at=control)) == (
        ControlState.DISCONNECTED
    )
    meter.run(DAY_S)
    assert [i.import_wh for i in meter.intervals()[50:]] == [0] * (len(meter.intervals()) - 50)
    assert reader.run(client.get(Register.value, at=POWER)) == 0

    reader.run(client.act(DisconnectControl.remote_reconnect, 0, at=control))
    meter.run(DAY_S)

    last = meter.intervals()[-1]
    assert last.breaker_closed
    assert last.import_wh == expected_wh(last.sequence, last.sequence)[0]
    assert [code for code in meter.logged() if code >= 230] == [
        EventCode.DISCONNECTED_REMOTELY,
        EventCode.CONNECTED_REMOTELY,
    ]


@pytest.mark.parametrize("restart", ["metrology", "management", "both"])
def test_a_command_survives_the_death_of_either_module(meter: MeterInMemory, restart: str) -> None:
    """Management has said yes; metrology has not heard of it when one of them dies."""
    meter.run(DAY_S)
    reader = manager(meter)
    reader.run(reader.client.act(DisconnectControl.remote_disconnect, 0, at=objects.DISCONNECT))
    meter.management_link.take_output()
    if restart in {"metrology", "both"}:
        meter.start_metrology()
    if restart in {"management", "both"}:
        meter.start_management()
    meter.run(60, steps=30)

    assert meter.management.breaker_settled
    assert not meter.bank.meters[1].breaker_closed
    meter.start_metrology()
    assert not meter.bank.meters[1].breaker_closed
