# SPDX-License-Identifier: Apache-2.0
"""Alarms of meters: each bit that was ever set, since when, whether it stands, who cleared it.

What a meter tells or is read to have in its registers is compared with what was known.  A picture
that is older than the one known changes nothing: pushes may come late, out of a journal.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from sqlalchemy import Connection, func, select

from openami.store.alarm_tables import alarm_words, open_alarms
from openami.store.alarm_tables import alarms as alarms_table
from openami.store.database import Database, insert_or, reading, upsert
from openami.store.tables import meters as meters_table
from openami.store.topology import pieces

BITS: Final = 32
ELSEWHERE: Final = "not from here"  # by itself, or by another client of the meter

Word = dict[str, int]  # register, and descriptor and filter where the meter has them
Name = Callable[[int, int], tuple[str, str]]  # kind and text, by register and bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One bit of one register of a meter.

    Attributes:
        meter_id: The meter's.
        register: From 1 on; 0 is the error register.
        bit: 0 is the least significant.
        kind: One word for it; "unknown" where no table names it.
        text: For a person.
        since_us: When it was first known to be set, by the calendar.
        standing: Whether its cause lasts, as far as the register says.
        ended_us: When it did no longer; None while it stands.
        cleared_us: When it was cleared; None: it is open.
        cleared_by: Who asked for that.
    """

    meter_id: int
    register: int
    bit: int
    kind: str
    text: str
    since_us: int
    standing: bool = True
    ended_us: int | None = None
    cleared_us: int | None = None
    cleared_by: str | None = None

    @property
    def state(self) -> str:
        """Return one word: standing, over (nobody has cleared it), cleared."""
        if self.cleared_us is not None:
            return "cleared"
        return "standing" if self.standing else "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The registers of a meter at one moment.

    Attributes:
        meter_id: The meter's.
        as_of_us: By the calendar.
        received_us: When we had it.
        words: By register.
        cleared: Which bits somebody was seen to clear, by register.
        cleared_by: Who.
    """

    meter_id: int
    as_of_us: int
    received_us: int
    words: Mapping[int, Word]
    cleared: Mapping[int, int] = field(default_factory=dict)
    cleared_by: str = ""


def after(known: Mapping[tuple[int, int], Alarm], picture: Picture, name: Name) -> list[Alarm]:
    """Return the alarms that are others than were known."""
    changed = []
    for register, word in picture.words.items():
        told = word["register"] | word.get("descriptor", 0)
        for bit in range(BITS):
            before = known.get((register, bit))
            if before is None and not told >> bit & 1:
                continue  # as most bits of most meters
            now = _after(before, picture, (register, bit), word)
            if now is not None and now != before:
                if before is None:
                    kind, text = name(register, bit)
                    now = replace(now, kind=kind, text=text)
                changed.append(now)
    return changed


def _after(
    before: Alarm | None, picture: Picture, place: tuple[int, int], word: Word
) -> Alarm | None:
    register, bit = place
    stands = bool(word["register"] >> bit & 1)
    rose = bool(word.get("descriptor", 0) >> bit & 1)
    at_us = picture.as_of_us
    is_open = before is not None and before.cleared_us is None
    fresh = Alarm(
        meter_id=picture.meter_id, register=register, bit=bit, kind="", text="", since_us=at_us
    )
    if before is not None:
        fresh = replace(fresh, kind=before.kind, text=before.text)
    if stands:
        return before if before is not None and is_open and before.standing else fresh
    if rose:
        if before is None or not is_open:
            return replace(fresh, standing=False, ended_us=at_us)
        return replace(before, standing=False, ended_us=at_us) if before.standing else before
    if before is None or not is_open:
        return before
    by_us = picture.cleared.get(register, 0) >> bit & 1
    return replace(
        before,
        standing=False,
        ended_us=before.ended_us if before.ended_us is not None else at_us,
        cleared_us=at_us,
        cleared_by=picture.cleared_by if by_us else ELSEWHERE,
    )


def tell(connection: Connection, pictures: Sequence[tuple[Picture, Name]]) -> list[Alarm]:
    """Store pictures, in the order in which they came; return what is another than before."""
    if not pictures:
        return []
    ids = sorted({picture.meter_id for picture, _ in pictures})
    rows = [{"meter_id": each, "as_of_us": 0, "received_us": 0, "words": "{}"} for each in ids]
    connection.execute(insert_or(connection, alarm_words).on_conflict_do_nothing(), rows)
    as_of: dict[int, int] = {}
    kept: dict[int, dict[int, Word]] = {}
    known: dict[int, dict[tuple[int, int], Alarm]] = {each: {} for each in ids}
    for some in pieces(ids):
        query = select(alarm_words.c.meter_id, alarm_words.c.as_of_us, alarm_words.c.words)
        held = query.where(alarm_words.c.meter_id.in_(some)).order_by(alarm_words.c.meter_id)
        for one, at_us, text in connection.execute(held.with_for_update()):
            as_of[one] = at_us
            kept[one] = _words(text)
        found = select(alarms_table).where(alarms_table.c.meter_id.in_(some))
        for row in connection.execute(found).mappings():
            alarm = Alarm(**row)
            known[alarm.meter_id][alarm.register, alarm.bit] = alarm
    changed: dict[tuple[int, int, int], Alarm] = {}
    newest: dict[int, Picture] = {}
    for picture, name in pictures:
        if picture.as_of_us < as_of[picture.meter_id]:
            continue  # late, out of a journal
        as_of[picture.meter_id] = picture.as_of_us
        newest[picture.meter_id] = picture
        words = kept[picture.meter_id]
        for register, word in picture.words.items():
            # A filter that was read stays where a push does not tell it.
            words[register] = words.get(register, {}) | word
        for alarm in after(known[picture.meter_id], picture, name):
            known[picture.meter_id][alarm.register, alarm.bit] = alarm
            changed[alarm.meter_id, alarm.register, alarm.bit] = alarm
    upsert(connection, alarms_table, [asdict(each) for each in changed.values()])
    rows = [
        {
            "meter_id": meter_id,
            "as_of_us": picture.as_of_us,
            "received_us": picture.received_us,
            "words": json.dumps(kept[meter_id]),
        }
        for meter_id, picture in newest.items()
    ]
    upsert(connection, alarm_words, rows)
    return list(changed.values())


def _words(text: str) -> dict[int, Word]:
    return {int(number): word for number, word in json.loads(text).items()}


def of(database: Database, meter_id: int) -> list[Alarm]:
    """Return the alarms of a meter: those that are open first, the latest first."""
    table = alarms_table.c
    query = (
        select(alarms_table)
        .where(table.meter_id == meter_id)
        .order_by(table.cleared_us.is_not(None), table.since_us.desc(), table.register, table.bit)
    )
    with reading(database) as connection:
        return [Alarm(**row) for row in connection.execute(query).mappings()]


def last_picture(database: Database, meter_id: int) -> Picture | None:
    """Return the registers of a meter as they were told or read last; None if they never were."""
    query = select(alarm_words).where(alarm_words.c.meter_id == meter_id)
    with reading(database) as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return Picture(**{**row, "words": _words(row["words"])})


def open_ones(
    database: Database, *, region: str = "", kind: str = "", limit: int = 200
) -> list[tuple[str, Alarm]]:
    """Return open alarms of all meters with the region of each, the latest first."""
    table = alarms_table.c
    query = (
        select(alarms_table, meters_table.c.region)
        .join_from(alarms_table, meters_table, table.meter_id == meters_table.c.meter_id)
        .where(open_alarms)
        .order_by(table.since_us.desc(), table.meter_id, table.register, table.bit)
        .limit(limit)
    )
    if region:
        query = query.where(meters_table.c.region == region)
    if kind:
        query = query.where(table.kind == kind)
    with reading(database) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return [(row.pop("region"), Alarm(**row)) for row in rows]


def by_region(database: Database, regions: Collection[str] = ()) -> dict[str, dict[str, int]]:
    """Return how many meters have an open alarm of each kind, by region and kind."""
    table = alarms_table.c
    query = (
        select(meters_table.c.region, table.kind, func.count(table.meter_id.distinct()))
        .join_from(alarms_table, meters_table, table.meter_id == meters_table.c.meter_id)
        .where(open_alarms)
        .group_by(meters_table.c.region, table.kind)
        .order_by(meters_table.c.region, table.kind)
    )
    if regions:
        query = query.where(meters_table.c.region.in_(list(regions)))
    counts: dict[str, dict[str, int]] = {}
    with reading(database) as connection:
        for region, kind, count in connection.execute(query):
            counts.setdefault(region, {})[kind] = int(count)
    return counts
