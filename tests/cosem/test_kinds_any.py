# SPDX-License-Identifier: Apache-2.0
"""Whatever a peer sends for an attribute or method: it is read, or refused as no such value."""

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from dlmsvalues import scalars, values
from kindvalues import data_of
from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.kinds import Kind, KindError
from openami.cosem.model import InterfaceClass
from openami.dlms import data as axdr
from openami.dlms.data import Array, Data, OctetString, Structure
from openami.dlms.errors import DecodeError


def kinds_of(table: type[InterfaceClass]) -> list[Kind[Any]]:
    found = [row.kind for row in table.attributes()]
    for method in table.methods():
        found += [method.argument, method.result]
    return found


KINDS: Final = list(
    dict.fromkeys(
        kind for chapter in CHAPTERS for table in chapter.classes() for kind in kinds_of(table)
    )
)


anything = st.one_of(
    st.sampled_from(axdr.INTEGER_TYPES).flatmap(scalars.__getitem__),
    st.binary(max_size=12).map(OctetString),
    values,
)


def altered(value: Data, draw: st.DataObject) -> Data:
    """Return `value` with one part of it, or all of it, replaced by anything."""
    if isinstance(value, Array | Structure) and value and draw.draw(st.booleans()):
        at = draw.draw(st.integers(0, len(value) - 1))
        return type(value)([*value[:at], altered(value[at], draw), *value[at + 1 :]])
    replaced: Data = draw.draw(anything)
    return replaced


@settings(max_examples=1000)
@given(kind=st.sampled_from(KINDS), draw=st.data())
def test_any_data_is_a_value_or_refused(kind: Kind[Any], draw: st.DataObject) -> None:
    sent = altered(draw.draw(data_of(kind)), draw)
    try:
        kind.from_data(sent)
        value = kind.strict(sent)
    except (KindError, DecodeError):
        return
    assert axdr.encode(kind.to_data(value)) == axdr.encode(sent)
