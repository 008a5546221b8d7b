# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from openami.store import registry
from openami.store.registry import Event, Meter, MeterKey, UnknownMeterError


def meter(number: int) -> Meter:
    return Meter(
        meter_id=number,
        title=b"OAM" + number.to_bytes(5, "big"),
        ldn=f"OAM{number:013d}",
        region="north" if number % 2 else "south",
        concentrator=b"OAM\xc0\x00\x00\x00\x01",
        installed_us=1_000_000,
        capture_period_s=1800,
    )


def test_importing_twice_changes_nothing(engine: Engine) -> None:
    fleet = [meter(number) for number in range(1, 5)]

    assert registry.import_meters(engine, fleet) == 4
    registry.set_source(engine, 1, "home 8")
    assert registry.import_meters(engine, [*fleet, meter(5)]) == 1

    assert [found.meter_id for found in registry.meters(engine)] == [1, 2, 3, 4, 5]
    assert [found.meter_id for found in registry.meters(engine, region="south")] == [2, 4]
    assert registry.meter(engine, 1) == replace(meter(1), source="home 8")
    assert registry.by_title(engine, meter(2).title) == meter(2)
    assert registry.by_title(engine, b"OAM\xff\xff\xff\xff\xff") is None
    with pytest.raises(UnknownMeterError, match="no meter 77"):
        registry.meter(engine, 77)


def test_what_is_learnt_of_a_meter(engine: Engine) -> None:
    registry.import_meters(engine, [meter(1), meter(2)])

    registry.mark_seen(engine, [1, 2], 10)
    registry.set_breaker(engine, 1, 0, 11)
    registry.mark_profile_read(engine, 1, 12)
    registry.mark_events_read(engine, 1, 13)
    registry.set_address(engine, 1, "tcp://127.0.0.1:4059")

    assert registry.meter(engine, 1) == replace(
        meter(1),
        last_seen_us=10,
        breaker=0,
        breaker_us=11,
        profile_read_us=12,
        events_read_us=13,
        address="tcp://127.0.0.1:4059",
    )
    assert registry.meter(engine, 2).last_seen_us == 10


def test_keys_change_their_state_and_stay(engine: Engine) -> None:
    old = MeterKey(meter_id=1, key_name="guek", epoch=1, state="active", wrapped=b"w" * 24)
    registry.put_key(engine, old)
    registry.put_keys(engine, [replace(old, state="retired"), replace(old, epoch=2)])

    assert [(key.epoch, key.state) for key in registry.keys(engine, 1)] == [
        (2, "active"),
        (1, "retired"),
    ]
    assert registry.keys(engine, 2) == []
    assert len(registry.keys(engine)) == 2


def test_only_news_of_attachment_is_told(engine: Engine) -> None:
    assert registry.set_attached(engine, {1: True, 2: False}, 5) == [1, 2]
    assert registry.set_attached(engine, {1: True, 2: True}, 9) == [2]

    found = registry.attachments(engine)
    assert (found[1].attached, found[1].since_us) == (True, 5)
    assert (found[2].attached, found[2].since_us) == (True, 9)


def test_a_meter_that_changed_its_worker_is_not_taken_for_gone(engine: Engine) -> None:
    registry.set_attached(engine, {1: True, 2: True}, 5, "a")
    assert registry.set_attached(engine, {1: True}, 6, "b") == []  # attached all the same

    assert registry.set_attached(engine, {1: False, 2: False}, 7, "a") == [2]
    assert registry.attachments(engine)[1].worker == "b"

    assert registry.detach_of_others(engine, {"b"}, 8) == []
    assert registry.detach_of_others(engine, {"c"}, 8) == [1]
    assert not registry.attachments(engine)[1].attached


def test_events_are_stored_once(engine: Engine) -> None:
    events = [
        Event(meter_id=1, at_us=at, code=code, received_us=9) for at, code in ((1, 1), (2, 2))
    ]

    assert registry.add_events(engine, events) == 2
    assert registry.add_events(engine, [*events, replace(events[0], meter_id=2)]) == 1
    assert registry.add_events(engine, []) == 0

    assert [event.at_us for event in registry.events(engine, meter_id=1)] == [2, 1]
    assert len(registry.events(engine, codes={1})) == 2
    assert registry.events(engine, since_us=2) == [events[1]]
    assert len(registry.events(engine, limit=2)) == 2
