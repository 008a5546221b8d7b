# SPDX-License-Identifier: Apache-2.0
"""Keys of concentrators, and updates of their firmware."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "concentrator_keys",
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("guek", sa.LargeBinary(), nullable=False),
        sa.Column("gak", sa.LargeBinary(), nullable=False),
        sa.Column("following", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("title"),
    )
    op.create_table(
        "concentrator_updates",
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("release_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Integer(), nullable=False),
        sa.Column("blocks_there", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("version_before", sa.Text(), nullable=False),
        sa.Column("version_after", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("asked_real_us", sa.BigInteger(), nullable=False),
        sa.Column("activated_real_us", sa.BigInteger(), nullable=True),
        sa.Column("changed_real_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("title"),
    )
