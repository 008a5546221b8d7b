# SPDX-License-Identifier: Apache-2.0
"""Named values in pushes: the shapes of the field, and what their makers' parsers expect."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from dlmsvalues import values
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    Array,
    DateTimeOctets,
    DoubleLongUnsigned,
    Enum,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.obis import Obis
from openami.dlms.recordings.readings import Reading, moment, readings
from vectors import vectors

IMPORT = Obis(1, 0, 1, 8, 0, 255)
VOLTAGE = Obis(1, 0, 32, 7, 0, 255)
CLOCK = Obis(0, 0, 1, 0, 0, 255)
PUSH = Obis(0, 0, 25, 9, 0, 255)
PROFILE = Obis(1, 0, 99, 1, 0, 255)
METER = Obis(0, 0, 96, 1, 1, 255)
SCALER_UNIT = Structure((Integer(-1), Enum(35)))

# This push lists capture objects without their values, and its source expects nothing of it.
EXPECTED = [
    row
    for row in vectors("dlms/pushes.toml")
    if "values" in row and row["name"] != "raw_energomera"
]


def name(obis: Obis) -> OctetString:
    return OctetString(obis.encode())


@pytest.mark.parametrize("row", EXPECTED, ids=[row["name"] for row in EXPECTED])
def test_meters_in_the_field(row: dict[str, Any]) -> None:
    notification = DataNotification.decode(row["octets"])
    found = {
        str(each.obis): each
        for each in readings(notification.notification_body, notification.date_time)
    }
    expected = {obis: value for obis, value in row["values"].items() if obis != "0.0.0.0.0.0"}

    assert expected
    for obis, value in expected.items():
        reading = found[obis]
        match reading.value:
            case bytes() as text:
                assert text.decode("ascii") == value
            case str() as text:
                assert text == value
            case number if reading.quantity is None:
                assert number == float(value)
            case _:
                assert reading.quantity == Decimal(value)


def test_a_push_object_list_names_what_follows() -> None:
    definitions = Array(
        CaptureObject(class_id=class_id, instance_id=obis, attribute_id=attribute).to_data()
        for class_id, obis, attribute in (
            (40, Obis(0, 0, 25, 9, 0, 255), 2),
            (3, VOLTAGE, 2),
            (3, VOLTAGE, 3),
            (3, IMPORT, 2),
        )
    )
    body = Structure((definitions, LongUnsigned(2301), SCALER_UNIT, DoubleLongUnsigned(5)))

    assert readings(body) == (
        Reading(
            obis=VOLTAGE, class_id=3, attribute_id=2, value=LongUnsigned(2301), scaler=-1, unit=35
        ),
        Reading(obis=IMPORT, class_id=3, attribute_id=2, value=DoubleLongUnsigned(5)),
    )
    assert readings(body)[0].quantity == Decimal("230.1")


def test_names_side_by_side_and_in_structures() -> None:
    clock = DateTimeOctets(bytes.fromhex("07ea0b16ff0713000080000f"))
    sent = bytes.fromhex("07ea0b16ff0714000080000f")
    body = Structure(
        (
            clock,
            name(IMPORT),
            DoubleLongUnsigned(5),
            Structure((name(VOLTAGE), LongUnsigned(2301), SCALER_UNIT)),
            Array([Structure((name(IMPORT), None))]),
        )
    )

    assert [(each.obis, each.value, each.unit) for each in readings(body)] == [
        (IMPORT, 5, None),
        (VOLTAGE, 2301, 35),
        (IMPORT, None, None),
    ]
    assert {each.date_time for each in readings(body)} == {bytes(clock)}
    assert {each.date_time for each in readings(body, sent)} == {sent}


TIME = OctetString(bytes.fromhex("07ea0b16ff0713000080000f"))
TYPED_TIME = DateTimeOctets(TIME)
GAS = Obis(0, 1, 24, 2, 1, 255)
VOLUME = Structure((Integer(-3), Enum(13)))


def attribute(class_id: int, obis: Obis, number: int, *more: Any) -> Structure:
    return Structure((LongUnsigned(class_id), name(obis), Integer(number), *more))


def definitions(*rows: Structure | OctetString) -> Array:
    return Array(rows)


INDEX = LongUnsigned(0)
FIVE, SEVEN = DoubleLongUnsigned(5), LongUnsigned(7)

# Body, and what is to be found: OBIS, value, scaler, unit, own time.
SHAPES: dict[str, tuple[Any, list[tuple[Obis, Any, int | None, int | None, bytes]]]] = {
    "name, value, scaler and unit side by side": (
        Structure((TIME, name(IMPORT), FIVE, SCALER_UNIT, name(VOLTAGE), SEVEN, SCALER_UNIT)),
        [(IMPORT, 5, -1, 35, b""), (VOLTAGE, 7, -1, 35, b"")],
    ),
    "nulls between pairs": (
        Structure((VisibleString("List_V1"), name(IMPORT), FIVE, None, None, name(VOLTAGE), None)),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, None, None, None, b"")],
    ),
    "all names first": (
        Structure((name(IMPORT), name(VOLTAGE), FIVE, SEVEN)),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, 7, None, None, b"")],
    ),
    "M-Bus value with its time inside": (
        Array([Structure((name(GAS), Structure((TIME, FIVE)), VOLUME))]),
        [(GAS, 5, -3, 13, bytes(TIME))],
    ),
    "M-Bus time, value, scaler and unit": (
        Structure((Structure((name(GAS), TYPED_TIME, FIVE, VOLUME)),)),
        [(GAS, 5, -3, 13, bytes(TIME))],
    ),
    "M-Bus name, then time and value": (
        Structure((name(GAS), TIME, FIVE, name(IMPORT), SEVEN)),
        [(GAS, 5, None, None, bytes(TIME)), (IMPORT, 7, None, None, b"")],
    ),
    "extended register, all attributes": (
        Array([Structure((name(GAS), FIVE, VOLUME, Unsigned(0), TYPED_TIME))]),
        [(GAS, 5, -3, 13, bytes(TIME))],
    ),
    "a clock": (
        Structure((Structure((name(CLOCK), TIME)),)),
        [(CLOCK, TIME, None, None, b"")],
    ),
    "class, name, attribute, value": (
        Array([attribute(3, IMPORT, 2, FIVE), attribute(3, VOLTAGE, 2, SEVEN)]),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, 7, None, None, b"")],
    ),
    "descriptor and value": (
        Array([Structure((attribute(3, IMPORT, 2), FIVE))]),
        [(IMPORT, 5, None, None, b"")],
    ),
    "value, class, scaler and unit, name": (
        Array([Structure((FIVE, LongUnsigned(3), SCALER_UNIT, name(IMPORT)))]),
        [(IMPORT, 5, -1, 35, b"")],
    ),
    "definitions that count themselves": (
        Structure(
            (definitions(attribute(40, PUSH, 2, INDEX), attribute(3, IMPORT, 2, INDEX)), FIVE)
        ),
        [(IMPORT, 5, None, None, b"")],
    ),
    "definitions that do not": (
        Structure(
            (
                definitions(attribute(3, IMPORT, 2, INDEX), attribute(3, VOLTAGE, 2, INDEX)),
                FIVE,
                SEVEN,
            )
        ),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, 7, None, None, b"")],
    ),
    "values in a structure of their own": (
        Structure(
            (
                VisibleString("head"),
                definitions(attribute(3, IMPORT, 2, INDEX), attribute(3, VOLTAGE, 2, INDEX)),
                Structure((FIVE, SEVEN)),
            )
        ),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, 7, None, None, b"")],
    ),
    "names alone as definitions": (
        Structure((definitions(name(IMPORT), name(VOLTAGE)), FIVE, SEVEN)),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, 7, None, None, b"")],
    ),
    "registers whole": (
        Structure(
            (
                definitions(attribute(3, IMPORT, 0, INDEX), attribute(4, GAS, 0, INDEX)),
                Structure((name(IMPORT), FIVE, SCALER_UNIT)),
                Structure((name(GAS), SEVEN, VOLUME, Unsigned(0), TIME)),
            )
        ),
        [(IMPORT, 5, -1, 35, b""), (GAS, 7, -3, 13, bytes(TIME))],
    ),
    "value and capture time of an extended register": (
        Structure(
            (
                definitions(attribute(4, GAS, 2, INDEX), attribute(4, GAS, 5, INDEX)),
                FIVE,
                TYPED_TIME,
            )
        ),
        [(GAS, 5, None, None, bytes(TIME))],
    ),
    "capture objects and a buffer": (
        Structure(
            (
                definitions(attribute(7, PROFILE, 3, INDEX), attribute(7, PROFILE, 2, INDEX)),
                definitions(attribute(8, CLOCK, 2, INDEX), attribute(3, IMPORT, 2, INDEX)),
                Array([Structure((TIME, FIVE)), Structure((TIME, SEVEN))]),
            )
        ),
        [
            (CLOCK, TIME, None, None, bytes(TIME)),
            (IMPORT, 5, None, None, bytes(TIME)),
            (CLOCK, TIME, None, None, bytes(TIME)),
            (IMPORT, 7, None, None, bytes(TIME)),
        ],
    ),
    "rows behind what they hold": (
        Structure(
            (
                definitions(attribute(8, CLOCK, 2, INDEX), attribute(3, IMPORT, 2, INDEX)),
                Array([Structure((TIME, FIVE))]),
            )
        ),
        [(CLOCK, TIME, None, None, bytes(TIME)), (IMPORT, 5, None, None, bytes(TIME))],
    ),
    "definitions alone": (definitions(attribute(3, IMPORT, 2, INDEX)), []),
    "names of two, three and five groups": (
        Array(
            [
                Structure((OctetString(b"\x01\x08"), FIVE, SCALER_UNIT)),
                Structure((OctetString(b"\x20\x07\x00"), SEVEN, SCALER_UNIT)),
                Structure((OctetString(b"\x01\x00\x01\x08\x00"), SEVEN, SCALER_UNIT)),
            ]
        ),
        [(IMPORT, 5, -1, 35, b""), (VOLTAGE, 7, -1, 35, b""), (IMPORT, 7, -1, 35, b"")],
    ),
    "printed names": (
        Structure((VisibleString("1-0:1.8.0*255"), FIVE, OctetString(b"32.7.0"), SEVEN)),
        [(IMPORT, 5, None, None, b""), (VOLTAGE, 7, None, None, b"")],
    ),
    "a meter's number of six characters is no name": (
        Structure((Structure((name(METER), OctetString(b"160456"))), name(IMPORT), FIVE)),
        [(METER, b"160456", None, None, b""), (IMPORT, 5, None, None, b"")],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_pushes(shape: str) -> None:
    body, expected = SHAPES[shape]
    sent = b"\x07\xea\x01\x01\xff\x00\x00\x00\x00\x80\x00\x00"
    found = readings(body, sent)

    assert [(each.obis, each.value, each.scaler, each.unit, each.date_time) for each in found] == [
        (*row[:4], row[4] or sent) for row in expected
    ]


def test_when_a_notification_was_made() -> None:
    other = OctetString(bytes.fromhex("07e80101ff0000000080000f"))
    clock = Structure((name(CLOCK), TIME))
    nothing = b"\xff" * 12

    assert moment(Structure((clock,)), readings(Structure((clock,))), bytes(other)) == bytes(other)
    assert moment(Structure((clock,)), readings(Structure((clock,))), nothing) == bytes(TIME)
    body = Structure((other, clock))
    assert moment(body, readings(body)) == bytes(TIME)
    assert moment(Structure((Structure((TYPED_TIME,)), FIVE))) == bytes(TIME)
    assert moment(Structure((FIVE, TIME))) == b""


def test_values_without_names_are_no_readings() -> None:
    assert readings(Structure((DoubleLongUnsigned(1), DoubleLongUnsigned(2)))) == ()
    assert readings(None) == ()


@given(values)
def test_any_body_is_read(body: Any) -> None:
    for reading in readings(body):
        assert len(reading.obis) == 6
