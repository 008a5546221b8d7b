# SPDX-License-Identifier: Apache-2.0
"""The steps from any version end at the tables that the code declares, on both engines."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    Engine,
    column,
    create_engine,
    func,
    insert,
    inspect,
    select,
    table,
)

from openami.runtime.errors import UserError
from openami.store import concentrator_devices, schema
from openami.store.accepted import Origin, is_accepted
from openami.store.database import open_database, reading, transaction
from openami.store.field_tables import concentrator_updates
from openami.store.tables import SCHEMA_VERSION, accepted_pages, metadata, sequences
from openami.store.tables import schema as version_table


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def make_version_1(engine: Engine) -> None:
    """Make the tables as they were before Alembic kept their version."""
    with transaction(engine) as connection:
        schema.migrate(connection, None, schema.FIRST)
        version_table.drop(connection)
        connection.exec_driver_sql("INSERT INTO schema (version) VALUES (1)")
        connection.execute(sequences.insert().values(name="kept", next=7))


@pytest.fixture
def version_1(empty_url: str) -> str:
    engine = open_database(empty_url, create=True)
    with transaction(engine) as connection:
        metadata.drop_all(connection)
    make_version_1(engine)
    engine.dispose()
    return empty_url


def test_an_older_store_is_brought_to_this_version_and_keeps_its_rows(version_1: str) -> None:
    with pytest.raises(UserError, match=r"schema version 0001.*start its head-end once"):
        open_database(version_1)

    engine = open_database(version_1, create=True)

    with reading(engine) as connection:
        assert differences(connection) == []
        assert connection.execute(select(sequences.c.next)).scalars().all() == [7]
        assert connection.execute(select(version_table.c.version_num)).all() == [(SCHEMA_VERSION,)]
        assert not inspect(connection).has_table(schema.LEGACY_TABLE)
    engine.dispose()


def test_what_was_accepted_stays_accepted(version_1: str) -> None:
    counters = [0, 1, 511, 512, 1500, 2**32 - 1]
    engine = create_engine(version_1)
    with engine.begin() as connection:
        old = table("accepted", *map(column, ("title", "epoch", "invocation_counter")))
        rows = [
            {"title": title, "epoch": epoch, "invocation_counter": counter}
            for title in (b"OAM00001", b"OAM00002")
            for epoch in (1, 2)
            for counter in counters
        ]
        connection.execute(insert(old), rows)
    engine.dispose()

    engine = open_database(version_1, create=True)

    assert all(is_accepted(engine, Origin(**row)) for row in rows)
    assert not is_accepted(engine, Origin(b"OAM00001", 1, 513))
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(accepted_pages)).scalar() == 16
    engine.dispose()


def test_updates_of_concentrators_keep_their_waves(empty_url: str) -> None:
    engine = open_database(empty_url, create=True)
    with transaction(engine) as connection:
        metadata.drop_all(connection)
        schema.migrate(connection, None, "0017")
        names = concentrator_updates.c.keys()[:-2]
        old = table("concentrator_updates", *map(column, names))
        texts = dict.fromkeys(names, "")
        for place, title in enumerate((b"OAM00001", b"OAM00002")):
            asked = {"title": title, "asked_real_us": 1_700_000_000_000_000 + place}
            numbers = dict.fromkeys(("blocks", "blocks_there", "attempts", "changed_real_us"), 0)
            row = {**texts, **numbers, **asked, "activated_real_us": None, "state": "planned"}
            connection.execute(insert(old), [row])
    engine.dispose()

    engine = open_database(empty_url, create=True)

    found = concentrator_devices.updates(engine)
    assert len({each.wave for each in found}) == 1
    assert [each.place for each in found] == [0, 1]
    engine.dispose()


def test_an_empty_database_gets_the_same_tables(engine: Engine) -> None:
    with reading(engine) as connection:
        assert differences(connection) == []


def test_the_newest_step_is_the_version_of_the_code() -> None:
    script = ScriptDirectory(str(Path(schema.STEPS)))
    assert script.get_heads() == [SCHEMA_VERSION]


def test_of_many_that_open_an_empty_database_one_makes_the_tables(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for engine in pool.map(lambda _: open_database(empty_url, create=True), range(4)):
            engine.dispose()
    engine = open_database(empty_url)
    with reading(engine) as connection:
        assert connection.execute(select(version_table.c.version_num)).all() == [(SCHEMA_VERSION,)]
    engine.dispose()
