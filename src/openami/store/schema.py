# SPDX-License-Identifier: Apache-2.0
"""The version of the SQL tables, and the way to it from older ones.

An empty database is given the tables of `store.tables` as they are; an older one goes through the
steps of `store.migrations`.  Both end at the same tables, which a test holds on both engines.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, insert, inspect, select

from openami.runtime.errors import UserError
from openami.store import (
    advisory,
    alarm_tables,
    broadcast_tables,
    cell_tables,
    clock_tables,
    field_tables,
    supply_tables,
)
from openami.store.advisory import Lock
from openami.store.tables import SCHEMA_VERSION, metadata
from openami.store.tables import schema as version_table

# Their import enters them into the metadata.
DECLARED_APART: Final = (
    field_tables,
    supply_tables,
    alarm_tables,
    broadcast_tables,
    clock_tables,
    cell_tables,
)
FIRST: Final = "0001"
LEGACY_TABLE: Final = "schema"  # said the version of the first tables
STEPS: Final = Path(__file__).parent / "migrations"


def prepare(connection: Connection, name: str, *, create: bool) -> None:
    """Check the version of the tables; with `create`, make them or bring them to it.

    Args:
        connection: In a transaction; one that writes, with `create`.
        name: Of the store, for sentences.
        create: Whether it may be changed.

    Raises:
        UserError: It is no store of ours, or of a version that cannot be used.
    """
    if create:
        advisory.hold(connection, Lock.SCHEMA)
    version = _version(connection)
    if version is None:
        if not create:
            sentence = f"{name} is no OpenAMI store: name another, or make one with `openami up`"
            raise UserError(sentence)
        metadata.create_all(connection)
        connection.execute(insert(version_table), [{"version_num": SCHEMA_VERSION}])
    elif version > SCHEMA_VERSION:
        raise UserError(
            f"{name} has schema version {version}, this OpenAMI needs {SCHEMA_VERSION}: "
            "use the OpenAMI that wrote it, or name another store"
        )
    elif version < SCHEMA_VERSION:
        if not create:
            raise UserError(
                f"{name} has schema version {version}, this OpenAMI needs {SCHEMA_VERSION}: "
                "start its head-end once, which brings it to this version"
            )
        migrate(connection, version)


def _version(connection: Connection) -> str | None:
    tables = inspect(connection)
    if tables.has_table(version_table.name):
        found = connection.execute(select(func.max(version_table.c.version_num))).scalar()
        return None if found is None else str(found)
    return FIRST if tables.has_table(LEGACY_TABLE) else None


def migrate(connection: Connection, version: str | None, target: str = "head") -> None:
    """Go the steps from `version` (None: an empty database), in the connection's transaction."""
    # Alembic takes a while to load, and is not needed by a store of this version.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(STEPS))
    config.attributes["connection"] = connection
    if version == FIRST:
        command.stamp(config, FIRST)
    command.upgrade(config, target)
