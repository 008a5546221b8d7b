# SPDX-License-Identifier: Apache-2.0
"""Cases on selective access to the buffer of a profile generic (DLMS UA 1000-1 Ed. 12, 4.3.6)."""

from typing import Final, NamedTuple

from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.client import Client, Selection
from openami.cosem.conformance.case import Failed, Family, Group, Need, NotApplicable, Script
from openami.cosem.conformance.trial import Trial
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.data import Array, Data, Structure
from openami.dlms.obis import Obis

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.3.6"
LEAST_ROWS: Final = 5
LAST: Final = 10
"""How many rows a test looks at; a whole buffer may be long."""
CLOCK_CLASS: Final = 8


class Buffer(NamedTuple):
    """The first rows of a profile, and how to ask for more."""

    client: Client
    at: Obis
    columns: tuple[CaptureObject, ...]
    rows: Array


def _select(trial: Trial, client: Client, at: Obis, selection: Selection) -> Script[Array]:
    value = yield from trial.steps(
        client.get_data(ProfileGeneric.class_id, at, 2, selection=selection)
    )
    if not isinstance(value, Array):
        raise Failed(f"the buffer of {at} is {value!r}, not an array")
    return value


def _buffer(trial: Trial) -> Script[Buffer]:
    at = trial.declaration.profile
    if at is None:
        raise NotApplicable("no profile is declared")
    client = yield from trial.opened()
    try:
        columns = yield from trial.steps(client.get(ProfileGeneric.capture_objects, at=at))
        used = yield from trial.steps(client.get(ProfileGeneric.entries_in_use, at=at))
    except AccessError as error:
        raise NotApplicable(f"this association may not read {at}: {error.result}") from None
    if used < LEAST_ROWS:
        raise NotApplicable(f"{at} has {used} rows; the case needs {LEAST_ROWS}")
    rows = yield from _select(trial, client, at, ByEntry(from_entry=1, to_entry=min(used, LAST)))
    if len(rows) != min(used, LAST):
        raise Failed(f"{len(rows)} rows came where entries 1 to {min(used, LAST)} were asked for")
    return Buffer(client, at, columns, rows)


def _same(found: Array, wanted: list[Data], said: str) -> None:
    if list(found) != wanted:
        raise Failed(f"{len(found)} rows came for {said}, other than the {len(wanted)} wanted")


def _entry(trial: Trial) -> Script[str | None]:
    buffer = yield from _buffer(trial)
    client, at = buffer.client, buffer.at
    found = yield from _select(trial, client, at, ByEntry(from_entry=2, to_entry=4))
    _same(found, list(buffer.rows[1:4]), "entries 2 to 4")
    one = ByEntry(from_entry=2, to_entry=4, from_selected_value=1, to_selected_value=1)
    found = yield from _select(trial, client, at, one)
    wanted: list[Data] = [
        Structure(row[:1]) for row in buffer.rows[1:4] if isinstance(row, Structure)
    ]
    if wanted:
        _same(found, wanted, "column 1 of entries 2 to 4")
    used = yield from trial.steps(client.get(ProfileGeneric.entries_in_use, at=at))
    found = yield from _select(trial, client, at, ByEntry(from_entry=used, to_entry=0))
    if not 1 <= len(found) <= 2:  # a row may have been captured meanwhile
        raise Failed(f"{len(found)} rows came for entry {used} to the newest, of {used}")
    return None


def _entry_none(trial: Trial) -> Script[str | None]:
    buffer = yield from _buffer(trial)
    beyond = ByEntry(from_entry=0xFFFF_FFF0, to_entry=0xFFFF_FFFF)
    try:
        found = yield from _select(trial, buffer.client, buffer.at, beyond)
    except AccessError as error:
        return f"{error.result} came"
    if len(found):
        raise Failed(f"{len(found)} rows came for entries that do not exist")
    return "an empty array came"


def _range(trial: Trial) -> Script[str | None]:
    buffer = yield from _buffer(trial)
    place = next(
        (
            number
            for number, column in enumerate(buffer.columns)
            if column.class_id == CLOCK_CLASS and column.attribute_id == 2
        ),
        None,
    )
    if place is None:
        raise NotApplicable(f"{buffer.at} captures no clock")
    cells = [row[place] for row in buffer.rows if isinstance(row, Structure)]
    if len(cells) != len(buffer.rows) or cells[1] is None or cells[3] is None:
        raise NotApplicable("the first rows of the profile do not say their time")
    selection = ByRange(
        restricting_object=buffer.columns[place], from_value=cells[1], to_value=cells[3]
    )
    found = yield from _select(trial, buffer.client, buffer.at, selection)
    _same(found, list(buffer.rows[1:4]), "the range from row 2 to row 4")
    return None


_case = Family(
    prefix="COSEM_", group=Group.COSEM, needs=(Need.LN, Need.GET, Need.SELECTIVE, Need.PROFILE)
).case


CASES: Final = (
    _case(
        "ENTRY",
        "selective access by entry",
        CLAUSE,
        "GET of entries 1 to 10; 2 to 4; their first column; the newest, written 0",
        "the same rows and columns",
        _entry,
    ),
    _case(
        "ENTRY_NONE",
        "entries that do not exist",
        CLAUSE,
        "GET of entries far beyond the last",
        "an empty array, or a result other than success",
        _entry_none,
    ),
    _case(
        "RANGE",
        "selective access by range",
        CLAUSE,
        "GET of the rows from the clock of row 2 to that of row 4",
        "rows 2, 3 and 4",
        _range,
    ),
)
