# SPDX-License-Identifier: Apache-2.0
"""What nobody should send: no text, other alphabets, long words; each gets one sentence."""

import pytest

from openami.exchange.commands import CommandKind, CommandState
from openami.exchange.supply import Evidence, Supply
from openami.store import commands, registry, supply
from web.ami import Ami
from web.clients import TestClient, sign_in, visitor

JSON = {"content-type": "application/json"}
NASTY = "<script>alert(1)</script>" + "\u202e" + "\u05e9\u05dc\u05d5\u05dd" + "w" * 60


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/meters/2/commands", rb'{"kind": "read", "reason": "a \u0000 b"}'),
        ("/api/meters/2/commands", rb'{"kind": "read", "reason": "abc", "correlation": "\ud800"}'),
        ("/api/commands", rb'{"kind": "read", "reason": "abc", "region": "\ud800"}'),
        ("/api/key-rotations", rb'{"reason": "a \u0000 b", "all_meters": true}'),
        ("/api/events/acknowledge", rb'{"note": "a \u0000 b", "event_ids": [1]}'),
        ("/api/campaigns/0/pause", rb'{"reason": "a \u0000 b"}'),
    ],
)
def test_what_no_store_takes_as_text_is_refused(
    path: str, body: bytes, utility: TestClient
) -> None:
    answer = utility.post(path, content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    sentence = answer.json()["error"]
    assert "write it without" in sentence or "unicode" in sentence
    assert "Value error" not in sentence


@pytest.mark.parametrize(
    "path", ["/console/meters?q=a%00", "/api/commands/%00", "/api/alarms?kind=%00"]
)
def test_an_address_holds_no_nul(path: str, utility: TestClient) -> None:
    answer = utility.get(path)
    assert answer.status_code == 422
    assert "write it without" in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_form_holds_no_nul(utility: TestClient) -> None:
    form = {"kind": "limit", "reason": "abc", "normal": "5\0"}
    answer = utility.post("/console/meters/2/commands", data=form)
    assert (answer.status_code, "write it without" in answer.text) == (422, True)


def test_a_token_of_other_letters_is_a_wrong_one(seen: Ami, utility: TestClient) -> None:
    answer = utility.post("/logout", data={"csrf": "\u00e9"}, headers={"X-CSRF-Token": ""})
    assert answer.status_code == 403
    answer = utility.post(
        "/api/meters/2/commands",
        json={"kind": "read", "reason": "abc"},
        headers={"X-CSRF-Token": b"\xe9"},
    )
    assert answer.status_code == 403
    client = visitor(seen)
    client.get("/login")
    form = {"csrf": "\u00e9", "login": "utility", "password": "x"}
    answer = client.post("/login", data=form)
    assert (answer.status_code, "expired" in answer.text) == (403, True)


def test_the_wrong_method_is_told_the_right_one(utility: TestClient) -> None:
    answer = utility.put("/api/meters")
    assert answer.status_code == 405
    assert answer.json() == {"error": "This address is not asked by PUT: use GET."}
    assert answer.headers["allow"] == "GET"


def test_a_log_in_leads_to_what_was_asked_with_its_filters(seen: Ami) -> None:
    answer = visitor(seen).get("/console/meters?q=a%26b&region=north")
    assert answer.headers["location"] == (
        "/login?next=/console/meters%3Fq%3Da%2526b%26region%3Dnorth"
    )
    form = visitor(seen).get(answer.headers["location"]).text
    assert 'name="next" value="/console/meters?q=a%26b&amp;region=north"' in form


def test_a_region_may_be_named_as_it_likes(fresh: Ami) -> None:
    place = registry.Meter(
        meter_id=99,
        title=b"OAM\x00\x00\x00\x00\x63",
        ldn="OAM0000000000099",
        region='a/b, "c" & <d>',
        concentrator=b"OAMCONC1",
        installed_us=fresh.installed_us,
        capture_period_s=900,
    )
    registry.import_meters(fresh.engine, [place])
    client = sign_in(fresh, "utility")
    found = client.get("/api/regions/a%2Fb%2C%20%22c%22%20%26%20%3Cd%3E/load")
    assert (found.status_code, found.json()["homes"]) == (200, 1)
    page = client.get("/console").text
    shown = (
        "[&#34;a/b, \\&#34;c\\&#34; \\u0026 \\u003cd\\u003e&#34;, &#34;north&#34;, &#34;south&#34;]"
    )
    assert f'data-regions="{shown}"' in page
    assert "<d>" not in page
    assert "15-minute intervals" in client.get("/console/meters/99").text


def test_text_from_outside_is_escaped_and_kept_apart(fresh: Ami) -> None:
    registry.set_source(fresh.engine, 2, NASTY)
    command_id = commands.ask(
        fresh.engine, meter_id=2, kind=CommandKind.READ, asked_by=NASTY[:60], reason=NASTY
    )
    commands.advance(
        fresh.engine, command_id, {CommandState.REQUESTED}, CommandState.RESERVED, NASTY
    )
    client = sign_in(fresh, "utility")
    for path in ("/console/meters", "/console/meters/2", "/console/jobs"):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "<bdi>&lt;script&gt;alert(1)" in page


def test_what_a_meter_replays_is_unknown_for_a_reason(fresh: Ami) -> None:
    registry.set_source(fresh.engine, 2, "")
    client = sign_in(fresh, "utility")
    page = client.get("/console/meters/2").text
    assert "The head-end has not read yet what it replays: it asks with the next reading" in page
    registry.set_attached(fresh.engine, {2: False}, 1)
    page = client.get("/console/meters/2").text
    assert "the meter is asked when it is on its concentrator" in page
    lost = Supply(meter_id=2, lost_us=1, evidence=Evidence.GASP, found_real_us=1)
    supply.put(fresh.engine, [lost])
    assert "the meter is without supply, and is asked when it is back" in (
        client.get("/console/meters/2").text
    )


def test_one_of_a_thing_is_no_plural(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    page = client.get("/console").text
    assert "0 messages wait in the inbox" in page
    jobs = client.get("/console/jobs").text
    assert "1 steps" not in jobs
    commands.ask(fresh.engine, meter_id=1, kind=CommandKind.READ, asked_by="me", reason="once")
    assert "1 step<" in client.get("/console/jobs").text
