# SPDX-License-Identifier: Apache-2.0
"""Who may come in where: every route, every role."""

import pytest
from fastapi.routing import APIRoute

from openami.access import accounts
from openami.store import registry
from openami.web.app import POLICY, create_app
from openami.web.guards import household, scraper, signed_in, utility, visitor_or_none
from openami.web.sessions import SESSION_COOKIE
from web.ami import HOME_PASSWORD, UTILITY_PASSWORD, Ami
from web.clients import TestClient, sign_in, token_of, visitor

PUBLIC = {"/health", "/ready", "/", "/login"}
OWN_METER = 2
OTHER_METER = 3

FOR_UTILITY = [
    "/console",
    "/console/today/state",
    "/console/meters",
    "/console/meters?region=north&state=attached&q=1&page=1",
    "/console/meters/2",
    "/console/meters/2?day=2026-10-14",
    "/console/meters/2/breaker",
    "/console/meters/2/interval?start_us=1791990000000000",
    "/console/quality",
    "/console/quality?code=vee.spike",
    "/console/jobs",
    "/console/jobs?state=in+doubt",
    "/api/fleet",
    "/api/meters",
]
FOR_HOUSEHOLD = ["/home", "/home/use", "/home/use?span=week", "/home/use?span=month", "/home/more"]
OF_A_METER = [
    "/api/meters/{}",
    "/api/meters/{}/day",
    "/api/meters/{}/day?day=2026-10-14&channel=2",
    "/api/meters/{}/days?span=month",
    "/api/meters/{}/today",
    "/api/meters/{}/versions?start_us=1791990000000000",
    "/api/meters/{}/events",
    "/api/meters/{}/readings.csv",
]
POSTS = ["/console/meters/2/commands", "/api/meters/2/commands", "/logout"]


def routes(ami: Ami) -> list[APIRoute]:
    found: list[APIRoute] = []
    for part in create_app(ami.context).routes:
        inner = getattr(getattr(part, "original_router", None), "routes", None)
        found += [route for route in (inner or [part]) if isinstance(route, APIRoute)]
    assert len(found) > 30
    return found


def test_every_route_but_the_public_ones_has_a_guard(seen: Ami) -> None:
    def calls(dependant: object) -> set[object]:
        own = {getattr(dependant, "call", None)}
        return own.union(*(calls(part) for part in getattr(dependant, "dependencies", [])))

    unguarded = {
        route.path
        for route in routes(seen)
        if not calls(route.dependant) & {signed_in, utility, household, scraper}
    }
    assert unguarded == PUBLIC
    assert visitor_or_none not in PUBLIC


@pytest.mark.parametrize("path", FOR_UTILITY)
def test_the_console_is_the_utilitys(path: str, utility: TestClient, home: TestClient) -> None:
    assert utility.get(path).status_code == 200
    assert home.get(path).status_code == 403


@pytest.mark.parametrize("path", FOR_HOUSEHOLD)
def test_the_app_is_the_households(path: str, utility: TestClient, home: TestClient) -> None:
    assert home.get(path).status_code == 200
    assert utility.get(path).status_code == 403


@pytest.mark.parametrize("path", OF_A_METER)
def test_a_household_sees_its_own_meter_only(
    path: str, utility: TestClient, home: TestClient
) -> None:
    assert home.get(path.format(OWN_METER)).status_code == 200
    assert home.get(path.format(OTHER_METER)).status_code == 403
    unknown = home.get(path.format(9999))
    assert unknown.status_code == 403, "whether a meter exists is not told"
    assert utility.get(path.format(OTHER_METER)).status_code == 200
    assert utility.get(path.format(9999)).status_code == 404


def test_the_live_stream_is_guarded_alike(home: TestClient) -> None:
    assert home.get("/api/meters/3/live").status_code == 403
    assert home.get("/api/stream").status_code == 403


def test_a_household_sees_its_own_region_only(home: TestClient) -> None:
    assert home.get("/api/regions/south/load").json()["now_w"] > 0
    assert home.get("/api/regions/north/load").status_code == 403
    assert home.get("/api/regions/nowhere/load").status_code == 403


@pytest.mark.parametrize("path", [*FOR_UTILITY, *FOR_HOUSEHOLD, OF_A_METER[0].format(1)])
def test_nobody_comes_in_without_a_log_in(path: str, seen: Ami) -> None:
    answer = visitor(seen).get(path)
    if path.startswith("/api/"):
        assert answer.status_code == 401
        assert "error" in answer.json()
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")


def test_a_fragment_leads_the_whole_page_to_the_log_in(seen: Ami) -> None:
    answer = visitor(seen).get("/console/today/state", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize("path", POSTS)
def test_a_post_without_the_token_is_refused(path: str, seen: Ami) -> None:
    client = sign_in(seen, "utility")
    del client.headers["X-CSRF-Token"]
    form = {"kind": "disconnect", "reason": "none whatever"}
    is_json = path.startswith("/api/")
    for token in (None, "wrong"):
        headers = {} if token is None else {"X-CSRF-Token": token}
        answer = (
            client.post(path, json=form, headers=headers)
            if is_json
            else client.post(path, data=form, headers=headers)
        )
        assert answer.status_code == 403
        assert "session" in answer.text


@pytest.mark.parametrize("path", POSTS[:2])
def test_a_household_commands_nothing(path: str, home: TestClient) -> None:
    form = {"kind": "disconnect", "reason": "none whatever"}
    assert home.post(path, json=form).status_code in {403, 422}
    assert home.post(path, data=form).status_code in {403, 422}


@pytest.mark.parametrize(
    "path", ["/login", "/console", "/health", "/nowhere", "/static/css/base.css"]
)
def test_every_answer_carries_the_security_headers(path: str, utility: TestClient) -> None:
    headers = utility.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_pages_hold_no_inline_script_or_style(utility: TestClient, home: TestClient) -> None:
    for client, paths in ((utility, FOR_UTILITY), (home, FOR_HOUSEHOLD)):
        for path in paths:
            text = client.get(path).text
            assert "<script>" not in text
            assert " style=" not in text
            assert "<style" not in text
            assert " onclick=" not in text


def test_the_cookie_is_strict_and_hidden_from_scripts(fresh: Ami) -> None:
    client = visitor(fresh)
    form = {"login": "utility", "password": UTILITY_PASSWORD, "csrf": token_of(client, "/login")}
    cookie = client.post("/login", data=form).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_log_in_begins_a_new_session_and_goes_where_it_was_wanted(fresh: Ami) -> None:
    client = visitor(fresh)
    token = token_of(client, "/login")
    before = client.cookies[SESSION_COOKIE]
    form = {
        "login": "utility",
        "password": UTILITY_PASSWORD,
        "csrf": token,
        "next": "/console/jobs",
    }
    answer = client.post("/login", data=form)
    assert answer.headers["location"] == "/console/jobs"
    assert client.cookies[SESSION_COOKIE] != before
    assert client.get("/login").headers["location"] == "/console"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_log_in_never_leads_elsewhere(target: str, fresh: Ami) -> None:
    client = visitor(fresh)
    form = {
        "login": "utility",
        "password": UTILITY_PASSWORD,
        "csrf": token_of(client, "/login"),
        "next": target,
    }
    assert client.post("/login", data=form).headers["location"] == "/"


def test_a_log_in_needs_its_form(fresh: Ami) -> None:
    client = visitor(fresh)
    answer = client.post("/login", data={"login": "utility", "password": UTILITY_PASSWORD})
    assert answer.status_code == 403


def test_a_wrong_password_is_refused_and_too_many_wait(fresh: Ami) -> None:
    client = visitor(fresh)
    form = {"login": "home-002", "password": "wrong"}
    for _ in range(5):
        answer = client.post("/login", data={**form, "csrf": token_of(client, "/login")})
        assert answer.status_code == 401
        assert "do not fit" in answer.text
    form["password"] = HOME_PASSWORD
    answer = client.post("/login", data={**form, "csrf": token_of(client, "/login")})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert sign_in(fresh, "utility"), "another login is not held up"


def test_an_unknown_login_is_answered_like_a_wrong_password(fresh: Ami) -> None:
    client = visitor(fresh)
    form = {"login": "nobody", "password": "x", "csrf": token_of(client, "/login")}
    answer = client.post("/login", data=form)
    assert (answer.status_code, "do not fit" in answer.text) == (401, True)


def test_a_log_out_ends_every_session_of_the_account(fresh: Ami) -> None:
    here, there = sign_in(fresh, "utility"), sign_in(fresh, "utility")
    stolen = here.cookies[SESSION_COOKIE]
    assert here.post("/logout").headers["location"] == "/login"
    assert there.get("/console").status_code == 303
    thief = visitor(fresh)
    thief.cookies.set(SESSION_COOKIE, stolen)
    assert thief.get("/console").status_code == 303


def test_a_forged_cookie_is_nothing(fresh: Ami) -> None:
    client = visitor(fresh)
    client.cookies.set(SESSION_COOKIE, "WyJ1dGlsaXR5IiwwLCJ4Il0.x.x")
    assert client.get("/console").status_code == 303


def test_what_was_done_stands_in_the_audit_trail(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    answer = client.post(
        "/api/meters/4/commands", json={"kind": "disconnect", "reason": "a test of the trail"}
    )
    assert answer.status_code == 202
    actions = [deed.action for deed in accounts.audit_trail(fresh.engine, 10)]
    assert actions[:2] == ["command.disconnect", "login"]


def test_a_household_whose_meter_left_the_registry_is_told(empty: Ami) -> None:
    assert registry.meters(empty.engine) == []
    client = visitor(empty)
    form = {"login": "home-002", "password": HOME_PASSWORD, "csrf": token_of(client, "/login")}
    client.post("/login", data=form)
    answer = client.get("/home")
    assert answer.status_code == 404
    assert "no meter 2" in answer.text
