# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged is on the disk: every new file and every folder that names it was fsynced.

A power cut keeps what was fsynced and may lose the rest.  The test records fsyncs, throws away all
that was not made durable before an acknowledgement, and opens the lake again.
"""

import os
import shutil
from pathlib import Path

import pytest

from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import Lake
from store.test_intervals import DAY, all_of, raw, readings


class Disk:
    """Remembers, at each fsync, what a file held and what a folder named."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[Path, bytes] = {}
        self.names: dict[Path, set[str]] = {}

    def synced(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self.names[path] = {entry.name for entry in path.iterdir()}
        else:
            self.files[path] = path.read_bytes()

    def after_power_cut(self, target: Path) -> None:
        """Write to `target` what a power cut now would leave of `root`, at the worst."""
        pending = [self.root]
        while pending:
            folder = pending.pop()
            copy = target / folder.relative_to(self.root)
            copy.mkdir(parents=True, exist_ok=True)
            for name in self.names.get(folder, set()):
                path = folder / name
                if path.is_dir():
                    pending.append(path)
                elif path.exists():
                    (copy / name).write_bytes(self.files.get(path, b""))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path / "var")
    disk.root.mkdir()
    sync = os.fsync

    def recorded(descriptor: int) -> None:
        sync(descriptor)
        disk.synced(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return disk


def test_every_acknowledged_batch_survives_a_power_cut(disk: Disk, tmp_path: Path) -> None:
    def survives(expected: list[tuple[int, int, int, int]], batch_id: int) -> None:
        left = tmp_path / "left"
        shutil.rmtree(left, ignore_errors=True)
        disk.after_power_cut(left)
        again = IntervalWriter(left / "lake")
        assert all_of(again.lake) == expected
        assert again.last_batch() == batch_id
        again.close()

    writer = IntervalWriter(disk.root / "lake")
    survives([], 0)
    writer.append(1, readings((1, 1, 0, 100, 1)), raw(1))
    survives([(1, 1, 0, 100)], 1)
    writer.append(2, readings((1, 1, 60, 200, 1), (60_000, 1, 0, 5, 1)), raw(2))
    three = [(1, 1, 0, 100), (1, 1, 60, 200), (60_000, 1, 0, 5)]
    survives(three, 2)
    writer.append_versions(readings((1, 1, 0, 101, 2)))
    three[0] = (1, 1, 0, 101)
    survives(three, 2)
    writer.reduce(DAY, 0)
    survives(three, 2)
    for number in range(3, 56):
        writer.append(number, readings((1, 1, number, number, 1)), raw(number))
    writer.maintain()
    several = sorted([*three, *((1, 1, number, number) for number in range(3, 56))])
    survives(several, 55)
    writer.append(56, readings((1, 1, 59, 1, 1)), raw(56))
    survives(sorted([*several, (1, 1, 59, 1)]), 56)
    writer.close()


def test_what_was_not_acknowledged_may_be_lost_and_harms_nothing(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = IntervalWriter(disk.root / "lake")
    writer.append(1, readings((1, 1, 0, 100, 1)), raw(1))
    with monkeypatch.context() as patch:
        patch.setattr("openami.store.delta.DeltaFolder.sync", lambda _self: None)
        writer.append(2, readings((1, 1, 1, 200, 1)), raw(2))
    log_folder = disk.root / "lake" / "readings" / "_delta_log"
    disk.names[log_folder] = {entry.name for entry in log_folder.iterdir()}  # the name, no octets
    writer.close()

    disk.after_power_cut(tmp_path / "left")
    again = IntervalWriter(tmp_path / "left" / "lake")

    assert all_of(Lake(tmp_path / "left" / "lake")) == [(1, 1, 0, 100)]
    again.append(2, readings((1, 1, 1, 200, 1)), raw(2))
    assert all_of(again.lake) == [(1, 1, 0, 100), (1, 1, 1, 200)]
    again.close()
