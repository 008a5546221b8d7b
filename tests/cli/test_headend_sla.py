# SPDX-License-Identifier: Apache-2.0
"""`openami headend sla`: over a store with readings that came late, and over models of bearers."""

import json
from pathlib import Path

import pytest

from cli.runs import Run
from openami.cli.headend_sla import PRESETS

RULES = """
[soon]
data = "interval"
percent = 90.0
within_h = 1.0
title = "Soon"

[reads]
data = "read"
percent = 90.0
within_h = 1.0
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def test_the_rules_that_are_shown_are_rules(openami: Run, tmp_path: Path) -> None:
    shown = openami("headend", "sla", "rules")
    assert shown.out == PRESETS.read_text()
    copy = tmp_path / "own.toml"
    copy.write_text(shown.out)
    assert openami("headend", "sla", "rules", "--rules", copy).status == 0


def test_a_study_of_bearers_says_and_draws(openami: Run, rules: Path, tmp_path: Path) -> None:
    picture = tmp_path / "soon.svg"
    words = ("headend", "sla", "study", "lte", "plc-g3", "--meters", 20, "--rules", rules)
    outcome = openami(*words, "--chart", picture)
    assert outcome.status == 0, outcome.err
    assert "lte: Soon: 100.00 % of 960 (at least 90 %)" in outcome.out
    assert picture.read_text().count("<polyline") == 2
    found = json.loads(openami(*words, "--json").out)
    assert [row["kept"] for row in found] == [True, True]


def test_a_level_that_is_not_kept_ends_with_status_1(openami: Run, rules: Path) -> None:
    rules.write_text(RULES.replace("1.0\ntitle", "0.0001\ntitle"))
    outcome = openami("headend", "sla", "study", "lte", "--meters", 5, "--rules", rules)
    assert outcome.status == 1
    assert outcome.out.startswith("✕ 2026-03-01 lte: Soon: 0.")


def test_mistakes_are_one_sentence(openami: Run, rules: Path, tmp_path: Path) -> None:
    none = openami("headend", "sla", "study", "pigeon", "--rules", rules)
    assert none.status
    assert "there is no bearer 'pigeon'" in none.sentence
    nowhere = openami("headend", "sla", "check", "--home", tmp_path, "--rules", rules)
    assert nowhere.status
    assert "config.toml" in nowhere.sentence


def test_a_rule_that_nothing_is_due_for_is_told(openami: Run, rules: Path) -> None:
    """A region written wrongly would be kept for ever."""
    rules.write_text('[r]\ndata = "read"\npercent = 90.0\nwithin_h = 1.0\nregions = ["nroth"]\n')
    none = openami("headend", "sla", "study", "lte", "--rules", rules)
    assert none.status == 2
    assert "has no rule for values" in none.sentence


def test_exclusions_are_of_what_happened_and_not_of_a_model(openami: Run, rules: Path) -> None:
    rules.write_text(
        RULES
        + """
[exclusion-storm]
begins = "2026-03-01T00:00:00+00:00"
ends = "2026-03-02T00:00:00+00:00"
reason = "storm"
"""
    )
    words = ("headend", "sla", "study", "lte", "lte", "--meters", 5, "--rules", rules, "--json")
    (level,) = json.loads(openami(*words).out)
    assert (level["due"], level["excluded"]) == (240, 0)
