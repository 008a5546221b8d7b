# SPDX-License-Identifier: Apache-2.0
"""The append-only journal: restarts, power cuts, damage, a full disk."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.power import Recorder, images
from openami.device import journal as journal_module
from openami.device.journal import HEAD, MAGIC, Journal, damage_of
from openami.device.storage import StorageError


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file grow beyond 4 KiB: the disk is full there.

    No fixture: it must be over before the test is reported, as the report may go to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def reopen(path: Path) -> tuple[list[bytes], str | None]:
    journal, payloads, finding = Journal.open(path)
    journal.close()
    return payloads, finding


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=60), max_size=5), max_size=5))
def test_what_was_appended_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "metrology.journal"
    for batch in batches:
        journal, _, finding = Journal.open(path)
        journal.append(batch)
        journal.close()
        assert finding is None

    assert reopen(path) == ([payload for batch in batches for payload in batch], None)


def test_a_power_cut_anywhere_keeps_what_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrology.journal"
    journal, _, _ = Journal.open(path)
    before = path.read_bytes()
    recorder = Recorder(monkeypatch, journal_module)
    draw = Random(1)
    written: list[bytes] = []
    states: list[tuple[int, int]] = []  # records written, records synced, after each operation
    synced = 0
    for _ in range(12):
        batch = [draw.randbytes(draw.randrange(40)) for _ in range(draw.randrange(1, 5))]
        journal.append(batch)
        written += batch
        states.append((len(written), synced))
        if draw.random() < 0.6:
            journal.sync()
            synced = len(written)
            states.append((len(written), synced))
    monkeypatch.undo()

    for done, content in images(before, recorder.operations, draw):
        path.write_bytes(content)
        payloads, finding = reopen(path)
        most, least = states[done - 1] if done else (0, 0)
        assert finding is None
        assert least <= len(payloads) <= most
        assert payloads == written[: len(payloads)]


def test_writing_goes_on_after_a_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "metrology.journal"
    journal, _, _ = Journal.open(path)
    journal.append([b"one", b"two"])
    journal.close()
    path.write_bytes(path.read_bytes()[:-2])

    journal, payloads, _ = Journal.open(path)
    journal.append([b"three"])
    journal.close()

    assert payloads == [b"one"]
    assert reopen(path) == ([b"one", b"three"], None)


def test_damage_in_what_was_durable_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "metrology.journal"
    journal, _, _ = Journal.open(path)
    for payload in (b"one", b"two", b"three"):
        journal.append([payload])
        journal.sync()
    journal.close()
    octets = bytearray(path.read_bytes())
    octets[len(MAGIC) + HEAD.size + 3 + HEAD.size] ^= 1  # in "two"
    path.write_bytes(octets)

    payloads, finding = reopen(path)

    assert payloads == [b"one"]
    assert finding is not None
    assert "metrology.journal.damaged-1" in finding
    assert (tmp_path / "metrology.journal.damaged-1").read_bytes() == octets
    assert reopen(path) == ([b"one"], None)


@pytest.mark.parametrize("rewritten", [False, True])
def test_damage_in_the_middle_of_what_was_written_together_is_set_aside(
    tmp_path: Path,
    rewritten: bool,  # noqa: FBT001
) -> None:
    """The records behind the bad one do not say that it was durable; those of a later write do."""
    path = tmp_path / "metrology.journal"
    journal, _, _ = Journal.open(path)
    journal.append([b"one", b"two", b"three"])
    journal.sync()
    if rewritten:
        journal.rewrite([b"one", b"two", b"three"])
    else:
        journal.append([b"four"])
    journal.close()
    octets = bytearray(path.read_bytes())
    octets[len(MAGIC) + HEAD.size + 3 + HEAD.size] ^= 1  # in "two"
    path.write_bytes(octets)

    assert damage_of(path) is not None
    payloads, finding = reopen(path)

    assert payloads == [b"one"]
    assert "metrology.journal.damaged-1" in str(finding)


@pytest.mark.parametrize("content", [b"no journal at all", b"OAMJ", b"\x00" * 100, b""])
def test_a_foreign_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrology.journal"
    path.write_bytes(content)

    payloads, finding = reopen(path)

    assert payloads == []
    assert (finding is None) == (content in {b"OAMJ", b""})
    assert reopen(path) == ([], None)


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_octets_open(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "metrology.journal"
    path.write_bytes(MAGIC + content)

    payloads, _ = reopen(path)

    assert reopen(path) == (payloads, None)


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrology.journal"
    journal, _, _ = Journal.open(path)
    kept: list[bytes] = []

    def fill() -> None:
        for number in range(1000):
            journal.append([number.to_bytes(100)])
            kept.append(number.to_bytes(100))

    with small_files():
        with pytest.raises(StorageError, match="free space") as refused:
            fill()
        journal.rewrite(kept[-3:])
        journal.append([b"again"])
        journal.close()
    assert str(path) in str(refused.value)

    assert len(kept) > 20
    assert reopen(path) == ([*kept[-3:], b"again"], None)


def test_rewrite_replaces_everything(tmp_path: Path) -> None:
    path = tmp_path / "metrology.journal"
    journal, _, _ = Journal.open(path)
    journal.append([b"x"] * 50)
    journal.rewrite([b"a", b"b"])
    journal.append([b"c"])
    journal.sync()
    journal.close()

    assert reopen(path) == ([b"a", b"b", b"c"], None)


WRITER = """
import sys
from pathlib import Path
from openami.device.journal import Journal
journal, _, _ = Journal.open(Path(sys.argv[1]))
for number in range(10**6):
    journal.append([number.to_bytes(4)])
    journal.sync()
    print(number, flush=True)
"""


def test_kill_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    path = tmp_path / "metrology.journal"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src"},
    ) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            said = writer.stdout.readline()
        writer.kill()
        rest = writer.stdout.read().splitlines()
    last = int(rest[-1] if rest else said)

    payloads, finding = reopen(path)

    assert finding is None
    assert len(payloads) >= last + 1
    assert payloads == [number.to_bytes(4) for number in range(len(payloads))]
