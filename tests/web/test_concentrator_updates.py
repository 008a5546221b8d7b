# SPDX-License-Identifier: Apache-2.0
"""Firmware of concentrators over REST: asked for and given up."""

import pytest

from firmware.made import image_of
from headend.updatable import SECOND
from openami.access.accounts import audit_trail
from openami.device.payload.identity import CONCENTRATOR_CLASS_ID
from openami.exchange.campaign import MeterState
from openami.store import concentrator_devices, releases
from openami.store.concentrator_devices import WrappedKeys
from openami.store.releases import Release
from web.ami import Ami
from web.clients import sign_in

TITLES = (b"OAMC0001", b"OAMC0002")
PROGRAM = image_of("1.1.0", class_id=CONCENTRATOR_CLASS_ID.bytes).encode()


def taken(ami: Ami, octets: bytes) -> str:
    release = Release.of(octets, name="c.bin", version="1.1.0", digest=b"d", keyhash=b"k", by="ada")
    releases.add(ami.engine, release, octets)
    return release.release_id


def asked(ami: Ami, **change: object) -> dict[str, object]:
    titles = [title.hex() for title in TITLES]
    return {"release_id": taken(ami, PROGRAM), "titles": titles, "reason": "test", **change}


def adopt(ami: Ami) -> None:
    for title in TITLES:
        keys = WrappedKeys(title=title, guek=b"g", gak=b"a")
        concentrator_devices.adopt(ami.engine, keys)


def test_updates_are_asked_for_in_their_turn_and_given_up(fresh: Ami) -> None:
    adopt(fresh)
    client = sign_in(fresh, "utility")
    answer = client.post("/api/concentrator-updates", json=asked(fresh))
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"version": "1.1.0", "titles": [t.hex().upper() for t in TITLES]}
    found = concentrator_devices.updates(fresh.engine)
    assert [each.title for each in concentrator_devices.in_turn(found)] == [TITLES[0]]
    again = client.post("/api/concentrator-updates", json=asked(fresh))
    assert again.status_code == 409
    path = f"/api/concentrators/{TITLES[0].hex()}/cancel-update"
    gone = client.post(path, json={"reason": "a better one comes"})
    assert (gone.status_code, gone.json()["state"]) == (200, "skipped")
    first = concentrator_devices.updates(fresh.engine)[0]
    assert (first.state, first.note) == (MeterState.SKIPPED, "cancelled: a better one comes")
    late = client.post(path, json={"reason": "once more"})
    assert (late.status_code, "no update" in late.json()["error"].lower()) == (409, True)
    actions = [deed.action for deed in audit_trail(fresh.engine, 3)]
    assert actions == ["concentrator.cancel", "concentrator.update", "concentrator.update"]


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"release_id": "0" * 64}, 409, "There is no release"),
        ({"titles": [TITLES[0].hex()] * 2}, 409, "named twice"),
        ({"titles": ["4F414D4399999999"]}, 409, "4F414D4399999999"),
        ({"titles": ["north"]}, 422, "titles"),
        ({"titles": []}, 422, "titles"),
    ],
    ids=["release", "twice", "stranger", "name", "nobody"],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    fresh: Ami, change: dict[str, object], status: int, told: str
) -> None:
    adopt(fresh)
    client = sign_in(fresh, "utility")
    answer = client.post("/api/concentrator-updates", json=asked(fresh, **change))
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]
    assert concentrator_devices.updates(fresh.engine) == []


def test_a_meters_release_runs_on_no_concentrator(fresh: Ami) -> None:
    adopt(fresh)
    wish = asked(fresh, release_id=taken(fresh, SECOND))
    answer = sign_in(fresh, "utility").post("/api/concentrator-updates", json=wish)
    assert answer.status_code == 409
    assert "no concentrator's" in answer.json()["error"]
