# SPDX-License-Identifier: Apache-2.0
"""Commands by REST and by the forms of a meter's page: each kind, each mistake, each account."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from openami.access.accounts import Role, audit_trail, create_account
from openami.exchange.commands import CommandKind, CommandState, Priority
from openami.runtime.clock import real_us
from openami.store import commands
from openami.web.routes.commands import Kind, State
from web.ami import Ami
from web.clients import TestClient, sign_in, token_of, visitor

TARIFF = """name = "flat"
[[days]]
id = 1
switch = [{at = "00:00", tariff = 1}]
[[weeks]]
name = "all"
days = [1, 1, 1, 1, 1, 1, 1]
[[seasons]]
name = "year"
start = 2026-01-01
week = "all"
"""
LINE = "71:0.0.17.0.0.255:6=double-long-unsigned:45"
ROW = {
    "class_id": 71,
    "logical_name": "0.0.17.0.0.255",
    "attribute_id": 6,
    "value": {"double-long-unsigned": "45"},
}


def staff(fresh: Ami, role: Role) -> TestClient:
    password = create_account(fresh.engine, "eve", role, by="test")
    client = visitor(fresh)
    form = {"login": "eve", "password": password, "csrf": token_of(client, "/login")}
    assert client.post("/login", data=form).status_code == 303
    client.headers["X-CSRF-Token"] = token_of(client, "/console")
    return client


def only(fresh: Ami, meter_id: int = 4) -> commands.Command:
    (found,) = commands.commands(fresh.engine, meter_id=meter_id)
    return found


FORMS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("limit", {"normal": "5000", "over_s": "30"}, {"normal": 5000, "over_s": 30}),
    (
        "limit",
        {"emergency": "9", "emergency_start": "2026-12-01T06:00", "emergency_minutes": "2"},
        {
            "emergency": 9,
            "groups": [1],
            "profile": {"id": 1, "start": "2026-12-01T06:00:00+11:00", "duration_s": 120},
        },
    ),
    (
        "clock",
        {"action": "shift", "shift_s": "-3"},
        {"action": "shift", "force": False, "shift_s": -3},
    ),
    ("clock", {"action": "set", "force": "yes"}, {"action": "set", "force": True}),
    ("parameters", {"parameters": f"{LINE}\n\n"}, {"set": [ROW]}),
    (
        "bundle",
        {"items": '[{"kind": "read"}]', "on_failure": "continue"},
        {"items": [{"kind": "read"}], "on_failure": "continue"},
    ),
    ("arm", {}, {}),
]


@pytest.mark.parametrize(("kind", "form", "argument"), FORMS)
def test_each_form_writes_its_command(
    fresh: Ami, kind: str, form: dict[str, str], argument: dict[str, Any]
) -> None:
    client = sign_in(fresh, "utility")
    fields = {"kind": kind, "reason": "as agreed", "asked": "1", **form}
    answer = client.post("/console/meters/4/commands", data=fields, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "is asked for" in answer.text
    assert 'hx-swap-oob="true"' in answer.text
    found = only(fresh)
    assert (found.kind.value, found.argument, found.asked_by) == (kind, argument, "utility")
    assert audit_trail(fresh.engine, 1)[0].action == f"command.{kind}"


def test_a_tariff_is_written_as_toml_with_its_time(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    form = {
        "kind": "tariff",
        "reason": "new year",
        "tariff": TARIFF,
        "activate": "at",
        "activate_at": "2027-01-01T00:00",
        "priority": "low",
        "not_before": (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M"),
        "correlation": "WO-7",
    }
    assert client.post("/console/meters/4/commands", data=form).status_code == 303
    found = only(fresh)
    assert found.argument["seasons"] == [{"name": "year", "start": "2026-01-01", "week": "all"}]
    assert found.argument["activate"] == "2027-01-01T00:00:00+11:00"
    assert (found.priority, found.correlation) == (Priority.LOW, "WO-7")
    assert found.valid_from_real_us > real_us()
    page = client.get("/console/meters/4").text
    assert "WO-7" in page
    path = f"/console/commands/{found.command_id}/cancel"
    assert client.post(path, data={"reason": "a mistake"}).status_code == 303
    assert only(fresh).state is CommandState.CANCELLED
    assert client.post(path, data={"reason": "a mistake"}).status_code == 409


@pytest.mark.parametrize(
    ("kind", "form", "sentence"),
    [
        ("limit", {}, "nothing to set"),
        ("limit", {"normal": "much"}, "give a whole number"),
        ("limit", {"normal": "-1"}, "limit.normal is -1"),
        ("limit", {"normal": "1", "emergency_minutes": "5"}, "give date and time"),
        ("limit", {"emergency_start": "2026-12-01T06:00"}, "emergency_minutes is 0"),
        ("tariff", {"tariff": "name ="}, "no TOML"),
        ("tariff", {"tariff": "{"}, "no JSON"),
        ("tariff", {"tariff": "name = 'x'"}, "days has 0 entries"),
        ("tariff", {"tariff": TARIFF.replace('"00:00"', '"24:00"')}, "give a time of day"),
        ("tariff", {"tariff": TARIFF, "activate": "soon"}, "activate is &#39;soon&#39;"),
        ("clock", {"action": "stop"}, "clock.action is &#39;stop&#39;"),
        ("clock", {"action": "shift", "shift_s": "901"}, "-900 to 900"),
        ("clock", {"action": "shift"}, "clock.shift_s is None"),
        ("parameters", {"parameters": ""}, "no list of 1 to 50"),
        ("parameters", {"parameters": "71=1"}, "is no attribute"),
        ("parameters", {"parameters": LINE.replace("45", "x")}, "parameters.set[0]"),
        ("parameters", {"parameters": LINE.replace("0.0.17", "0.0.999")}, "parameters.set[0]"),
        ("bundle", {"items": "["}, "no JSON"),
        ("bundle", {"items": '[{"kind": "bundle"}]'}, "bundle.items[0].kind"),
        ("bundle", {"items": '[{"kind": "clock"}]'}, "bundle.items[0]: clock.action is None"),
        ("read", {"priority": "now"}, "priority is &#39;now&#39;"),
        ("read", {"not_before": "soon"}, "not_before is &#39;soon&#39;"),
        ("read", {"correlation": "x" * 65}, "correlation"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_in_a_sentence(
    fresh: Ami, kind: str, form: dict[str, str], sentence: str
) -> None:
    client = sign_in(fresh, "utility")
    fields = {"kind": kind, "reason": "as agreed", **form}
    answer = client.post("/console/meters/4/commands", data=fields)
    assert answer.status_code == 422
    assert sentence.lower() in answer.text.lower()
    shown = client.post(
        "/console/meters/4/commands",
        data={**fields, "asked": "1"},
        headers={"HX-Request": "true"},
    )
    assert sentence.lower() in shown.text.lower()
    assert 'role="alert"' in shown.text
    assert commands.commands(fresh.engine, meter_id=4) == []


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"kind": "explode"}, 422, "kind"),
        ({"kind": "read", "colour": "red"}, 422, "colour"),
        ({"kind": "read", "argument": {"x": 1}}, 422, "no argument"),
        ({"kind": "limit", "argument": {"normal": "5"}}, 422, "limit.normal is '5'"),
        ({"kind": "limit", "argument": {"normal": True}}, 422, "limit.normal is True"),
        ({"kind": "limit", "argument": {"groups": [70000]}}, 422, "limit.groups"),
        ({"kind": "limit", "argument": {"profile": {"id": 1}}}, 422, "limit.profile.start"),
        ({"kind": "tariff", "argument": {"days": 1}}, 422, "days is 1"),
        ({"kind": "clock", "argument": {"action": "set", "shift_s": 1}}, 422, "leave it out"),
        ({"kind": "clock", "argument": {"action": "set", "force": "yes"}}, 422, "clock.force"),
        ({"kind": "parameters", "argument": {"set": [{}]}}, 422, "parameters.set[0]"),
        ({"kind": "bundle", "argument": {"items": [1]}}, 422, "bundle.items[0]"),
        ({"kind": "read", "valid_in_s": -1}, 422, "is to wait"),
        ({"kind": "read", "valid_s": 0}, 422, "is valid for"),
        ({"kind": "read", "reason": "  x  "}, 422, "reason has 1 letters"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_in_a_sentence(
    fresh: Ami, body: dict[str, Any], status: int, sentence: str
) -> None:
    client = sign_in(fresh, "utility")
    answer = client.post("/api/meters/4/commands", json={"reason": "as agreed", **body})
    assert answer.status_code == status
    assert sentence.lower() in answer.text.lower()
    assert commands.commands(fresh.engine, meter_id=4) == []


def test_many_meters_are_asked_at_once_and_followed_by_correlation(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    body = {"kind": "limit", "argument": {"normal": 4000}, "reason": "peak", "correlation": "P-1"}
    first = client.post("/api/meters/4/commands", json=body | {"correlation": "P-0"})
    assert first.status_code == 202
    answer = client.post("/api/commands", json=body | {"meters": [4, 5, 7]}).json()
    assert sorted(answer["commands"]) == ["5", "7"]
    assert "still works on a limit" in answer["left_out"]["4"]
    found = client.get("/api/commands?correlation=P-1&state=requested").json()
    assert {each["meter_id"] for each in found} == {5, 7}
    assert found[0]["argument"] == {"normal": 4000}
    assert [each["kind"] for each in client.get("/api/meters/4/commands").json()] == ["limit"]
    command_id = answer["commands"]["5"]
    gone = client.delete(f"/api/commands/{command_id}?reason=weather")
    assert gone.json()["state"] == "cancelled"
    assert client.delete(f"/api/commands/{command_id}?reason=weather").status_code == 409
    assert client.delete("/api/commands/nothing?reason=weather").status_code == 404
    assert client.post("/api/commands", json=body).status_code == 422
    assert client.post("/api/commands", json=body | {"region": "mars"}).status_code == 404
    assert client.post("/api/commands", json=body | {"meters": [999]}).status_code == 404


ALLOWED = {
    Role.OPERATOR: {"read", "connect", "arm", "disconnect", "limit", "clock", "alarms"},
    Role.VIEWER: {"read"},
}


@pytest.mark.parametrize("role", list(ALLOWED))
def test_an_account_sends_what_its_role_may(fresh: Ami, role: Role) -> None:
    client = staff(fresh, role)
    arguments: dict[str, dict[str, Any]] = {
        "limit": {"normal": 1},
        "clock": {"action": "set"},
        "alarms": {"action": "clear"},
        "parameters": {"set": [ROW]},
        "tariff": {
            "name": "x",
            "days": [{"id": 1, "switch": [{"at": "00:00", "tariff": 1}]}],
            "weeks": [{"name": "w", "days": [1] * 7}],
            "seasons": [{"name": "s", "start": "01-01", "week": "w"}],
        },
        "bundle": {"items": [{"kind": "parameters", "argument": {"set": [ROW]}}]},
    }
    for kind in CommandKind:
        body = {"kind": kind.value, "argument": arguments.get(kind.value, {}), "reason": "a test"}
        # For later, so that none stands in the way of the next.
        answer = client.post("/api/meters/4/commands", json=body | {"valid_in_s": 3600})
        wanted = 202 if kind.value in ALLOWED[role] else 403
        assert answer.status_code == wanted, answer.text
    forced = {"kind": "clock", "argument": {"action": "set", "force": True}, "reason": "a test"}
    assert client.post("/api/meters/4/commands", json=forced).status_code == 403
    page = client.get("/console/meters/4").text
    assert ('data-testid="form-limit"' in page) is (role is Role.OPERATOR)
    assert 'data-testid="form-tariff"' not in page
    assert 'name="force"' not in page
    campaign = f"/api/campaigns/{uuid.uuid4()}/pause"  # what else changes things is not theirs
    assert client.post(campaign, json={"reason": "a test"}).status_code == 403
    command_id = commands.commands(fresh.engine, meter_id=4)[0].command_id
    gone = client.delete(f"/api/commands/{command_id}?reason=weather")
    assert gone.status_code == (200 if role is Role.OPERATOR else 403)


def test_a_household_sends_nothing(fresh: Ami) -> None:
    client = sign_in(fresh, "home-002")
    body = {"kind": "read", "reason": "curious"}
    assert client.post("/api/meters/2/commands", json=body).status_code == 403
    assert client.post("/api/commands", json=body | {"meters": [4]}).status_code == 403
    assert client.get("/api/meters/2/commands").status_code == 403
    assert client.delete("/api/commands/x?reason=weather").status_code == 403


def test_the_contract_has_every_kind_and_state() -> None:
    assert set(get_args(Kind)) == {kind.value for kind in CommandKind}
    assert set(get_args(State)) == {state.value for state in CommandState}


def test_the_contract_names_every_route(fresh: Ami) -> None:
    paths = sign_in(fresh, "utility").get("/api/openapi.json").json()["paths"]
    assert set(paths["/api/commands"]) == {"get", "post"}
    assert set(paths["/api/commands/{command_id}"]) == {"get", "delete"}
    assert set(paths["/api/meters/{meter_id}/commands"]) == {"get", "post"}
