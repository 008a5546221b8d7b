# SPDX-License-Identifier: Apache-2.0
"""Every table of every chapter, walked whole: what is declared can be carried and read back."""

from collections.abc import Iterator
from itertools import chain, groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindvalues import data_of
from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.kinds import Kind, KindError
from openami.cosem.model import REGISTRY, Access, Attribute, InterfaceClass, declared, latest
from openami.dlms import data as axdr
from openami.dlms.obis import Obis
from playbooks.demo_meter import READER, DemoMeter, Link

CLASSES = [each for chapter in CHAPTERS for each in chapter.classes()]
METHODS_LEFT_OUT = {(12, version): {1, 2, 7} for version in (1, 2, 3, 4)}
NAMED_ONLY = {96, 141, 142, 160, 170}
OURS = {  # other tests declare classes of their own
    key: table for key, table in REGISTRY.items() if table.__module__.startswith("openami.")
}
PLACE = Obis(0, 128, 96, 128, 0, 255)

every_class = pytest.mark.parametrize("table", CLASSES, ids=lambda table: table.__name__)


def kinds_of(table: type[InterfaceClass]) -> dict[str, Kind[Any]]:
    rows: dict[str, Kind[Any]] = {row.name: row.kind for row in table.attributes()}
    for method in table.methods():
        rows |= {f"{method.name}()": method.argument, f"{method.name}() =": method.result}
    return rows


def test_every_class_stands_in_one_chapter() -> None:
    assert sorted((each.class_id, each.version) for each in CLASSES) == sorted(OURS)
    assert len({each.__name__ for each in CLASSES}) == len(CLASSES)


def test_the_classes_are_those_of_the_standard() -> None:
    known = chain(
        (1, *range(3, 13), 15, *range(17, 31), *range(40, 49)),
        (*range(50, 54), *range(55, 60), *range(61, 69), 70, 71, 72, 73, 74, 76, 77),
        (*range(80, 87), 90, 91, 92, *range(95, 99), *range(100, 106)),
        (111, 112, 113, 115, 116, 122, 123, 124, *range(126, 134), *range(140, 144)),
        (151, 152, 153, 160, 161, 162, 170),
    )
    assert sorted({class_id for class_id, _ in OURS}) == sorted(known)


@every_class
def test_rows_are_numbered_and_named_once(table: type[InterfaceClass]) -> None:
    attributes, methods = list(table.attributes()), list(table.methods())
    left_out = METHODS_LEFT_OUT.get((table.class_id, table.version), set())
    last = max((row.index for row in methods), default=0)
    names = [row.name for row in attributes] + [row.name for row in methods]

    assert [row.index for row in attributes] == list(range(1, 1 + len(attributes)))
    assert [row.index for row in methods] == [n for n in range(1, 1 + last) if n not in left_out]
    assert len(set(names)) == len(names)
    assert (len(attributes) == 1) == (table.class_id in NAMED_ONLY)
    assert table.__doc__, "the reference has a sentence on each class"


@every_class
def test_rows_belong_to_their_class(table: type[InterfaceClass]) -> None:
    rows: list[Any] = [*table.attributes(), *table.methods()]
    for row in rows:
        assert row.owner is table
        assert getattr(table, row.name) is row
        assert f"{table.__name__}.{row.name}" in repr(row)


@every_class
def test_short_names_do_not_collide(table: type[InterfaceClass]) -> None:
    ends = 8 * len(list(table.attributes()))
    places = [table.short_name_offset(row) for row in table.methods()]
    if table.methods_at is None:
        assert set(places) <= {None}
    else:
        assert places, "a class without methods has no place for them"
        assert all(place is not None and place % 8 == 0 for place in places)
        # Association SN has gaps; special days' methods stand at the end of its two attributes.
        assert table.methods_at >= (ends if table.class_id != 12 else 0x10)


def test_a_later_version_keeps_what_the_earlier_had() -> None:
    """So that the highest known list reads an object of an unknown version."""
    for class_id, versions in groupby(sorted(OURS), key=lambda key: key[0]):
        tables = [OURS[key] for key in versions]
        for older, newer in pairwise(tables):
            names = [row.name for row in newer.attributes()]
            kept = [row.name for row in older.attributes()]
            assert names[: len(kept)] == kept, f"class {class_id}"
        newest = latest(class_id)
        assert newest is tables[-1]
        assert declared(class_id, newest.version + 1) is newest


@every_class
@settings(max_examples=4)
@given(st.data())
def test_every_kind_reads_what_it_writes(table: type[InterfaceClass], data: st.DataObject) -> None:
    for name, kind in kinds_of(table).items():
        sent = data.draw(data_of(kind), label=name)
        octets = axdr.encode(sent)

        value = kind.strict(axdr.decode(octets))

        assert axdr.encode(kind.to_data(value)) == octets


class OneObject(DemoMeter):
    """A meter that holds one more object."""

    def __init__(self, held: InterfaceClass) -> None:
        self.held = held
        super().__init__(rows=0)

    def _objects_table(self) -> Iterator[InterfaceClass]:
        yield from super()._objects_table()
        yield self.held


@every_class
@settings(max_examples=2)
@given(st.data())
def test_server_and_client_carry_every_class(
    table: type[InterfaceClass], data: st.DataObject
) -> None:
    held = table(PLACE)
    rows: list[Attribute[Any]] = [row for row in table.attributes() if row.access & Access.READ]
    for row in rows[1:]:
        held.values[row.index] = row.kind.from_data(data.draw(data_of(row.kind), label=row.name))
    link = Link(OneObject(held), READER)
    link.run(link.client.associate())

    for row in rows:
        assert link.run(link.client.get(row, at=PLACE)) == held.values[row.index]


OPEN = [
    (table, row)
    for table in CLASSES
    for row in table.attributes()
    if row.kind.codes and row.kind.name.startswith("enum ")
]


def test_a_code_of_a_later_edition_is_read_as_a_number() -> None:
    strict = set()
    for table, row in OPEN:
        try:
            assert row.kind.from_data(axdr.Enum(0xC8)) == 0xC8
        except KindError:
            strict.add(table.class_id)
    # These enums drive our own behaviour, which has to know every code.
    assert strict == {7, 8, 15, 18, 70}
