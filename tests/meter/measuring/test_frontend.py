# SPDX-License-Identifier: Apache-2.0
"""The front end of a running meter notices what is done to its terminals and its case."""

from pathlib import Path

import pytest

from openami.exchange.events import TEXT_BY_NUMBER
from openami.meter.measuring.frontend import FrontEnd
from openami.meter.measuring.rules import RULES, Event
from openami.meter.measuring.selftest import Status
from openami.meter.measuring.terminals import Terminals
from openami.meter.metrology import Momentary
from openami.runtime.errors import ConfigurationError

SHOWN = Momentary(
    at_s=0,
    breaker_closed=True,
    power_w=2300,
    voltage_dv=2300,
    current_ca=1000,
    import_register_wh=0,
    export_register_wh=0,
    import_wh=0,
    export_wh=0,
)
SOUND = Terminals()


def watched(*stretches: tuple[float, Terminals]) -> tuple[list[Event], FrontEnd]:
    """Return what happens while the terminals are so for so many seconds each."""
    front, now_s, found = FrontEnd(1, 100.0), 100.0, []
    for seconds, terminals in stretches:
        for _ in range(round(seconds / 0.2)):
            now_s += 0.2
            found += front.advance(now_s + 0.001, SHOWN, terminals)
    return found, front


@pytest.mark.parametrize(
    ("terminals", "codes"),
    [
        (Terminals(level_l1=0.7), [93]),
        (Terminals(level_l2=1.2), [97]),
        (Terminals(level_l3=0.0), [88, 92]),
        (Terminals(level_l1=0, level_l2=0, level_l3=0), [1, 2, 86, 87, 88, 90, 91, 92]),
        (Terminals(terminal_cover_open=True), [40, 41]),
        (Terminals(meter_cover_open=True), [44, 45]),
        (Terminals(magnet_mt=50.0), [42, 43]),
        (Terminals(neutral_lost=True), [234, 235]),
        (Terminals(sequence_reversed=True), [236, 237]),
        (Terminals(current_reversed=True), [238, 239]),
    ],
)
def test_each_thing_that_is_done_is_noticed_and_nothing_else(
    terminals: Terminals, codes: list[int]
) -> None:
    found, front = watched((3, SOUND), (7, terminals), (7, SOUND))

    assert sorted(event.code for event in found) == codes
    assert front.status == Status(0)
    assert all(event.code in TEXT_BY_NUMBER for event in found)


def test_what_is_measured_is_what_is_there() -> None:
    _, front = watched((2, SOUND))
    assert front.measured(SHOWN).voltage_dv == pytest.approx(2300, abs=5)
    assert front.measured(SHOWN).current_ca == pytest.approx(1000, abs=5)
    assert front.measured(SHOWN).import_register_wh == SHOWN.import_register_wh

    _, front = watched((2, SOUND), (2, Terminals(level_l1=0.5)))
    assert front.measured(SHOWN).voltage_dv == pytest.approx(1150, abs=5)


def test_a_host_that_comes_late_measures_on() -> None:
    front = FrontEnd(1, 0.0)
    assert front.advance(3600.0, SHOWN, SOUND) == []
    assert front.advance(3600.2, SHOWN, Terminals(terminal_cover_open=True))[0].code == 40


def test_every_code_of_the_watch_has_a_text() -> None:
    for rule in RULES:
        for code in filter(None, (rule.code, rule.end_code)):
            assert {code + n for n in range(3 if rule.per_phase else 1)} <= TEXT_BY_NUMBER.keys()


def test_the_file_says_what_was_stored_and_refuses_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "terminals.json"
    assert Terminals.load(path) == SOUND
    Terminals(magnet_mt=40.0, neutral_lost=True).store(path)
    assert Terminals.load(path) == Terminals(magnet_mt=40.0, neutral_lost=True)
    for words in ("{", '{"magnet_mt": 5000}', '{"level_l1": "high"}', '{"level": 1}', "[]"):
        path.write_text(words)
        with pytest.raises(ConfigurationError, match="terminals"):
            Terminals.load(path)
