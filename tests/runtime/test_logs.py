# SPDX-License-Identifier: Apache-2.0
"""Records of logs as lines for people, and as objects for programs."""

import json
import logging

import pytest

from openami.runtime.errors import ExitCode, UserError
from openami.runtime.logs import JsonLines, set_up_logs


def test_a_record_is_one_object_on_one_line_whatever_it_says() -> None:
    error = ValueError("two\nlines")
    words = ("openami.x", logging.ERROR, "", 1, "meter %d: Zähler\n", (7,))
    record = logging.LogRecord(*words, (type(error), error, None))
    record.created = 1_793_491_200.25
    line = JsonLines().format(record)
    told = json.loads(line)
    assert "\n" not in line
    assert told.pop("exception").endswith("ValueError: two\nlines")
    assert told == {
        "at": "2026-11-01T00:00:00.250+00:00",
        "level": "ERROR",
        "name": "openami.x",
        "message": "meter 7: Zähler\n",
    }


def test_the_environment_chooses_and_a_wrong_choice_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: dict[str, list[logging.Handler]] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **words: made.update(words))
    monkeypatch.setenv("OPENAMI_LOGS", "json")
    set_up_logs()
    assert isinstance(made["handlers"][0].formatter, JsonLines)
    monkeypatch.delenv("OPENAMI_LOGS")
    set_up_logs()
    assert not isinstance(made["handlers"][0].formatter, JsonLines)
    monkeypatch.setenv("OPENAMI_LOGS", "xml")
    with pytest.raises(UserError, match="'xml': set it to text or json") as refused:
        set_up_logs()
    assert refused.value.exit_code is ExitCode.ASKED_WRONGLY
