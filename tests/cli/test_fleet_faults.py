# SPDX-License-Identifier: Apache-2.0
"""`openami fleet faults`: who fails the self-test of new firmware, for trials."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from openami.cli.main import openami
from openami.meter.fleet_faults import FAULTS_FILE, Fault, Faults, load


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text('[fleet]\nmeters = ["4F414D0000000002"]\n')
    return tmp_path


def said(home: Path, *words: str) -> str:
    found = CliRunner().invoke(openami, ["fleet", "faults", "--home", str(home), *words])
    assert found.exit_code == 0, found.output
    return found.output.strip()


def test_faults_are_said_replaced_and_taken_back(home: Path) -> None:
    words = ("--version", "1.2.0", "--percent", "20", "--check", "uplink", "--seed", "7")
    assert said(home, *words) == "20 % of the meters fail the check uplink of firmware 1.2.0"
    said(home)
    said(home, "--version", "1.2.0", "--percent", "50")

    assert load(home / FAULTS_FILE) == (
        Fault(version="1.2.0", percent=50, check="storage", seed=1),
        Fault(version="", percent=100, check="storage", seed=1),
    )
    assert Faults(home / FAULTS_FILE).failing(2, "openami 1.3.0+0") == "storage"
    assert said(home, "--none") == "no meter fails any more"
    assert Faults(home / FAULTS_FILE).failing(2, "openami 1.3.0+0") == ""


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", '{"firmware": [{"version": "1", "percent": 1, "check": "mood", "seed": 1}]}'],
)
def test_a_damaged_file_is_named_with_its_remedy(home: Path, text: str) -> None:
    (home / FAULTS_FILE).write_text(text)
    found = CliRunner().invoke(openami, ["fleet", "faults", "--home", str(home)])

    assert found.exit_code != 0
    assert "faults.json" in str(found.exception)
    assert "openami fleet faults" in str(found.exception)


def test_a_folder_without_a_fleet_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(openami, ["fleet", "faults", "--home", str(tmp_path)])
    assert found.exit_code != 0
    assert "config.toml" in str(found.exception)
