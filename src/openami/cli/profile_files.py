# SPDX-License-Identifier: Apache-2.0
"""Files that rows of a profile are kept in while they are read: CSV, JSON, Parquet.

A CSV file grows row by row, so that whatever ends the reading leaves whole rows; JSON and Parquet
are written anew from time to time, whole or not at all.  Each can be gone on with: `Rows.open`
returns what a file of the same columns holds already.
"""

import csv
import io
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, Self, TextIO

from openami.cli.profiles import Cell, Shape
from openami.runtime.errors import ConfigurationError, ExitCode, UserError
from openami.runtime.files import write_durably

SUFFIXES: Final = (".csv", ".json", ".parquet")
EVERY_S: Final = 10.0
"""How often a file that is written whole is written."""


class RowFile(Protocol):
    """Where rows go."""

    @property
    def kept(self) -> int:
        """How many rows it holds."""

    @property
    def last_time(self) -> str:
        """The time of the last of them, as ISO 8601; empty without one."""

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Take the next rows."""

    def close(self) -> None:
        """Make sure that everything is kept."""


def open_rows(path: Path, shape: Shape, *, resume: bool) -> RowFile:
    """Open a file for the rows of a profile.

    Args:
        path: Its suffix says which form.
        shape: The columns.
        resume: Whether to go on with what is there.

    Raises:
        UserError: There is such a file and it is not to be gone on with, or cannot be.
    """
    there = path.exists()
    if there and not resume:
        sentence = f"{path} is there already: give --resume to go on with it, or another name"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    match path.suffix.lower():
        case ".csv":
            return CsvRows(path, shape, there=there)
        case ".json":
            return WholeRows.open(path, shape, _JsonForm(), there=there)
        case ".parquet":
            return WholeRows.open(path, shape, _ParquetForm(), there=there)
    known = ", ".join(SUFFIXES)
    sentence = f"{path} has no known suffix: use one of {known}"
    raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def check_suffix(path: Path) -> None:
    """Refuse a file name before anybody is called."""
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        sentence = f"{path} has no known suffix: use one of {known}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def _other(path: Path) -> ConfigurationError:
    sentence = f"{path} holds another profile or other columns: give another name"
    return ConfigurationError(sentence)


class CsvRows:
    """Rows in CSV, flushed slice by slice."""

    def __init__(self, path: Path, shape: Shape, *, there: bool) -> None:
        self.kept = 0  # how many rows the file holds
        self.last_time = ""
        self._path = path
        self._clock = shape.clock
        headings = [column.title for column in shape.columns]
        try:
            if there:
                self._go_on(headings)
            self._file: TextIO = path.open("a", encoding="utf-8", newline="")
            self._writer = csv.writer(self._file, lineterminator="\n")
            if path.stat().st_size == 0:
                self._writer.writerow(headings)
                self._file.flush()
        except OSError as error:
            sentence = f"{path} cannot be written ({error.strerror}): choose another file"
            raise UserError(sentence) from error

    def _go_on(self, headings: Sequence[str]) -> None:
        """Take note of the rows that are there; a row that was cut off is taken away."""
        text = self._path.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            with self._path.open("r+b") as file:
                file.truncate(len(whole.encode()))
        rows = list(csv.reader(io.StringIO(whole)))
        if not rows:
            return
        if rows[0] != list(headings):
            raise _other(self._path)
        self.kept = len(rows) - 1
        if self.kept and self._clock is not None:
            self.last_time = rows[-1][self._clock]

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        try:
            self._writer.writerows(rows)
            self._file.flush()
        except OSError as error:
            sentence = f"{self._path} cannot be written ({error.strerror}): free space"
            raise UserError(f"{sentence} and go on with --resume") from error
        self.kept += len(rows)
        if rows and self._clock is not None:
            self.last_time = str(rows[-1][self._clock])

    def close(self) -> None:
        self._file.close()


class _Form(Protocol):
    def encode(self, shape: Shape, rows: Sequence[Sequence[Cell]]) -> bytes: ...

    def decode(self, path: Path, shape: Shape) -> list[list[Cell]] | None:
        """Return the rows of a file; None if its columns are others."""


class WholeRows:
    """Rows in a file that is written whole."""

    def __init__(self, path: Path, shape: Shape, form: _Form, rows: list[list[Cell]]) -> None:
        self._path, self._shape, self._form = path, shape, form
        self._rows = rows
        self._written_s = time.monotonic()
        self._dirty = True

    @classmethod
    def open(cls, path: Path, shape: Shape, form: _Form, *, there: bool) -> Self:
        """Open a file, with the rows that are in it."""
        rows: list[list[Cell]] = []
        if there:
            found = form.decode(path, shape)
            if found is None:
                raise _other(path)
            rows = found
        opened = cls(path, shape, form, rows)
        opened._write()
        return opened

    @property
    def kept(self) -> int:
        return len(self._rows)

    @property
    def last_time(self) -> str:
        clock = self._shape.clock
        return str(self._rows[-1][clock]) if self._rows and clock is not None else ""

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        self._rows += [list(row) for row in rows]
        self._dirty = self._dirty or bool(rows)
        if time.monotonic() - self._written_s > EVERY_S:
            self._write()

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._dirty:
            write_durably(self._path, self._form.encode(self._shape, self._rows))
        self._written_s, self._dirty = time.monotonic(), False


class _JsonForm:
    """``{"obis": …, "columns": [{…}], "rows": [[…]]}``."""

    def encode(self, shape: Shape, rows: Sequence[Sequence[Cell]]) -> bytes:
        head = {
            "obis": str(shape.obis),
            "period_s": shape.period_s,
            "columns": [column.to_json() for column in shape.columns],
        }
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        text = json.dumps(head, ensure_ascii=False, indent=1)[:-2]
        return f'{text},\n "rows": [\n{lines}\n ]\n}}\n'.encode()

    def decode(self, path: Path, shape: Shape) -> list[list[Cell]] | None:
        try:
            found = json.loads(path.read_bytes())
            same = found["obis"] == str(shape.obis) and found["columns"] == [
                column.to_json() for column in shape.columns
            ]
            return list(found["rows"]) if same else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigurationError(f"{path} holds no rows ({error}): give another name") from None


class _ParquetForm:
    """Columns named by object, name and unit; times as UTC; scalers in the file's metadata."""

    def encode(self, shape: Shape, rows: Sequence[Sequence[Cell]]) -> bytes:
        import polars as pl  # noqa: PLC0415  only who writes Parquet pays for it

        columns: dict[str, object] = {}
        for number, (column, name) in enumerate(zip(shape.columns, _names(shape), strict=True)):
            values: list[object] = [row[number] for row in rows]
            if number == shape.clock:
                moments = [datetime.fromisoformat(str(value)) for value in values]
                columns[name] = pl.Series(name, moments, dtype=pl.Datetime("us", "UTC"))
            elif column.meaning is not None and column.meaning.scaler < 0:
                columns[name] = pl.Series(name, values, dtype=pl.Float64, strict=False)
            else:
                columns[name] = pl.Series(name, values, strict=False)
        told = {
            "obis": str(shape.obis),
            "columns": json.dumps([column.to_json() for column in shape.columns]),
        }
        out = io.BytesIO()
        pl.DataFrame(columns).write_parquet(out, metadata=told)
        return out.getvalue()

    def decode(self, path: Path, shape: Shape) -> list[list[Cell]] | None:
        import polars as pl  # noqa: PLC0415

        try:
            found = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            sentence = f"{path} is no Parquet file ({error}): give another name"
            raise ConfigurationError(sentence) from None
        if found.columns != _names(shape):
            return None
        return [[_plain(cell) for cell in row] for row in found.rows()]


def _names(shape: Shape) -> list[str]:
    """Return the titles of the columns, numbered where two are the same."""
    names: list[str] = []
    for column in shape.columns:
        count = sum(name == column.title or name.startswith(f"{column.title} #") for name in names)
        names.append(f"{column.title} #{count + 1}" if count else column.title)
    return names


def _plain(cell: object) -> Cell:
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return cell if isinstance(cell, str | int | float | bool) or cell is None else str(cell)
