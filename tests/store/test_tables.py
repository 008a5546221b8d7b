# SPDX-License-Identifier: Apache-2.0
"""The declarations make sense to both databases; a server is needed to prove more."""

import pytest
from sqlalchemy import Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from openami.store.tables import metadata

DIALECTS: tuple[Dialect, ...] = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_table_can_be_made(table: Table, dialect: Dialect) -> None:
    text = str(CreateTable(table).compile(dialect=dialect))
    assert f"CREATE TABLE {table.name}" in text
    for index in table.indexes:
        assert table.name in str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_times_say_their_unit_and_are_wide_enough(table: Table) -> None:
    for column in table.columns:
        if column.name.endswith("_us"):
            assert "BIGINT" in str(column.type.compile(dialect=DIALECTS[1]))
