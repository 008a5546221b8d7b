# SPDX-License-Identifier: Apache-2.0
"""Key epochs and commissioning over REST: states and histories, never a key."""

from openami.store import commissioning, key_changes, keys
from openami.store.commissioning import Stage
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
    for path in ("/api/key-rotations", "/api/meters/2/keys", "/api/commissioning"):
        assert client.get(path).status_code == 403
