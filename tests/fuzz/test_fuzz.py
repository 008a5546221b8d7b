# SPDX-License-Identifier: Apache-2.0
"""Every decoder is fuzzed: a minute in all each time, ten minutes each in the long run."""

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
ALL_SHORT_S = 60
LONG_S = 600

pytestmark = pytest.mark.skipif(
    find_spec("atheris") is None and "CI" not in os.environ,
    reason="atheris is built for Linux on x86_64 only",
)


def fuzz(name: str, seconds: float) -> None:
    path = os.pathsep.join((str(TESTS.parent / "src"), str(TESTS)))
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.run", name, str(seconds)],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=seconds + 200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    executed = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    assert int(executed[0].split()[-1]) > 0


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_stands_a_moment_of_fuzzing(name: str) -> None:
    fuzz(name, ALL_SHORT_S / len(TARGETS))


@pytest.mark.long
@pytest.mark.timeout(LONG_S + 400)
@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_stands_ten_minutes_of_fuzzing(name: str) -> None:
    fuzz(name, float(os.environ.get("OPENAMI_FUZZ_S", LONG_S)))


@pytest.mark.parametrize("row", vectors("fuzz/regressions.toml"), ids=lambda row: row["name"])
def test_what_fuzzing_found_stays_cured(row: dict[str, object]) -> None:
    octets = row["octets"]
    assert isinstance(octets, bytes)
    with suppress(DlmsError):
        TARGETS[str(row["target"])](octets)
