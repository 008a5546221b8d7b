# SPDX-License-Identifier: Apache-2.0
"""The ring on disk: wrapping, restarts, power cuts, damage, a full disk."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.power import Recorder, images
from openami.device import ring as ring_module
from openami.device.ring import HEAD, Ring
from openami.device.storage import StorageError

CAPACITY = 8
RECORD = 4 + 8 + 4


def payload(sequence: int) -> bytes:
    return (sequence * 7919).to_bytes(4)


def open_ring(path: Path) -> tuple[Ring, str | None]:
    return Ring.open(path, payload_octets=4, capacity=CAPACITY)


def content(ring: Ring) -> list[bytes]:
    return [bytes(row) for row in ring.read(ring.first, ring.last)]


def sound(ring: Ring) -> list[bytes]:
    sequences = range(ring.first, ring.last + 1)
    return [payload(number) for number in sequences if number not in ring.holes]


def numbered(first: int, last: int) -> list[bytes]:
    return [payload(number) for number in range(first, last + 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=3 * CAPACITY), max_size=6))
def test_the_newest_records_stay(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int]
) -> None:
    path = tmp_path_factory.mktemp("ring") / "profile.ring"
    last = 0
    for count in batches:
        ring, finding = open_ring(path)
        assert finding is None
        assert (ring.last, content(ring)) == (last, numbered(max(1, last - CAPACITY + 1), last))
        ring.append(numbered(last + 1, last + count))
        last += count
        assert ring.newest() == (payload(last) if last else None)
        ring.close()
    ring, _ = open_ring(path)

    assert len(ring) == min(last, CAPACITY)
    assert ring.read(ring.first + 1, ring.last - 1).tolist() == content(ring)[1:-1]
    ring.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_anywhere_keeps_what_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    path = tmp_path / "profile.ring"
    ring, _ = open_ring(path)
    before = path.read_bytes()
    recorder = Recorder(monkeypatch, ring_module)
    draw = Random(seed)
    states: list[tuple[int, int]] = []
    last = synced = 0
    for _ in range(14):
        count = draw.randrange(1, 4)
        operations = len(recorder.operations)
        ring.append(numbered(last + 1, last + count))
        last += count
        states += [(last, synced)] * (len(recorder.operations) - operations)
        if draw.random() < 0.6:
            ring.sync()
            synced = last
            states.append((last, synced))
    monkeypatch.undo()

    for done, image in images(before, recorder.operations, draw):
        path.write_bytes(image)
        most, least = states[done - 1] if done else (0, 0)
        found, finding = open_ring(path)
        assert least <= found.last <= most
        # Only slots that an unsynced record was written over may be missing.
        assert all(hole <= most - CAPACITY for hole in found.holes)
        assert found.first <= max(1, most - CAPACITY + 1)
        assert content(found) == sound(found)
        assert finding is None
        found.append([payload(found.last + 1)])
        assert content(found) == sound(found)
        found.close()


def test_a_damaged_record_is_a_hole_that_can_be_filled(tmp_path: Path) -> None:
    path = tmp_path / "profile.ring"
    ring, _ = open_ring(path)
    ring.append(numbered(1, 5))
    ring.sync()
    ring.append(numbered(6, 6))
    ring.close()
    octets = bytearray(path.read_bytes())
    octets[HEAD.size + 2 * RECORD + 9] ^= 0x40
    path.write_bytes(octets)

    ring, finding = open_ring(path)

    assert finding is not None
    assert "profile.ring.damaged-1" in finding
    assert (tmp_path / "profile.ring.damaged-1").exists()
    assert (ring.first, ring.last, ring.holes) == (1, 6, {3})
    assert content(ring) == [payload(n) for n in (1, 2, 4, 5, 6)]
    ring.put(3, payload(3))
    ring.put(7, payload(7))
    ring.put(99, payload(99))
    assert content(ring) == numbered(1, 7)
    ring.close()
    assert open_ring(path)[1] is None


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"OAMRNG01" + bytes(40)])
def test_a_foreign_file_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "profile.ring"
    path.write_bytes(damage)

    ring, finding = open_ring(path)

    assert (finding is None) == (damage == b"")
    assert len(ring) == 0
    ring.append(numbered(1, 1))
    ring.close()
    assert content(open_ring(path)[0]) == numbered(1, 1)


def test_a_ring_of_rubbish_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "profile.ring"
    ring, _ = open_ring(path)
    ring.append(numbered(1, CAPACITY))
    ring.close()
    octets = path.read_bytes()
    path.write_bytes(octets[: HEAD.size] + Random(1).randbytes(CAPACITY * RECORD))

    ring, finding = open_ring(path)

    assert finding is not None
    assert "none of its records is sound" in finding
    assert (ring.first, ring.last) == (1, 0)


def test_an_empty_ring_can_begin_later(tmp_path: Path) -> None:
    path = tmp_path / "profile.ring"
    ring, _ = open_ring(path)
    ring.start_after(40)
    ring.append(numbered(41, 43))
    ring.start_after(99)
    ring.close()

    ring, finding = open_ring(path)

    assert finding is None
    assert (ring.first, content(ring)) == (41, numbered(41, 43))


def test_a_full_disk_shows_none_of_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "profile.ring"
    ring, _ = open_ring(path)
    ring.append(numbered(1, 2))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(StorageError, match="free space"):
        ring.append(numbered(3, 4))
    monkeypatch.undo()

    assert content(ring) == numbered(1, 2)
    ring.append(numbered(3, 4))
    assert content(ring) == numbered(1, 4)
    ring.close()


def test_a_wrong_size_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    ring, _ = open_ring(tmp_path / "profile.ring")
    with pytest.raises(ValueError, match="holds 4 octets, not 2"):
        ring.append([b"ab"])
