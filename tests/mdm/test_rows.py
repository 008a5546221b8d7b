# SPDX-License-Identifier: Apache-2.0
"""Many messages decoded together say what each says alone; a bad one holds up nobody."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdm.made import PERIOD_US, T0, Row, encode_row, encode_rows, load, message
from openami.exchange.quality import Quality
from openami.mdm.rows import decode_messages
from openami.store.inbox import Message

row = st.tuples(
    st.integers(0, 1000).map(lambda slot: T0 + slot * PERIOD_US),
    st.sampled_from([0, 0x80, 0x02, 0x04]),
    *[st.integers(0, 2**32 - 1) for _ in range(4)],
)


def numbered(*messages: Message) -> list[Message]:
    return [replace(each, message_id=number) for number, each in enumerate(messages, 1)]


@given(st.lists(st.lists(row, max_size=4), min_size=1, max_size=5))
@settings(max_examples=80)
def test_every_row_of_every_message_comes_out_once(batches: list[list[Row]]) -> None:
    messages = numbered(*(message(number, rows) for number, rows in enumerate(batches, 1)))

    decoded = decode_messages(messages, 1800)

    assert decoded.unreadable == []
    assert sorted(decoded.clock_status) == [each.message_id for each in messages]
    found = decoded.rows.with_columns(decoded.rows["start"].dt.epoch("us").alias("us"))
    expected = [
        (each.meter_id, channel, row[0], row[1 + channel], each.message_id)
        for each, rows in zip(messages, batches, strict=True)
        for row in rows
        for channel in (1, 2, 3, 4)
    ]
    columns = ("meter_id", "channel", "us", "value", "message_id")
    assert sorted(found.select(columns).rows()) == sorted(expected)


def test_status_becomes_quality() -> None:
    rows = [(T0 + n * PERIOD_US, status, 1, 0, 1, 0) for n, status in enumerate((0, 0x80, 2, 4))]
    good = message(1, rows)
    bad_clock = replace(good, rows=b"\x01\x01" + encode_row(rows[0], clock_status=0x02))
    unknown = replace(good, rows=b"\x01\x01" + encode_row(rows[0], clock_status=0xFF))

    decoded = decode_messages(numbered(good, bad_clock, unknown), 1800)

    quality = decoded.rows.filter(decoded.rows["channel"] == 1)["quality"].to_list()
    assert quality == [
        0,
        Quality.POWER_FAIL,
        Quality.CLOCK_DOUBTFUL,
        Quality.SUSPECT,
        Quality.CLOCK_DOUBTFUL,
        0,
    ]
    assert decoded.clock_status == {1: 0, 2: 2, 3: 0}


GOOD = load(range(4))
BAD = {
    "empty": b"",
    "no array": b"\x02\x00",
    "truncated": encode_rows(GOOD)[:-3],
    "count too high": b"\x01\x05" + encode_rows(GOOD)[2:],
    "count too low": b"\x01\x03" + encode_rows(GOOD)[2:],
    "month 13": b"\x01\x01" + encode_row(GOOD[0]).replace(b"\x07\xe8\x03", b"\x07\xe8\x0d"),
    "five columns": b"\x01\x01\x02\x05" + encode_row(GOOD[0])[2:-5],
    "text for a value": b"\x01\x01" + encode_row(GOOD[0])[:-5] + b"\x09\x04abcd",
}


@pytest.mark.parametrize("rows", BAD.values(), ids=BAD)
def test_a_bad_message_is_named_and_holds_up_nobody(rows: bytes) -> None:
    good = message(1, GOOD)
    messages = numbered(good, replace(good, rows=rows), good)

    decoded = decode_messages(messages, 1800)

    assert [each.message.message_id for each in decoded.unreadable] == [2]
    assert decoded.unreadable[0].reason
    assert decoded.rows.height == 2 * 4 * 4
    assert set(decoded.rows["message_id"]) == {1, 3}


def test_messages_of_other_shapes_are_read_beside_each_other() -> None:
    """Nulls repeat the row before; the status may have another width."""
    first = encode_row(GOOD[0])
    second = b"\x02\x06\x00\x00" + b"\x00" * 4
    shrunk = replace(message(1, GOOD[:2]), rows=b"\x01\x02" + first + second)
    messages = numbered(message(1, GOOD[:2]), shrunk)

    decoded = decode_messages(messages, 1800)

    alone = decoded.rows.filter(decoded.rows["message_id"] == 2)
    assert decoded.unreadable == []
    assert alone.filter(alone["channel"] == 1)["value"].to_list() == [GOOD[0][2]] * 2
    starts = alone.filter(alone["channel"] == 1)["start"].dt.epoch("us").to_list()
    assert starts == [T0, T0 + PERIOD_US]


def test_nothing_gives_nothing() -> None:
    decoded = decode_messages([], 1800)

    assert decoded.rows.is_empty()
    assert decode_messages(numbered(message(1, [])), 1800).clock_status == {1: 0}
