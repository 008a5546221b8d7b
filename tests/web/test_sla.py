# SPDX-License-Identifier: Apache-2.0
"""The room of service levels: each rule's state, its windows, and the same over REST."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from openami.store import registry
from openami.web import slaview
from openami.web.slaview import PRESETS, count
from web.ami import Ami
from web.clients import TestClient, sign_in

RULES = """
[soon]
title = "Values within an hour"
data = "interval"
percent = {percent}
within_h = 1.0
"""


def ruled(ami: Ami, percent: float) -> None:
    path = ami.folder / "rules.toml"
    path.write_text(RULES.format(percent=percent))
    ami.context.config = replace(ami.context.config, sla_rules=path)


def test_the_page_shows_each_rule_with_its_windows(utility: TestClient) -> None:
    page = utility.get("/console/sla").text
    assert page.count('data-testid="sla-rule"') == PRESETS.read_text().count("title = ")
    assert "These are examples" in page
    assert 'class="slabars"' in page
    assert "<html" not in utility.get("/console/sla/state").text


def test_a_level_is_kept_or_not_by_what_was_asked(fresh: Ami) -> None:
    ruled(fresh, 1.0)
    (easy,) = count(fresh.context).rules
    assert easy.kept is True
    ruled(fresh, 100.0)
    (hard,) = count(fresh.context).rules
    assert easy.newest is not None
    assert hard.newest is not None
    assert (hard.newest.due, hard.newest.on_time) == (easy.newest.due, easy.newest.on_time)
    assert hard.kept is (hard.newest.on_time == hard.newest.due)
    client = sign_in(fresh, "utility")
    (told,) = client.get("/api/sla").json()["rules"]
    assert (told["name"], told["percent"], told["kept"]) == ("soon", 100.0, hard.kept)
    assert told["windows"][-1]["due"] == hard.newest.due


def test_rules_that_cannot_be_read_are_named(fresh: Ami) -> None:
    missing = Path("/nowhere/rules.toml")
    fresh.context.config = replace(fresh.context.config, sla_rules=missing)
    answer = sign_in(fresh, "utility").get("/console/sla")
    assert answer.status_code == 503
    assert "/nowhere/rules.toml" in answer.text


def test_households_do_not_see_it(home: TestClient) -> None:
    assert home.get("/console/sla").status_code == 403
    assert home.get("/api/sla").status_code == 403


def test_a_month_is_counted_from_its_first_day_or_says_that_it_is_not(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fresh.folder / "rules.toml"
    path.write_text(RULES.format(percent=1.0) + 'window = "month"\n')
    fresh.context.config = replace(fresh.context.config, sla_rules=path)
    monkeypatch.setattr(slaview, "DAYS", 3)
    meters = len(registry.meters(fresh.engine))
    (ruled,) = count(fresh.context).rules
    (whole,) = ruled.windows
    assert (ruled.since, ruled.is_whole(whole)) == (date(2026, 10, 1), True)
    assert whole.due > 12 * 48 * meters
    monkeypatch.setattr(slaview, "MOST_DUE", 5 * 48 * meters)
    (ruled,) = count(fresh.context).rules
    (part,) = ruled.windows
    assert (ruled.since, ruled.is_whole(part)) == (date(2026, 10, 13), False)
    assert part.due < 3 * 48 * meters
    assert (
        "not from the beginning of the month" in sign_in(fresh, "utility").get("/console/sla").text
    )
