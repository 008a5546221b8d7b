# SPDX-License-Identifier: Apache-2.0
"""Leases that were given back have no holder; who waits for a place in a cell; due commands."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Let the index know what is held alone; what was free is free since the oldest time."""
    op.drop_index("ix_leases_holder", "leases")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE leases SET (fillfactor = 80)")  # of pages that are written yet
    op.execute("UPDATE leases SET holder = '', until_real_us = -1 WHERE until_real_us <= 0")
    held = sa.text("holder != ''")
    op.create_index(
        "ix_leases_held", "leases", ["kind", "holder"], sqlite_where=held, postgresql_where=held
    )
    requested = sa.text("state = 'requested'")
    for name, columns in (
        ("commands_due", ["priority", "asked_real_us"]),
        ("commands_late", ["valid_until_real_us"]),
    ):
        op.create_index(
            name, "commands", columns, sqlite_where=requested, postgresql_where=requested
        )
    op.create_table(
        "cell_wants",
        sa.Column("cell", sa.String(40), primary_key=True),
        sa.Column("holder", sa.String(80), primary_key=True),
        sa.Column("urgency", sa.SmallInteger(), primary_key=True),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("since_real_us", sa.BigInteger(), nullable=False),
        sa.Column("until_real_us", sa.BigInteger(), nullable=False),
    )
