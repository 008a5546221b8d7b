# SPDX-License-Identifier: Apache-2.0
"""Which transformer feeds a meter, and which feeder that transformer; CSV in, rows out.

A file has the columns `meter`, `transformer` and `feeder` under that heading; a meter is named by
its number or its system title.  Rows replace what was known of their meters; others stay.
"""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import func, select

from openami.runtime.errors import ConfigurationError
from openami.store.database import Database, among, reading, transaction, upsert
from openami.store.registry import Meter
from openami.store.supply_tables import topology as topology_table

T = TypeVar("T")

AT_ONCE: Final = 5000  # names in one statement
COLUMNS: Final = ("meter", "transformer", "feeder")
TITLE_DIGITS: Final = 16
REMEDY: Final = "write a heading meter,transformer,feeder and one row a meter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a meter hangs."""

    meter_id: int
    transformer: str
    feeder: str


def load_csv(path: Path, meters: Iterable[Meter]) -> list[Place]:
    """Read a file.

    Raises:
        ConfigurationError: It is missing, has other columns, or a row names an unknown meter, one
            twice, or a transformer under two feeders.
    """
    numbers: dict[str, int] = {}
    for meter in meters:
        numbers[str(meter.meter_id)] = numbers[meter.title.hex().upper()] = meter.meter_id
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            table = csv.reader(stream)
            if tuple(next(table, ())) != COLUMNS:
                raise ConfigurationError(f"{path} begins with another heading: {REMEDY}")
            lines = ((f"{path}, line {line}", row) for line, row in enumerate(table, start=2))
            return places_of((line for line in lines if line[1]), numbers)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}): {REMEDY}") from error


def places_of(
    table: Iterable[tuple[str, Sequence[str]]], numbers: Mapping[str, int]
) -> list[Place]:
    """Return the places that rows tell; each comes with where it stands, for sentences.

    Raises:
        ConfigurationError: A row names an unknown meter, one twice, or a transformer under two
            feeders.
    """
    found: dict[int, Place] = {}
    feeders: dict[str, str] = {}
    for where, row in table:
        if len(row) != len(COLUMNS) or not all(cell.strip() for cell in row):
            raise ConfigurationError(f"{where}: {row!r} has not three values: {REMEDY}")
        name, transformer, feeder = (cell.strip() for cell in row)
        number = numbers.get(name.upper() if len(name) == TITLE_DIGITS else name)
        if number is None:
            sentence = f"{where}: the registry has no meter {name!r}"
            raise ConfigurationError(f"{sentence}: import its shipment first, or leave it out")
        if number in found:
            raise ConfigurationError(f"{where}: meter {name} stands there twice: leave one out")
        if feeders.setdefault(transformer, feeder) != feeder:
            sentence = f"{where}: transformer {transformer} hangs on {feeders[transformer]} above"
            raise ConfigurationError(f"{sentence}, on {feeder} here: it has one feeder")
        found[number] = Place(meter_id=number, transformer=transformer, feeder=feeder)
    return list(found.values())


def put(database: Database, places: Iterable[Place]) -> int:
    """Replace where meters hang; return how many of them were not known to hang there."""
    rows = {place.meter_id: place for place in places}
    with transaction(database) as connection:
        known = read(connection)
        changed = [place for number, place in rows.items() if known.get(number) != place]
        upsert(connection, topology_table, [asdict(place) for place in changed])
    return len(changed)


def read(database: Database) -> dict[int, Place]:
    """Return where every meter hangs of which that is known."""
    with reading(database) as connection:
        rows = connection.execute(select(topology_table).order_by("meter_id")).mappings()
        return {row["meter_id"]: Place(**row) for row in rows}


def page(database: Database, *, after: int, limit: int) -> list[Place]:
    """Return where meters hang, by number: those after one, so many at once."""
    query = select(topology_table).where(topology_table.c.meter_id > after)
    with reading(database) as connection:
        rows = connection.execute(query.order_by("meter_id").limit(limit)).mappings()
        return [Place(**row) for row in rows]


def places(database: Database, meter_ids: Collection[int]) -> dict[int, Place]:
    """Return where these meters hang; those of which nothing is known are left out."""
    found: dict[int, Place] = {}
    with reading(database) as connection:
        for some in pieces(meter_ids):
            query = select(topology_table).where(among(connection, topology_table.c.meter_id, some))
            rows = connection.execute(query).mappings()
            found |= {row["meter_id"]: Place(**row) for row in rows}
    return found


def under(database: Database, transformers: Collection[str]) -> dict[str, frozenset[int]]:
    """Return the meters of transformers."""
    found: dict[str, set[int]] = {name: set() for name in transformers}
    table = topology_table.c
    with reading(database) as connection:
        for some in pieces(transformers):
            query = select(table.transformer, table.meter_id).where(
                among(connection, table.transformer, some)
            )
            for name, meter_id in connection.execute(query):
                found[name].add(meter_id)
    return {name: frozenset(meter_ids) for name, meter_ids in found.items()}


def feeder_of(database: Database, transformers: Collection[str]) -> dict[str, str]:
    """Return the feeder of each transformer."""
    table = topology_table.c
    found: dict[str, str] = {}
    with reading(database) as connection:
        for some in pieces(transformers):
            query = select(table.transformer, table.feeder).where(
                among(connection, table.transformer, some)
            )
            found |= {name: feeder for name, feeder in connection.execute(query.distinct())}  # noqa: C416
    return found


def of_feeders(database: Database, feeders: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the transformers of feeders."""
    table = topology_table.c
    found: dict[str, set[str]] = {name: set() for name in feeders}
    with reading(database) as connection:
        for some in pieces(feeders):
            query = select(table.feeder, table.transformer).where(
                among(connection, table.feeder, some)
            )
            for feeder, transformer in connection.execute(query.distinct()):
                found[feeder].add(transformer)
    return {feeder: frozenset(transformers) for feeder, transformers in found.items()}


def on_feeders(database: Database, feeders: Collection[str]) -> list[Place]:
    """Return where the meters of feeders hang, by number."""
    found: list[Place] = []
    with reading(database) as connection:
        for some in pieces(feeders):
            query = select(topology_table).where(among(connection, topology_table.c.feeder, some))
            found += [Place(**row) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda place: place.meter_id)


def count_customers(database: Database) -> dict[str, int]:
    """Return how many meters each feeder has, by name."""
    table = topology_table.c
    query = select(table.feeder, func.count()).group_by(table.feeder).order_by(table.feeder)
    with reading(database) as connection:
        return {feeder: int(count) for feeder, count in connection.execute(query)}


def count_transformers(database: Database, feeders: Collection[str]) -> dict[str, int]:
    """Return how many transformers each feeder has."""
    table = topology_table.c
    query = select(table.feeder, func.count(table.transformer.distinct()))
    query = query.where(table.feeder.in_(list(feeders))).group_by(table.feeder)
    with reading(database) as connection:
        return {feeder: int(count) for feeder, count in connection.execute(query)}


def pieces(items: Collection[T]) -> Iterator[list[T]]:
    """Yield what one statement can name at once."""
    ordered = list(items)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]
