# SPDX-License-Identifier: Apache-2.0
"""A commit is on the disk, and where fail-over is configured on another server's disk too."""

import pytest
from sqlalchemy import make_url, select

from openami.store.database import (
    StoreUnavailableError,
    insert_all,
    open_database,
    reading,
    transaction,
)
from openami.store.durability import names_several_hosts
from openami.store.tables import sequences
from ports import free_port
from postgres import Postgres

ONE = "postgresql://ami@north/openami"
TWO = "postgresql://ami@/openami?host=north:5432&host=south:5432"


@pytest.mark.parametrize(
    ("url", "several"),
    [(ONE, False), (TWO, True), (f"{ONE}?host=north", False), (f"{ONE}?host=north,south", True)],
)
def test_fail_over_is_configured_by_naming_several_hosts(url: str, *, several: bool) -> None:
    assert names_several_hosts(make_url(url)) is several


def test_every_commit_waits_for_the_disk_whatever_the_server_says(server: Postgres) -> None:
    url = server.new_database()
    server.sql(f"ALTER DATABASE {make_url(url).database} SET synchronous_commit = off")
    engine = open_database(url, create=True)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    engine.dispose()


def test_without_synchronous_replication_nothing_is_promised(
    server: Postgres, template: str
) -> None:
    name = make_url(server.new_database(template)).database
    hosts = f"host=127.0.0.1:{server.port}&host=127.0.0.1:{free_port()}"
    url = f"postgresql://openami@/{name}?{hosts}"

    with pytest.raises(StoreUnavailableError, match="synchronous_standby_names is empty"):
        open_database(url, create=True)
    engine = open_database(url)
    with (
        pytest.raises(StoreUnavailableError, match="nothing is promised that a fail-over"),
        transaction(engine) as connection,
    ):
        insert_all(connection, sequences, [{"name": "lost", "next": 1}])
    with reading(engine) as connection:
        assert connection.execute(select(sequences.c.name)).all() == []
    engine.dispose()


def test_a_standby_is_a_server_to_wait_for(server: Postgres, template: str) -> None:
    """Else what waits in a group would be taken for something that can never be written."""
    url = server.new_database(template)
    engine = open_database(url)
    server.sql(f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on")
    engine.dispose()  # every connection is new
    with pytest.raises(StoreUnavailableError), transaction(engine) as connection:
        insert_all(connection, sequences, [{"name": "a", "next": 1}])
    hosts = f"host=127.0.0.1:{free_port()}&host=127.0.0.1:{server.port}"
    with pytest.raises(StoreUnavailableError, match="read-only"):
        open_database(f"postgresql://openami@/{make_url(url).database}?{hosts}")
    engine.dispose()
