# SPDX-License-Identifier: Apache-2.0
"""AMIs to look at: one that tests only read, a fresh one to write to, an empty one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from web.ami import Ami, build, copy
from web.clients import TestClient, sign_in

FEW = 8  # meters of an AMI that is written to: fewer than a region must have to be shown


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    ami = build(tmp_path_factory.mktemp("seen"))
    yield ami
    ami.engine.dispose()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ami = build(tmp_path_factory.mktemp("template"), meters=FEW)
    ami.engine.dispose()
    return ami.folder


@pytest.fixture
def fresh(tmp_path: Path, template: Path) -> Iterator[Ami]:
    ami = copy(template, tmp_path, meters=FEW)
    yield ami
    ami.engine.dispose()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    ami = build(tmp_path_factory.mktemp("empty"), empty=True)
    yield ami
    ami.engine.dispose()


@pytest.fixture(scope="session")
def utility(seen: Ami) -> TestClient:
    return sign_in(seen, "utility")


@pytest.fixture(scope="session")
def home(seen: Ami) -> TestClient:
    return sign_in(seen, "home-002")
