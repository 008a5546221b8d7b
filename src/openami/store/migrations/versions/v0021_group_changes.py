# SPDX-License-Identifier: Apache-2.0
"""Whose keys for broadcasts are to be changed, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "group_changes",
        sa.Column("change_id", SERIAL, nullable=False),
        sa.Column("rotation", sa.String(length=36), nullable=False),
        sa.Column("concentrator", sa.LargeBinary(length=8), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("correlation", sa.String(length=64), nullable=True),
        sa.Column("asked_real_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("free_real_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_real_us", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("change_id"),
    )
    op.create_index("ix_group_changes_rotation", "group_changes", ["rotation"], unique=False)
    op.create_index(
        "group_changes_open",
        "group_changes",
        ["concentrator"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
