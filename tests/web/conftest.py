# SPDX-License-Identifier: Apache-2.0
"""AMIs to look at: one that tests only read, a fresh one to write to, an empty one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from web.ami import Ami, build
from web.clients import TestClient, sign_in


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    ami = build(tmp_path_factory.mktemp("seen"))
    yield ami
    ami.engine.dispose()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Ami]:
    ami = build(tmp_path, meters=8, minimum_homes=10)
    yield ami
    ami.engine.dispose()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Ami]:
    ami = build(tmp_path, empty=True)
    yield ami
    ami.engine.dispose()


@pytest.fixture(scope="session")
def utility(seen: Ami) -> TestClient:
    return sign_in(seen, "utility")


@pytest.fixture(scope="session")
def home(seen: Ami) -> TestClient:
    return sign_in(seen, "home-002")
