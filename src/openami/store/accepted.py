# SPDX-License-Identifier: Apache-2.0
"""Which storable notifications were accepted: each once, in any order, and for ever.

A notification that waited in a journal may come weeks behind a later one, so no highest counter
says what is new.  The counters of a meter lie close together, though: one bit each, in pages of
512, and what a meter sends in ten days fits into one row.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from openami.store.database import Database, insert_or, reading
from openami.store.tables import accepted_pages

PAGE_COUNTERS: Final = 512
PAGE_OCTETS: Final = PAGE_COUNTERS // 8


class Origin(NamedTuple):
    """What makes a storable notification unique."""

    title: bytes
    epoch: int
    invocation_counter: int

    @property
    def page(self) -> bytes:
        """The key of its page: system title, key epoch, and number of the page, which sort so."""
        number = self.invocation_counter // PAGE_COUNTERS
        return self.title + self.epoch.to_bytes(4) + number.to_bytes(4)

    @property
    def bit(self) -> int:
        """Its bit in the page, which is a whole number in big-endian octets."""
        return 1 << self.invocation_counter % PAGE_COUNTERS


def remember(connection: Connection, origins: Iterable[Origin]) -> set[Origin]:
    """Accept notifications; return those that were not accepted before.

    The pages are locked until the transaction ends: of two workers that bring the same
    notification at once, one finds it new.
    """
    wanted: dict[bytes, list[Origin]] = {}
    for origin in origins:
        wanted.setdefault(origin.page, []).append(origin)
    if not wanted:
        return set()
    new: set[Origin] = set()
    changed = []
    for page, bits in _locked(connection, sorted(wanted)):
        before = after = int.from_bytes(bits)
        for origin in wanted[page]:
            if not after & origin.bit:
                after |= origin.bit
                new.add(origin)
        if after != before:
            changed.append({"of_page": page, "bits": after.to_bytes(PAGE_OCTETS)})
    if changed:
        statement = update(accepted_pages).where(accepted_pages.c.page == bindparam("of_page"))
        connection.execute(statement, changed)
    return new


def _locked(connection: Connection, pages: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return pages and their bits, after making those that are missing.

    Both happen in the order of the pages, so that no two workers wait in a ring.
    """
    asked = select(accepted_pages.c.page).where(accepted_pages.c.page.in_(pages))
    known = {bytes(page) for page in connection.execute(asked).scalars()}
    missing = [page for page in pages if page not in known]
    if missing:
        connection.execute(
            insert_or(connection, accepted_pages).on_conflict_do_nothing(),
            [{"page": page, "bits": bytes(PAGE_OCTETS)} for page in missing],
        )
    rows = select(accepted_pages).where(accepted_pages.c.page.in_(pages))
    found = connection.execute(rows.order_by(accepted_pages.c.page).with_for_update())
    return [(bytes(page), bytes(bits)) for page, bits in found]


def is_accepted(database: Database, origin: Origin) -> bool:
    """Tell whether a notification was accepted before."""
    row = select(accepted_pages.c.bits).where(accepted_pages.c.page == origin.page)
    with reading(database) as connection:
        bits = connection.execute(row).scalar()
    return bits is not None and bool(int.from_bytes(bits) & origin.bit)
