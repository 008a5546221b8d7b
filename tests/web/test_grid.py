# SPDX-License-Identifier: Apache-2.0
"""Cells and topology over REST: told by pages, set as a whole or not at all, audited."""

import pytest

from openami.access.accounts import audit_trail
from openami.store import registry, topology
from web.ami import Ami
from web.clients import sign_in


def test_cells_are_set_counted_and_left(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    wanted = [{"meter_id": 1, "cell": "T7"}, {"meter_id": 2, "cell": " T7 "}]
    answer = client.post("/api/cells", json={"reason": "survey", "meters": wanted})
    assert (answer.status_code, answer.json()) == (200, {"changed": 2})
    assert client.get("/api/cells").json() == [{"cell": "T7", "meters": 2}]
    left = [{"meter_id": 1, "cell": ""}]
    assert client.post("/api/cells", json={"reason": "moved", "meters": left}).status_code == 200
    assert client.get("/api/cells").json() == [{"cell": "T7", "meters": 1}]
    deed = audit_trail(fresh.engine, 1)[0]
    assert (deed.login, deed.action, deed.object) == ("utility", "cells.set", "1 meter: moved")

    for meters, status in (
        ([{"meter_id": 3, "cell": "T8"}, {"meter_id": 4711, "cell": "T8"}], 404),
        ([{"meter_id": 3, "cell": "T8"}, {"meter_id": 3, "cell": "T9"}], 409),
        ([{"meter_id": 3, "cell": "x" * 65}], 422),
    ):
        refused = client.post("/api/cells", json={"reason": "survey", "meters": meters})
        assert refused.status_code == status, refused.text
    assert registry.cells(fresh.engine) == {"T7": 1}


def hangs(meter_id: int, transformer: str = "T1", feeder: str = "F1") -> dict[str, object]:
    return {"meter_id": meter_id, "transformer": transformer, "feeder": feeder}


def test_topology_is_set_and_told_by_pages(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    wanted = {"reason": "new feeder", "places": [hangs(1), hangs(2), hangs(3, "T2")]}
    assert client.post("/api/topology", json=wanted).json() == {"changed": 3}
    assert client.post("/api/topology", json=wanted).json() == {"changed": 0}
    first = client.get("/api/topology", params={"limit": 2}).json()
    assert first == [hangs(1), hangs(2)]
    rest = client.get("/api/topology", params={"limit": 2, "after": 2}).json()
    assert rest == [hangs(3, "T2")]
    assert audit_trail(fresh.engine, 1)[0].object == "0 meters: new feeder"


@pytest.mark.parametrize(
    ("places", "status", "sentence"),
    [
        ([hangs(1), hangs(4711)], 404, "no meter 4711"),
        ([hangs(1), hangs(1)], 409, "Place 2: meter 1 stands there twice"),
        ([hangs(1), hangs(2, "T1", "F2")], 409, "transformer T1 hangs on F1 above, on F2 here"),
        ([hangs(1, " ")], 422, "transformer"),
    ],
)
def test_a_topology_that_cannot_be_changes_nothing(
    fresh: Ami, places: list[dict[str, object]], status: int, sentence: str
) -> None:
    before = topology.page(fresh.engine, after=-1, limit=10)
    client = sign_in(fresh, "utility")
    refused = client.post("/api/topology", json={"reason": "survey", "places": places})
    assert refused.status_code == status, refused.text
    assert sentence in refused.json()["error"]
    assert topology.page(fresh.engine, after=-1, limit=10) == before
