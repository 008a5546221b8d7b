# SPDX-License-Identifier: Apache-2.0
"""Counters and the state of management across restarts and damage."""

from pathlib import Path

import pytest

from openami.cosem.classes.disconnect import ControlState
from openami.dlms.security.counters import EXHAUSTED, CounterBlock
from openami.meter.state import COUNTERS_SINCE_S, SPARE_PER_S, CounterStore, StateStore


def real_us() -> int:
    return (COUNTERS_SINCE_S + 1_000_000) * 10**6


def test_no_counter_comes_twice_over_restarts(tmp_path: Path) -> None:
    used: list[int] = []
    for _ in range(5):
        store = CounterStore(tmp_path / "counters.cell", real_us)
        counters = CounterBlock.reserving(store, 10)
        used += [counters.next() for _ in range(13)]  # and the process is killed here

    assert len(set(used)) == len(used)
    assert used == sorted(used)
    assert used[0] == 1


def test_a_damaged_counter_goes_on_far_above(tmp_path: Path) -> None:
    path = tmp_path / "counters.cell"
    CounterStore(path, real_us).reserve(5000)
    path.write_bytes(b"\xff" * 1024)

    store = CounterStore(path, real_us)

    assert store.finding is not None
    assert store.reserve(1) == 1_000_000 * SPARE_PER_S + 1
    path.write_bytes(b"\xff" * 1024)
    assert CounterStore(path, lambda: 10**17).reserve(1) == EXHAUSTED


def test_state_survives(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "management.cell")
    assert store.state.control_state is ControlState.CONNECTED
    store.note(receipted=7, window_expected=2**32)
    store.note(durable=True, control_state=ControlState.DISCONNECTED, output_closed=False)

    again = StateStore(tmp_path / "management.cell")

    assert again.finding is None
    assert again.state == store.state
    assert again.state.control_state is ControlState.DISCONNECTED
    store.close()
    again.close()


@pytest.mark.parametrize("damage", ["gone", "cut in half", "newest place spoilt"])
def test_counters_in_doubt_go_on_above_all_that_was_used(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "counters.cell"
    store = CounterStore(path, real_us)
    used = [store.reserve(256) for _ in range(2)][-1] + 255
    store.close()
    octets = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut in half":
        path.write_bytes(octets[:512])
    else:
        path.write_bytes(b"\xaa" * 20 + octets[20:])

    again = CounterStore(path, real_us, begun=True)

    assert (again.finding is not None) == (damage == "gone")
    assert again.reserve(1) > used
    again.close()


def test_sound_counters_go_on_where_they_were(tmp_path: Path) -> None:
    path = tmp_path / "counters.cell"
    for turn in range(4):
        store = CounterStore(path, real_us, begun=turn > 0)
        assert store.reserve(10) == 1 + 10 * turn
        store.close()
