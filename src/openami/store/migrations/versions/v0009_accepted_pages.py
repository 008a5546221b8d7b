# SPDX-License-Identifier: Apache-2.0
"""What was accepted, as one bit a counter where it was one row a counter."""

from collections.abc import Iterator
from itertools import groupby, islice

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

PAGE_COUNTERS = 512
ROWS_A_TIME = 1000


def upgrade() -> None:
    """Make the pages, and move into them what was accepted."""
    op.create_table(
        "accepted_pages",
        sa.Column("page", sa.LargeBinary(16), primary_key=True),
        sa.Column("bits", sa.LargeBinary(PAGE_COUNTERS // 8), nullable=False),
        postgresql_with={"fillfactor": 70},
    )
    pages = sa.table("accepted_pages", sa.column("page"), sa.column("bits"))
    connection = op.get_bind()
    found = _pages(connection)
    while rows := [{"page": page, "bits": bits} for page, bits in islice(found, ROWS_A_TIME)]:
        connection.execute(sa.insert(pages), rows)
    op.drop_table("accepted")


def _pages(connection: sa.Connection) -> Iterator[tuple[bytes, bytes]]:
    accepted = sa.table(
        "accepted", sa.column("title"), sa.column("epoch"), sa.column("invocation_counter")
    )
    rows = connection.execute(
        sa.select(accepted).order_by(*accepted.c), execution_options={"yield_per": ROWS_A_TIME}
    )
    keyed = (
        (bytes(title) + epoch.to_bytes(4) + (counter // PAGE_COUNTERS).to_bytes(4), counter)
        for title, epoch, counter in rows
    )
    for page, counters in groupby(keyed, key=lambda row: row[0]):
        bits = sum(1 << counter % PAGE_COUNTERS for _, counter in counters)
        yield page, bits.to_bytes(PAGE_COUNTERS // 8)
