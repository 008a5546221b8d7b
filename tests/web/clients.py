# SPDX-License-Identifier: Apache-2.0
"""Clients of the pages for tests: signed in, with the token of the session at hand."""

import re
import warnings

from openami.web.app import create_app
from web.ami import HOME_PASSWORD, UTILITY_PASSWORD, Ami

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have another HTTP client
    from starlette.testclient import TestClient

TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


def visitor(ami: Ami) -> TestClient:
    """Return a client that nobody has signed in with."""
    if ami.app is None:
        ami.app = create_app(ami.context)
    return TestClient(ami.app, follow_redirects=False, raise_server_exceptions=False)


def token_of(client: TestClient, path: str) -> str:
    found = TOKEN.search(client.get(path).text)
    assert found, f"{path} has no form"
    return found[1]


def sign_in(ami: Ami, login: str, password: str | None = None) -> TestClient:
    """Return a client that has signed in; its POSTs bring the token."""
    client = visitor(ami)
    if password is None:
        password = UTILITY_PASSWORD if login == "utility" else HOME_PASSWORD
    form = {"login": login, "password": password, "csrf": token_of(client, "/login")}
    answer = client.post("/login", data=form)
    assert answer.status_code == 303, answer.text
    first = "/home/more" if login.startswith("home-") else "/console"
    client.headers["X-CSRF-Token"] = token_of(client, first)
    return client
