# SPDX-License-Identifier: Apache-2.0
"""Tariffs as people write them: a TOML or JSON file becomes an activity calendar (class 20).

::

    name = "winter26"                      the calendar's, at most 12 letters
    activate = "now"                       or a time of ISO 8601, or "later" (it only waits)

    [[days]]                               day profiles
    id = 1
    switch = [{at = "06:00", tariff = 1}, {at = "22:00", tariff = 2}]

    [[weeks]]
    name = "all"
    days = [1, 1, 1, 1, 1, 2, 2]           Monday to Sunday

    [[seasons]]
    name = "year"
    start = "01-01"                        every year; "2027-01-01" is one year's
    week = "all"

    [[special_days]]
    date = "12-25"                         every year; "2026-12-25" is one day
    day = 2

Times are the meter's local time.  A tariff is the number of a script in the meter's table of
tariffs (`script_table`, 0.0.10.0.100.255 unless the file says another).
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from openami.cosem.classes.tariff import DayProfile, DayProfileAction, Season, SpecialDay, Week
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime
from openami.dlms.obis import Obis
from openami.runtime.errors import ExitCode, UserError

TARIFF_SCRIPTS: Final = Obis(0, 0, 10, 0, 100, 255)
MOST_LETTERS: Final = 12  # of a name
LEAP_YEAR: Final = "2028-"  # in which every day of a year exists
NAMES: Final = ("name", "activate", "days", "weeks", "seasons", "special_days", "script_table")


class TariffError(UserError):
    """A tariff that is none: place, value and remedy."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, ExitCode.ASKED_WRONGLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffOrder:
    """An activity calendar and how it becomes active.

    Attributes:
        name: Of the calendar; the meter tells it back.
        seasons: Season profile.
        weeks: Week profiles.
        days: Day profiles.
        special_days: None leaves the table as it is.
        activate: "now", "later", or the time.
    """

    name: bytes
    seasons: tuple[Season, ...]
    weeks: tuple[Week, ...]
    days: tuple[DayProfile, ...]
    special_days: tuple[SpecialDay, ...] | None
    activate: datetime | str


def read_tariff_file(path: Path) -> dict[str, Any]:
    """Return the argument of a tariff command from a .toml or .json file, checked.

    Raises:
        TariffError: It cannot be read, or is no tariff.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TariffError(f"{path} cannot be read ({error}): name a tariff file") from error
    try:
        return read_tariff(text, is_json=path.suffix == ".json")
    except TariffError as error:
        raise TariffError(f"{path}: {error}") from error


def read_tariff(text: str, *, is_json: bool) -> dict[str, Any]:
    """Return the argument of a tariff command from text, checked; raises `TariffError`."""
    try:
        said = json.loads(text) if is_json else tomllib.loads(text)
        # TOML has dates and times of its own: they become the text that JSON has.
        said = json.loads(json.dumps(said, default=str))
    except (ValueError, RecursionError) as error:
        form = "JSON" if is_json else "TOML"
        raise TariffError(f"the tariff is no {form} ({error}): correct it") from error
    if not isinstance(said, dict):
        raise TariffError(f"the tariff is no table: give {', '.join(NAMES)}")
    tariff_order(said)
    return said


def tariff_order(said: Mapping[str, Any]) -> TariffOrder:
    """Return the calendar that a file or a request describes.

    Raises:
        TariffError: It is none; the sentence names the place.
    """
    _refuse_unknown(said, NAMES, "the tariff")
    try:
        scripts = Obis.parse(str(said.get("script_table", TARIFF_SCRIPTS)))
    except ValueError as error:
        raise TariffError(f"script_table: {error}") from error
    days = tuple(
        _day(row, f"days[{n}]", scripts) for n, row in enumerate(_rows(said, "days", least=1))
    )
    known_days = _once([day.day_id for day in days], "days", "id")
    weeks = tuple(
        _week(row, f"weeks[{n}]", known_days) for n, row in enumerate(_rows(said, "weeks", least=1))
    )
    known_weeks = _once([week.week_profile_name for week in weeks], "weeks", "name")
    seasons = tuple(
        _season(row, f"seasons[{n}]", known_weeks)
        for n, row in enumerate(_rows(said, "seasons", least=1))
    )
    _once([season.season_profile_name for season in seasons], "seasons", "name")
    special = None
    if "special_days" in said:
        special = tuple(
            _special(row, n, known_days) for n, row in enumerate(_rows(said, "special_days"))
        )
    return TariffOrder(
        name=_name(said.get("name"), "name"),
        seasons=seasons,
        weeks=weeks,
        days=days,
        special_days=special,
        activate=_activate(said.get("activate", "later")),
    )


def _activate(said: object) -> datetime | str:
    if said in ("now", "later"):  # a tuple: it may be a list
        return str(said)
    try:
        found = datetime.fromisoformat(str(said))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        remedy = 'give "now", "later" or a time with its offset, 2027-01-01T00:00:00+01:00'
        raise TariffError(f"activate is {said!r}: {remedy}")
    return found


def _day(said: Mapping[str, Any], place: str, scripts: Obis) -> DayProfile:
    _refuse_unknown(said, ("id", "switch"), place)
    actions = []
    for n, row in enumerate(_rows(said, "switch", place, least=1)):
        here = f"{place}.switch[{n}]"
        _refuse_unknown(row, ("at", "tariff"), here)
        tariff = _number(row.get("tariff"), f"{here}.tariff", 0, 65535)
        actions.append(DayProfileAction(_time(row.get("at"), f"{here}.at"), scripts, tariff))
    starts = [action.start_time for action in actions]
    if starts != sorted(set(starts)):
        raise TariffError(f"{place}.switch is not in the order of its times: sort it")
    return DayProfile(_number(said.get("id"), f"{place}.id", 0, 255), tuple(actions))


def _week(said: Mapping[str, Any], place: str, known: Sequence[int]) -> Week:
    _refuse_unknown(said, ("name", "days"), place)
    days = said.get("days")
    if not isinstance(days, list) or len(days) != 7:
        raise TariffError(f"{place}.days is {days!r}: give seven day numbers, Monday first")
    found = [
        _known(_number(each, f"{place}.days", 0, 255), known, f"{place}.days") for each in days
    ]
    return Week(_name(said.get("name"), f"{place}.name"), *found)


def _season(said: Mapping[str, Any], place: str, known: Sequence[bytes]) -> Season:
    _refuse_unknown(said, ("name", "start", "week"), place)
    year, month, day = _date(said.get("start"), f"{place}.start")
    start = CosemDateTime(year=year, month=month, day=day, hour=0, minute=0)
    week = _name(said.get("week"), f"{place}.week")
    if week not in known:
        raise TariffError(f"{place}.week is {week.decode()!r}: name one of the weeks of the file")
    return Season(_name(said.get("name"), f"{place}.name"), start, week)


def _special(said: Mapping[str, Any], index: int, known: Sequence[int]) -> SpecialDay:
    place = f"special_days[{index}]"
    _refuse_unknown(said, ("date", "day"), place)
    year, month, day = _date(said.get("date"), f"{place}.date")
    number = _known(_number(said.get("day"), f"{place}.day", 0, 255), known, f"{place}.day")
    return SpecialDay(index + 1, CosemDate(year=year, month=month, day=day).encode(), number)


def _known(number: int, known: Sequence[int], place: str) -> int:
    if number not in known:
        raise TariffError(f"{place} names day {number}: give one of the days of the file")
    return number


def _once(values: list[Any], what: str, name: str) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            said = value.decode() if isinstance(value, bytes) else value
            raise TariffError(f"two of {what} have the {name} {said!r}: give each its own")
    return values


def _rows(
    said: Mapping[str, Any], name: str, place: str = "", *, least: int = 0
) -> list[Mapping[str, Any]]:
    rows = said.get(name, [])
    where = f"{place}.{name}" if place else name
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TariffError(f"{where} is {rows!r}: give a list of tables")
    if not least <= len(rows) <= 255:
        raise TariffError(f"{where} has {len(rows)} entries: give {least} to 255")
    return rows


def _name(said: object, place: str) -> bytes:
    # JSON may hold half a letter, which has no octets.
    octets = said.encode(errors="ignore") if isinstance(said, str) else b""
    if octets.decode() != said or not 1 <= len(octets) <= MOST_LETTERS:
        raise TariffError(f"{place} is {said!r}: give a name of 1 to {MOST_LETTERS} letters")
    return octets


def _number(said: object, place: str, least: int, most: int) -> int:
    if isinstance(said, bool) or not isinstance(said, int) or not least <= said <= most:
        raise TariffError(f"{place} is {said!r}: give a whole number from {least} to {most}")
    return said


def _time(said: object, place: str) -> bytes:
    for form in ("%H:%M", "%H:%M:%S"):
        try:
            found = datetime.strptime(str(said), form)  # noqa: DTZ007  a time of day
        except ValueError:
            continue
        return CosemTime(hour=found.hour, minute=found.minute, second=found.second).encode()
    raise TariffError(f"{place} is {said!r}: give a time of day, 06:00")


def _date(said: object, place: str) -> tuple[int | None, int, int]:
    text = str(said)
    yearly = len(text) == 5
    try:
        found = date.fromisoformat(LEAP_YEAR + text if yearly else text)
    except ValueError:
        remedy = "give a date, 2026-12-25, or 12-25 for every year"
        raise TariffError(f"{place} is {said!r}: {remedy}") from None
    return None if yearly else found.year, found.month, found.day


def _refuse_unknown(said: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    for name in said:
        if name not in known:
            raise TariffError(f"{place} has {name!r}: it takes {', '.join(known)}")
