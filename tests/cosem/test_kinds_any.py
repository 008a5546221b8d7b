# SPDX-License-Identifier: Apache-2.0
"""Whatever a peer sends for an attribute or method: it is read, or refused as no such value."""

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from kindvalues import altered, data_of
from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.kinds import Kind, KindError
from openami.cosem.model import InterfaceClass
from openami.dlms import data as axdr
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
