# SPDX-License-Identifier: Apache-2.0
"""A newcomer's first minutes: `openami up`, both pages in Chromium, a disconnect that is real.

Nothing stands between the browser and the meter but the product: pages, tables, head-end,
concentrator, TLS, DLMS, UART, metrology.
"""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.pages import PHONE, window
from ports import free_ports

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.timeout(300)]

METERS = 22  # eleven homes a region: enough for the region's load to be shown
GREETING = re.compile(r"(http://\S+?)/(console|home)\s+(\S+) / (\S+)")


@dataclass
class Running:
    """An `openami up` in the foreground of somebody's terminal."""

    process: subprocess.Popen[str]
    base: str
    logins: dict[str, str]
    var: Path


def start(folder: Path, ports: list[int]) -> Running:
    """Type the command and read what it greets with."""
    command = [sys.executable, "-m", "openami", "up", "--meters", str(METERS), "--speed", "300"]
    command += ["--port", str(ports[0]), "--uplink-port", str(ports[1])]
    command += ["--concentrator-port", str(ports[2])]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    logins, base, said = {}, "", ""
    for line in process.stdout:
        said += line
        if found := GREETING.search(line):
            base = found[1]
            logins[found[3]] = found[4]
        if len(logins) == 2:
            return Running(process, base, logins, folder / "var")
    raise AssertionError(f"openami up ended with {process.wait()}:\n{said}")


def stop(running: Running) -> str:
    """Press Ctrl-C and return the last words."""
    running.process.send_signal(signal.SIGINT)
    said, _ = running.process.communicate(timeout=60)
    return said


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("up"), free_ports(4))
    yield running
    if running.process.poll() is None:
        stop(running)


def test_the_console_shows_the_fleet_at_work(browser: Browser, running: Running) -> None:
    with window(browser, running.base) as seen:
        seen.page.set_default_timeout(90_000)
        expect.set_options(timeout=90_000)
        wait_for_pages(running)
        seen.sign_in("utility", running.logins["utility"])
        expect(seen.part("tile-attached")).to_contain_text(f"{METERS} of {METERS}")
        expect(seen.part("tile-rate")).to_contain_text("100")
        expect(seen.part("processes")).to_contain_text("management")
        seen.drawn("load-chart")


def test_a_household_watches_its_power_and_its_region(browser: Browser, running: Running) -> None:
    with window(browser, running.base, size=PHONE) as seen:
        seen.sign_in("home-001", running.logins["home-001"])
        power = seen.part("power-now")
        expect(power).to_contain_text(re.compile(r"\d"), timeout=60_000)
        first = power.inner_text()
        expect(power).not_to_have_text(first, timeout=60_000)
        expect(seen.part("region-now")).to_contain_text("kW")
        assert seen.is_as_wide_as_the_screen()
        seen.part("nav-use").click()
        seen.drawn("use-chart")
        answer = seen.page.request.get(f"{running.base}/console")
        assert answer.status == 403


def test_a_disconnect_from_the_console_darkens_the_home(browser: Browser, running: Running) -> None:
    with window(browser, running.base) as seen:
        seen.sign_in("utility", running.logins["utility"])
        seen.disconnect(1, "unpaid since March")
        expect(seen.part("supply-state")).to_contain_text("Disconnected", timeout=60_000)
        expect(seen.part("live-power")).to_have_text(re.compile(r"^0\b"), timeout=60_000)
        seen.connect("paid")
        expect(seen.part("supply-state")).to_contain_text("Connected", timeout=60_000)
        expect(seen.part("commands")).to_contain_text("confirmed")


def test_ctrl_c_stops_everything_and_a_second_start_goes_on(running: Running) -> None:
    said = stop(running)

    assert running.process.returncode == 0
    assert "stopped; everything is kept in" in said
    stood_us = json.loads((running.var / "clock.json").read_text())["base_us"]
    assert orphans(running.var) == []

    again = start(running.var.parent, free_ports(4))
    try:
        assert again.logins == running.logins
        assert json.loads((again.var / "clock.json").read_text())["base_us"] == stood_us
        wait_for_pages(again)
    finally:
        stop(again)
    assert orphans(running.var) == []


def wait_for_pages(running: Running) -> None:
    """Wait until the pages answer."""
    deadline_s = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{running.base}/health", timeout=2).close()  # noqa: S310
        except OSError:
            assert time.monotonic() < deadline_s, "the pages do not answer"
            time.sleep(0.5)
        else:
            return


def orphans(var: Path) -> list[str]:
    """Return the command lines of processes that still work below `var`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if str(var) in line:
            found.append(line)
    return found
