# SPDX-License-Identifier: Apache-2.0
"""Keys for broadcasts over REST and by a form: told without a key, asked for, withdrawn."""

from openami.access.accounts import Role, audit_trail, create_account
from openami.store import broadcasts, group_changes, registry
from openami.store.group_changes import GroupChange
from web.ami import Ami
from web.clients import sign_in

SECRET = bytes(range(24))


def drawn(ami: Ami) -> list[bytes]:
    titles = sorted({meter.concentrator for meter in registry.meters(ami.engine)})
    for title in titles:
        broadcasts.group(ami.engine, title, lambda: SECRET)
    return titles


def carried_out(ami: Ami) -> list[GroupChange]:
    due = group_changes.due(ami.engine, 10)
    for change in due:
        group_changes.carry_out(ami.engine, change, SECRET, SECRET)
    return due


def test_an_ask_waits_for_a_head_end_is_followed_and_audited(fresh: Ami) -> None:
    first, *others = drawn(fresh)
    broadcasts.note_member(fresh.engine, 1, first, 1)
    client = sign_in(fresh, "utility")
    told = client.get("/api/broadcast-keys")
    (row, *_) = told.json()
    assert (row["concentrator"], row["epoch"], row["holders"]) == (first.hex().upper(), 1, 1)
    assert (row["meters"] > 1, row["asked"]) == (True, None)
    assert SECRET.hex() not in told.text

    wanted = {"reason": "one was stolen", "concentrators": [first.hex()], "correlation": "T-7"}
    asked = client.post("/api/broadcast-key-rotations", json=wanted)
    assert asked.status_code == 202, asked.text
    assert asked.json()["groups"] == [first.hex().upper()]
    again = client.post("/api/broadcast-key-rotations", json=wanted)
    assert again.json() == {"rotation": None, "groups": [], "left_out": [first.hex().upper()]}
    path = f"/api/broadcast-key-rotations/{asked.json()['rotation']}"
    (change,) = client.get(path).json()["changes"]
    assert (change["state"], change["correlation"]) == ("open", "T-7")
    assert change["note"] == "no head-end is alive: it is done when one is started"

    assert len(carried_out(fresh)) == 1
    (change,) = client.get(path).json()["changes"]
    assert (change["state"], change["epoch"], change["note"]) == ("changed", 2, "")
    (row, *_) = client.get("/api/broadcast-keys", params={"limit": 1}).json()
    assert (row["epoch"], row["holders"], row["changed_by"]) == (2, 0, "utility")
    following = client.get("/api/broadcast-keys", params={"after": first.hex()}).json()
    assert [each["concentrator"] for each in following] == [each.hex().upper() for each in others]
    (found,) = client.get("/api/broadcast-key-rotations", params={"correlation": "T-7"}).json()
    assert found["groups"] == {"changed": 1}
    deed = audit_trail(fresh.engine, 1)[0]
    assert deed.action == "keys.broadcast"
    assert deed.object == f"groups {first.hex().upper()}: one was stolen"


def test_wrong_asks_change_nothing_and_a_right_one_is_withdrawn(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    path = "/api/broadcast-key-rotations"
    nothing = client.post(path, json={"reason": "yearly", "all_groups": True})
    assert (nothing.status_code, "first broadcast" in nothing.json()["error"]) == (409, True)
    titles = drawn(fresh)
    for wrong, status in (
        ({}, 409),
        ({"region": "north", "all_groups": True}, 409),
        ({"region": "nowhere"}, 409),
        ({"concentrators": ["00" * 8]}, 409),
        ({"concentrators": ["xyz"]}, 422),
        ({"all_groups": True, "reason": "no"}, 422),
        ({"all_groups": True, "correlation": "x" * 65}, 422),
    ):
        asked = client.post(path, json={"reason": "yearly", **wrong})
        assert asked.status_code == status, (wrong, asked.text)
    assert group_changes.due(fresh.engine, 10) == []

    asked = client.post(path, json={"reason": "yearly", "all_groups": True})
    rotation = asked.json()["rotation"]
    stop = client.post(f"{path}/{rotation}/stop")
    assert stop.json() == {"withdrawn": len(titles)}
    assert carried_out(fresh) == []
    assert client.post(f"{path}/none/stop").status_code == 404


def test_the_page_shows_the_groups_and_asks(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    page = client.get("/console/broadcast-keys").text
    assert "the first broadcast of a campaign draws them" in page
    assert 'data-testid="nav-firmware" aria-current="page"' in page
    drawn(fresh)
    form = {"csrf": client.headers["X-CSRF-Token"], "reason": "yearly", "region": "north"}
    sent = client.post("/console/broadcast-keys", data=form, follow_redirects=True)
    assert "no head-end is alive" in sent.text
    (due,) = group_changes.due(fresh.engine, 10)
    assert (due.asked_by, due.reason) == ("utility", "yearly")
    refused = client.post("/console/broadcast-keys", data={**form, "region": "nowhere"})
    assert "No group of region nowhere has keys" in refused.text
    password = create_account(fresh.engine, "viewer", Role.VIEWER, by="test")
    viewer = sign_in(fresh, "viewer", password)
    assert "Change keys" not in viewer.get("/console/broadcast-keys").text
