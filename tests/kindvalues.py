# SPDX-License-Identifier: Apache-2.0
"""COSEM data for a kind: what a peer may send for an attribute or method of an interface class."""

import functools
from typing import Any

from hypothesis import strategies as st

from dlmsvalues import compact_arrays, obis, octet, scalars, u16
from dlmsvalues import values as any_data
from openami.cosem.kinds import Kind, Shape
from openami.dlms import data
from openami.dlms.data import (
    Array,
    BitString,
    DateTimeOctets,
    Enum,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    Utf8String,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.security.certificates import CertificateEntity, CertificateType

Values = st.SearchStrategy[Any]

strings = st.binary(max_size=8).map(OctetString)
names = obis.map(lambda name: OctetString(name.encode()))
clocks = st.builds(
    CosemDateTime,
    year=st.none() | st.integers(2000, 2099),
    month=st.none() | st.integers(1, 12),
    day=st.none() | st.integers(1, 31),
    day_of_week=st.none(),
    hour=st.none() | st.integers(0, 23),
    minute=st.none() | st.integers(0, 59),
    second=st.just(0),
    hundredths=st.none(),
    clock_status=st.none(),
    deviation_minutes=st.none() | st.integers(-720, 720),
).map(CosemDateTime.encode)
columns = st.tuples(
    u16.map(LongUnsigned),
    names,
    st.integers(-128, 127).map(Integer),
    u16.map(LongUnsigned),
).map(Structure)
entity = st.sampled_from(CertificateEntity).map(Enum)
usage = st.sampled_from(CertificateType).map(Enum)
certificate_names = st.one_of(
    st.tuples(st.just(Enum(0)), st.tuples(entity, usage, strings).map(Structure)),
    st.tuples(st.just(Enum(1)), st.tuples(strings, strings).map(Structure)),
).map(Structure)
modes = octet.map(Enum)

SIMPLE: dict[str, Values] = {
    **{kind.__name__: scalars[kind] for kind in data.INTEGER_TYPES},
    "boolean": st.booleans(),
    "null-data": st.none(),
    "logical name": names,
    "octet-string date-time": clocks.map(OctetString),
    "date-time": clocks.map(DateTimeOctets),
    "visible-string": scalars[VisibleString],
    "utf8-string": scalars[Utf8String],
    "CHOICE": any_data,
    "CHOICE of integers": st.sampled_from(data.INTEGER_TYPES).flatmap(scalars.__getitem__),
    "data of undeclared type": any_data,
    "array of undeclared content": st.lists(any_data, max_size=3).map(Array),
    "structure of undeclared content": st.lists(any_data, max_size=3).map(Structure),
    "compact-array of undeclared content": compact_arrays,
    "access mode": modes,
    "capture_object_definition": columns,
    "structure of enum 0 by entity or 1 by serial number, and a structure": certificate_names,
}


@functools.cache
def data_of(kind: Kind[Any]) -> Values:
    """Return data that `kind` reads; a simple kind that is not in `SIMPLE` is an error."""
    parts = [data_of(part) for part in kind.parts]
    match kind.shape:
        case Shape.ARRAY:
            return st.lists(parts[0], max_size=2).map(Array)
        case Shape.STRUCTURE:
            return st.tuples(*parts).map(Structure)
        case Shape.CHOICE:
            return st.one_of(parts)
        case Shape.SIMPLE:
            return _simple(kind)


_anything: Values = st.one_of(
    st.sampled_from(data.INTEGER_TYPES).flatmap(scalars.__getitem__),
    st.binary(max_size=12).map(OctetString),
    any_data,
)


def altered(value: data.Data, draw: st.DataObject) -> data.Data:
    """Return `value` with one part of it, or all of it, replaced by anything."""
    if isinstance(value, Array | Structure) and value and draw.draw(st.booleans()):
        at = draw.draw(st.integers(0, len(value) - 1))
        return type(value)([*value[:at], altered(value[at], draw), *value[at + 1 :]])
    replaced: data.Data = draw.draw(_anything)
    return replaced


def sent(kind: Kind[Any], draw: st.DataObject) -> data.Data:
    """Return what a client may send for `kind`: as a rule what it reads, sometimes anything."""
    value: data.Data = draw.draw(data_of(kind))
    return value if draw.draw(st.integers(0, 2)) else altered(value, draw)


def _simple(kind: Kind[Any]) -> Values:
    name, least, most = kind.name, kind.size or 0, kind.size or 8
    if name in SIMPLE:
        return SIMPLE[name]
    if name.startswith("octet-string"):
        return st.binary(min_size=least, max_size=most).map(OctetString)
    if name.startswith("bit-string"):
        return st.text("01", min_size=least, max_size=most).map(BitString.from_bits)
    if kind.codes:
        return st.sampled_from(list(kind.codes[0])).map(Enum)
    assert name == f"enum {kind.size}", f"tell SIMPLE what {name} may hold"
    return st.just(Enum(kind.size))
