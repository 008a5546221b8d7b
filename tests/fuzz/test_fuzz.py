# SPDX-License-Identifier: Apache-2.0
"""Every decoder is fuzzed: some thousand runs each time, ten minutes in the long run."""

import os
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from fuzz.targets import TARGETS
from openami.dlms.errors import DlmsError
from vectors import vectors

TESTS = Path(__file__).resolve().parent.parent
SHORT_RUNS = 1500  # of which the corpus is the first part
LONG_S = 600

pytestmark = pytest.mark.skipif(
    find_spec("atheris") is None and "CI" not in os.environ,
    reason="atheris is built for Linux on x86_64 only",
)


def fuzz(folder: Path, limit: str, *names: str, timeout_s: float) -> None:
    path = os.pathsep.join((str(TESTS.parent / "src"), str(TESTS)))
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.run", folder, limit, *names],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def stands(told: str) -> None:
    """Accept what a target said if it came to its end without a defect."""
    assert " fails on " not in told, told[-4000:]
    executed = [line for line in told.splitlines() if "number_of_executed_units" in line]
    assert executed, told[-4000:]
    assert int(executed[0].split()[-1]) > 0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all targets said after a moment of fuzzing."""
    folder = tmp_path_factory.mktemp("fuzz")
    fuzz(folder, f"runs={SHORT_RUNS}", *TARGETS, timeout_s=800)
    return folder


@pytest.mark.timeout(900)  # whichever test comes first waits for all
@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_stands_a_moment_of_fuzzing(name: str, told: Path) -> None:
    stands((told / name).read_text(encoding="utf-8", errors="replace"))


@pytest.mark.long
@pytest.mark.timeout(LONG_S + 400)
@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_stands_ten_minutes_of_fuzzing(name: str, tmp_path: Path) -> None:
    seconds = int(os.environ.get("OPENAMI_FUZZ_S", LONG_S))
    fuzz(tmp_path, f"max_total_time={seconds}", name, timeout_s=seconds + 300)
    stands((tmp_path / name).read_text(encoding="utf-8", errors="replace"))


@pytest.mark.parametrize("row", vectors("fuzz/regressions.toml"), ids=lambda row: row["name"])
def test_what_fuzzing_found_stays_cured(row: dict[str, object]) -> None:
    octets = row["octets"]
    assert isinstance(octets, bytes)
    with suppress(DlmsError):
        TARGETS[str(row["target"])](octets)
