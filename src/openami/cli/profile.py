# SPDX-License-Identifier: Apache-2.0
"""`openami profile`: read a load profile or a log of any length, in slices, to go on later."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from openami.cli.connecting import INTERRUPTED, Meter, Work, run_with_meter
from openami.cli.meter_options import meter_options
from openami.cli.profile_files import SUFFIXES, RowFile, check_suffix, open_rows
from openami.cli.profiles import Cell, Shape, read_shape
from openami.cli.progress import Bar, bar
from openami.cli.ranges import FiniteRange
from openami.cli.values import moment
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.selective import ByEntry, ByRange
from openami.dlms.data import OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.runtime.errors import ExitCode, UserError

BUFFER: Final = ProfileGeneric.buffer.index
ENTRIES: Final = 200
"""How many rows are asked for at a time by number."""
ONE_STEP: Final = timedelta(milliseconds=10)
"""The smallest step of a clock: a slice ends so much before the next begins."""
NO_SELECTION: Final = frozenset(
    {DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, DataAccessResult.OTHER_REASON}
)
RANGE: Final = re.compile(r"(\d{1,9})-(\d{0,9})")


@dataclass(frozen=True, slots=True)
class Wish:
    """Which rows and columns are wanted."""

    obis: Obis
    start: datetime | None
    end: datetime | None
    entries: tuple[int, int] | None
    columns: tuple[str, ...]
    slice_hours: float
    output: Path | None
    resume: bool


@dataclass(slots=True)
class InMemory:
    """Rows that are printed at the end."""

    rows: list[list[Cell]] = field(default_factory=list)
    last_time: str = ""

    @property
    def kept(self) -> int:
        return len(self.rows)

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        self.rows += [list(row) for row in rows]

    def close(self) -> None:
        """Nothing is kept anywhere else."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was read: how it looks, where it is, and why it is not everything."""

    shape: Shape
    sink: RowFile
    fresh: int
    ended: str = ""


@click.command()
@click.argument("url")
@click.argument("obis", metavar="[OBIS]", default="1.0.99.1.0.255")
@click.option("--from", "start", metavar="TIME", help="First row, ISO 8601, UTC.")
@click.option("--to", "end", metavar="TIME", help="Last row.  [now]")
@click.option("--entries", metavar="FIRST-LAST", help="Rows by number; 1 is the oldest, 1- all.")
@click.option(
    "--column", "columns", metavar="OBIS", multiple=True, help="Only this column; may be repeated."
)
@click.option(
    "--slice-hours",
    type=FiniteRange(0.1, 24 * 366),
    default=24.0,
    show_default=True,
    help="How much is asked for at a time.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File for the rows: {', '.join(SUFFIXES)}.  [standard output]",
)
@click.option("--resume", is_flag=True, help="Go on where the file of --output ends.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@meter_options
def profile(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    obis: str,
    start: str | None,
    end: str | None,
    entries: str | None,
    columns: tuple[str, ...],
    slice_hours: float,
    output: Path | None,
    resume: bool,
    form: str | None,
    config: Path | None,
    **given: str | None,
) -> int:
    """Read the rows of a profile of a meter at URL; without OBIS the load profile.

    Without --from, --to and --entries all rows are read.  Ctrl-C keeps what was read; --resume
    goes on from there.

    \b
    openami profile tcp://127.0.0.1:4059 --from 2026-03-01 --to 2026-04-01 -o march.csv
    openami profile tcp://127.0.0.1:4059 --from 2026-03-01 -o march.csv --resume
    openami profile tcp://127.0.0.1:4059 0.0.99.98.0.255 --entries 1-100 --json
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    wish = Wish(
        _obis(obis),
        moment("--from", start),
        moment("--to", end),
        _entries(entries),
        columns,
        slice_hours,
        output,
        resume,
    )
    _refuse_contradictions(wish)
    meter = Meter.gather(url, given, config)
    with bar() as shown:
        outcome = run_with_meter(meter, lambda work: _read(work, wish, shown))
    if isinstance(outcome.sink, InMemory):
        click.echo(_render(outcome.shape, outcome.sink.rows, form or "text"), nl=False)
    else:
        kept = outcome.sink.kept
        click.echo(f"{outcome.fresh} rows read, {kept} in {output}", err=True)
    if not outcome.ended:
        return int(ExitCode.DONE)
    remedy = "; go on with --resume" if output else ""
    click.echo(f"openami: {meter.url}: not all rows were read: {outcome.ended}{remedy}", err=True)
    return INTERRUPTED if outcome.ended == "interrupted" else int(ExitCode.REFUSED)


def _obis(text: str) -> Obis:
    try:
        return Obis.parse(text)
    except ValueError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None


def _entries(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = RANGE.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if found is None or not first or (last and last < first):
        sentence = f"--entries {text!r} is no range: write 1-100, or 1- for all"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return first, last


def _refuse_contradictions(wish: Wish) -> None:
    if wish.start and wish.end and wish.end < wish.start:
        problem = "--from is later than --to: exchange them"
    elif wish.entries and (wish.start or wish.end):
        problem = "--entries and --from or --to say different things: give one of them"
    elif wish.resume and wish.output is None:
        problem = "--resume goes on with a file: give --output"
    else:
        if wish.output is not None:
            check_suffix(wish.output)
        return
    raise UserError(problem, ExitCode.ASKED_WRONGLY)


async def _read(work: Work, wish: Wish, shown: Bar) -> Outcome:
    whole = await work.run(read_shape(work.session.client, wish.obis, deviation=True))
    chosen = _chosen(whole, wish.columns)
    shape = whole.only(chosen)
    sink: RowFile = InMemory()
    if wish.output is not None:
        sink = open_rows(wish.output, shape, resume=wish.resume)
    before, ended = sink.kept, ""
    reading = Reading(work, whole, chosen, sink, shown)
    try:
        if wish.start or wish.end:
            ended = await reading.by_range(wish.start, wish.end, wish.slice_hours)
        else:
            ended = await reading.by_entries(*(wish.entries or (1, 0)))
    except (DlmsError, UserError) as error:
        if sink.kept == before or isinstance(sink, InMemory):
            raise
        ended = "interrupted" if work.stop.asked else str(error)
    finally:
        sink.close()
    return Outcome(shape, sink, sink.kept - before, ended)


def _chosen(shape: Shape, wanted: Sequence[str]) -> list[int]:
    """Return which columns are wanted; the clock always is."""
    if not wanted:
        return list(range(len(shape.columns)))
    places = {str(Obis.parse(text)) if _is_obis(text) else text for text in wanted}
    known = {column.place for column in shape.columns}
    if missing := sorted(places - known):
        sentence = f"{shape.obis} has no column {missing[0]}: it has {', '.join(sorted(known))}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return [
        n for n, column in enumerate(shape.columns) if column.place in places or n == shape.clock
    ]


def _is_obis(text: str) -> bool:
    try:
        Obis.parse(text)
    except ValueError:
        return False
    return True


class Reading:
    """Reads rows slice by slice into a sink."""

    def __init__(
        self, work: Work, whole: Shape, chosen: list[int], sink: RowFile, shown: Bar
    ) -> None:
        self._work = work
        self._whole = whole
        self._chosen = chosen
        self._shape = whole.only(chosen)
        self._sink = sink
        self._shown = shown
        self._begun_s = time.monotonic()
        self._before = sink.kept

    async def by_range(
        self, start: datetime | None, end: datetime | None, slice_hours: float
    ) -> str:
        """Read the rows between two moments; return why that ended early."""
        end = end or datetime.now(UTC)
        if self._shape.clock is None:
            sentence = f"{self._whole.obis} has no clock among its columns: read it by --entries"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        start = start or await self._oldest() or end
        first = start
        if self._sink.last_time:
            first = max(start, datetime.fromisoformat(self._sink.last_time) + ONE_STEP)
        step = timedelta(hours=slice_hours)
        while first <= end:
            if self._work.stop.asked:
                return "interrupted"
            last = min(first + step - ONE_STEP, end)
            self._sink.add(self._shape.rows(await self._between(first, last)))
            share = (last - start) / (end - start) if end > start else 1.0
            self._tell(share, first.date().isoformat())
            first = last + ONE_STEP
        return ""

    async def by_entries(self, first: int, last: int) -> str:
        """Read rows by number, 0 for the newest; return why that ended early."""
        client, obis = self._work.session.client, self._whole.obis
        in_use = await self._work.run(client.get(ProfileGeneric.entries_in_use, at=obis))
        begin, end = first + self._sink.kept, min(last or int(in_use), int(in_use))
        total = max(end - first + 1, 1)
        while begin <= end:
            if self._work.stop.asked:
                return "interrupted"
            upto = min(begin + ENTRIES - 1, end)
            try:
                rows = await self._entries(begin, upto)
            except AccessError as error:
                if (begin, last) != (1, 0) or error.result not in NO_SELECTION:
                    raise
                # A meter that gives no rows by number gives them all.
                rows, upto = await self._entries(None, end), end
            self._sink.add([[row[n] for n in self._chosen] for row in rows])
            self._tell((upto - first + 1) / total, f"row {upto}")
            begin = upto + 1
        return ""

    async def _entries(self, first: int | None, last: int) -> list[list[Cell]]:
        """Return rows by number; None for all that there are."""
        selection = None if first is None else ByEntry(from_entry=first, to_entry=last)
        client, obis = self._work.session.client, self._whole.obis
        steps = client.get_raw(ProfileGeneric.class_id, obis, BUFFER, selection=selection)
        return self._whole.rows(await self._work.run(steps))

    async def _between(self, first: datetime, last: datetime) -> bytes:
        captures = [column.capture for column in self._whole.columns]
        clock = captures[self._whole.clock or 0]
        some = len(self._chosen) < len(captures)
        selection = ByRange(
            restricting_object=clock,
            from_value=OctetString(CosemDateTime.from_utc(first).encode()),
            to_value=OctetString(CosemDateTime.from_utc(last).encode()),
            selected_columns=tuple(captures[n] for n in self._chosen) if some else (),
        )
        client, obis = self._work.session.client, self._whole.obis
        steps = client.get_raw(ProfileGeneric.class_id, obis, BUFFER, selection=selection)
        return await self._work.run(steps)

    async def _oldest(self) -> datetime | None:
        """Return the time of the first row; None where there is none."""
        try:
            rows = await self._entries(1, 1)
        except AccessError:
            sentence = f"{self._whole.obis} does not tell its first row by number: give --from"
            raise UserError(sentence) from None
        return datetime.fromisoformat(str(rows[0][self._whole.clock or 0])) if rows else None

    def _tell(self, share: float, where: str) -> None:
        fresh = self._sink.kept - self._before
        rate = fresh / max(time.monotonic() - self._begun_s, 0.001)
        self._shown.at(min(share, 1.0), 1.0, f"{where}  {self._sink.kept} rows  {rate:,.0f} rows/s")


def _render(shape: Shape, rows: Sequence[Sequence[Cell]], form: str) -> str:
    if form == "json":
        said = {
            "obis": str(shape.obis),
            "columns": [column.to_json() for column in shape.columns],
            "rows": [list(row) for row in rows],
        }
        return json.dumps(said, indent=1, ensure_ascii=False) + "\n"
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.title for column in shape.columns])
        writer.writerows(rows)
        return out.getvalue()
    return "".join(f"{line}\n" for line in _lines(shape, rows))


def _lines(shape: Shape, rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """Yield a table whose columns are numbered, and said in full above it."""
    numbers = ["time" if column.is_clock else str(n) for n, column in enumerate(shape.columns)]
    for number, column in zip(numbers, shape.columns, strict=True):
        if not column.is_clock:
            yield f"{number}  {column.title}"
    cells = [numbers, *(["-" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(aligned).rstrip()
    yield f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
