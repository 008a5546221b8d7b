# SPDX-License-Identifier: Apache-2.0
"""Say which files of tests took how long: `python tools/test_times.py .cache/results.xml`.

Seconds are those of all workers together, set-up of what tests share included.
"""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

SHOWN = 15


def seconds_by_file(results: Path) -> Counter[str]:
    """Return seconds by test file of pytest's JUnit report."""
    found: Counter[str] = Counter()
    for case in ET.parse(results).iter("testcase"):  # noqa: S314  we wrote it
        found[case.get("classname", "").removeprefix("tests.")] += float(case.get("time", 0))
    return found


def main() -> None:
    """Print the table."""
    found = seconds_by_file(Path(sys.argv[1]))
    whole = sum(found.values())
    longest = found.most_common(SHOWN)
    print(f"{whole:,.0f} s of tests in {len(found)} files, of which the longest:")
    for name, seconds in longest:
        print(f"{seconds:8,.0f} s {seconds / whole:6.1%}  {name}")


if __name__ == "__main__":
    main()
