# SPDX-License-Identifier: Apache-2.0
"""The glass of the meter: what a screen is, and its picture as SVG and in a terminal.

A liquid crystal has fixed segments: seven for each digit, and symbols that are there or not.  A
screen says which are dark; the picture shows the others faintly, as a real glass does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from openami.meter.measuring.svg import element, picture, text

VALUE_DIGITS: Final = 8
CODE_DIGITS: Final = 6
UNITS: Final = ("kWh", "kvarh", "kVAh", "kW", "kvar", "kVA", "V", "A", "Hz", "cos φ")
TARIFFS: Final = (1, 2, 3, 4)
PHASE_NAMES: Final = ("L1", "L2", "L3")
ALL: Final = "abcdefg"
SEGMENTS: Final = {
    "0": "abcdef",
    "1": "bc",
    "2": "abdeg",
    "3": "abcdg",
    "4": "bcfg",
    "5": "acdfg",
    "6": "acdefg",
    "7": "abc",
    "8": ALL,
    "9": "abcdfg",
    "-": "g",
    " ": "",
    "F": "aefg",
    "E": "adefg",
    "L": "def",
    "r": "eg",
}
"""Which segments make a character: a on top, then clockwise, g in the middle."""
MARKS: Final = ".:"


class NoGlyphError(ValueError):
    """Seven segments cannot show this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the glass shows at one moment.

    Attributes:
        code: OBIS code as it is printed on meters: C.D.E, or C.D without E.
        value: Digits with a decimal point or colons, at most 8 digits.
        unit: One of `UNITS`, or nothing.
        phases: Which phases have voltage.
        quadrant: 1 to 4 by the signs of active and reactive power; None without current.
        tariff: The active one; None where there is none.
        alarm: Whether something needs a look.
        relay_closed: Whether the supply is connected.
        all_segments: The test of the glass: everything dark.
    """

    code: str = ""
    value: str = ""
    unit: str = ""
    phases: frozenset[int] = frozenset()
    quadrant: int | None = None
    tariff: int | None = None
    alarm: bool = False
    relay_closed: bool = True
    all_segments: bool = False

    def __post_init__(self) -> None:
        cells(self.code, CODE_DIGITS)
        cells(self.value, VALUE_DIGITS)
        if self.unit and self.unit not in UNITS:
            raise NoGlyphError(f"the glass has no symbol {self.unit!r}: use one of {UNITS}")


def cells(words: str, width: int) -> list[tuple[str, str]]:
    """Return a character and the mark behind it for each place, right-aligned.

    Raises:
        NoGlyphError: A character has no segments, or there are more than `width`.
    """
    found: list[tuple[str, str]] = []
    for each in words:
        if each in MARKS and found and not found[-1][1]:
            found[-1] = (found[-1][0], each)
        elif each in SEGMENTS:
            found.append((each, ""))
        else:
            raise NoGlyphError(f"seven segments cannot show {each!r} of {words!r}")
    if len(found) > width:
        raise NoGlyphError(f"{words!r} needs {len(found)} digits, the glass has {width}")
    return [(" ", "")] * (width - len(found)) + found


TEST_SCREEN: Final = Screen(
    code="8.8.8.8.8.8.",
    value="8.8.8.8.8.8.8.8.",
    phases=frozenset({1, 2, 3}),
    alarm=True,
    all_segments=True,
)


# ---- terminal ----


def terminal(screen: Screen) -> str:
    """Return the screen in lines for a terminal, 62 columns wide."""
    rows = ["", "", ""]
    for character, mark in cells(screen.value, VALUE_DIGITS):
        lit = SEGMENTS[character]
        rows[0] += f" {'_' if 'a' in lit else ' '}  "
        rows[1] += (
            f"{'|' if 'f' in lit else ' '}{'_' if 'g' in lit else ' '}{'|' if 'b' in lit else ' '}"
        )
        rows[1] += "." if mark == ":" else " "
        rows[2] += (
            f"{'|' if 'e' in lit else ' '}{'_' if 'd' in lit else ' '}{'|' if 'c' in lit else ' '}"
        )
        rows[2] += "." if mark else " "
    unit = "/".join(UNITS[:3]) if screen.all_segments else screen.unit
    phases = " ".join(
        name if n + 1 in screen.phases else "──" for n, name in enumerate(PHASE_NAMES)
    )
    quadrant = ("I", "II", "III", "IV")[screen.quadrant - 1] if screen.quadrant else "·"
    tariff = f"T{screen.tariff}" if screen.tariff else "  "
    alarm = "! alarm" if screen.alarm else "       "
    relay = "relay closed" if screen.relay_closed else "relay OPEN"
    width = 60
    lines = [
        f"┌{'─' * width}┐",
        f"│{f'  {screen.code}':<{width}}│",
        *(f"│{f'        {row}':<{width}}│" for row in [*rows[:2], f"{rows[2]}  {unit}"]),
        f"│{'':<{width}}│",
        f"│{f'  {phases}   Q {quadrant:<3}  {tariff}   {alarm}   {relay}':<{width}}│",
        f"└{'─' * width}┘",
    ]
    return "\n".join(lines)


# ---- SVG ----

WIDTH, HEIGHT = 560, 300
LCD_STYLE: Final = """
.case { fill: #eef1f0; stroke: #9fb0ac; } .glass { fill: #c3d0bd; stroke: #7d8c7a; }
.lit { fill: #17231b; stroke: none; } .off { fill: #17231b; stroke: none; opacity: .07; }
.wire { stroke: #17231b; stroke-width: 2.5; fill: none; } .wire.dim { opacity: .07; }
text { font: 600 14px system-ui, -apple-system, "Segoe UI", sans-serif; }
text.plate { font-weight: 400; font-size: 12px; fill: #2b3a37; }
"""
DIGIT: Final = {
    "a": ((6, 0), (26, 0), (22, 5), (10, 5)),
    "b": ((28, 2), (28, 23), (25, 25), (23, 22), (23, 7)),
    "c": ((28, 29), (28, 50), (23, 45), (23, 30), (25, 27)),
    "d": ((10, 47), (22, 47), (26, 52), (6, 52)),
    "e": ((4, 29), (7, 27), (9, 30), (9, 45), (4, 50)),
    "f": ((4, 2), (9, 7), (9, 22), (7, 25), (4, 23)),
    "g": ((9, 26), (11, 23.5), (21, 23.5), (23, 26), (21, 28.5), (11, 28.5)),
}
"""Corners of each segment of a digit 32 wide and 52 high."""
PITCH: Final = 42


def face(screen: Screen, plate: str = "") -> str:
    """Return the meter's face as an SVG document."""
    title = f"Meter display: {screen.code} {screen.value} {screen.unit}".rstrip()
    return picture(WIDTH, HEIGHT, title, _face(screen, plate), LCD_STYLE)


def sheet(screens: Sequence[Screen], plate: str = "", columns: int = 2) -> str:
    """Return the faces of several screens beside and below each other."""
    gap = 12
    rows = -(-len(screens) // columns)
    parts = [
        element(
            "g",
            "\n".join(_face(screen, plate)),
            transform=f"translate({n % columns * (WIDTH + gap)} {n // columns * (HEIGHT + gap)})",
        )
        for n, screen in enumerate(screens)
    ]
    width, height = columns * (WIDTH + gap) - gap, rows * (HEIGHT + gap) - gap
    return picture(width, height, "The screens of the meter, in their order", parts, LCD_STYLE)


def _face(screen: Screen, plate: str) -> Iterator[str]:
    yield element("rect", x=1, y=1, width=WIDTH - 2, height=HEIGHT - 2, rx=14, class_="case")
    yield element("rect", x=28, y=24, width=504, height=204, rx=6, class_="glass")
    yield from _digits(screen, screen.code, CODE_DIGITS, (46, 38, 0.64))
    yield from _phases(screen)
    yield from _quadrants(screen)
    yield from _digits(screen, screen.value, VALUE_DIGITS, (46, 98, 1.02))
    yield from _units(screen)
    yield from _tariffs(screen)
    yield from _alarm(screen)
    yield from _relay(screen)
    for n, line in enumerate(plate.splitlines()):
        yield text(30, 252 + 18 * n, line, "plate")


def _class(lit: object, screen: Screen) -> str:
    return "lit" if lit or screen.all_segments else "off"


def _digits(
    screen: Screen, words: str, width: int, place: tuple[float, float, float]
) -> Iterator[str]:
    x, y, scale = place
    inside: list[str] = []
    for n, (character, mark) in enumerate(cells(words, width)):
        lit = SEGMENTS[character]
        for name, corners in DIGIT.items():
            points = " ".join(f"{n * PITCH + a:g},{b:g}" for a, b in corners)
            inside.append(element("polygon", points=points, class_=_class(name in lit, screen)))
        inside += [
            element("circle", cx=n * PITCH + 35, cy=49, r=3.6, class_=_class(mark == ".", screen)),
            element("circle", cx=n * PITCH + 35, cy=16, r=3.2, class_=_class(mark == ":", screen)),
            element("circle", cx=n * PITCH + 35, cy=36, r=3.2, class_=_class(mark == ":", screen)),
        ]
    move = f"translate({x} {y}) scale({scale}) skewX(-5)"
    yield element("g", "".join(inside), transform=move)


def _phases(screen: Screen) -> Iterator[str]:
    for n, name in enumerate(PHASE_NAMES):
        yield text(240 + 34 * n, 60, name, _class(n + 1 in screen.phases, screen))


def _quadrants(screen: Screen) -> Iterator[str]:
    """Draw the cross: active import to the right, reactive import upwards."""
    x, y = 466, 58
    quadrant = screen.quadrant
    arrows = {
        (1, 0): quadrant in {1, 4},
        (-1, 0): quadrant in {2, 3},
        (0, -1): quadrant in {1, 2},
        (0, 1): quadrant in {3, 4},
    }
    dim = "" if quadrant or screen.all_segments else " dim"
    yield element("line", x1=x - 14, x2=x + 14, y1=y, y2=y, class_=f"wire{dim}")
    yield element("line", x1=x, x2=x, y1=y - 14, y2=y + 14, class_=f"wire{dim}")
    for (right, down), lit in arrows.items():
        tip = (x + 24 * right, y + 24 * down)
        side = (6 * down, 6 * right)
        base = (x + 15 * right, y + 15 * down)
        points = (
            f"{tip[0]},{tip[1]} {base[0] + side[0]},{base[1] + side[1]}"
            f" {base[0] - side[0]},{base[1] - side[1]}"
        )
        yield element("polygon", points=points, class_=_class(lit, screen))
    for n, name in enumerate(("+P", "−P")):
        yield text(x + (28 if n == 0 else -50), y + 5, name, _class(quadrant in _side(n), screen))


def _side(number: int) -> frozenset[int | None]:
    return frozenset({1, 4}) if number == 0 else frozenset({2, 3})


def _units(screen: Screen) -> Iterator[str]:
    for n, unit in enumerate(UNITS):
        column, row = divmod(n, 5)
        yield text(410 + 60 * column, 104 + 18 * row, unit, _class(unit == screen.unit, screen))


def _tariffs(screen: Screen) -> Iterator[str]:
    for n in TARIFFS:
        yield text(60 + 34 * (n - 1), 212, f"T{n}", _class(n == screen.tariff, screen))


def _alarm(screen: Screen) -> Iterator[str]:
    """Draw a warning triangle: its frame, and the sign in it."""
    kind = "wire" if screen.alarm or screen.all_segments else "wire dim"
    yield element("polygon", points="250,194 262,215 238,215", class_=kind)
    yield element("rect", x=249, y=200, width=2.5, height=8, class_=_class(screen.alarm, screen))
    yield element("rect", x=249, y=210, width=2.5, height=2.5, class_=_class(screen.alarm, screen))


def _relay(screen: Screen) -> Iterator[str]:
    """Draw the breaker as a switch: two contacts and a blade that is down or up."""
    for left, right in ((320, 342), (372, 394)):
        yield element("line", x1=left, x2=right, y1=208, y2=208, class_="wire")
    for place in (342, 372):
        yield element("circle", cx=place, cy=208, r=3, class_="lit")
    closed = screen.relay_closed or screen.all_segments
    opened = not screen.relay_closed or screen.all_segments
    yield element("line", x1=342, x2=372, y1=208, y2=208, class_="wire" if closed else "wire dim")
    yield element("line", x1=342, x2=368, y1=208, y2=194, class_="wire" if opened else "wire dim")
    words = "" if screen.all_segments else "connected" if screen.relay_closed else "OPEN"
    yield text(404, 213, words, "lit")
