# SPDX-License-Identifier: Apache-2.0
"""What is given to the user of a part, and what is not."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meter.house import config_in
from openami.device.files import ATTESTATION_PUBLIC
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.meter import walls
from openami.meter.config import MeterConfig
from openami.meter.walls import NOT_PERSONALISED, Walls, walls_of
from openami.runtime.files import erase
from openami.runtime.layout import Layout
from openami.runtime.users import Part, User, Users

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
APART = Walls(
    users=Users(of={Part.SECURE: User(59_398, 59_398), Part.MANAGEMENT: User(59_399, 59_399)}),
    door=Path("door"),
    reduced="",
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "meter"
    for folder in (home, home / "secure", home / "management", home / "metrology"):
        folder.mkdir()
    for name in (
        "secure/otp.bin",
        "device.toml",
        "metrology.journal",
        "profile.ring",
        "update-pub.pem",
    ):
        (home / name).touch(mode=0o644)
    return home


def owner(path: Path) -> int:
    return path.lstat().st_uid


@needs_root
def test_each_part_gets_what_is_its_own(home: Path, tmp_path: Path) -> None:
    APART.hand_over(home, tmp_path / "run", tmp_path / "no-line")

    assert owner(home) == 0
    assert home.stat().st_mode & 0o7777 == 0o1775
    assert owner(home / "secure") == owner(home / "secure" / "otp.bin") == 59_398
    assert (home / "secure" / "otp.bin").stat().st_mode & 0o777 == 0o600
    assert owner(home / "management") == owner(home / "profile.ring") == 59_399
    assert owner(home / "device.toml") == owner(home / "update-pub.pem") == 0
    assert owner(home / "metrology") == owner(home / "metrology.journal") == 0


@needs_root
def test_nothing_else_is_given_away_by_a_link(home: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.touch(mode=0o600)
    (home / "soft").symlink_to(precious)
    (home / "management" / "soft").symlink_to(precious)
    (home / "hard").hardlink_to(precious)

    APART.hand_over(home, tmp_path / "run", tmp_path / "no-line")

    assert owner(precious) == 0
    assert precious.stat().st_mode & 0o777 == 0o600


@needs_root
def test_what_belongs_to_another_part_stays_its_own(home: Path, tmp_path: Path) -> None:
    os.chown(home / "profile.ring", 59_398, 59_398)

    APART.hand_over(home, tmp_path / "run", tmp_path / "no-line")

    assert owner(home / "profile.ring") == 59_398


def test_keys_that_somebody_lays_beside_a_secure_world_are_nobody_s(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    provision(layout, Plan(meters=1, installed_us=0))
    (home,) = layout.meters.iterdir()
    (home / ATTESTATION_PUBLIC).touch()  # the factory's word; keys.json stays

    config = MeterConfig.load(home)

    assert config.keys is None
    assert walls_of(config, tmp_path / "door").door is not None


def test_an_erased_file_is_no_way_to_another(tmp_path: Path) -> None:
    precious, soft, hard = tmp_path / "precious", tmp_path / "soft", tmp_path / "hard"
    precious.write_text("precious")
    soft.symlink_to(precious)
    hard.hardlink_to(precious)
    for name in (soft, hard, tmp_path / "nothing"):
        erase(name)

    assert precious.read_text() == "precious"
    assert not soft.is_symlink()
    assert not hard.exists()
    erase(precious)
    assert not precious.exists()


def test_a_meter_that_was_not_personalised_is_not_apart(tmp_path: Path) -> None:
    found = walls_of(config_in(tmp_path), tmp_path / "door")

    assert (found.reduced, found.door, found.secure) == (NOT_PERSONALISED, None, None)


def test_a_folder_that_nobody_may_enter_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walls, "users_here", lambda: APART.users)
    tmp_path.chmod(0o700)

    found = walls_of(replace(config_in(home), keys=None), tmp_path / "door")

    assert "may not enter" in found.reduced
    assert found.secure is None
    assert found.callers == f"{os.geteuid()}:-1"
