# SPDX-License-Identifier: Apache-2.0
"""Open the SQL store, and write to it so that two processes never deadlock.

SQLite (WAL, synchronous=FULL: a commit is on the disk when it returns) by default, PostgreSQL by
the same code.  pysqlite's own transactions begin too late and as readers, so a second writer would
fail half-way; here every writer says BEGIN IMMEDIATE and waits its turn, every reader says BEGIN
and keeps one snapshot (REPEATABLE READ on PostgreSQL).

Every function of the neighbours takes `Database`: an engine, and it has a transaction of its own;
or a connection inside `transaction`, and it joins that one.
"""

import errno
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    any_,
    create_engine,
    event,
    insert,
    literal,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from openami.runtime.errors import ConfigurationError, UserError
from openami.store import durability, schema

Database = Engine | Connection
Values = Mapping[str, object]
T = TypeVar("T")

BUSY_TIMEOUT_MS: Final = 30_000
CONNECT_S: Final = 10
POOL: Final = 10  # connections that a process keeps; as many again for a moment
WRITES: Final = "openami_writes"  # execution option of a connection that will write
POSTGRESQL: Final = "postgresql+psycopg"


class StoreUnavailableError(UserError):
    """The store cannot be written now (disk full, server gone): wait, then try again."""


def url_of(text: str, folder: Path) -> str:
    """Return the URL for a configured `database`: a URL as it is, a path relative to `folder`."""
    return text if "://" in text else f"sqlite:///{(folder / text).resolve()}"


def open_database(url: str, *, create: bool = False) -> Engine:
    """Return the store behind a SQLAlchemy URL.

    With `create`, its tables are made if there are none, and brought to this version if they are
    older; of many processes that open it at once, one does so and the others wait.

    Raises:
        ConfigurationError: The URL is wrong or no store is there.
        UserError: The store is damaged, of another version, or cannot be reached.
    """
    try:
        parsed = make_url(url)
        engine = _sqlite(parsed, create=create) if _is_sqlite(parsed) else _server(parsed)
    except (ArgumentError, ModuleNotFoundError) as error:
        sentence = (
            f"the database URL {url!r} cannot be used ({error}): write sqlite:///FILE or"
            " postgresql://USER@HOST/NAME"
        )
        raise ConfigurationError(sentence) from error
    name = engine.url.render_as_string(hide_password=True)
    try:
        with transaction(engine) if create else reading(engine) as connection:
            schema.prepare(connection, name, create=create)
    except UserError:
        engine.dispose()
        raise
    return engine


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _server(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        return create_engine(url)
    several = durability.names_several_hosts(url)
    options = {**durability.KEEPALIVES, **(durability.PRIMARY if several else {})}
    engine = create_engine(
        url.set(drivername=POSTGRESQL),
        pool_pre_ping=True,  # a connection of before the server's restart is replaced
        pool_size=POOL,
        max_overflow=POOL,
        # Else a server whose encoding is SQL_ASCII tells octets where text is expected.
        connect_args={"connect_timeout": CONNECT_S, "client_encoding": "utf8", **options},
        execution_options={durability.FAILS_OVER: several},
    )
    durability.hold_to_disk(engine)
    return engine


def _sqlite(url: URL, *, create: bool) -> Engine:
    path = Path(url.database or "")
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sentence = f"{path.parent} cannot be made ({error.strerror}): permit writing there"
            raise UserError(sentence) from error
    elif not path.is_file():
        sentence = f"there is no store at {path}: start the AMI once with `openami up`"
        raise ConfigurationError(sentence)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI connection
        connection.isolation_level = None  # transactions are ours, below
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _refusal(error: DBAPIError, engine: Engine) -> UserError:
    """Return the sentence for what the database said."""
    name = engine.url.render_as_string(hide_password=True)
    said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no reason"
    lowered = said.lower()
    if "not a database" in lowered or "malformed" in lowered:
        return UserError(f"{name} is damaged ({said}): restore it from a backup")
    if "full" in lowered or "disk i/o" in lowered or os_full(error.orig) or "no space" in lowered:
        return StoreUnavailableError(f"{name} cannot be written ({said}): free space on its disk")
    if "locked" in lowered:
        sentence = f"{name} stays locked ({said}): end the program that holds it"
        return StoreUnavailableError(sentence)
    if "deadlock" in lowered or "serialize" in lowered:
        sentence = f"{name} took back a transaction that met another ({said}): try again"
        return StoreUnavailableError(sentence)
    closed = "readonly" in lowered or "read-only" in lowered or "unable to open" in lowered
    if closed and engine.dialect.name == "sqlite":  # a server's standby is read-only for a while
        return UserError(f"{name} cannot be written ({said}): permit writing to it and its folder")
    return StoreUnavailableError(
        f"{name} does not answer ({said}): start the server, check the URL"
    )


def os_full(error: BaseException | None) -> bool:
    """Tell whether an error says that the disk (or a quota) is full."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def transaction(database: Database) -> Iterator[Connection]:
    """Write: all of it is durable when the block ends, or none after an exception.

    Raises:
        StoreUnavailableError: The disk is full, the store stays locked, the server is gone, or
            fail-over is configured and nothing is replicated.
    """
    if isinstance(database, Connection):
        yield database
        return
    try:
        with (
            database.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection
            if connection.get_execution_options().get(durability.FAILS_OVER):
                _require_durable(connection)
    except DBAPIError as error:
        if _is_fault_of_code(error):
            raise
        raise _refusal(error, database) from error


def _require_durable(connection: Connection) -> None:
    """Refuse a commit that a fail-over would lose."""
    if problem := durability.problem_of(connection):
        name = connection.engine.url.render_as_string(hide_password=True)
        raise StoreUnavailableError(
            f"{name} names several servers and replicates to none of them before it commits"
            f" ({problem}): nothing is promised that a fail-over would lose; set"
            " synchronous_standby_names, or name one server alone"
        )


@contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """Read one snapshot."""
    if isinstance(database, Connection):
        yield database
        return
    try:
        with _snapshot(database) as connection:
            yield connection
    except DBAPIError as error:
        if _is_fault_of_code(error):
            raise
        raise _refusal(error, database) from error


def _snapshot(engine: Engine) -> Connection:
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    return engine.connect()


def _is_fault_of_code(error: SQLAlchemyError) -> bool:
    """Constraint and statement errors are ours; they must not read like a full disk."""
    return type(error).__name__ in {"IntegrityError", "ProgrammingError", "DataError"}


def insert_or(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT that has `on_conflict_do_...`, in the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def among(
    connection: Connection, column: "ColumnElement[T]", values: Collection[T]
) -> "ColumnElement[bool]":
    """Return the condition that a column is one of many values.

    Where the server takes them as one array, it parses as little for a thousand as for one.
    """
    if connection.dialect.name == "postgresql":
        return column == any_(literal(list(values), postgresql.ARRAY(column.type)))
    return column.in_(list(values))


def insert_new(connection: Connection, table: Table, rows: Sequence[Values]) -> int:
    """Insert rows, skip those whose key is there; return how many are new."""
    if not rows:
        return 0
    key = next(iter(table.primary_key.columns))
    statement = insert_or(connection, table).on_conflict_do_nothing().returning(key)
    return len(connection.execute(statement, [dict(row) for row in rows]).all())


def upsert(
    connection: Connection, table: Table, rows: Sequence[Values], *, keep: Sequence[str] = ()
) -> None:
    """Insert rows; where the primary key is there, replace all other columns but `keep`."""
    if not rows:
        return
    statement = insert_or(connection, table)
    key = [column.name for column in table.primary_key.columns]
    changed = {
        name: statement.excluded[name] for name in rows[0] if name not in key and name not in keep
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=changed),
        [dict(row) for row in rows],
    )


def insert_all(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert rows that must be new."""
    if rows:
        connection.execute(insert(table), [dict(row) for row in rows])
