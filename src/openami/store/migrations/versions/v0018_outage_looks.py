# SPDX-License-Identifier: Apache-2.0
"""What the worker that judges outages has to take up next, so that it reads nothing else."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

NEW = (
    ("supply", ("due_real_us", "news_real_us")),
    ("pings", ("news_real_us",)),
    ("outages", ("due_real_us",)),
)


def upgrade() -> None:
    """Add the columns and their indexes; all that is open is looked at once."""
    for table, columns in NEW:
        for name in columns:
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE supply SET due_real_us = found_real_us WHERE outage_id IS NULL"
        " OR (outage_id > 0 AND returned_us IS NULL)"
    )
    op.execute(
        "UPDATE supply SET news_real_us = found_real_us"
        " WHERE outage_id IN (SELECT outage_id FROM outages WHERE ended_us IS NULL)"
    )
    op.execute("UPDATE outages SET due_real_us = found_real_us WHERE ended_us IS NULL")
    op.drop_index("supply_unjudged", "supply")
    _partial("supply_unjudged", "supply", ("due_real_us", "meter_id"), "outage_id IS NULL")
    _partial(
        "supply_to_ask",
        "supply",
        ("due_real_us", "meter_id"),
        "outage_id IS NOT NULL AND due_real_us IS NOT NULL",
    )
    for table in ("supply", "pings"):
        columns = ("news_real_us", "meter_id")
        _partial(f"{table}_news", table, columns, "news_real_us IS NOT NULL")
    _partial("outages_due", "outages", ("due_real_us",), "due_real_us IS NOT NULL")
    op.create_index("ix_meters_concentrator", "meters", ["concentrator"], unique=False)
    op.create_index("outages_place", "outages", ["place", "began_us"], unique=False)


def _partial(name: str, table: str, columns: tuple[str, ...], where: str) -> None:
    wanted = sa.text(where)
    op.create_index(
        name,
        table,
        list(columns),
        unique=False,
        sqlite_where=wanted,
        postgresql_where=wanted,
    )
