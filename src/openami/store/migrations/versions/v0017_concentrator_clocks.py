# SPDX-License-Identifier: Apache-2.0
"""How far off the clocks of concentrators' hosts are."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "concentrator_clocks",
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("heard_real_us", sa.BigInteger(), nullable=False),
        sa.Column("offset_us", sa.BigInteger(), nullable=True),
        sa.Column("uncertainty_us", sa.BigInteger(), nullable=True),
        sa.Column("round_trip_us", sa.BigInteger(), nullable=True),
        sa.Column("limit_us", sa.BigInteger(), nullable=False),
        sa.Column("past_limit", sa.Boolean(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("title"),
    )
