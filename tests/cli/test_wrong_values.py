# SPDX-License-Identifier: Apache-2.0
"""What no option takes: numbers, times and secrets that are none, from whichever command."""

import pytest

from cli.runs import Run

METER = "tcp://127.0.0.1:9"


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "--speed", "nan"),
        ("simulate", "--push-every", "inf"),
        ("simulate", "--push-every", "nan"),
        ("profile", METER, "--slice-hours", "nan"),
        ("scan", METER, "--probe-timeout", "nan"),
    ],
)
def test_a_number_is_finite(words: tuple[str, ...], openami: Run) -> None:
    outcome = openami(*words)
    assert outcome.status == 2
    assert "is no finite number" in outcome.err


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:00:00"]
)
@pytest.mark.parametrize("command", [("read", METER, "1.0.99.1.0.255"), ("profile", METER)])
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_time_lies_in_a_year_that_a_clock_can_show(
    option: str, command: tuple[str, ...], time: str, openami: Run
) -> None:
    outcome = openami(*command, option, time)
    assert outcome.status == 2
    assert outcome.sentence.startswith(f"openami: {option} {time!r} is no time: write 2026-03-01")


@pytest.mark.parametrize("secret", ["0xzz", "0x123", "\udcff"])
def test_a_secret_is_text_or_octets_and_is_not_shown(secret: str, openami: Run) -> None:
    outcome = openami("read", METER, "--secret", secret, "0.0.1.0.0.255")
    assert outcome.status == 2
    assert outcome.sentence == (
        "openami: --secret must be text in UTF-8, or octets in hex after 0x"
    )
