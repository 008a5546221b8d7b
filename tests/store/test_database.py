# SPDX-License-Identifier: Apache-2.0
"""Opening the store, its transactions, and its sentences."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, make_url, select
from sqlalchemy.exc import IntegrityError

from openami.runtime.errors import ConfigurationError, UserError
from openami.store.database import (
    StoreUnavailableError,
    insert_all,
    insert_new,
    open_database,
    reading,
    transaction,
    upsert,
    url_of,
)
from openami.store.tables import SCHEMA_VERSION, counters, schema, sequences
from ports import free_port
from postgres import Postgres


def test_opens_again_what_it_made(empty_url: str) -> None:
    open_database(empty_url, create=True).dispose()
    open_database(empty_url, create=True).dispose()

    engine = open_database(empty_url)

    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_a_missing_store_is_named_with_its_remedy(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no store at .*openami\.db: start the AMI once"):
        open_database(sqlite_url)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = f"postgresql://ami:secret@127.0.0.1:{free_port()}/openami"
    with pytest.raises(StoreUnavailableError, match="start the server, check the URL") as refused:
        open_database(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense", "martian://x", "sqlite"])
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database URL"):
        open_database(url)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "openami.db").write_bytes(b"this is not a database at all" * 100)

    with pytest.raises(UserError, match="is damaged"):
        open_database(f"sqlite:///{tmp_path / 'openami.db'}")


def test_another_version_is_refused(engine: Engine, url: str) -> None:
    with transaction(engine) as connection:
        connection.execute(schema.update().values(version_num="9999"))

    with pytest.raises(
        UserError, match=f"schema version 9999, this OpenAMI needs {SCHEMA_VERSION}"
    ):
        open_database(url)


def test_a_foreign_database_is_refused(empty_url: str) -> None:
    if (path := make_url(empty_url)).get_backend_name() == "sqlite":
        Path(str(path.database)).parent.mkdir()
        Path(str(path.database)).touch()

    with pytest.raises(UserError, match="is no OpenAMI store"):
        open_database(empty_url)


def test_a_full_disk_is_a_sentence_and_loses_nothing(sqlite_url: str) -> None:
    engine = open_database(sqlite_url, create=True)
    with transaction(engine) as connection:
        insert_all(connection, sequences, [{"name": "before", "next": 1}])

    def overfill() -> None:
        with transaction(engine) as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")  # SQLite's own full disk
            rows = [{"name": f"{n:032d}", "next": n} for n in range(20_000)]
            insert_all(connection, sequences, rows)

    with pytest.raises(StoreUnavailableError, match="free space on its disk"):
        overfill()

    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(sequences)).scalar() == 1
    engine.dispose()


def test_an_exception_takes_everything_back(engine: Engine) -> None:
    def insert_twice() -> None:
        with transaction(engine) as connection:
            insert_all(connection, sequences, [{"name": "a", "next": 1}])
            insert_all(connection, sequences, [{"name": "a", "next": 2}])

    with pytest.raises(IntegrityError):
        insert_twice()

    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(sequences)).scalar() == 0


def test_new_rows_are_counted_and_known_rows_kept(engine: Engine) -> None:
    with transaction(engine) as connection:
        assert insert_new(connection, sequences, [{"name": "a", "next": 1}]) == 1
        rows = [{"name": "a", "next": 5}, {"name": "b", "next": 6}]
        assert insert_new(connection, sequences, rows) == 1
        assert connection.execute(select(sequences.c.next).order_by("name")).scalars().all() == [
            1,
            6,
        ]


def test_upsert_replaces(engine: Engine) -> None:
    with transaction(engine) as connection:
        upsert(connection, counters, [{"meter_id": 1, "epoch": 1, "next": 1}])
        upsert(connection, counters, [{"meter_id": 1, "epoch": 1, "next": 7}])
        assert connection.execute(select(counters.c.next)).scalars().all() == [7]


def test_writers_that_read_first_wait_for_each_other(engine: Engine) -> None:
    """A deferred BEGIN would give `database is locked` here, whatever the time-out."""
    with transaction(engine) as connection:
        insert_all(connection, sequences, [{"name": "n", "next": 0}])

    def add() -> None:
        for _ in range(20):
            with transaction(engine) as connection:
                row = select(sequences.c.next).with_for_update()
                now = connection.execute(row).scalar_one()
                connection.execute(sequences.update().values(next=now + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with reading(engine) as connection:
        assert connection.execute(select(sequences.c.next)).scalar_one() == 80


def test_a_reader_keeps_its_snapshot(engine: Engine) -> None:
    with reading(engine) as reader:
        assert reader.execute(select(func.count()).select_from(sequences)).scalar() == 0
        with transaction(engine) as connection:
            insert_all(connection, sequences, [{"name": "a", "next": 1}])
        assert reader.execute(select(func.count()).select_from(sequences)).scalar() == 0


def test_paths_are_relative_to_the_configuration() -> None:
    assert url_of("../openami.db", Path("/srv/ami/mdm")) == "sqlite:////srv/ami/openami.db"
    assert url_of("postgresql://h/d", Path("/srv")) == "postgresql://h/d"


RESERVE = """
import sys
from openami.store.database import open_database
from openami.store.counters import reserve
engine = open_database(sys.argv[1])
for _ in range(40):
    print(reserve(engine, 7, 1, 5))
"""


def test_two_processes_never_reserve_the_same_numbers(engine: Engine, url: str) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", RESERVE, url], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    firsts = [int(line) for worker in workers for line in worker.communicate()[0].split()]

    assert all(worker.returncode == 0 for worker in workers)
    assert sorted(firsts) == list(range(1, 401, 5))
    del engine


def test_a_server_that_knows_no_encoding_tells_text(server: Postgres) -> None:
    server.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    open_database(server.dsn("ascii"), create=True).dispose()
