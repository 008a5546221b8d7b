# SPDX-License-Identifier: Apache-2.0
"""Alarm registers of meters, and what stands in them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "alarms",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("register", sa.Integer(), nullable=False),
        sa.Column("bit", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("standing", sa.Boolean(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("cleared_us", sa.BigInteger(), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("meter_id", "register", "bit"),
    )
    still = sa.text("cleared_us IS NULL")
    op.create_index(
        "alarms_open",
        "alarms",
        ["kind"],
        unique=False,
        sqlite_where=still,
        postgresql_where=still,
    )
    op.create_table(
        "alarm_words",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("as_of_us", sa.BigInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id"),
    )
