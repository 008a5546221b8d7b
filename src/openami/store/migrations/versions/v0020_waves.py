# SPDX-License-Identifier: Apache-2.0
"""Waves of concentrators have a name, and the second witness against a clock has a place."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the columns; a wave was told by the millisecond in which it was asked for."""
    for column in (
        sa.Column("wave", sa.String(length=96), nullable=False, server_default=""),
        sa.Column("place", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("concentrator_updates", column)
    op.execute(
        "UPDATE concentrator_updates SET place = asked_real_us % 1000,"
        " wave = CAST(asked_real_us / 1000 AS VARCHAR(24)) || '-' || release_id"
    )
    op.add_column(
        "clock_suspicions",
        sa.Column("agreed_us", sa.BigInteger(), nullable=False, server_default="0"),
    )
