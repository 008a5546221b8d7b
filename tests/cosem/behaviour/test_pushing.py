# SPDX-License-Identifier: Apache-2.0
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import at
from cosem.behaviour.pushers import (
    ENERGY,
    ENERGY_COLUMN,
    NAME,
    NIGHT,
    NOW,
    PROFILE,
    PUSH,
    Meter,
    column,
    setup,
)
from cosem.behaviour.test_layers import BOTH, ends, layer
from openami.cosem.behaviour.layers import envelop
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.pushing import (
    NEVER,
    TRANSITIONS,
    PushEvent,
    PushSettings,
    PushStage,
)
from openami.cosem.classes.push import (
    ConfirmationParameters,
    PushObject,
    PushOperationMethod,
    PushSetup,
    RepetitionDelay,
)
from openami.cosem.classes.references import ByDate, ByEntryNumber, Window
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import (
    Array,
    Integer,
    OctetString,
    Structure,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.security.envelopes import decode_envelope, open_envelope


@pytest.mark.parametrize("version", range(4))
def test_what_is_listed_is_sent_at_once(version: int) -> None:
    meter = Meter(setup(version))
    assert meter.pushing.due_us() is None
    meter.push()
    own = meter.line.last.notification_body
    assert own == Structure((VisibleString("meter"), OctetString(PUSH.encode()), 30))
    assert meter.line.last.long_invoke_id_and_priority.confirmed is (version >= 2)
    assert meter.pushing.stage is PushStage.SENDING


def test_what_cannot_be_read_is_null_data_and_heard() -> None:
    listed = (column(1, NAME, 2), column(3, NAME, 2), column(3, ENERGY, 3, 3), column(3, ENERGY, 0))
    meter = Meter(setup(push_object_list=listed), settings=PushSettings(dated=True))
    meter.push()
    body = meter.line.last.notification_body
    assert isinstance(body, Structure)
    assert body[:3] == (VisibleString("meter"), None, None)
    assert isinstance(body[3], Structure)
    assert len(body[3]) == 3
    assert len(meter.heard) == 2
    assert CosemDateTime.decode(meter.line.last.date_time).hour == 10


@pytest.mark.parametrize(
    ("restriction", "columns", "expected"),
    [
        (None, (), [0, 1, 2, 3]),
        (ByEntryNumber(2, 3), (), [1, 2]),
        (ByEntryNumber(2, 3), (ENERGY_COLUMN,), [1, 2]),
        (None, (ENERGY_COLUMN,), [0, 1, 2, 3]),
        (ByDate(b"", b""), (), [0, 1, 2, 3]),
        (ByDate(bytes.fromhex("07EA0302FF0A0F00000000FF"), b""), (), [1, 2, 3]),
        (ByDate(b"", bytes.fromhex("07EA0302FF0A0F00000000FF")), (ENERGY_COLUMN,), [0, 1]),
        (ByDate(bytes.fromhex("07EA0302FF"), bytes.fromhex("07EA0302FF")), (), [0, 1, 2, 3]),
        (ByDate(bytes.fromhex("07EA0303FF"), b""), (), []),
        (ByEntryNumber(2, 3), (column(3, NAME, 2),), None),
        (ByDate(b"123", b""), (), None),
    ],
)
def test_rows_and_columns_of_a_profile(
    restriction: Any, columns: Any, expected: list[int] | None
) -> None:
    listed = (PushObject(7, PROFILE, 2, 0, restriction, columns),)
    meter = Meter(setup(2, push_object_list=listed))
    meter.push()
    body = meter.line.last.notification_body
    assert isinstance(body, Structure)
    if expected is None:
        assert body[0] is None
        return
    assert isinstance(body[0], Array)
    assert [row[-1] for row in body[0] if isinstance(row, Structure)] == expected
    assert all(len(row) == (1 if columns else 2) for row in body[0] if isinstance(row, Structure))


@pytest.mark.parametrize("version", [0, 1])
def test_retries_at_a_fixed_distance(version: int) -> None:
    meter = Meter(setup(version))
    meter.push()
    for retry in range(3):
        now = NOW + retry * 60 * SECOND_US
        meter.pushing.tick(now)
        assert len(meter.line.sent) == retry + 1
        meter.pushing.failed(now)
        if retry < 2:
            assert meter.due_s == 60 * (retry + 1)
            meter.pushing.tick(now + 59 * SECOND_US)
    assert meter.pushing.stage is PushStage.IDLE
    assert len(set(meter.line.sent)) == 1  # the same octets again
    assert "given up after 2 retries" in meter.heard[-1]


def test_retries_at_growing_distances() -> None:
    meter = Meter(setup(2, number_of_retries=4))
    now = NOW
    meter.push()
    pauses = []
    for _ in range(4):
        meter.pushing.failed(now)
        due = meter.pushing.due_us()
        assert due is not None
        pauses.append((due - now) // SECOND_US)
        now = due
        meter.pushing.tick(now)
    assert pauses == [10, 20, 35, 35]
    meter.thing.repetition_delay = RepetitionDelay(10, 150, 0)
    meter.pushing._retries = 3
    assert meter.pushing._pause_s() == 22


def test_a_confirmed_push_waits_for_its_confirmation() -> None:
    meter = Meter(setup(2))
    assert meter.thing.last_confirmation_date_time == NEVER
    meter.push()
    invoke_id = int(meter.line.last.long_invoke_id_and_priority)
    meter.pushing.sent(NOW)
    assert meter.pushing.stage is PushStage.AWAITING
    assert meter.due_s == 30
    meter.pushing.tick(NOW + 30 * SECOND_US)
    assert meter.pushing.stage is PushStage.PAUSING
    assert not meter.pushing.confirmed(invoke_id + 1, NOW)
    assert meter.pushing.confirmed(invoke_id, NOW + 31 * SECOND_US)  # late, and welcome
    assert meter.pushing.stage is PushStage.IDLE
    assert meter.thing.last_confirmation_date_time.second == 31
    assert not meter.pushing.confirmed(invoke_id, NOW)


@pytest.mark.parametrize(
    ("method", "parameters", "confirmed"),
    [
        (PushOperationMethod.UNCONFIRMED_RETRY_ON_FAILURE, (NEVER, 0), False),
        (PushOperationMethod.UNCONFIRMED_RETRY_ON_MISSING_CONFIRMATION, (NEVER, 0), False),
        (PushOperationMethod.CONFIRMED, (NEVER, 0), True),
        (77, (NEVER, 0), False),
        (
            PushOperationMethod.CONFIRMED,
            (CosemDateTime(year=2026, month=3, day=2, hour=10, minute=0), 0),
            True,
        ),
        (
            PushOperationMethod.CONFIRMED,
            (CosemDateTime(year=2026, month=3, day=2, hour=10, minute=1), 0),
            False,
        ),
    ],
)
def test_which_pushes_are_confirmed(method: int, parameters: Any, *, confirmed: bool) -> None:
    thing = setup(
        2,
        push_operation_method=method,
        confirmation_parameters=ConfirmationParameters(*parameters),
    )
    meter = Meter(thing)
    meter.push()
    assert meter.line.last.long_invoke_id_and_priority.confirmed is confirmed


def test_no_confirmation_while_the_last_is_young() -> None:
    meter = Meter(setup(2, confirmation_parameters=ConfirmationParameters(NEVER, 3600)))
    for seconds, confirmed in ((0, True), (3599, False), (3600, True)):
        now = NOW + seconds * SECOND_US
        meter.push(now)
        invoke_id = meter.line.last.long_invoke_id_and_priority
        assert invoke_id.confirmed is confirmed
        meter.pushing.sent(now)
        if confirmed:
            assert meter.pushing.confirmed(int(invoke_id), now)
        assert meter.pushing.stage is PushStage.IDLE


@pytest.mark.parametrize(
    ("method", "after"),
    [
        (PushOperationMethod.UNCONFIRMED_RETRY_ON_FAILURE, PushStage.IDLE),
        (PushOperationMethod.UNCONFIRMED_RETRY_ON_MISSING_CONFIRMATION, PushStage.PAUSING),
        (PushOperationMethod.CONFIRMED, PushStage.PAUSING),
    ],
)
def test_a_transport_that_says_nothing(method: PushOperationMethod, after: PushStage) -> None:
    meter = Meter(setup(2, push_operation_method=method))
    meter.push()
    meter.pushing.tick(NOW + 30 * SECOND_US)
    assert meter.pushing.stage is after


def test_a_transport_that_cannot_begin() -> None:
    meter = Meter(setup())
    meter.line.refuses = True
    meter.push()
    assert meter.pushing.stage is PushStage.PAUSING
    meter.line.refuses = False
    meter.pushing.tick(NOW + 60 * SECOND_US)
    assert len(meter.line.sent) == 1


def test_a_push_waits_for_its_window_and_a_random_time_in_it() -> None:
    random = 250 * SECOND_US
    thing = setup(communication_window=(NIGHT,), randomisation_start_interval=300)
    meter = Meter(thing, entropy=random)
    meter.push()
    start = at("2026-03-03T02:00")
    assert meter.pushing.due_us() == start + random
    meter.pushing.tick(start)
    assert meter.line.sent == []
    meter.name.value = VisibleString("later")
    meter.pushing.tick(start + random)
    body = meter.line.last.notification_body
    assert isinstance(body, Structure)
    assert body[0] == "later"  # values are those of the moment of sending


def test_a_retry_after_the_window_waits_for_the_next() -> None:
    meter = Meter(setup(communication_window=(NIGHT,), repetition_delay=900))
    start = at("2026-03-03T02:00")
    meter.push()
    meter.pushing.tick(start)
    meter.pushing.failed(start)
    meter.pushing.tick(start + 900 * SECOND_US)
    assert meter.pushing.due_us() == start + 86_400 * SECOND_US
    meter.pushing.tick(start + 86_400 * SECOND_US)
    assert len(meter.line.sent) == 2


def test_windows_that_are_over_end_the_push() -> None:
    over = Window(
        CosemDateTime(year=2025, month=1, day=1, hour=0, minute=0),
        CosemDateTime(year=2025, month=1, day=2, hour=0, minute=0),
    )
    meter = Meter(setup(communication_window=(over,)))
    meter.push()
    assert meter.pushing.stage is PushStage.IDLE
    assert "no communication window" in meter.heard[-1]


@given(st.integers(0, 2**64 - 1), st.integers(0, 3600), st.integers(0, 86_400))
def test_a_random_start_is_in_the_window(entropy: int, interval_s: int, seconds: int) -> None:
    thing = setup(communication_window=(NIGHT,), randomisation_start_interval=interval_s)
    meter = Meter(thing, entropy=entropy)
    meter.push(NOW + seconds * SECOND_US)
    if meter.line.sent:
        return  # by chance at once
    due = meter.pushing.due_us()
    assert due is not None
    begin = max(NOW + seconds * SECOND_US, due - due % (86_400 * SECOND_US) + 7200 * SECOND_US)
    assert begin <= due <= begin + interval_s * SECOND_US
    meter.pushing.tick(due)
    assert len(meter.line.sent) == 1


def test_a_push_during_a_push_follows_it() -> None:
    meter = Meter(setup())
    meter.push()
    meter.thing.invocations[1](0)
    meter.thing.invocations[1](0)
    meter.pushing.sent(NOW)
    assert meter.pushing.stage is PushStage.WAITING
    meter.pushing.tick(NOW + 1)
    meter.pushing.sent(NOW + 1)
    assert len(meter.line.sent) == 2
    assert meter.pushing.stage is PushStage.IDLE
    ids = [DataNotification.decode(each).long_invoke_id_and_priority for each in meter.line.sent]
    assert len(set(ids)) == 2


def test_reset_forgets_the_push() -> None:
    meter = Meter(setup(2))
    meter.push()
    meter.thing.invocations[1](0)
    meter.thing.invocations[2](0)
    assert meter.pushing.stage is PushStage.IDLE
    assert meter.pushing.due_us() is None


def test_layers_protect_what_is_pushed() -> None:
    ours, theirs = ends()

    def protect(layers: Any, apdu: bytes) -> bytes:
        return envelop(ours, layers, apdu)

    meter = Meter(setup(1, push_protection_parameters=(layer(BOTH),)), protect=protect)
    meter.push()
    apdu, protection = open_envelope(theirs.cipher, decode_envelope(meter.line.sent[0]))
    assert protection.system_title == ours.own_title
    assert DataNotification.decode(apdu).long_invoke_id_and_priority.long_invoke_id == 1


@pytest.mark.parametrize("protect", [None, envelop])
def test_what_cannot_be_protected_is_not_sent(protect: Callable[..., bytes] | None) -> None:
    stranger = layer(BOTH)._replace(protection_type=9)
    ours, _ = ends()
    port = None if protect is None else lambda layers, apdu: protect(ours, layers, apdu)
    meter = Meter(setup(1, push_protection_parameters=(stranger,)), protect=port)
    meter.push()
    assert meter.line.sent == []
    assert meter.pushing.stage is PushStage.IDLE
    assert "cannot be protected" in meter.heard[0]


def test_a_power_cut_begins_the_push_anew() -> None:
    meter = Meter(setup(2))
    meter.push()
    meter.pushing.failed(NOW)
    after = Meter(setup(2))
    after.pushing.restore(meter.pushing.state())
    assert after.pushing.stage is PushStage.WAITING
    after.pushing.tick(NOW)
    assert after.line.last.long_invoke_id_and_priority.long_invoke_id == 2
    after.pushing.failed(NOW)
    after.pushing.tick(NOW + 3600 * SECOND_US)
    after.pushing.failed(NOW)
    assert after.pushing.stage is PushStage.IDLE  # the retries before the cut count
    idle = Meter(setup(2))
    idle.pushing.restore(after.pushing.state())
    assert idle.pushing.stage is PushStage.IDLE


@pytest.mark.parametrize(("stage", "event"), list(itertools.product(PushStage, PushEvent)))
def test_every_stage_meets_every_event(stage: PushStage, event: PushEvent) -> None:
    meter = Meter(setup(2))
    pushing = meter.pushing
    pushing.push()
    if stage is PushStage.IDLE:
        pushing.reset()
    if stage not in {PushStage.IDLE, PushStage.WAITING}:
        pushing.tick(NOW)
    if stage is PushStage.AWAITING:
        pushing.sent(NOW)
    if stage is PushStage.PAUSING:
        pushing.failed(NOW)
    assert pushing.stage is stage
    if event in {PushEvent.GIVEN_UP, PushEvent.SENT}:
        assert TRANSITIONS.get((stage, event), PushStage.IDLE) is PushStage.IDLE
        return
    later = NOW + 3600 * SECOND_US
    invoke_id = pushing.state().invoke_id
    calls: dict[PushEvent, Callable[[], object]] = {
        PushEvent.PUSH: pushing.push,
        PushEvent.DUE: lambda: pushing.tick(later),
        PushEvent.SENT_TO_CONFIRM: lambda: pushing.sent(later),
        PushEvent.CONFIRMED: lambda: pushing.confirmed(invoke_id, later),
        PushEvent.FAILED: lambda: pushing.failed(later),
        PushEvent.RESET: pushing.reset,
    }
    calls[event]()
    silent = {PushStage.SENDING, PushStage.AWAITING}  # time alone is a failure there
    met = PushEvent.FAILED if event is PushEvent.DUE and stage in silent else event
    assert pushing.stage is TRANSITIONS.get((stage, met), stage)


def test_a_script_pushes() -> None:
    meter = Meter(setup())
    meter.thing.invoke(PushSetup.push, Integer(0))
    meter.pushing.tick(NOW)
    assert len(meter.line.sent) == 1


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    meter = Meter(setup())
    meter.push()
    meter.pushing.failed(NOW)
    meter.pushing.tick(NOW)
    back = NOW - 10_000 * SECOND_US
    meter.pushing.tick(back)
    assert meter.pushing.due_us() == back + 60 * SECOND_US
