# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, and pages served over a small AMI."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from web.ami import Ami, build
from web.servers import served

expect.set_options(timeout=20_000)  # of a busy machine; what is there is seen at once

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.fail("there is no chromium on this machine: apt-get install chromium")
    # A module at a time: Playwright's own loop must not run beside tests that start one.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def ami(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    ami = build(tmp_path_factory.mktemp("browser"))
    yield ami
    ami.engine.dispose()


@pytest.fixture(scope="session")
def base(ami: Ami) -> Iterator[str]:
    with served(ami) as address:
        yield address


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Return where pictures of a test go."""
    return tmp_path
