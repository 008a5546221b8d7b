# SPDX-License-Identifier: Apache-2.0
"""What a process says of itself each second, where there is no room for it."""

from pathlib import Path

import pytest

from openami.runtime.status import read_statuses, write_status


def test_a_full_disk_leaves_the_last_word_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_status(tmp_path, "mdm", {"inbox": 1})

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        write_status(tmp_path, "mdm", {"inbox": 2})
    (said,) = read_statuses(tmp_path)
    assert said.figures == {"inbox": 1}
    write_status(tmp_path, "mdm", {"inbox": 3})
    assert [each.figures for each in read_statuses(tmp_path)] == [{"inbox": 3}]
    assert [path.name for path in tmp_path.iterdir()] == ["mdm.json"]


def test_a_damaged_word_is_left_out_until_the_next(tmp_path: Path) -> None:
    write_status(tmp_path, "mdm", {"inbox": 1})
    (tmp_path / "mdm.json").write_bytes(b"\x00" * 9)
    assert read_statuses(tmp_path) == []
    write_status(tmp_path, "mdm", {"inbox": 2})
    assert [each.figures for each in read_statuses(tmp_path)] == [{"inbox": 2}]


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    write_status(tmp_path / "run", "mdm", {})
