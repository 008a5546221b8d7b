# SPDX-License-Identifier: Apache-2.0
"""Every test of the store runs on both engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from openami.store.database import open_database
from postgres import Postgres, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def template(server: Postgres) -> str:
    """Return the name of a database that has the tables."""
    server.sql("CREATE DATABASE template_openami")
    open_database(server.dsn("template_openami"), create=True).dispose()
    return "template_openami"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store' / 'openami.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a database without tables."""
    if backend == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    server: Postgres = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a store of this version."""
    if backend == "sqlite":
        url = str(request.getfixturevalue("sqlite_url"))
        open_database(url, create=True).dispose()
        return url
    server: Postgres = request.getfixturevalue("server")
    return server.new_database(request.getfixturevalue("template"))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()
