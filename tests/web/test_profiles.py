# SPDX-License-Identifier: Apache-2.0
"""Companion profiles over REST: which there are, and by which a meter is spoken with."""

from dataclasses import replace
from pathlib import Path

from openami.headend.companion import Companions
from web.ami import Ami
from web.clients import sign_in

OWN = """
title = "Of ours"
provenance = "a test"
meters = ["OAM0"]
[objects]
clock = "0.0.1.0.0.255"
[clock]
limit_s = 7
[[model]]
begins = "OAM0000000000004"
clock = { settable = false }
"""


def test_profiles_are_told_and_those_of_a_meter(fresh: Ami, tmp_path: Path) -> None:
    client = sign_in(fresh, "utility")
    shipped = Companions.load().known
    told = {each["name"]: each for each in client.get("/api/profiles").json()}
    assert told.keys() == shipped.keys()
    ours = told["openami"]
    assert ours["objects"]["clock"] == str(shipped["openami"].objects["clock"])
    assert any(each["number"] == 1 and each["bits"] for each in ours["alarms"])
    assert client.get("/api/meters/4/profile").json()["name"] == "openami"
    assert client.get("/api/profiles/none").status_code == 404

    (tmp_path / "own.toml").write_text(OWN)
    fresh.context.config = replace(fresh.context.config, profiles=tmp_path)
    four, five = (client.get(f"/api/meters/{number}/profile").json() for number in (4, 5))
    assert (five["name"], five["clock_limit_s"], five["clock_settable"]) == ("own", 7, True)
    assert four["clock_settable"] is False
    assert client.get("/api/profiles/own").json()["models"] == ["OAM0000000000004"]
    (tmp_path / "own.toml").write_text("title = 7 = 8")
    broken = client.get("/api/profiles")
    assert (broken.status_code, "correct its file" in broken.json()["error"]) == (503, True)
    assert sign_in(fresh, "home-002").get("/api/meters/2/profile").status_code == 403
