# SPDX-License-Identifier: Apache-2.0
"""Each part of `make bench` runs, proves its work and reports it; no figure is judged here."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODECS = {"openami", "gurux-dlms", "dlms-cosem"}
BARE = {"bare asyncio", "bare asyncio, new"}
HANDSHAKES = [{"openami", "openssl"}] * 2 + [{"openami"}] * 10

SECTIONS = [
    pytest.param("codecs", [CODECS] * 5, marks=pytest.mark.interop),
    pytest.param("round_trips", [CODECS | BARE] * 4, marks=[pytest.mark.interop, pytest.mark.long]),
    pytest.param("crowd", [{"openami"} | BARE] * 2 + [{"openami"}] * 2, marks=pytest.mark.long),
    pytest.param("meter_reads", [{"openami"}] * 3),
    pytest.param("memory", [{"openami", "bare asyncio"}] * 2),
    pytest.param("handshakes", HANDSHAKES, marks=[pytest.mark.interop, pytest.mark.long]),
    pytest.param("fleet", [{"openami"}] * 6),
    pytest.param("pushes", [{"openami"}] * 4),
    pytest.param("blackout", [{"openami"}] * 4),
    pytest.param("lake", [{"openami"}] * 5),
    pytest.param("measuring", [{"openami"}] * 3),
    pytest.param("modules", [{"openami"}] * 3),
    pytest.param("updates", [{"openami"}] * 10, marks=pytest.mark.long),
    pytest.param("wall", [{"openami"}] * 12),
]


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize(("section", "parties"), SECTIONS)
def test_a_section_is_measured(section: str, parties: list[set[str]], tmp_path: Path) -> None:
    file, table = tmp_path / "figures.json", tmp_path / "table.md"

    done = python("-m", "bench", "--quick", "--only", section, "--json", file, "--markdown", table)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    figures: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["figures"]
    assert [set(figure["rounds"]) for figure in figures] == parties
    assert len({figure["name"] for figure in figures}) == len(figures)
    for number, figure in enumerate(figures, 1):
        assert f"{figure['name']} ({number})" in done.stdout
        check(figure)
    _, _, *lines = table.read_text(encoding="utf-8").splitlines()
    assert [line.split("|")[1].strip() for line in lines] == [each["name"] for each in figures]


def check(figure: dict[str, Any]) -> None:
    """Hold medians and ratios to the rounds they come from."""
    rounds: dict[str, list[float]] = figure["rounds"]
    for who, theirs in rounds.items():
        assert len(theirs) == len(rounds["openami"]) > 0
        assert min(theirs) > 0
        assert figure["median"][who] == statistics.median(theirs)
        if who != "openami":
            ratios = [ours / other for ours, other in zip(rounds["openami"], theirs, strict=True)]
            assert figure["ratio"][who] == statistics.median(ratios)
    assert (figure["goal"] is None) == (figure["reached"] is None)


def test_wrong_work_gives_no_figure() -> None:
    done = python("-c", "from bench.measure import same; same(41, 42, 'the sum')")

    assert done.returncode == 1
    assert done.stderr == "the sum gave 41, not 42: no figure is taken from it\n"


def test_a_goal_may_be_a_part_of_another_figure() -> None:
    program = """
from bench.measure import Goal, Row
row = Row("x", "1/s", goal=Goal(figure=0.5, beside="other"))
assert row.reached() is None
row.add({"openami": 6, "other": 10})
assert row.reached() is True
row.add({"openami": 2, "other": 10})
assert row.reached() is False
assert Row("x", "1/s").reached() is None
small = Row("x", "ms", goal=Goal(figure=10), less_is_better=True)
small.add({"openami": 11})
assert small.reached() is False
small.add({"openami": 3})
small.add({"openami": 3})
assert small.reached() is True
"""
    done = python("-c", program)

    assert done.returncode == 0, done.stderr


def test_an_unknown_part_is_refused() -> None:
    done = python("-m", "bench", "--only", "nothing")

    assert done.returncode == 2
    assert "nothing" in done.stderr


def test_meters_that_stand() -> None:
    done = python("-m", "bench.standing", "--connections", "20", "--pairs", "1")

    assert done.returncode == 0, done.stderr
    assert "20  connections held at once" in done.stdout


def test_too_many_meters_for_the_limit_of_open_files() -> None:
    done = python("-m", "bench.standing", "--connections", "1000000000")

    assert done.returncode == 1
    assert "open files are needed" in done.stderr
    assert "Traceback" not in done.stderr
