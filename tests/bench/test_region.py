# SPDX-License-Identifier: Apache-2.0
"""A region of 300 meters through the product's processes, every value held to the meters' own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bench.fleet_process import FleetProcess

from bench import region
from openami.store.intervals import Lake

METERS = 300


class Spoilt:
    """A fleet whose dump differs from what it was read as."""

    def __init__(self, fleet: FleetProcess, place: tuple[int, ...]) -> None:
        self._fleet, self._place = fleet, place

    def do(self, what: str, **values: object) -> dict[str, object]:
        said = self._fleet.do(what, **values)
        path = str(values["path"])
        found = np.load(path)
        found[self._place] += 1
        np.save(path, found)
        return said


def test_every_value_of_a_region_arrives_and_one_that_differs_is_found(tmp_path: Path) -> None:
    """It starts four processes, which takes most of its time."""
    compared = []

    def check(lake: Lake, fleets: Sequence[FleetProcess], folder: Path, meters: int) -> None:
        region.compare(lake, fleets, folder, meters)
        for place in ((0, 0, 0), (METERS - 1, 47, 1), (17, 20, 3)):
            spoilt = [Spoilt(fleet, place) for fleet in fleets]
            with pytest.raises(SystemExit, match="wrong values"):
                region.compare(lake, spoilt, folder, meters)  # type: ignore[arg-type]
        with pytest.raises(SystemExit, match="values of IMPORT_WH"):
            region.compare(lake, fleets, folder, meters + 1)
        compared.append(meters)

    result = region.run(METERS, tmp_path, lambda _what, _done, _of: None, check)

    assert compared == [METERS]
    assert result.values == METERS * 48 * 4
    assert result.wire_octets > METERS * 1000
    assert all(cost.cpu_s > 0 < cost.peak_kib for cost in result.roles.values())
    assert "57,600" in region_text(result)


def region_text(result: region.Result) -> str:
    return "\n".join(
        str(cell) for column in region.shown([result]).columns for cell in column.cells
    )
