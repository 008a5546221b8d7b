# SPDX-License-Identifier: Apache-2.0
"""What is told when, on a clock of the test's own."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from loops import in_loop
from openami.concentrator.registry import Registry, Seen
from openami.concentrator.words import Words
from openami.exchange.field import FirmwareState, Heartbeat, NoticeCode, decode_word

METER = bytes.fromhex("4F414D0000000001")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
BEAT = Heartbeat(
    at=NOW,
    started=NOW,
    entries=1,
    octets=2,
    most_octets=3,
    oldest_s=4,
    meters=5,
    attached=6,
    at_quota=7,
    refused=8,
)


class Setting:
    """Words of a registry, at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 100.0
        self.registry = Registry(folder / "meters.db")
        self.firmware: FirmwareState | None = None
        self.words = Words(
            self.registry, lambda: BEAT, lambda: self.now_s, 10.0, lambda: self.firmware
        )
        self.words.begin()

    def said(self) -> list[tuple[int, str]]:
        """Return long-invoke-id and kind of what is due."""
        kinds = []
        for apdu in self.words.due():
            invoke_id, word = decode_word(apdu)
            kind = "heartbeat"
            if isinstance(word, list):
                kind = type(word[0]).__name__
            elif isinstance(word, FirmwareState):
                kind = word.version
            kinds.append((invoke_id, kind))
        return kinds


@in_loop
async def test_a_heartbeat_is_said_every_so_often_and_its_round_trip_measured(
    tmp_path: Path,
) -> None:
    it = Setting(tmp_path)
    ((beat, kind),) = it.said()
    assert kind == "heartbeat"
    assert it.said() == []
    it.now_s += 0.5
    it.words.confirmed(beat)
    assert it.words.round_trip_s == 0.5
    it.now_s += 9.5
    assert [kind for _, kind in it.said()] == ["heartbeat"]
    await it.registry.close()


@in_loop
async def test_an_uplink_that_confirms_nothing_for_three_heartbeats_is_dead(
    tmp_path: Path,
) -> None:
    it = Setting(tmp_path)
    for _ in range(3):
        it.now_s += 10.0
        it.said()
        assert not it.words.is_dead
    it.now_s += 1.0
    assert it.words.is_dead
    it.words.begin()
    assert not it.words.is_dead
    await it.registry.close()


@in_loop
async def test_notices_are_told_again_until_they_are_confirmed(tmp_path: Path) -> None:
    it = Setting(tmp_path)
    it.registry.note(NoticeCode.STARTED, NOW)
    assert [kind for _, kind in it.said()] == ["heartbeat", "Notice"]
    assert it.said() == []
    it.now_s += 10.0
    (_, (notices, kind)) = it.said()
    assert kind == "Notice"
    it.words.confirmed(notices)
    assert it.registry.untold(10) == []
    it.registry.note(NoticeCode.STOPPED, NOW)
    assert [kind for _, kind in it.said()] == ["Notice"]
    await it.registry.close()


@in_loop
async def test_only_links_that_changed_are_said_and_all_of_them_to_a_new_uplink(
    tmp_path: Path,
) -> None:
    it = Setting(tmp_path)
    it.registry.attach(METER, "tls", "10.0.0.1:4000", NOW)
    it.registry.told([1])
    assert [kind for _, kind in it.said()] == ["heartbeat", "LinkState"]
    for expected in (["heartbeat"], ["heartbeat"], ["heartbeat"]):
        it.now_s += 10.0
        assert [kind for _, kind in it.said()] == expected
    it.registry.see(METER, Seen(sent=1), NOW)
    it.now_s += 10.0
    assert [kind for _, kind in it.said()] == ["heartbeat", "LinkState"]
    it.words.begin()
    assert [kind for _, kind in it.said()] == ["heartbeat", "LinkState"]
    await it.registry.close()


@in_loop
async def test_what_runs_is_said_when_it_changed_and_on_each_new_uplink(tmp_path: Path) -> None:
    it = Setting(tmp_path)
    it.firmware = FirmwareState(
        version="1.0.0", digest=b"", signer=b"", counter=1, bank=0, trial=False
    )
    assert [kind for _, kind in it.said()] == ["heartbeat", "1.0.0"]
    it.now_s += 10
    assert [kind for _, kind in it.said()] == ["heartbeat"]
    it.firmware = replace(it.firmware, version="1.1.0", trial=True)
    assert [kind for _, kind in it.said()] == ["1.1.0"]  # at once
    it.now_s += 10
    assert [kind for _, kind in it.said()] == ["heartbeat"]
    it.words.begin()
    assert [kind for _, kind in it.said()] == ["heartbeat", "1.1.0"]
    await it.registry.close()
