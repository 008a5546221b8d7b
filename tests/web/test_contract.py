# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document is the contract: every route has its answers, and keeps to them."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blackout import Street, hang
from openami.web.app import create_app
from web.alarmed import alarm
from web.ami import Ami
from web.clients import TestClient, sign_in

STREAMS = {"/api/meters/{meter_id}/live", "/api/stream"}
FILES = {"/api/meters/{meter_id}/readings.csv"}
ODD = st.sampled_from(
    [
        "",
        "0",
        "1",
        "2",
        "-1",
        "\u0661",
        "NaN",
        "1e400",
        "9" * 30,
        "a\0b",
        "\u202e",
        "in doubt",
        "w" * 300,
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(ODD, parts, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def contract(seen: Ami) -> dict[str, Any]:
    found: dict[str, Any] = create_app(seen.context).openapi()
    return found


def operations(contract: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in contract["paths"].items():
        if path.startswith("/api/"):
            for method, operation in methods.items():
                yield path, method, operation


def test_every_route_says_what_it_answers_and_how_it_refuses(contract: dict[str, Any]) -> None:
    number = 0
    for path, method, operation in operations(contract):
        number += 1
        where = f"{method} {path}"
        done = next(answer for code, answer in operation["responses"].items() if code < "300")
        if path not in STREAMS | FILES:
            schema = done["content"]["application/json"]["schema"]
            shown = schema.get("items", schema)
            assert (
                "$ref" in shown
                or "properties" in shown
                or schema
                == {
                    "type": "array",
                    "items": {"type": "string"},
                    "title": schema.get("title"),
                }
                or path == "/api/alarms/regions"
            ), where
        for code in ("401", "403", "404", "409", "422", "500", "503"):
            refused = operation["responses"][code]["content"]["application/json"]["schema"]
            assert refused == {"$ref": "#/components/schemas/Problem"}, (where, code)
        assert operation["summary"], where
    assert number > 35


def test_every_answer_keeps_to_it(fresh: Ami, contract: dict[str, Any]) -> None:
    """A field that nobody wrote down, or one that is missing, would be answered with 500."""
    alarm(fresh)
    hang(fresh.engine, range(1, 9))
    street = Street(fresh.engine, fresh.now_us - 60_000_000)
    street.gasp([1, 2, 3])
    street.sit(2.1)
    street.answer()
    client = sign_in(fresh, "utility")
    command = client.post("/api/meters/4/commands", json={"kind": "read", "reason": "contract"})
    asked = client.post("/api/commands", json={"kind": "read", "reason": "all", "region": "south"})
    assert (command.status_code, asked.status_code) == (202, 202)
    rotation = client.post("/api/key-rotations", json={"reason": "contract", "meter_ids": [4]})
    assert rotation.status_code == 202
    outage = client.get("/api/outages").json()[0]["outage_id"]
    named = {
        "meter_id": "2",
        "region": "north",
        "command_id": command.json()["command_id"],
        "outage_id": str(outage),
        "rotation": rotation.json()["rotation"],
        "name": "openami",
    }
    seen = 0
    for path, method, _operation in operations(contract):
        if method != "get" or path in STREAMS:
            continue
        address = path.format_map({"title": "0" * 16, "campaign_id": "0", **named})
        if path.endswith("/versions"):
            address += f"?start_us={fresh.now_us // 1_800_000_000 * 1_800_000_000}"
        answer = client.get(address)
        missing = path.startswith(
            ("/api/concentrators/", "/api/campaigns/", "/api/broadcast-key-rotations/")
        ) or path.endswith("{meter_id}/commissioning")
        assert answer.status_code == (404 if missing else 200), (address, answer.text)
        seen += not missing
    assert seen > 25
    stop = client.post(f"/api/key-rotations/{named['rotation']}/stop")
    assert (stop.status_code, set(stop.json())) == (200, {"withdrawn"})
    for path in (f"/api/outages/{outage}/acknowledge", "/api/events/acknowledge"):
        answer = client.post(path, json={"note": "seen", "event_ids": [1]})
        assert answer.status_code == 200, answer.text
    gone = client.delete(f"/api/commands/{named['command_id']}?reason=contract")
    assert (gone.status_code, gone.json()["state"]) == (200, "cancelled")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_request_is_answered_with_a_fault(
    data: st.DataObject, contract: dict[str, Any], home: TestClient, utility: TestClient
) -> None:
    """Whatever stands in an address or a body; a household's posts, too, change nothing."""
    path, method, operation = data.draw(
        st.sampled_from([each for each in operations(contract) if each[0] not in STREAMS])
    )
    query = []
    for parameter in operation.get("parameters", []):
        text = data.draw(ODD)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(text, safe="") or "2")
        elif parameter["in"] == "query" and data.draw(st.booleans()):
            query.append(f"{parameter['name']}={quote(text)}")
    path = path.replace("{meter_id}", "2")
    client = utility if method == "get" else home
    body = json.dumps(data.draw(JSON)) if method == "post" else None
    answer = client.request(
        method,
        f"{path}?{'&'.join(query)}",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert list(answer.json()) == ["error"]
        assert answer.json()["error"].endswith(".")
