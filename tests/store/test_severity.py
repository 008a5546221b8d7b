# SPDX-License-Identifier: Apache-2.0
"""The table of severities: ours names every event, an operator's takes its place."""

from pathlib import Path

import pytest

from openami.exchange.events import ALARMS, EventCode
from openami.runtime.errors import ConfigurationError
from openami.store.severity import OTHER, Severities, Severity


def test_ours_names_every_event_once_and_each_alarm_wants_somebody() -> None:
    table = Severities.load()
    assert set(table.of) == {int(code) for code in EventCode}
    assert all(table.rate(code).severity is not Severity.INFO for code in ALARMS)
    assert table.codes(kind="tamper", severity="harm") == [40, 42, 44]
    assert set(table.codes(kind="tamper")) == {40, 41, 42, 43, 44, 45}


def test_what_no_table_names_wants_a_look() -> None:
    rated = Severities.load().rate(200)
    assert (rated.kind, rated.severity) == (OTHER, Severity.LOOK)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[a]\nseverity = "grave"\ncodes = [1]\n', "one of harm, look, info"),
        ('[a]\nseverity = "harm"\ncodes = ["1"]\n', "a list of whole numbers"),
        ('[a]\nseverity = "harm"\ncodes = [1]\n[b]\nseverity = "look"\ncodes = [1]\n', "without 1"),
        ('[a]\nseverity = "harm"\ncodes = [1]\ncolour = "red"\n', "no key colour"),
        ('[a]\nseverity = "harm"\n', "lacks the key 'codes'"),
    ],
)
def test_a_table_that_has_no_sense_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "severities.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        Severities.load(path)
