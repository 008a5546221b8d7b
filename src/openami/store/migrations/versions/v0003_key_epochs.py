# SPDX-License-Identifier: Apache-2.0
"""What happens to the epochs of meters' keys, and changes of them that were asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "key_history",
        sa.Column("history_id", SERIAL, nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("at_real_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("history_id"),
    )
    op.create_index("ix_key_history_meter_id", "key_history", ["meter_id"], unique=False)
    op.create_table(
        "key_changes",
        sa.Column("change_id", SERIAL, nullable=False),
        sa.Column("rotation", sa.String(length=36), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("key_names", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_real_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("free_real_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_real_us", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("change_id"),
    )
    op.create_index("ix_key_changes_rotation", "key_changes", ["rotation"], unique=False)
    op.create_index(
        "key_changes_open",
        "key_changes",
        ["meter_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
