# SPDX-License-Identifier: Apache-2.0
"""Times as pages show them."""

import re
from datetime import datetime

import pytest

from openami.runtime.clock import to_us
from openami.web.rendering import Shown, channel, outcome
from web.ami import Ami


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("2026-11-24 02:00", "2026-11-24 07:30", "02:00 to 07:30"),
        ("2026-11-23 02:00", "2026-11-23 07:30", "23 Nov 02:00 to 07:30"),
        ("2026-11-23 09:00", "2026-11-24 20:00", "23 Nov 09:00 to 24 Nov 20:00"),
        ("2026-11-24 09:00", "2026-11-25 00:00", "24 Nov 09:00 to 25 Nov 00:00"),
    ],
)
def test_a_stretch_says_its_dates_where_they_are_needed(
    seen: Ami, begin: str, end: str, said: str
) -> None:
    def us(text: str) -> int:
        return to_us(datetime.fromisoformat(text).replace(tzinfo=seen.context.config.zone))

    shown = Shown(seen.context, us("2026-11-24 21:00"))
    assert re.sub(r"<[^>]+>", "", shown.stretch(us(begin), us(end))) == said


def test_every_channel_has_words() -> None:
    assert [channel(number) for number in (1, 2, 3, 4)] == [
        "import",
        "export",
        "import register",
        "export register",
    ]


def test_alarms_are_named_and_registers_are_hexadecimal() -> None:
    result = {
        "registers": {
            "1": {"register": 0x2001, "filter": 0xFFFFFFFF, "descriptor": 0},
            "0": {"register": 0},
        },
        "alarms": [
            {"register": 1, "bit": 0, "kind": "terminal-cover", "text": "terminal cover removed"},
            {"register": 1, "bit": 13, "kind": "unknown", "text": ""},
        ],
    }
    assert outcome(result) == (
        "alarm register 1 00002001 · error register 00000000 · terminal cover removed"
        " · register 1, bit 13"
    )


def test_what_a_read_says_has_units() -> None:
    assert outcome({"voltage_dv": 2304}).startswith("230.4")
