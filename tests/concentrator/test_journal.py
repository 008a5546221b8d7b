# SPDX-License-Identifier: Apache-2.0
"""The journal: same entry once, a quota that refuses, and a file that survives."""

import itertools
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.concentrator.journal import (
    FORMAT,
    Journal,
    Outcome,
    Put,
    Remove,
    long_invoke_id,
)
from openami.runtime.errors import ConfigurationError

METER = bytes.fromhex("4F414D0000000001")
OTHER = bytes.fromhex("4F414D0000000002")


def put(number: int, title: bytes = METER, octets: bytes | None = None) -> Put:
    return Put(title, number, octets or b"push %d" % number, 0)


def open_journal(folder: Path, quota: int = 100) -> Journal:
    return Journal(folder / "journal.db", quota=quota)


def test_entries_come_back_in_order_of_arrival(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.apply([put(3), put(1), put(2, OTHER)])
    assert [(e.title, e.long_invoke_id) for e in journal.after(0, 10)] == [
        (METER, 3),
        (METER, 1),
        (OTHER, 2),
    ]
    first, *_ = journal.after(0, 1)
    assert [e.long_invoke_id for e in journal.after(first.sequence, 10)] == [1, 2]
    journal.close()


def test_the_same_entry_is_kept_once_and_known_again(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    assert journal.apply([put(1), put(1)]) == [Outcome.STORED, Outcome.KNOWN]
    assert journal.apply([put(1)]) == [Outcome.KNOWN]
    assert journal.depth == 1
    journal.close()


@pytest.mark.parametrize(
    "other", [put(1, OTHER), put(2, octets=b"push 1"), put(1, octets=b"other octets")]
)
def test_meter_id_and_octets_all_tell_entries_apart(tmp_path: Path, other: Put) -> None:
    journal = open_journal(tmp_path)
    assert journal.apply([put(1), other]) == [Outcome.STORED, Outcome.STORED]
    journal.close()


def test_the_next_entry_of_a_name_is_found_between_two_numbers(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", quota=9)
    journal.apply([Put(METER, n % 2, b"%d" % n, 0) for n in range(1, 7)])
    found = [journal.next_of((METER, 1), *between) for between in ((0, 6), (1, 6), (5, 6), (1, 2))]
    assert [entry and entry.sequence for entry in found] == [1, 3, None, None]
    assert journal.next_of((METER, 7), 0, 6) is None
    journal.close()


def test_a_full_quota_refuses_new_knows_old_and_spares_others(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, quota=2)
    outcomes = journal.apply([put(1), put(2), put(3), put(1), put(3, OTHER)])
    assert outcomes == [
        Outcome.STORED,
        Outcome.STORED,
        Outcome.FULL,
        Outcome.KNOWN,
        Outcome.STORED,
    ]
    assert journal.full_meters() == 1
    journal.apply([Remove(journal.after(0, 1)[0].sequence)])
    assert journal.full_meters() == 0
    assert journal.apply([put(3)]) == [Outcome.STORED]
    journal.close()


def test_all_entries_together_have_a_room_and_the_full_journal_knows_what_it_has(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "journal.db", quota=100, most_octets=100)
    half = b"x" * 50
    outcomes = journal.apply(
        [put(1, octets=half), put(2, OTHER, half), put(3), put(1, octets=half)]
    )
    assert outcomes == [Outcome.STORED, Outcome.STORED, Outcome.NO_ROOM, Outcome.KNOWN]
    assert (journal.octets, journal.oldest_real_us()) == (100, 0)
    journal.close()
    journal = Journal(tmp_path / "journal.db", quota=100, most_octets=100)
    assert journal.apply([put(3)]) == [Outcome.NO_ROOM]
    first = journal.after(0, 1)[0].sequence
    assert journal.apply([Remove(first), put(3)]) == [Outcome.STORED, Outcome.STORED]
    assert journal.octets == 56
    journal.close()


def test_a_power_cut_at_any_write_leaves_all_that_was_answered_for(tmp_path: Path) -> None:
    """The write-ahead log is the only file that grows between checkpoints.

    What lay in it when `apply` returned was synchronised; what was written behind may be there,
    be cut at any place, or hold rubbish.
    """
    journal = open_journal(tmp_path)
    wal = tmp_path / "journal.db-wal"
    synced = [(wal.stat().st_size, 0)]
    for number in range(6):
        group = [put(10 * number + part, octets=b"%d " % number * 40) for part in range(3)]
        changes = [*group, Remove(journal.after(0, 1)[0].sequence)] if number > 3 else group
        journal.apply(changes)
        synced.append((wal.stat().st_size, number + 1))
    main, log = (tmp_path / "journal.db").read_bytes(), wal.read_bytes()
    journal.close()

    cut = tmp_path / "cut"
    cut.mkdir()
    for (start, groups), (end, _) in itertools.pairwise(synced):
        for length in {start, end - 1, *range(start, end, 509)}:
            for rubbish in (b"", os.urandom(max(0, end - length))):
                (cut / "journal.db").write_bytes(main)
                (cut / "journal.db-wal").write_bytes(log[:length] + rubbish)
                (cut / "journal.db-shm").unlink(missing_ok=True)
                left = open_journal(cut)
                ids = [entry.long_invoke_id for entry in left.after(0, 100)]
                left.close()
                whole = expected_after(groups), expected_after(groups + 1)  # the next, or not
                assert ids in whole, (groups, length)


def expected_after(groups: int) -> list[int]:
    ids = []
    for number in range(groups):
        ids += [10 * number + part for part in range(3)]
        if number > 3:
            ids.pop(0)
    return ids


def test_the_quota_counts_what_an_earlier_process_left(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.apply([put(1), put(2)])
    journal.close()
    journal = open_journal(tmp_path, quota=2)
    assert journal.depth == 2
    assert journal.apply([put(3), put(2)]) == [Outcome.FULL, Outcome.KNOWN]
    journal.close()


def test_a_sequence_number_is_never_given_twice(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.apply([put(1)])
    (first,) = journal.after(0, 10)
    journal.apply([Remove(first.sequence), Remove(first.sequence)])
    assert journal.depth == 0
    journal.apply([put(1)])
    (again,) = journal.after(0, 10)
    assert again.sequence > first.sequence
    journal.close()


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, quota=3)
    journal.apply([put(1)])
    pages = journal._writer.execute("PRAGMA page_count").fetchone()[0]
    journal._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.apply([put(2, octets=os.urandom(200_000)), put(3)])
    assert journal.depth == 1
    assert [e.long_invoke_id for e in journal.after(0, 10)] == [1]
    journal._writer.execute("PRAGMA max_page_count = 100000")
    assert journal.apply([put(2), put(3), put(4)]) == [
        Outcome.STORED,
        Outcome.STORED,
        Outcome.FULL,
    ]
    journal.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database" * 100)
    with caplog.at_level(logging.ERROR):
        journal = open_journal(tmp_path)
    assert journal.apply([put(1)]) == [Outcome.STORED]
    journal.close()
    assert (tmp_path / "journal.db.damaged-1").read_bytes().startswith(b"this is no database")
    assert "damaged" in caplog.text
    path.write_bytes(b"again" * 1000)
    open_journal(tmp_path).close()
    assert (tmp_path / "journal.db.damaged-2").exists()


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match="journal format 2, this OpenAMI writes 1"):
        open_journal(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        open_journal(tmp_path / "nowhere")


WRITER = """
import sys
from pathlib import Path
from openami.concentrator.journal import Journal, Put
journal = Journal(Path(sys.argv[1]), quota=10**9)
for number in range(10**9):
    journal.apply([Put(b"OAM\\0\\0\\0\\0\\1", 2 * number + part, b"x" * 300, 0) for part in (0, 1)])
    print(number, flush=True)
"""


def test_what_was_answered_for_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        answered = 50 + len(process.stdout.read().split())
    journal = Journal(path, quota=10**9)
    ids = [entry.long_invoke_id for entry in journal.after(0, 10**9)]
    assert ids == list(range(len(ids)))
    assert len(ids) >= 2 * answered
    assert len(ids) % 2 == 0  # a group is there whole or not at all
    journal.close()


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        ("DD0401020304 08", 0x01020304),
        ("0F 40000007 00", 0x40000007),
        ("DD0801020304", None),
        ("DD04010203", None),
        ("0F400000", None),
        ("C4", None),
        ("", None),
    ],
)
def test_long_invoke_id(octets: str, found: int | None) -> None:
    assert long_invoke_id(bytes.fromhex(octets)) == found


@given(st.binary(max_size=40))
def test_any_octets_have_a_long_invoke_id_or_none(octets: bytes) -> None:
    found = long_invoke_id(octets)
    assert found is None or found.to_bytes(4) in octets
