# SPDX-License-Identifier: Apache-2.0
"""Selective access to profiles: descriptors to data and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmsvalues import obis, u16, u32
from openami.dlms import data
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.get import GetRequestNormal
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.data import Array, OctetString, Structure, Unsigned
from openami.dlms.obis import Obis
from vectors import vectors

columns = st.builds(
    CaptureObject,
    class_id=u16,
    instance_id=obis,
    attribute_id=st.integers(-128, 127),
    data_index=u16,
)
ranges = st.builds(
    ByRange,
    restricting_object=columns,
    from_value=st.binary(min_size=12, max_size=12).map(OctetString),
    to_value=st.binary(min_size=12, max_size=12).map(OctetString),
    selected_columns=st.lists(columns, max_size=3).map(tuple),
)
entries = st.builds(
    ByEntry, from_entry=u32, to_entry=u32, from_selected_value=u16, to_selected_value=u16
)
CLOCK = CaptureObject(class_id=8, instance_id=Obis(0, 0, 1, 0, 0, 255), attribute_id=2)


@given(ranges)
def test_a_range_comes_back(wanted: ByRange) -> None:
    assert ByRange.from_access(wanted.access()) == wanted


@given(entries)
def test_entries_come_back(wanted: ByEntry) -> None:
    assert ByEntry.from_access(wanted.access()) == wanted


def test_the_range_of_a_foreign_client() -> None:
    rows = [row for row in vectors("dlms/apdus.toml") if "range_descriptor" in row["name"]]
    assert len(rows) == 2
    for row in rows:
        request = GetRequestNormal.decode(row["octets"])
        assert request.access is not None
        wanted = ByRange.from_access(request.access)

        assert wanted.restricting_object == CLOCK
        assert wanted.access() == request.access


def test_entries_in_octets() -> None:
    octets = ByEntry(from_entry=1, to_entry=48).access().encode()

    assert octets.hex() == "02" + "0204" + "0600000001" + "0600000030" + "120001" + "120000"


@pytest.mark.parametrize(
    "access",
    [
        SelectiveAccess(selector=3, parameters=None),
        SelectiveAccess(selector=1, parameters=Structure((None, None, None, Array()))),
        SelectiveAccess(selector=1, parameters=Structure((CLOCK.to_data(), None, None, None))),
        SelectiveAccess(selector=2, parameters=Structure((Unsigned(1),))),
        SelectiveAccess(selector=2, parameters=Structure((None, None, None, None))),
    ],
    ids=repr,
)
def test_other_parameters_are_refused(access: SelectiveAccess) -> None:
    with pytest.raises(ValueError, match=r"selector 1 takes|a column is"):
        ByRange.from_access(access)
    with pytest.raises(ValueError, match="selector 2 takes"):
        ByEntry.from_access(access)


@pytest.mark.parametrize("member", [0, 2, 3])
def test_a_number_that_no_column_has_is_refused(member: int) -> None:
    """It could not be sent on: nobody else would read it."""
    members = list(CLOCK.to_data())
    members[member] = data.DoubleLong(-70_000)
    with pytest.raises(ValueError, match="holds"):
        CaptureObject.from_data(Structure(members))


@pytest.mark.parametrize("member", range(4))
def test_an_entry_that_no_profile_has_is_refused(member: int) -> None:
    members: list[data.Data] = [Unsigned(1)] * 4
    members[member] = data.Integer(-1)
    access = SelectiveAccess(selector=2, parameters=Structure(members))
    with pytest.raises(ValueError, match="holds 0 to"):
        ByEntry.from_access(access)


def test_a_logical_name_in_a_column_has_six_octets() -> None:
    short = Structure(
        (data.LongUnsigned(8), OctetString(b"\x00"), data.Integer(2), data.LongUnsigned(0))
    )
    with pytest.raises(ValueError, match="6 octets"):
        CaptureObject.from_data(short)
