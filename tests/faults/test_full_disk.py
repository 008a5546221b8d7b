# SPDX-License-Identifier: Apache-2.0
"""A disk takes nothing more: one process after the other may write no file beyond a few octets.

The limit is RLIMIT_FSIZE, set from outside on the running process: a write beyond it fails (EFBIG)
as on a full disk (ENOSPC), which the code treats alike.  Each says one sentence, lives on, and
catches up when there is room; at the end every interval is stored once.
"""

import resource
from collections.abc import Iterator

import pytest

from openami.exchange.channels import Channel
from openami.store.intervals import Lake
from system.ami import DAY_US, INSTALLED_US, Ami

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

METERS = 4
ROOM_OCTETS = 1200  # for what the process says of it in its log


@pytest.fixture(scope="module")
def ami(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    folder = tmp_path_factory.mktemp("full")
    with Ami(folder, meters=METERS, speed=1800, history_days=4) as ami:
        first_us = INSTALLED_US + 4 * DAY_US
        ami.until(lambda: ami.complete(first_us), "the first days are stored", 120)
        pids = ami.pids()
        yield ami
        end_us = ami.now_slot_us()
        ami.until(lambda: ami.complete(end_us), "every interval arrives", 120)
        assert ami.pids() == pids, "a process died"
        assert ami.tracebacks() == {}
    for meter_id in range(1, METERS + 1):
        values = ami.stored(meter_id, Channel.IMPORT_WH, end_us)
        measured = {start: value for start, (value, _) in values.items()}
        assert measured == ami.expected(meter_id, INSTALLED_US, end_us)
    versions = Lake(ami.layout.lake).versions(None, None, INSTALLED_US, end_us)
    identity = versions.select("meter_id", "channel", "start", "version")
    assert identity.is_unique().all(), "a version of a value is stored twice"


@pytest.mark.parametrize(
    ("process", "files"),
    [
        ("metrology", ["metrology.journal"]),
        ("management", ["profile.ring"]),
        ("fleet", ["profile-1.blocks"]),
        ("concentrator-south", ["journal.db"]),
        ("headend", ["openami.db"]),
        ("mdm", ["openami.db", "lake"]),  # whichever is written first
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_full_disk_is_said_and_survived(ami: Ami, process: str, files: list[str]) -> None:
    pid = ami.pids()[process]
    log = ami.layout.run / f"{process}.log"
    before = log.stat().st_size
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (before + ROOM_OCTETS, most))
        ami.until(lambda: bool(ami.figures(process).get("alarm")), f"{process} alarms", 40)
        alarm = str(ami.figures(process)["alarm"])
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    assert any(file in alarm for file in files), alarm
    assert "cannot be written" in alarm
    assert "free space" in alarm
    assert "cannot be written" in log.read_bytes()[before:].decode()

    ami.until(lambda: not ami.figures(process).get("alarm"), f"{process} is well again", 60)
    end_us = ami.now_slot_us()
    ami.until(lambda: ami.complete(end_us), "what waited arrives", 60)
