# SPDX-License-Identifier: Apache-2.0
"""The tables of `docs/tls.md` are those that the modules interpret, and each trap has its test."""

import re
from pathlib import Path

import pytest

from openami.transport.tlspolicy import DEFAULT_POLICY, SUITES, VERSIONS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "tls.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[a-z_/]+\.py)::([a-z_0-9]+)`", DOCUMENT)


def rows(title: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this title."""
    _, _, rest = DOCUMENT.partition(f"\n| {title} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_versions() -> None:
    assert rows("version") == [
        [name, f"{row.number:04X}", "datagrams" if row.datagrams else "streams", row.standard]
        for name, row in VERSIONS.items()
    ]


def test_suites() -> None:
    assert rows("cipher") == [
        [
            *(name, row.name, f"{row.code:04X}", row.name_1_3, f"{row.code_1_3:04X}"),
            str(row.tag_bits),
        ]
        for name, row in SUITES.items()
    ]


def test_the_policy_that_is_the_default() -> None:
    defaults = {row[0]: row[1] for row in rows("key")}
    assert defaults["session_lifetime_s"] == str(DEFAULT_POLICY.session_lifetime_s)
    assert defaults["resumption"] == str(DEFAULT_POLICY.resumption).lower()


def test_every_trap_has_a_test() -> None:
    assert len(TESTS) == len(rows("trap")) > 10


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{path} has no {name}"
