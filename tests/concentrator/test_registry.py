# SPDX-License-Identifier: Apache-2.0
"""The registry: meters found, links measured, notices kept until they are told."""

import logging
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loops import in_loop
from openami.concentrator import registry as module
from openami.concentrator.registry import TOLD_KEPT, Registry, Seen, read_links, read_notices
from openami.concentrator.sqlitefile import open_reader
from openami.exchange.field import NoticeCode
from openami.runtime.errors import ConfigurationError

METER = bytes.fromhex("4F414D0000000001")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@in_loop
async def test_a_meter_is_found_once_and_remembered(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "meters.db")
    assert registry.attach(METER, "tls", "10.0.0.1:4000", NOW)
    registry.see(METER, Seen(round_trip_us=800, sent=10, lost=1), NOW)
    registry.see(METER, Seen(sent=10), LATER)
    registry.detach(METER, LATER)
    assert not registry.attach(METER, "tls", "10.0.0.2:4000", LATER)
    await registry.close()

    registry = Registry(tmp_path / "meters.db")
    assert METER in registry
    assert len(registry) == 1
    link = registry.link(METER)
    assert link is not None
    assert (link.address, link.attached) == ("10.0.0.2:4000", False)  # nobody is there yet
    assert (link.round_trip_us, link.sent, link.lost, link.loss) == (800, 20, 1, 0.05)
    assert (link.first_seen, link.last_seen) == (NOW, LATER)
    assert not registry.attach(METER, "tls", "10.0.0.2:4000", LATER)
    assert [notice.code for notice in registry.untold(10)] == [NoticeCode.METER_FOUND]
    await registry.close()


@in_loop
async def test_a_killed_process_leaves_nobody_attached_in_the_file(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "meters.db")
    registry.attach(METER, "tls", "10.0.0.1:4000", NOW)
    await registry.flush()
    registry._connection.close()  # killed: it can not say that the meter is gone
    registry = Registry(tmp_path / "meters.db")
    await registry.flush()
    with closing(open_reader(tmp_path / "meters.db")) as connection:
        assert [link.attached for link in read_links(connection)] == [False]
    await registry.close()


@in_loop
async def test_a_notice_is_kept_until_it_is_told_and_no_number_is_given_twice(
    tmp_path: Path,
) -> None:
    registry = Registry(tmp_path / "meters.db")
    for _ in range(3):
        registry.note(NoticeCode.QUOTA_FULL, NOW, METER, "why")
    registry.told([1, 3])
    await registry.close()
    registry = Registry(tmp_path / "meters.db")
    assert [notice.number for notice in registry.untold(10)] == [2]
    registry.note(NoticeCode.STARTED, LATER)
    assert [notice.number for notice in registry.untold(10)] == [2, 4]
    assert [notice.number for notice in registry.untold(1)] == [2]
    await registry.close()


@in_loop
async def test_told_notices_are_pruned_and_untold_ones_never(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "meters.db")
    for _ in range(TOLD_KEPT + 50):
        registry.note(NoticeCode.QUOTA_FULL, NOW, METER)
    registry.told(range(2, TOLD_KEPT + 51))
    await registry.close()
    connection = open_reader(tmp_path / "meters.db")
    assert [notice.number for notice in read_notices(connection, told=False)] == [1]
    assert len(read_notices(connection, told=True)) == TOLD_KEPT
    assert [n.number for n in read_notices(connection, newest=1)] == [TOLD_KEPT + 50]
    connection.close()


@in_loop
async def test_notices_for_a_head_end_that_is_away_for_ever_are_bounded_and_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNTOLD_MOST", 20)
    monkeypatch.setattr(module, "DROPPED_AT_ONCE", 5)
    registry = Registry(tmp_path / "meters.db")
    for number in range(1, 31):
        registry.note(NoticeCode.QUOTA_FULL, NOW, METER)
        if number == 12:
            await registry.flush()  # some of what is dropped later lies in the file by then
    waiting = registry.untold(100)
    assert [n.text for n in waiting if n.code == NoticeCode.NOTICES_DROPPED] == [
        "5 notices, numbers 1 to 5; 5 since the start",
        "5 notices, numbers 6 to 10; 10 since the start",
        "5 notices, numbers 11 to 15; 15 since the start",
    ]
    kept = list(range(16, 34))  # 30 and the three that tell of the others
    assert [n.number for n in waiting] == kept
    await registry.close()
    registry = Registry(tmp_path / "meters.db")
    assert [n.number for n in registry.untold(100)] == kept
    monkeypatch.setattr(module, "UNTOLD_MOST", 10)  # an earlier version left more
    registry.note(NoticeCode.QUOTA_FULL, NOW, METER)
    assert len(registry.untold(100)) <= 10
    await registry.close()


@in_loop
async def test_a_full_disk_loses_nothing_that_was_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path / "meters.db")
    pages = registry._connection.execute("PRAGMA page_count").fetchone()[0]
    registry._connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(500):
        registry.note(NoticeCode.QUOTA_FULL, NOW, METER, "x" * 300)
    await registry.flush()
    await registry.flush()
    assert "full" in registry.failing
    assert caplog.text.count("cannot be written") == 1
    registry._connection.execute("PRAGMA max_page_count = 100000")
    await registry.flush()
    assert registry.failing == ""
    await registry.close()
    registry = Registry(tmp_path / "meters.db")
    assert [n.number for n in registry.untold(1000)] == list(range(1, 501))
    await registry.close()


@in_loop
async def test_a_damaged_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "meters.db").write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.ERROR):
        registry = Registry(tmp_path / "meters.db")
    assert len(registry) == 0
    assert "meters are found again as they call" in caplog.text
    await registry.close()


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_reader(tmp_path / "meters.db")
