# SPDX-License-Identifier: Apache-2.0
"""The glass: segments, the order of screens, and what stands on each."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from openami.cli.main import openami
from openami.dlms.obis import Obis
from openami.meter.measuring.demo import DemoMeter
from openami.meter.measuring.display import (
    DASHES,
    ITEMS,
    REPLAY_ITEMS,
    Display,
    DisplayConfig,
    Item,
    Values,
    digits,
    quadrant,
    replayed,
)
from openami.meter.measuring.lcd import (
    SEGMENTS,
    TEST_SCREEN,
    UNITS,
    VALUE_DIGITS,
    NoGlyphError,
    Screen,
    cells,
    face,
    sheet,
    terminal,
)
from openami.meter.metrology import Metrology
from openami.meter.replay import ReplayedLoad
from openami.runtime.errors import UserError

AT_S = 1_790_000_000
ENERGY = next(item for item in ITEMS if item.shown_code == "1.8.0")
POWER = next(item for item in ITEMS if item.shown_code == "1.7.0")
SVG = "{http://www.w3.org/2000/svg}"


def test_segments_of_the_digits_are_told_apart() -> None:
    lit = [SEGMENTS[each] for each in "0123456789-FELr "]
    assert len(set(lit)) == len(lit)
    assert all(list(segments) == sorted(segments) for segments in lit)


def test_screens_follow_each_other_as_configured() -> None:
    items = ITEMS[:3]
    glass = Display(DisplayConfig(items=items, dwell_s=4.0, test_s=2.0))
    values = Values(at_s=AT_S)
    codes = [glass.screen(since_s, values).code for since_s in (0.0, 1.9, 2.0, 5.9, 6.1, 10, 14)]
    assert codes == [
        TEST_SCREEN.code,
        TEST_SCREEN.code,
        *(items[n].shown_code for n in (0, 0, 1, 2, 0)),
    ]
    assert len(glass.screens(values)) == 4


def test_what_is_not_measured_is_dashes_and_never_a_zero() -> None:
    glass = Display(DisplayConfig())
    values = Values(at_s=AT_S)
    for item in ITEMS:
        screen = glass.show(item, values)
        if item.shown_code in {"0.9.1", "0.9.2", "F.F"}:
            assert screen.value != DASHES
        else:
            assert screen.value == DASHES
    assert glass.show(ITEMS[0], values).value == "14:13:20"
    assert glass.show(ITEMS[1], values).value == "26.09.21"
    later = Display(DisplayConfig(offset_s=36_000))
    assert later.show(ITEMS[1], values).value == "26.09.22"


@pytest.mark.parametrize(
    ("value", "item", "shown"),
    [
        ("0", ENERGY, "000000.00"),
        ("1234.569", ENERGY, "001234.56"),
        ("999999.999", ENERGY, "999999.99"),
        ("1000000.01", ENERGY, "000000.01"),
        ("12", replace(ENERGY, decimals=0), "00000012"),
        ("1.2345", POWER, "1.234"),
        ("-3.6", POWER, "-3.600"),
        ("123456", POWER, DASHES),
    ],
)
def test_digits_of_registers_and_of_momentary_values(value: str, item: Item, shown: str) -> None:
    assert digits(Decimal(value), item) == shown


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9),
    st.sampled_from(ITEMS),
)
def test_whatever_is_measured_fits_the_glass(value: Decimal, item: Item) -> None:
    if item.is_energy:
        value = abs(value)
    assert len(cells(digits(value, item), VALUE_DIGITS)) == VALUE_DIGITS


def test_what_seven_segments_cannot_show_is_refused() -> None:
    with pytest.raises(NoGlyphError, match="seven segments cannot show 'W' of '5W'"):
        Screen(value="5W")
    with pytest.raises(NoGlyphError, match="needs 9 digits, the glass has 8"):
        Screen(value="123456789")
    with pytest.raises(NoGlyphError, match="the glass has no symbol 'MW'"):
        Screen(unit="MW")
    with pytest.raises(ValueError, match="name at least one"):
        DisplayConfig(items=())


def test_the_terminal_draws_seven_segments() -> None:
    screen = Screen(
        code="1.8.0",
        value="001234.56",
        unit="kWh",
        phases=frozenset({1, 3}),
        quadrant=4,
        tariff=2,
        alarm=True,
        relay_closed=False,
    )
    lines = terminal(screen).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "1.8.0" in lines[1]
    assert lines[2].rstrip("│ ") == "│         _   _       _   _       _   _"
    assert lines[3].rstrip("│ ") == "│        | | | |   |  _|  _| |_| |_  |_"
    assert lines[4].rstrip("│ ").startswith("│        |_| |_|   | |_   _|   |. _| |_|")
    assert "kWh" in lines[4]
    assert "L1 ── L3   Q IV   T2   ! alarm   relay OPEN" in lines[6]


def lit(svg: str) -> int:
    drawn = ET.fromstring(svg)  # noqa: S314  our own
    return sum(each.get("class") == "lit" for each in drawn.iter(f"{SVG}polygon"))


def test_the_picture_lights_what_the_screen_says() -> None:
    nothing = lit(face(Screen(code="", value="")))
    assert nothing == 0
    eights = lit(face(Screen(code="8.8.8", value="88888888")))
    assert eights == 7 * 11
    assert lit(face(Screen(value="1"))) == 2
    assert lit(face(Screen(value="1", quadrant=2))) == 2 + 2
    everything = ET.fromstring(face(TEST_SCREEN))  # noqa: S314  our own
    assert not [each for each in everything.iter() if each.get("class") in {"off", "wire dim"}]


@pytest.mark.parametrize("unit", UNITS)
def test_each_unit_has_its_symbol(unit: str) -> None:
    drawn = ET.fromstring(face(Screen(unit=unit)))  # noqa: S314  our own
    words = [each.text for each in drawn.iter(f"{SVG}text") if each.get("class") == "lit"]
    assert words == [unit, "connected"]


def test_a_sheet_holds_every_screen() -> None:
    glass = Display(DisplayConfig())
    screens = glass.screens(Values(at_s=AT_S))
    drawn = ET.fromstring(sheet(screens, "one\ntwo"))  # noqa: S314  our own
    moved = [each.get("transform", "") for each in drawn.findall(f"{SVG}g")]
    assert len(set(moved)) == len(screens)


@pytest.mark.parametrize(
    ("active_w", "reactive_var", "wanted"), [(1, 1, 1), (-1, 1, 2), (-1, -1, 3), (1, -1, 4)]
)
def test_quadrants(active_w: float, reactive_var: float, wanted: int) -> None:
    assert quadrant(active_w, reactive_var) == wanted


def test_the_demo_meter_measures_everything_it_shows() -> None:
    meter = DemoMeter()
    meter.advance(1.0, 0)
    values = meter.values(AT_S)
    assert values.phases == {1, 2, 3}
    assert values.error == 0
    glass = Display(DisplayConfig())
    shown = {screen.code: screen.value for screen in glass.screens(values)}
    assert DASHES not in shown.values()
    assert shown["14.7.0"] == "49.98"
    assert shown["32.7.0"] == "230.7"
    before = values.of[Obis(1, 0, 1, 8, 0, 255)]
    meter.advance(2.0, 0)
    assert meter.values(AT_S).of[Obis(1, 0, 1, 8, 0, 255)] > before


def test_a_replayed_meter_shows_its_registers() -> None:
    metrology = Metrology(ReplayedLoad(1, 1), AT_S - 86_400, 1800)
    metrology.advance(AT_S)
    momentary = metrology.momentary(AT_S)
    values = replayed(momentary)
    glass = Display(DisplayConfig(items=REPLAY_ITEMS))
    shown = {screen.code: screen.value for screen in glass.screens(values)}
    assert shown["1.8.0"] == f"{momentary.import_register_wh // 10 / 100:09.2f}"
    assert shown["12.7.0"] == f"{momentary.voltage_dv / 10:.1f}"
    assert DASHES not in shown.values()


def test_the_command_shows_and_draws(tmp_path: Path) -> None:
    file = tmp_path / "display.svg"
    arguments = ["meter", "display", "--demo", "--item", "1.8.0", "--item", "14.7.0"]
    done = CliRunner().invoke(openami, [*arguments, "--once"])
    assert done.exit_code == 0, done.output
    assert done.output.count("┌") == 3
    assert "kWh" in done.output
    done = CliRunner().invoke(openami, [*arguments, "--svg", str(file)])
    assert done.exit_code == 0, done.output
    assert "simulated" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say which meter"),
        (["--demo", "--home", "x"], "say which meter"),
        (["--demo", "--dwell", "0"], "no screen can stay for 0 s"),
        (["--demo", "--item", "9.9.9"], "9.9.9 is not in the display's list"),
        (["--demo", "--svg", "no/such/place"], "name another file"),
    ],
)
def test_what_was_asked_wrongly_is_told(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(openami, ["meter", "display", *arguments])
    assert isinstance(done.exception, UserError)
    assert sentence in str(done.exception)
