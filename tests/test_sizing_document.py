# SPDX-License-Identifier: Apache-2.0
"""docs/sizing.md is what the script says, and the script measures on a real server."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from postgres import running_server

RATES = {"commands asked for", "commands carried through"}  # of one database
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def sizing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sizing", ROOT / "tools" / "sizing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_document_is_made_from_the_figures(sizing: ModuleType) -> None:
    committed = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
    assert committed == sizing.page(), "run python tools/sizing.py"


def test_ten_times_the_meters_cost_ten_times_as_much(sizing: ModuleType) -> None:
    text = (ROOT / "docs" / "sizing.toml").read_text(encoding="utf-8")
    said = sizing.tomllib.loads(text)
    small, large = (sizing.plan(said["assumed"] | said["measured"], n) for n in (10**6, 10**7))
    rows = {
        what: (value, ten) for (what, _, value, _), (_, _, ten, _) in zip(small, large, strict=True)
    }
    assert rows["readings a day"] == (96e6, 960e6)
    for what, (value, ten) in rows.items():
        if what not in {*RATES, "head-end workers, at least"}:
            assert ten == pytest.approx(10 * value), what


def test_every_measured_figure_of_the_database_is_measured(
    sizing: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizing, "METERS", 200)
    monkeypatch.setattr(sizing, "COMMANDS", 100)
    said = sizing.tomllib.loads((ROOT / "docs" / "sizing.toml").read_text(encoding="utf-8"))
    with running_server() as server:
        found = sizing.measure(server.new_database())
    assert found.keys() <= said["measured"].keys()
    assert all(value > 0 for value in found.values())
    text = (ROOT / "docs" / "sizing.toml").read_text(encoding="utf-8")
    again = sizing.tomllib.loads(sizing.entered(text, found | {"load": 0.25}))["measured"]
    assert again == said["measured"] | {
        name: pytest.approx(value, rel=1e-3) for name, value in found.items()
    } | {"load": 0.25}
