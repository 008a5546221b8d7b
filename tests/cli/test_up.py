# SPDX-License-Identifier: Apache-2.0
"""What `openami up` refuses and says, without starting anything."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.runs import Run
from meter.plant import Plant
from openami.cli.up import (
    bare,
    first_passwords,
    low_space,
    more_log_ins,
    personalise_first,
    refuse_lost_files,
)
from openami.meter.config import MeterConfig
from openami.runtime.errors import UserError
from openami.runtime.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for name in ("plan.json", "openami.db", "logins.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "lake").mkdir()
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.crt").write_text("x")
    return Layout(tmp_path)


def test_what_is_whole_is_not_refused(layout: Layout, tmp_path: Path) -> None:
    refuse_lost_files(layout)
    refuse_lost_files(Layout(tmp_path / "first start"))


def test_a_first_start_that_was_cut_goes_on(layout: Layout) -> None:
    for name in ("openami.db", "logins.txt"):
        (layout.var / name).unlink()
    layout.lake.rmdir()
    refuse_lost_files(layout)


@pytest.mark.parametrize("name", ["plan.json", "openami.db", "ca/ca.crt"])
def test_what_cannot_be_made_twice_is_refused(layout: Layout, name: str) -> None:
    (layout.var / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is gone.*backup.*another folder"):
        refuse_lost_files(layout)


def test_a_store_is_missed_when_its_log_ins_were_taken_away(layout: Layout) -> None:
    layout.logins.unlink()
    (layout.var / "openami.db").unlink()
    with pytest.raises(UserError, match="counters of the meters' keys"):
        refuse_lost_files(layout)


def test_first_passwords(tmp_path: Path) -> None:
    logins = tmp_path / "logins.txt"
    assert first_passwords(logins) == {}
    logins.write_text("utility\tabcd\nhome-001\tefgh\n")
    assert first_passwords(logins) == {"utility": "abcd", "home-001": "efgh"}
    assert more_log_ins(logins, first_passwords(logins)) == f"more log-ins in {logins}"
    logins.write_bytes(b"\xff\x00garbage")
    assert first_passwords(logins) == {}
    said = more_log_ins(logins, {})
    assert "is gone or damaged; passwords are what they were; `openami web password`" in said


def test_a_disk_that_is_nearly_full_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    assert low_space(tmp_path / "gone") == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10**9))
    assert low_space(tmp_path) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10**6))
    assert f"the disk of {tmp_path} has less than 32 MB left: free space" in low_space(tmp_path)


def test_the_name_of_the_command_is_left_out() -> None:
    assert bare("openami: port 1 is taken") == "port 1 is taken"
    assert bare("Killed") == "Killed"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="openami-up-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as others")
def test_the_full_meter_is_personalised_where_its_parts_can_be_kept_apart(
    open_folder: Path, openami: Run
) -> None:
    plant = Plant(open_folder / "var", meters=1, speed=1.0)
    home = plant.meter_home(1)
    keys = MeterConfig.load(home).keys
    assert keys is not None

    assert personalise_first(plant.layout) == []
    assert personalise_first(plant.layout) == []

    assert MeterConfig.load(home).keys is None
    path = plant.layout.var / "tools" / f"{home.name}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    said = json.loads(path.read_text())
    assert said == {"format": "openami-reader-1", "title": home.name, "lls": keys.lls.hex()}
    read = ("read", "tcp://127.0.0.1:1", "--keys", str(path), "--client")
    refused = openami(*read, "1", "1.0.1.8.0.255")
    assert "holds the reader's secret alone: read as --client 32" in refused.err
    assert "refused the connection" in openami(*read, "32", "1.0.1.8.0.255").err


def test_a_meter_whose_parts_cannot_be_kept_apart_keeps_its_keys_and_says_so(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)
    plant = Plant(tmp_path / "var", meters=1, speed=1.0)

    (said,) = personalise_first(plant.layout)

    assert said.startswith("the parts of meter 1 are not kept apart, and its keys lie in a file: ")
    assert MeterConfig.load(plant.meter_home(1)).keys is not None
    assert not (plant.layout.var / "tools").exists()
