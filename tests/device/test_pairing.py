# SPDX-License-Identifier: Apache-2.0
"""Key files of paired modules."""

import os
from pathlib import Path

import pytest

from openami.device.pairing import KEY_FILE, PEER_FILE, Pair, is_new, pair, pair_of
from openami.runtime.errors import UserError


def test_paired_modules_know_each_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert is_new(one, other)
    pair(one, other, os.urandom)
    assert not is_new(one, other)

    here, there = Pair.load(one), Pair.load(other)
    assert (here.peer_name, there.peer_name) == (there.name, here.name)
    assert here.peer is not None
    assert there.peer is not None
    assert here.own.agree(here.peer) == there.own.agree(there.peer)
    assert (one / KEY_FILE).stat().st_mode & 0o077 == 0

    pair(one, tmp_path / "third", os.urandom)  # a module that was exchanged
    assert Pair.load(one).name == here.name
    assert Pair.load(one).peer_name != there.name


def test_files_that_cannot_be_used_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"link.key is no key of a link \(.*exchange the meter"):
        Pair.load(tmp_path)
    pair(tmp_path, tmp_path / "other", os.urandom)
    (tmp_path / PEER_FILE).write_bytes(bytes(65))
    with pytest.raises(UserError, match=r"link-peer.pub is no public key of a module"):
        Pair.load(tmp_path)
    assert "no public key" in pair_of(tmp_path, os.urandom)[1]
    (tmp_path / PEER_FILE).unlink()
    assert Pair.load(tmp_path).peer is None
    unpaired, finding = pair_of(tmp_path, os.urandom)
    assert unpaired.peer is None
    assert "never paired" in finding
    (tmp_path / KEY_FILE).write_bytes(bytes(31))
    with pytest.raises(UserError, match="31 octets are no scalar"):
        Pair.load(tmp_path)
