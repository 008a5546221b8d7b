# SPDX-License-Identifier: Apache-2.0
"""The room of firmware campaigns: what it shows, who may press what, and its REST interface."""

import pytest
from sqlalchemy import update

from firmware.made import image_of
from headend.updatable import SECOND
from openami.access.accounts import Role, audit_trail, create_account
from openami.device.payload.identity import CONCENTRATOR_CLASS_ID
from openami.exchange.campaign import CampaignState, MeterState
from openami.exchange.waves import Plan, Share, StopRules, Window
from openami.store import campaigns, releases
from openami.store.database import transaction
from openami.store.releases import Release
from openami.store.tables import campaign_meters
from web.ami import Ami
from web.clients import sign_in, token_of


@pytest.fixture
def campaign_id(fresh: Ami) -> str:
    release = Release.of(
        b"octets", name="new.bin", version="1.1.0+0", digest=b"d", keyhash=b"k", by="ada"
    )
    releases.add(fresh.engine, release, b"octets")
    found, _ = campaigns.plan_campaign(
        fresh.engine,
        name="spring <2027>",
        release_id=release.release_id,
        meter_ids=[1, 2, 3, 4],
        plan=Plan(waves=(Share(count=1),)),
        asked_by="ada",
        reason="leap second",
    )
    return found


def set_states(ami: Ami, states: dict[int, MeterState]) -> None:
    with transaction(ami.engine) as connection:
        for meter_id, state in states.items():
            wanted = campaign_meters.c.meter_id == meter_id
            values = {"state": state.value, "note": f"note of {meter_id}", "blocks": 10}
            connection.execute(update(campaign_meters).where(wanted).values(values))


def test_before_the_first_the_room_says_what_to_do(fresh: Ami) -> None:
    page = sign_in(fresh, "utility").get("/console/firmware").text
    assert "openami headend campaign plan" in page


def test_a_campaign_is_started_paused_resumed_and_cancelled_with_a_reason(
    fresh: Ami, campaign_id: str
) -> None:
    client = sign_in(fresh, "utility")
    assert "spring &lt;2027&gt;" in client.get("/console/firmware").text
    path = f"/console/firmware/{campaign_id}"
    for act, state in (
        ("start", CampaignState.RUNNING),
        ("pause", CampaignState.PAUSED),
        ("resume", CampaignState.RUNNING),
        ("cancel", CampaignState.CANCELLED),
    ):
        page = client.get(path).text
        assert f'data-testid="confirm-{act}"' in page
        form = {"reason": f"to {act}", "csrf": token_of(client, path)}
        assert client.post(f"{path}/{act}", data=form).status_code == 303
        assert campaigns.campaign(fresh.engine, campaign_id).state is state
    assert "confirm-" not in client.get(path).text
    actions = [deed.action for deed in audit_trail(fresh.engine, 4)][::-1]
    assert actions == ["firmware.start", "firmware.pause", "firmware.resume", "firmware.cancel"]


def test_a_button_that_does_not_apply_any_more_says_so(fresh: Ami, campaign_id: str) -> None:
    client = sign_in(fresh, "utility")
    path = f"/console/firmware/{campaign_id}"
    form = {"reason": "too late", "csrf": token_of(client, path)}
    answer = client.post(f"{path}/pause", data=form)
    assert "is planned: pause does not apply" in answer.text
    assert client.post(f"{path}/start", data=form | {"reason": "x"}).status_code == 422
    del client.headers["X-CSRF-Token"]
    assert client.post(f"{path}/start", data={"reason": "no token"}).status_code == 403
    assert campaigns.campaign(fresh.engine, campaign_id).state is CampaignState.PLANNED


def test_what_needs_a_look_stands_first_and_the_page_follows(fresh: Ami, campaign_id: str) -> None:
    client = sign_in(fresh, "utility")
    path = f"/console/firmware/{campaign_id}"
    client.post(f"{path}/start", data={"reason": "go on", "csrf": token_of(client, path)})
    set_states(fresh, {1: MeterState.CONFIRMED, 2: MeterState.TRANSFERRING, 3: MeterState.REVERTED})
    same = client.get(f"{path}/state?shown=running")
    assert "HX-Refresh" not in same.headers
    assert same.text.index("note of 3") < same.text.index("note of 2")
    assert "note of 1" not in same.text
    assert client.get(f"{path}/state?shown=planned").headers["HX-Refresh"] == "true"


def test_the_interface_tells_and_moves(fresh: Ami, campaign_id: str) -> None:
    client = sign_in(fresh, "utility")
    (told,) = client.get("/api/campaigns").json()
    assert (told["state"], told["states"], told["may"]) == (
        "planned",
        {"planned": 4},
        ["start", "cancel"],
    )
    whole = client.get(f"/api/campaigns/{campaign_id}?meters=true").json()
    assert [each["meter_id"] for each in whole["meters"]] == [1, 2, 3, 4]
    page = client.get(f"/api/campaigns/{campaign_id}?meters=true&limit=2&after=1").json()
    assert [each["meter_id"] for each in page["meters"]] == [2, 3]
    path = f"/api/campaigns/{campaign_id}"
    moved = client.post(f"{path}/start", json={"reason": "canaries"})
    assert (moved.status_code, moved.json()["state"]) == (202, "running")
    assert client.post(f"{path}/start", json={"reason": "again"}).status_code == 409
    assert client.post(f"{path}/explode", json={"reason": "again"}).status_code == 422
    del client.headers["X-CSRF-Token"]
    assert client.post(f"{path}/pause", json={"reason": "no token"}).status_code == 403
    assert client.get("/api/campaigns/beef").status_code == 404
    assert client.get("/console/firmware/beef").status_code == 404


def test_households_see_nothing_of_it(fresh: Ami, campaign_id: str) -> None:
    client = sign_in(fresh, "home-002")
    for path in ("/console/firmware", f"/console/firmware/{campaign_id}", "/api/campaigns"):
        assert client.get(path).status_code == 403
    answer = client.post(f"/api/campaigns/{campaign_id}/start", json={"reason": "mine"})
    assert answer.status_code == 403
    assert campaigns.campaign(fresh.engine, campaign_id).state is CampaignState.PLANNED


def test_a_viewer_looks_and_presses_nothing(fresh: Ami, campaign_id: str) -> None:
    password = create_account(fresh.engine, "vera", Role.VIEWER, by="utility")
    client = sign_in(fresh, "vera", password)
    path = f"/console/firmware/{campaign_id}"
    page = client.get(path)
    assert page.status_code == 200
    assert "confirm-start" not in page.text
    assert client.post(f"{path}/start", data={"reason": "me too"}).status_code == 403
    answer = client.post(f"/api/campaigns/{campaign_id}/start", json={"reason": "me too"})
    assert answer.status_code == 403
    assert campaigns.campaign(fresh.engine, campaign_id).state is CampaignState.PLANNED


def test_a_meters_page_tells_its_firmware_and_its_campaign(fresh: Ami, campaign_id: str) -> None:
    client = sign_in(fresh, "utility")
    assert "not asked yet" in client.get("/console/meters/4").text
    releases.note_firmware(fresh.engine, 4, "openami 1.0.0+0", b"")
    page = client.get("/console/meters/4").text
    assert "openami 1.0.0+0" in page
    assert f"/console/firmware/{campaign_id}" in page


def taken(ami: Ami, octets: bytes, name: str) -> str:
    release = Release.of(octets, name=name, version="1.1.0+0", digest=b"d", keyhash=b"k", by="ada")
    releases.add(ami.engine, release, octets)
    return release.release_id


def test_a_campaign_is_planned_with_a_release_that_was_taken(fresh: Ami) -> None:
    release_id = taken(fresh, SECOND, "second.bin")
    client = sign_in(fresh, "utility")
    (known,) = client.get("/api/releases").json()
    assert (known["release_id"], known["version"], known["size"]) == (
        release_id,
        "1.1.0+0",
        len(SECOND),
    )
    asked = {
        "release_id": release_id,
        "meter_ids": [1, 2, 3, 4],
        "waves": ["1", "50%"],
        "window": "22:00-05:00",
        "activate_s": "02:30",
        "rules": {"alarms_most": 3},
        "reason": "leap second",
    }
    answer = client.post("/api/campaigns", json=asked)
    assert answer.status_code == 201, answer.text
    planned = answer.json()
    assert (planned["meters"], planned["waves"], planned["left_out"]) == (4, [1, 2, 1], [])
    found = campaigns.campaign(fresh.engine, planned["campaign_id"])
    assert found.state is CampaignState.PLANNED
    assert found.plan == Plan(
        waves=(Share(count=1), Share(percent=50.0)),
        window=Window.parse("22:00-05:00"),
        activate_s=9000,
        rules=StopRules(alarms_most=3),
    )
    (deed,) = audit_trail(fresh.engine, 1)
    assert (deed.action, deed.login) == ("firmware.plan", "utility")
    again = client.post("/api/campaigns", json=asked | {"meter_ids": [4]})
    assert (again.status_code, "all are in one that is not over" in again.text) == (409, True)


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"release_id": "0" * 64}, 409, "There is no release 0000"),
        ({"waves": ["half"]}, 409, "'half'"),
        ({"window": "late"}, 409, "'late'"),
        ({"waves": []}, 422, "waves"),
        ({"colour": 1}, 422, "colour"),
        ({"meter_ids": []}, 409, "Name the group"),
        ({"meter_ids": [99_999]}, 404, "99999"),
    ],
    ids=["release", "wave", "window", "no wave", "unknown", "nobody", "meter"],
)
def test_what_is_no_plan_is_refused_in_a_sentence(
    fresh: Ami, change: dict[str, object], status: int, told: str
) -> None:
    asked = {"release_id": taken(fresh, SECOND, "second.bin"), "meter_ids": [1], "reason": "test"}
    answer = sign_in(fresh, "utility").post("/api/campaigns", json=asked | change)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]
    assert campaigns.campaigns(fresh.engine) == []


def test_a_concentrators_release_is_planned_for_no_meter(fresh: Ami) -> None:
    octets = image_of("1.1.0", class_id=CONCENTRATOR_CLASS_ID.bytes).encode()
    asked = {"release_id": taken(fresh, octets, "c.bin"), "meter_ids": [1], "reason": "test"}
    answer = sign_in(fresh, "utility").post("/api/campaigns", json=asked)
    assert answer.status_code == 409
    assert "openami headend concentrator update" in answer.json()["error"]
