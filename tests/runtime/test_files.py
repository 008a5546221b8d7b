# SPDX-License-Identifier: Apache-2.0
"""Durable files: whole or not at all, and sentences when they cannot be."""

import os
import resource
import stat
from pathlib import Path

import pytest

from openami.runtime.errors import ConfigurationError, ExitCode, UserError
from openami.runtime.files import PRIVATE, read_json, read_toml, write_durably, write_json


def test_a_private_file_is_private(tmp_path: Path) -> None:
    write_json(tmp_path / "keys.json", {"a": 1}, mode=PRIVATE)

    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert read_json(tmp_path / "keys.json", "") == {"a": 1}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_durably(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UserError, match=r"state\.json cannot be written .*free space"):
            write_durably(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_what_somebody_left_under_the_name_of_the_new_file_is_not_written(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (tmp_path / f".state.json.{os.getpid()}.new").symlink_to(precious)

    write_durably(tmp_path / "state.json", b"new")

    assert precious.read_bytes() == b"precious"
    assert (tmp_path / "state.json").read_bytes() == b"new"
    assert not (tmp_path / "state.json").is_symlink()


def test_what_cannot_be_read_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("a = ")

    with pytest.raises(ConfigurationError, match=r"bad\.toml is not valid TOML .*: mend it"):
        read_toml(tmp_path / "bad.toml", "mend it")
    with pytest.raises(
        ConfigurationError, match=r"none\.json cannot be read .*: make it"
    ) as caught:
        read_json(tmp_path / "none.json", "make it")
    assert caught.value.exit_code is ExitCode.ASKED_WRONGLY


def test_a_file_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep"
    path.write_text("r = " + "[" * 5000)
    with pytest.raises(ConfigurationError, match="nests too deep for TOML: mend it"):
        read_toml(path, "mend it")
