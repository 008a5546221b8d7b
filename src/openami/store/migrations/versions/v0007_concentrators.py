# SPDX-License-Identifier: Apache-2.0
"""What concentrators say of themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the three tables."""
    op.create_table(
        "concentrators",
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("heard_real_us", sa.BigInteger(), nullable=False),
        sa.Column("started_real_us", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("most_octets", sa.BigInteger(), nullable=False),
        sa.Column("oldest_s", sa.BigInteger(), nullable=False),
        sa.Column("meters", sa.BigInteger(), nullable=False),
        sa.Column("attached", sa.BigInteger(), nullable=False),
        sa.Column("at_quota", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("alarm", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("title"),
    )
    op.create_table(
        "links",
        sa.Column("concentrator", sa.LargeBinary(length=8), nullable=False),
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("bearer", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("attached", sa.Boolean(), nullable=False),
        sa.Column("first_seen_real_us", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_real_us", sa.BigInteger(), nullable=False),
        sa.Column("round_trip_us", sa.BigInteger(), nullable=True),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("concentrator", "title"),
    )
    op.create_table(
        "notices",
        sa.Column("concentrator", sa.LargeBinary(length=8), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at_real_us", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("concentrator", "number", "at_real_us"),
    )
