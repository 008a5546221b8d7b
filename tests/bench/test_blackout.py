# SPDX-License-Identifier: Apache-2.0
"""A small blackout is lived through, with and without a topology; no figure is judged here."""

from pathlib import Path

import pytest
from bench.blackout import Blackout, lines, run

from openami.exchange.events import EventCode
from openami.store.database import open_database

METERS = 96


@pytest.mark.parametrize("by", ["transformers", "areas"])
def test_a_blackout_is_found_followed_and_over(by: str, tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}", create=True)
    result = run(engine, METERS, areas=by == "areas")
    engine.dispose()
    assert result.meters == METERS
    assert 4.0 <= result.first_after_s <= result.all_after_s <= 8.0  # questions are waited for
    assert all(lines(result).values())


def test_a_meter_that_does_not_come_back_gives_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'store.db'}", create=True)
    tell = Blackout.tell

    def tell_most(street: Blackout, numbers: list[int], code: int, seconds: int = 0) -> None:
        tell(street, numbers[1:] if code == EventCode.POWER_RETURNED else numbers, code, seconds)

    monkeypatch.setattr(Blackout, "tell", tell_most)
    with pytest.raises(SystemExit, match="no figure is taken from it"):
        run(engine, METERS, areas=True)
    engine.dispose()
