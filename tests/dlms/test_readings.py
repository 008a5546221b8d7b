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
)
from openami.dlms.obis import Obis
from openami.dlms.readings import Reading, readings
from vectors import vectors

IMPORT = Obis(1, 0, 1, 8, 0, 255)
VOLTAGE = Obis(1, 0, 32, 7, 0, 255)
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


def test_values_without_names_are_no_readings() -> None:
    assert readings(Structure((DoubleLongUnsigned(1), DoubleLongUnsigned(2)))) == ()
    assert readings(None) == ()


@given(values)
def test_any_body_is_read(body: Any) -> None:
    for reading in readings(body):
        assert len(reading.obis) == 6
