# SPDX-License-Identifier: Apache-2.0
"""The durable cell: restarts, power cuts, damage."""

from pathlib import Path
from random import Random

import pytest

from device.power import Recorder, images
from openami.device import cell as cell_module
from openami.device.cell import Cell
from openami.device.storage import StorageError


def value(path: Path) -> int:
    cell, finding = Cell.open(path, initial=bytes(8))
    cell.close()
    assert finding is None
    return int.from_bytes(cell.value)


def test_the_last_value_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "counter.cell"
    for number in range(5):
        assert value(path) == number
        cell, _ = Cell.open(path, initial=bytes(8))
        cell.store((number + 1).to_bytes(8))
        cell.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_never_goes_behind_what_was_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    path = tmp_path / "counter.cell"
    cell, _ = Cell.open(path, initial=bytes(8))
    before = path.read_bytes()
    recorder = Recorder(monkeypatch, cell_module)
    draw = Random(seed)
    states: list[tuple[int, int]] = []
    durable = 0
    for number in range(1, 30):
        lasting = draw.random() < 0.5
        cell.store(number.to_bytes(8), durable=lasting)
        states.append((number, durable))
        if lasting:
            durable = number
            states.append((number, durable))
    monkeypatch.undo()

    for done, image in images(before, recorder.operations, draw):
        path.write_bytes(image)
        most, least = states[done - 1] if done else (0, 0)
        assert least <= value(path) <= most


def test_damage_of_both_places_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "counter.cell"
    path.write_bytes(b"\xaa" * 1024)

    cell, finding = Cell.open(path, initial=b"\x00\x07")

    assert finding is not None
    assert "counter.cell.damaged-1" in finding
    assert cell.value == b"\x00\x07"


def test_a_refusing_disk_keeps_the_value_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, _ = Cell.open(tmp_path / "counter.cell", initial=bytes(8))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(StorageError, match="free space"):
        cell.store((9).to_bytes(8))
    assert cell.value == bytes(8)
