# SPDX-License-Identifier: Apache-2.0
"""Special days: days with a profile of their own (class 11, 4.5.4).

Schedules and the activity calendar ask here which day_id a day has; of several entries that match
the one with the lowest number holds.
"""

from datetime import date
from typing import Final

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import matches
from openami.cosem.classes.tariff import SpecialDay, SpecialDaysTable
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.datetimes import CosemDate
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

SPECIAL_DAYS: Final = Obis(0, 0, 11, 0, 0, 255)


class SpecialDays:
    """Serves one special days table."""

    def __init__(self, table: SpecialDaysTable, life: Life) -> None:
        self._table = table
        self._life = life
        table.bind_sink(SpecialDaysTable.entries, self._check_all)
        table.bind_method(SpecialDaysTable.insert, self._insert)
        table.bind_method(SpecialDaysTable.delete, self._delete)

    def entries(self) -> tuple[SpecialDay, ...]:
        """Return the entries, e.g. to see whether they have changed."""
        return self._table.entries

    def day_id(self, day: date) -> int | None:
        """Return the day_id of a special day; None for any other day."""
        zone = self._life.zone()
        for entry in sorted(self._table.entries, key=lambda each: each.entry_index):
            rule = _decoded(entry.special_day_date)
            if rule is not None and matches(rule, day, zone):
                return entry.day_id
        return None

    def _insert(self, entry: SpecialDay) -> None:
        """Add an entry; one with the same number or the same date makes room for it."""
        if _decoded(entry.special_day_date) is None:
            raise Refused(ActionResult.TYPE_UNMATCHED)
        others = [
            each
            for each in self._table.entries
            if each.entry_index != entry.entry_index
            and each.special_day_date != entry.special_day_date
        ]
        self._table.entries = tuple(sorted((*others, entry), key=lambda each: each.entry_index))

    def _delete(self, index: int) -> None:
        left = tuple(each for each in self._table.entries if each.entry_index != index)
        if len(left) == len(self._table.entries):
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        self._table.entries = left

    def _check_all(self, entries: tuple[SpecialDay, ...]) -> None:
        if any(_decoded(each.special_day_date) is None for each in entries):
            raise Refused(DataAccessResult.TYPE_UNMATCHED)


def _decoded(octets: bytes) -> CosemDate | None:
    try:
        return CosemDate.decode(octets)
    except DecodeError:
        return None


def special_day_id(life: Life, day: date, at: Obis = SPECIAL_DAYS) -> int | None:
    """Return the day_id of a day in a device's special days table; None if it is no special day."""
    found = life.acting.get(at)
    return found.day_id(day) if isinstance(found, SpecialDays) else None


def bind_special_days_table(table: SpecialDaysTable, life: Life) -> SpecialDays:
    """Bind a special days table."""
    return SpecialDays(table, life)
