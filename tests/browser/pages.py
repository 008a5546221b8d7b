# SPDX-License-Identifier: Apache-2.0
"""The pages as a person uses them; every element is found by its `data-testid`.

A `Window` collects what the browser complains of: errors on the console (violations of the content
security policy among them) and exceptions in scripts.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import Browser, Locator, Page, expect

Scheme = Literal["light", "dark"]
DESKTOP = (1440, 900)
PHONE = (360, 640)
AT_LEAST_ONCE = re.compile(r"[1-9][0-9]*")


@dataclass
class Window:
    """A browser window with its complaints."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def part(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def open(self, path: str) -> "Window":
        self.page.goto(self.base + path)
        return self

    def ready(self) -> "Window":
        """Wait until the page's scripts are at work: a click before is a click on plain HTML."""
        expect(self.page.locator("html")).to_have_attribute("data-ready", "yes")
        return self

    def sign_in(self, login: str, password: str) -> "Window":
        """Log in through the form; ends on the account's first page."""
        self.open("/login")
        self.page.get_by_label("Login").fill(login)
        self.page.get_by_label("Password").fill(password)
        self.part("login-submit").click()
        expect(self.part("calendar")).to_be_visible()
        return self.ready()

    def drawn(self, chart: str) -> Locator:
        """Wait until a chart is drawn; live data may have drawn it again by then."""
        expect(self.part(chart)).to_have_attribute("data-drawn", AT_LEAST_ONCE, timeout=10_000)
        return self.part(chart)

    def is_as_wide_as_the_screen(self) -> bool:
        width = self.page.evaluate("document.documentElement.scrollWidth")
        return bool(width <= self.page.evaluate("innerWidth"))

    def disconnect(self, meter_id: int, reason: str) -> None:
        """Ask for a disconnect on the meter's page, as far as the confirmation."""
        self.open(f"/console/meters/{meter_id}").ready()
        self.part("open-disconnect").click()
        expect(self.part("ask-disconnect")).to_contain_text("without supply until you connect it")
        self.part("reason").fill(reason)
        self.part("confirm-disconnect").click()

    def connect(self, reason: str) -> None:
        """Take the way back that the panel offers."""
        self.part("open-connect").click()
        self.part("reason").fill(reason)
        self.part("confirm-connect").click()


@contextmanager
def window(
    browser: Browser, base: str, *, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light"
) -> Iterator[Window]:
    """Open a window with no cookies; when it closes, the browser must have had no complaint."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        has_touch=size == PHONE,
    )
    page = context.new_page()
    opened = Window(page, base)
    page.on(
        "console",
        lambda message: (
            opened.complaints.append(f"{page.url}: {message.text}")
            if message.type in {"error", "warning"}
            else None
        ),
    )
    page.on("pageerror", lambda error: opened.complaints.append(f"{page.url}: {error}"))
    try:
        yield opened
    finally:
        context.close()
    assert opened.complaints == []
