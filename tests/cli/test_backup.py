# SPDX-License-Identifier: Apache-2.0
"""`openami backup` and `restore` over a store that goes on working meanwhile."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli.runs import Run
from mdm.made import PERIOD_US, T0, fleet, load, message
from openami.lifecycle import backup
from openami.mdm.intake import Intake
from openami.runtime.errors import UserError
from openami.store import inbox, registry
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter

ZONE = ZoneInfo("Australia/Sydney")


class Ami:
    """A utility's folder at work."""

    def __init__(self, var: Path, *, create: bool = False) -> None:
        self.var = var
        self.engine = open_database(f"sqlite:///{var / 'openami.db'}", create=create)
        self.writer = IntervalWriter(var / "lake")
        self.intake = Intake(self.engine, self.writer, ZONE, 1800, lambda: T0 + 86_400_000_000)

    def take(self, slots: range) -> None:
        inbox.put(self.engine, [(message(1, load([slot])), None) for slot in slots])

    def slots(self) -> list[int]:
        starts = self.writer.lake.series(1, 1, 0, T0 + 1000 * PERIOD_US)["start"]
        return [(start - T0) // PERIOD_US for start in starts.dt.epoch("us")]

    def close(self) -> None:
        self.writer.close()
        self.engine.dispose()


@contextmanager
def working(var: Path, *, create: bool = False) -> Iterator[Ami]:
    ami = Ami(var, create=create)
    try:
        yield ami
    finally:
        ami.close()


@pytest.fixture
def var(tmp_path: Path) -> Path:
    folder = tmp_path / "var #1"
    with working(folder, create=True) as ami:
        registry.import_meters(ami.engine, fleet(1))
        ami.take(range(5))
        ami.intake.drain()
        ami.take(range(5, 8))
    (folder / "headend").mkdir()
    (folder / "headend" / "key-encryption.json").write_text("secret")
    (folder / "headend" / "key-encryption.json").chmod(0o600)
    (folder / "meters" / "A").mkdir(parents=True)
    (folder / "meters" / "A" / "ring.bin").write_bytes(b"of a device")
    (folder / "run").mkdir()
    (folder / "run" / "web.json").write_text("{}")
    return folder


def test_what_is_put_back_works_on_and_has_everything(
    var: Path, tmp_path: Path, openami: Run
) -> None:
    copy, other = tmp_path / "copy.tar", tmp_path / "other"
    assert openami("backup", var, copy).status == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "all as they were written" in openami("restore", "--check", copy).out
    assert openami("restore", copy, other).out == f"{other}: headend, lake, openami.db\n"
    assert (other / "headend" / "key-encryption.json").stat().st_mode & 0o777 == 0o600
    with working(other) as ami:
        assert ami.slots() == list(range(5))
        ami.intake.drain()
        assert ami.slots() == list(range(8))


def test_what_is_drained_between_database_and_lake_is_there_once(
    var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake_of = backup._lake

    def late(lake: Path) -> Iterator[tuple[str, Path]]:
        with working(var) as ami:
            ami.intake.drain()
            assert inbox.depth(ami.engine) == 0
        return lake_of(lake)

    monkeypatch.setattr(backup, "_lake", late)
    backup.back_up(var, tmp_path / "copy.tar")
    backup.restore(tmp_path / "copy.tar", tmp_path / "other")
    with working(tmp_path / "other") as ami:
        assert inbox.depth(ami.engine) == 3, "the database is older than the lake"
        ami.intake.drain()
        assert ami.slots() == list(range(8))
        assert inbox.depth(ami.engine) == 0


def test_commits_after_the_lake_was_listed_do_no_harm(
    var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = backup._lake

    def busy(lake: Path) -> Iterator[tuple[str, Path]]:
        for number, found in enumerate(listed(lake)):
            if number == 0:
                with working(var) as ami:
                    ami.take(range(8, 10))
                    ami.intake.drain()
            yield found

    monkeypatch.setattr(backup, "_lake", busy)
    backup.back_up(var, tmp_path / "copy.tar")
    backup.restore(tmp_path / "copy.tar", tmp_path / "other")
    with working(tmp_path / "other") as ami:
        ami.intake.drain()
        assert ami.slots() == list(range(8))
        ami.take(range(8, 12))
        ami.intake.drain()
        assert ami.slots() == list(range(12))


@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.98])
def test_an_altered_or_short_copy_is_not_put_back(var: Path, tmp_path: Path, place: float) -> None:
    copy, other = tmp_path / "copy.tar", tmp_path / "other"
    backup.back_up(var, copy)
    octets = bytearray(copy.read_bytes())
    with tarfile.open(copy) as tar:
        members = tar.getmembers()
    chosen = members[round(place * (len(members) - 1))]
    octets[chosen.offset_data + chosen.size // 2] ^= 1
    copy.write_bytes(octets)
    with pytest.raises(UserError, match="take another copy"):
        backup.restore(copy, other)
    copy.write_bytes(octets[: chosen.offset_data])
    with pytest.raises(UserError, match="another"):
        backup.restore(copy, other)
    assert not other.exists()


@pytest.mark.parametrize("name", ["../out", "/out", "lake/../../out"])
def test_a_copy_that_leads_out_of_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tar"
    with tarfile.open(copy, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match="leads out of its folder"):
        backup.restore(copy, tmp_path / "var")


def test_nothing_is_overwritten(var: Path, tmp_path: Path, openami: Run) -> None:
    copy = tmp_path / "copy.tar"
    openami("backup", var, copy)
    before = copy.read_bytes()
    again = openami("backup", var, copy)
    assert again.status == 2
    assert "no copy is overwritten" in again.sentence
    assert copy.read_bytes() == before
    refused = openami("restore", copy, var)
    assert refused.status == 2
    assert "has headend, lake, openami.db already" in refused.sentence


def test_mistakes_are_one_sentence(tmp_path: Path, openami: Run) -> None:
    odd = tmp_path / "odd.tar"
    odd.write_text("no copy at all" * 99)
    for words, sentence in (
        (("backup", tmp_path, tmp_path / "copy.tar"), "holds no openami.db"),
        (("restore", "--check", odd), "is no copy, or cut off"),
        (("restore", "--check", tmp_path / "none.tar"), "there is no"),
        (("restore", odd), "give the folder VAR"),
    ):
        outcome = openami(*words)
        assert outcome.status
        assert sentence in outcome.err
        assert "Traceback" not in outcome.err


def test_no_folder_to_write_to_leaves_nothing(var: Path, tmp_path: Path, openami: Run) -> None:
    outcome = openami("backup", var, tmp_path / "missing" / "copy.tar")
    assert outcome.status == 1
    assert "no copy was made" in outcome.sentence
    assert not list(tmp_path.glob("**/.*.new"))
    assert not list(var.glob(".backup-*"))
