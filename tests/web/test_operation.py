# SPDX-License-Identifier: Apache-2.0
"""Key epochs and commissioning over REST: states and histories, never a key."""

from dataclasses import asdict
from datetime import UTC, datetime

from openami.access.accounts import audit_trail
from openami.exchange.field import ClockState, FirmwareState, Heartbeat, LinkState, Notice
from openami.store import (
    commissioning,
    concentrator_devices,
    data_quality,
    field,
    key_changes,
    keys,
)
from openami.store.commissioning import Stage
from openami.store.field import Said
from openami.store.keys import KeyState
from openami.store.registry import MeterKey, put_keys
from web.ami import Ami
from web.clients import sign_in

SECRET = bytes(range(24))


def test_keys_are_told_by_state(fresh: Ami) -> None:
    put_keys(
        fresh.engine,
        [
            MeterKey(meter_id=4, key_name=name, epoch=1, state="active", wrapped=SECRET)
            for name in ("guek", "gak", "kek", "lls")
        ],
    )
    key_changes.ask(fresh.engine, [4], asked_by="utility", reason="yearly")
    epoch = keys.prepare(fresh.engine, 4, {"guek": SECRET}, "yearly")
    keys.step(fresh.engine, 4, epoch, {KeyState.PREPARED}, KeyState.SENT, "sent")
    client = sign_in(fresh, "utility")
    told = client.get("/api/meters/4/keys")
    assert told.json()["epochs"] == [
        {"epoch": 2, "state": "sent"},
        {"epoch": 1, "state": "active"},
    ]
    assert [step["state"] for step in told.json()["history"]] == ["prepared", "sent"]
    assert SECRET.hex() not in told.text
    (rotation,) = client.get("/api/key-rotations").json()
    assert (rotation["meters"], rotation["reason"]) == ({"open": 1}, "yearly")


def test_commissioning_is_told_by_stage(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    assert client.get("/api/meters/4/commissioning").status_code == 404
    commissioning.ask(fresh.engine, [4, 5], asked_by="utility", reason="new")
    commissioning.hold(fresh.engine, 5, Stage.IDENTITY, "another meter")
    told = client.get("/api/commissioning").json()
    assert told["held"] == [{"meter_id": 5, "stage": "identity", "reason": "another meter"}]
    assert {"stage": "identity", "state": "open", "meters": 1} in told["stages"]
    one = client.get("/api/meters/5/commissioning").json()
    assert (one["state"], len(one["history"])) == ("held", 2)


def test_households_are_told_nothing_of_it(fresh: Ami) -> None:
    client = sign_in(fresh, "home-002")
    for path in (
        "/api/key-rotations",
        "/api/meters/2/keys",
        "/api/commissioning",
        "/api/concentrators",
        "/api/concentrators/4F414D4330303031",
        "/api/head-ends",
        "/api/gaps",
        "/api/findings",
    ):
        assert client.get(path).status_code == 403


def test_new_keys_are_asked_for_and_withdrawn(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    for wrong in (
        {"reason": "yearly"},
        {"reason": "yearly", "region": "north", "all_meters": True},
        {"reason": "no", "all_meters": True},
        {"reason": "yearly", "all": True},
    ):
        assert client.post("/api/key-rotations", json=wrong).status_code in {409, 422}, wrong
    for nowhere in ({"region": "nowhere"}, {"meter_ids": [4, 4711]}):
        asked = client.post("/api/key-rotations", json={"reason": "lost", **nowhere})
        assert asked.status_code == 404
    assert key_changes.rotations(fresh.engine) == []

    asked = client.post("/api/key-rotations", json={"reason": "lost", "meter_ids": [4, 5, 4]})
    assert (asked.status_code, asked.json()["meters"]) == (202, 2)
    again = client.post("/api/key-rotations", json={"reason": "lost", "meter_ids": [5]})
    assert again.json() == {"rotation": None, "meters": 0}
    rotation = asked.json()["rotation"]
    assert client.post("/api/key-rotations/none/stop").status_code == 404
    assert client.post(f"/api/key-rotations/{rotation}/stop").json() == {"withdrawn": 2}
    actions = [deed.action for deed in audit_trail(fresh.engine, 10)]
    assert actions.count("keys.rotate") == 2
    assert "keys.stop" in actions
    del client.headers["X-CSRF-Token"]
    asked = client.post("/api/key-rotations", json={"reason": "lost", "all_meters": True})
    assert asked.status_code == 403


def test_retired_keys_are_closed(fresh: Ami) -> None:
    key = MeterKey(meter_id=4, key_name="guek", epoch=1, state="active", wrapped=SECRET)
    put_keys(fresh.engine, [key])
    epoch = keys.prepare(fresh.engine, 4, {"guek": SECRET}, "yearly")
    keys.step(fresh.engine, 4, epoch, {KeyState.PREPARED}, KeyState.SENT, "sent")
    keys.prove(fresh.engine, 4, epoch, "answered")
    client = sign_in(fresh, "utility")
    path = "/api/key-epochs/close"
    assert client.post(path, json={"reason": "drained"}).status_code == 422
    young = client.post(path, json={"reason": "drained", "retired_days": 1})
    assert young.json() == {"closed": 0}
    assert client.post(path, json={"reason": "known to others", "retired_days": 0}).json() == {
        "closed": 1
    }
    assert [each.state for each in keys.epochs(fresh.engine, 4)] == [
        KeyState.ACTIVE,
        KeyState.CLOSED,
    ]
    deed = audit_trail(fresh.engine, 1)[0]
    assert deed.object == "1 epoch retired 0 days: known to others"


def test_commissioning_is_begun_and_a_held_meter_goes_on(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    assert client.post("/api/commissioning", json={"reason": "new houses"}).status_code == 409
    nowhere = {"reason": "new houses", "meter_ids": [4711]}
    assert client.post("/api/commissioning", json=nowhere).status_code == 404
    wanted = {"reason": "new houses", "meter_ids": [4, 5]}
    asked = client.post("/api/commissioning", json=wanted)
    assert (asked.status_code, asked.json()) == (202, {"meters": 2})
    assert client.post("/api/commissioning", json=wanted).json() == {"meters": 0}  # under way
    commissioning.hold(fresh.engine, 5, Stage.IDENTITY, "another meter")
    assert client.post("/api/commissioning", json=wanted).json() == {"meters": 1}
    assert client.get("/api/commissioning").json()["held"] == []
    deed = audit_trail(fresh.engine, 1)[0]
    assert (deed.action, deed.object) == ("meters.commission", "1 meter: new houses")
    viewer = sign_in(fresh, "home-002")
    assert viewer.post("/api/commissioning", json=wanted).status_code == 403


def test_concentrators_are_told_with_links_and_notices(fresh: Ami) -> None:
    title = b"OAMC0001"
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    link = LinkState(
        title=b"OAM00004",
        bearer="tls",
        address="192.0.2.4:1",
        attached=True,
        first_seen=at,
        last_seen=at,
        round_trip_us=12_000,
        sent=5,
        lost=1,
    )
    notice = Notice(number=1, at=at, code=3, title=b"OAM00004", text="a meter came")
    client = sign_in(fresh, "utility")
    path = f"/api/concentrators/{title.hex()}"
    assert client.get(path).status_code == 404
    alive = Heartbeat(
        at=at,
        started=at,
        entries=0,
        octets=0,
        most_octets=10**9,
        oldest_s=0,
        meters=1,
        attached=1,
        at_quota=0,
        refused=0,
    )
    field.store(fresh.engine, [Said(title, alive, 7), Said(title, [link, notice], 7)])
    (told,) = client.get("/api/concentrators").json()
    assert (told["title"], told["heard_real_us"]) == (title.hex().upper(), 7)
    assert told["firmware"] is None
    runs = FirmwareState(
        version="1.1.0", digest=b"\x07" * 32, signer=b"\x08" * 32, counter=3, bank=1, trial=True
    )
    field.store(fresh.engine, [Said(title, runs, 8)])
    (told,) = client.get("/api/concentrators").json()
    shown = told["firmware"]
    assert (shown["version"], shown["counter"], shown["bank"]) == ("1.1.0", 3, "B")
    assert (shown["digest"], shown["trial"]) == ("07" * 32, True)
    assert told["update"] is None
    assert told["clock"] is None  # as of a concentrator that does not say the word
    off = ClockState(
        offset_us=-9_000_000,
        uncertainty_us=4000,
        round_trip_us=8000,
        limit_us=5_000_000,
        past_limit=True,
        kept=False,
    )
    field.store(fresh.engine, [Said(title, ClockState(limit_us=5, past_limit=False), 9)])
    field.store(fresh.engine, [Said(title, off, 10)])
    (told,) = client.get("/api/concentrators").json()
    assert told["clock"] == asdict(off) | {"heard_real_us": 10}
    assert client.get(path).json()["clock"] == told["clock"]
    concentrator_devices.want(fresh.engine, title, "0" * 64, by="ann", why="leap second")
    assert client.get(path).json()["update"]["state"] == "planned"
    one = client.get(path).json()
    assert one["links"][0]["round_trip_us"] == 12_000
    assert one["notices"][0]["text"] == "a meter came"
    assert client.get("/api/concentrators/xyz").status_code == 422
    assert isinstance(client.get("/api/head-ends").json(), list)


def test_what_is_missing_and_what_was_found(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    data_quality.open_gaps(fresh.engine, [(4, 0, 1_800_000_000)], 5)
    told = client.get("/api/gaps", params={"meter_id": 4}).json()
    assert [(gap["from_us"], gap["to_us"], gap["state"]) for gap in told["gaps"]] == [
        (0, 1_800_000_000, "open")
    ]
    others = client.get("/api/gaps", params={"meter_id": 5}).json()["gaps"]
    assert {gap["meter_id"] for gap in others} <= {5}
    found = data_quality.Finding(
        meter_id=4, channel=1, start_us=0, code="vee.spike", numbers={"value": 9}, found_us=2**52
    )
    data_quality.add_findings(fresh.engine, [found])
    (first,) = client.get("/api/findings", params={"meter_id": 4, "limit": 1}).json()
    assert (first["code"], first["numbers"]) == ("vee.spike", {"value": 9})
