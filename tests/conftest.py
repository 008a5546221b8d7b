# SPDX-License-Identifier: Apache-2.0
"""How tests are run: properties judged by their truth, files that take long begun first."""

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# A property is never judged by how long a busy machine took.  What says no number of its own is
# tried with so many examples; `make test-long` tries ten times as many.
EXAMPLES: Final = int(os.environ.get("OPENAMI_EXAMPLES", "40"))
settings.register_profile(
    "openami",
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("openami")

TESTS: Final = Path(__file__).resolve().parent

# Files are given out whole to whoever is free; one that takes a minute and comes last is waited for
# alone.  What starts whole processes comes first, the longest of them at the top.
FIRST: Final = (
    "meter/test_modules.py",
    "headend/test_workers.py",
    "faults",
    "fuzz",
    "system",
    "meter/test_meter_apart.py",
    "cli/test_conformance_meter.py",
    "browser",
    "bench",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that take long; within a file the order stays."""
    places = [TESTS / name for name in FIRST]

    def turn(item: pytest.Item) -> int:
        for number, place in enumerate(places):
            if item.path.is_relative_to(place):
                return number
        return len(places)

    items.sort(key=turn)
