# SPDX-License-Identifier: Apache-2.0
"""COSEM data as JSON: the typed form loses nothing, the named form reads back."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmsvalues import values
from kindvalues import data_of
from openami.cli.values import json_or_text
from openami.cosem.classes import chapters
from openami.cosem.classes.access_control import SecuritySetupV1
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.push import PushSetup
from openami.cosem.classes.tariff import ScriptTable
from openami.cosem.classes.time_event import SingleActionSchedule
from openami.cosem.kinds import DATE_TIME, LOGICAL_NAME, TAGGED_DATE_TIME, Kind
from openami.cosem.literals import (
    TYPE_NAMES,
    LiteralError,
    from_typed,
    of_type,
    plain,
    to_typed,
)
from openami.cosem.named import from_named, like, to_named
from openami.dlms import data
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    Array,
    BitString,
    DateTimeOctets,
    DoubleLongUnsigned,
    Enum,
    Integer,
    Long,
    OctetString,
    Structure,
    VisibleString,
)
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(values)
def test_the_typed_form_loses_nothing(value: data.Data) -> None:
    octets = data.encode(value)
    written = json.dumps(to_typed(value))
    if "NaN" not in written:  # not every NaN has a JSON of its own
        assert data.encode(from_typed(json.loads(written))) == octets


@pytest.mark.parametrize("name", [n for n in TYPE_NAMES if n not in {"null-data", "dont-care"}])
def test_every_type_refuses_what_it_cannot_hold(name: str) -> None:
    texts = {"visible-string": "Ā", "utf8-string": "\ud800"}
    with pytest.raises(LiteralError):
        of_type(name, texts.get(name, {}))


ROWS = [row for chapter in chapters.CHAPTERS for of in chapter.classes() for row in of.attributes()]


@given(row=st.sampled_from(ROWS), drawn=st.data())
def test_every_attribute_has_a_named_form(row: Any, drawn: st.DataObject) -> None:
    value = drawn.draw(data_of(row.kind))
    try:
        named = json.dumps(to_named(row.kind, value))
    except DecodeError:
        return  # a compact array whose contents do not follow its description
    assert isinstance(named, str)


Case = tuple[Kind[Any], Any, data.Data]
OBIS = Obis(1, 0, 1, 8, 0, 255)
CLOCK = bytes.fromhex("07EA0301070C1E0000FFC400")
CASES: list[Case] = [
    (Register.scaler_unit.kind, {"scaler": -3, "unit": 30}, Structure((Integer(-3), Enum(30)))),
    (LOGICAL_NAME, "1.0.1.8.0.255", OctetString(OBIS.encode())),
    (DATE_TIME, "2026-03-01T12:30:00+01:00", OctetString(CLOCK)),
    (TAGGED_DATE_TIME, "2026-03-01T12:30:00+01:00", DateTimeOctets(CLOCK)),
    (
        DATE_TIME,
        "*-03-last Sun 02:00:00 deviation -60",
        OctetString(bytes.fromhex("FFFF03FE0702000000FFC4FF")),
    ),
    (DisconnectControl.control_state.kind, "disconnected", Enum(ControlState.DISCONNECTED)),
    (DisconnectControl.output_state.kind, True, True),
    (SecuritySetupV1.security_policy.kind, 12, Enum(12)),
    (
        ProfileGeneric.sort_object.kind,
        {
            "class_id": 3,
            "logical_name": "1.0.1.8.0.255",
            "attribute_index": 2,
            "data_index": 0,
        },
        CaptureObject(class_id=3, instance_id=OBIS, attribute_id=2).to_data(),
    ),
    (ProfileGeneric.capture_period.kind, 900, DoubleLongUnsigned(900)),
    (PushSetup.repetition_delay.kind, 60, data.LongUnsigned(60)),
]


@pytest.mark.parametrize(("kind", "named", "value"), CASES)
def test_named_and_back(kind: Kind[Any], named: Any, value: data.Data) -> None:
    assert to_named(kind, value) == named
    assert data.encode(from_named(kind, named)) == data.encode(value)
    assert data.encode(from_named(kind, as_json(to_typed(value)))) == data.encode(value)


def test_people_write_less_than_they_read() -> None:
    unit = Register.scaler_unit.kind
    assert from_named(unit, [-3, 30]) == Structure((Integer(-3), Enum(30)))
    times = SingleActionSchedule.execution_time.kind
    written = from_named(times, [["23:30:00", "2026-03-01"]])
    assert isinstance(written, Array)
    assert data.encode(written).hex() == "010102020904171e0000090507ea030107"
    open_ended = from_named(DATE_TIME, "2026-03-01T12:30")
    assert isinstance(open_ended, bytes)
    assert open_ended[9:] == b"\x80\x00\xff"


def test_what_a_class_leaves_open_keeps_its_type() -> None:
    value = Register.value.kind
    assert data.encode(from_named(value, 7, Long(1))) == data.encode(Long(7))
    assert like(OctetString(b"old"), "new") == OctetString(b"new")
    assert like(OctetString(OBIS.encode()), "0.0.1.0.0.255") == bytes.fromhex("0000010000FF")
    assert like(OctetString(CLOCK), "2026-03-01T12:30:00+01:00") == CLOCK
    assert like(VisibleString("old"), "new") == "new"
    assert like(BitString.from_bits("1"), "101") == BitString.from_bits("101")
    assert like(Array([Long(1)]), [2, 3]) == [Long(2), Long(3)]
    assert like(Structure((Long(1), False)), [2, True]) == (Long(2), True)
    assert plain(Array([BitString.from_bits("101"), OctetString(b"\x00")])) == ["101", "00"]


@pytest.mark.parametrize(
    ("kind", "found", "sentence"),
    [
        (Register.value.kind, 7, "the type of 7 is not known here: give --type"),
        (ProfileGeneric.capture_period.kind, -1, "-1 is no DoubleLongUnsigned"),
        (DATE_TIME, "soon", "'soon' is no octet-string date-time: write 2026-03-01T12:30"),
        (DisconnectControl.control_state.kind, "off", "use one of disconnected, connected"),
        (Register.scaler_unit.kind, [1], "write a list of 2 values: scaler, unit"),
        (Register.scaler_unit.kind, {"scaler": 1}, "needs exactly the members scaler, unit"),
        (PushSetup.push_object_list.kind, 5, "5 is no array of capture_object_definition"),
        (DATE_TIME, {"long": 5}, "Long 5 is not octet-string date-time, which the class declares"),
        (DATE_TIME, {"long": 70000}, "70000 is no long"),
        (LOGICAL_NAME, "1.0.1", "write six numbers"),
        (DATE_TIME, "0001-01-01T00:00:00+14:00", "is no octet-string date-time"),
        (DATE_TIME, "9999-12-31T23:59:59-14:00", "is no octet-string date-time"),
    ],
)
def test_what_does_not_fit_is_said(kind: Kind[Any], found: Any, sentence: str) -> None:
    with pytest.raises(LiteralError) as refused:
        from_named(kind, found)
    assert sentence in str(refused.value)


def nested(levels: int) -> Any:
    value: Any = {"long": 1}
    for _ in range(levels):
        value = {"structure": [value]}
    return value


@pytest.mark.parametrize("example", [OctetString(b"text"), data.Utf8String("text")])
def test_octets_that_are_no_text_are_said(example: data.Data) -> None:
    with pytest.raises(LiteralError, match=r"no text in UTF-8: write its octets in hex after 0x"):
        like(example, "\udcff")


def test_what_can_be_written_can_be_read_and_nothing_deeper_is_written() -> None:
    kept = from_typed(nested(data.DEEPEST))
    assert data.encode(data.decode(data.encode(kept))) == data.encode(kept)

    parameter = [1, [[1, 3, "1.0.1.8.0.255", 2, nested(data.DEEPEST - 3)]]]
    with pytest.raises(LiteralError, match="nested deeper than 32 levels: flatten it"):
        from_named(ScriptTable.scripts.kind, [parameter])


@pytest.mark.parametrize("levels", [data.DEEPEST + 1, 100_000])
@pytest.mark.parametrize(
    "write",
    [
        from_typed,
        lambda found: from_named(Register.value.kind, found),
        lambda found: from_named(ProfileGeneric.capture_period.kind, found),
        lambda found: like(Long(1), found),
    ],
)
def test_what_nests_too_deep_is_said(write: Callable[[Any], Any], levels: int) -> None:
    with pytest.raises(LiteralError, match="nested deeper than 32 levels: flatten it"):
        write(nested(levels))


def test_a_list_without_end_has_a_sentence_too() -> None:
    endless: Any = 1
    for _ in range(100_000):
        endless = [endless]
    with pytest.raises(LiteralError, match="nests without end"):
        from_named(Register.value.kind, endless)
    with pytest.raises(LiteralError, match="nested deeper than 32 levels"):
        json_or_text("[" * 100_000)


def test_scaler_unit_is_what_the_class_reads() -> None:
    written = from_named(Register.scaler_unit.kind, {"unit": 30, "scaler": 0})
    assert Register.scaler_unit.kind.from_data(written) == ScalerUnit(0, 30)
