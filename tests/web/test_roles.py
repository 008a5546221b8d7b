# SPDX-License-Identifier: Apache-2.0
"""Every route, asked by everybody: who may come in, and who is told no."""

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from openami.access.accounts import Role, create_account
from web.ami import Ami
from web.clients import TestClient, sign_in, visitor
from web.test_doors import PUBLIC, routes

OWN, OTHER = "2", "3"
SIGNED_IN = {"/api/clock", "/api/regions/{region:path}/load", "/logout"}
HOUSEHOLDS = {"/home", "/home/use", "/home/more"}
WHO_SEES_THE_METER = {
    "/api/meters/{meter_id}",
    *(
        f"/api/meters/{{meter_id}}/{what}"
        for what in (
            *(
                "day",
                "days",
                "today",
                "versions",
                "events",
                "readings.csv",
                "live",
                "supply",
            ),
        )
    ),
}
SENT_BY_POLICY = {  # access.policy says who sends which kind; asked with a body that names none
    "/api/meters/{meter_id}/commands",
    "/api/commands",
    "/api/commands/{command_id}",
    "/console/meters/{meter_id}/commands",
    "/console/commands/{command_id}/cancel",
}
ENDLESS = {"/api/stream", "/api/meters/{meter_id}/live"}
TOKEN = {"/metrics"}


def every(ami: Ami) -> Iterator[tuple[str, str]]:
    for route in routes(ami):
        assert isinstance(route, APIRoute)
        for method in sorted(route.methods or ()):
            if route.path not in PUBLIC | TOKEN | {"/logout"}:
                yield method, route.path


def address(path: str, meter: str) -> str:
    named = {"meter_id": meter, "region:path": "south", "title": "0" * 16, "outage_id": "1"}
    for name in ("command_id", "campaign_id", "rotation", "name", "act"):
        named[name] = "pause" if name == "act" else "0"
    for name, text in named.items():
        path = path.replace(f"{{{name}}}", text)
    assert "{" not in path, f"the test does not know how to fill in {path}"
    return path


def may(role: Role, method: str, path: str, meter: str) -> bool:
    if path in HOUSEHOLDS:
        return role is Role.HOUSEHOLD
    if path in SIGNED_IN:
        return True
    if role is Role.HOUSEHOLD:
        return path in WHO_SEES_THE_METER and meter == OWN
    return method == "GET" or role is Role.UTILITY or path in SENT_BY_POLICY


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role.value if role else "nobody")
def test_every_route_lets_in_who_may(fresh: Ami, role: Role | None) -> None:
    client: TestClient
    if role is None:
        client = visitor(fresh)
    elif role in {Role.UTILITY, Role.HOUSEHOLD}:
        client = sign_in(fresh, "utility" if role is Role.UTILITY else "home-002")
    else:
        password = create_account(fresh.engine, role.value, role, by="test")
        client = sign_in(fresh, role.value, password)
    asked = 0
    for method, path in every(fresh):
        for meter in (OWN, OTHER):
            wanted = role is not None and may(role, method, path, meter)
            if wanted and path in ENDLESS:
                continue
            is_json = path.startswith("/api/")
            body = {"json": {}} if is_json else {"data": {"reason": "none"}}
            given = {} if method == "GET" else body
            answer = client.request(method, address(path, meter), **given)  # type: ignore[arg-type]
            asked += 1
            where = (method, path, meter, answer.status_code)
            if role is None:
                assert answer.status_code == (401 if is_json else 303), where
            elif wanted:
                assert answer.status_code not in {401, 403, 500}, where
                led = answer.headers.get("location", "")
                assert not led.startswith("/login"), where
            else:
                assert answer.status_code == 403, where
    assert asked > 130


def test_who_only_looks_is_offered_nothing_to_press(fresh: Ami) -> None:
    password = create_account(fresh.engine, "viewer", Role.VIEWER, by="test")
    client = sign_in(fresh, "viewer", password)
    assert "Acknowledge</button>" not in client.get("/console/events").text
    assert "Acknowledge</button>" in sign_in(fresh, "utility").get("/console/events").text
