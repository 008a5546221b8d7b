# SPDX-License-Identifier: Apache-2.0
"""What is measured of meters' clocks, and what is made of it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the tables; no clock has been measured yet."""
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "clocks",
        sa.Column("meter_id", sa.Integer(), primary_key=True),
        sa.Column("measured_us", sa.BigInteger(), nullable=False),
        sa.Column("deviation_s", sa.Float()),
        sa.Column("uncertainty_s", sa.Float(), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("worker", sa.String(40), nullable=False),
        sa.Column("tolerated_s", sa.Float(), nullable=False),
        sa.Column("drift_s", sa.Float()),
        sa.Column("drift_uncertainty_s", sa.Float()),
        sa.Column("judged", sa.Boolean(), nullable=False),
        sa.Column("notice", sa.Boolean(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("asked_us", sa.BigInteger()),
        sa.Column("command_id", sa.String(36)),
    )
    op.create_index("ix_clocks_measured_us", "clocks", ["measured_us"])
    op.create_index("ix_clocks_asked_us", "clocks", ["asked_us"])
    clocks = sa.table("clocks", sa.column("judged", sa.Boolean), sa.column("notice", sa.Boolean))
    for name, column, where in (
        ("clocks_unjudged", "measured_us", clocks.c.judged.is_(False)),
        ("clocks_noticed", "meter_id", clocks.c.notice.is_(True)),
    ):
        op.create_index(name, "clocks", [column], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "clock_history",
        sa.Column("history_id", serial, primary_key=True),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("measured_us", sa.BigInteger(), nullable=False),
        sa.Column("deviation_s", sa.Float()),
        sa.Column("uncertainty_s", sa.Float(), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("moved", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(40), nullable=False),
    )
    op.create_index("ix_clock_history_meter_id", "clock_history", ["meter_id"])
    op.create_index("ix_clock_history_measured_us", "clock_history", ["measured_us"])
    op.create_table(
        "clock_suspicions",
        sa.Column("worker", sa.String(40), primary_key=True),
        sa.Column("suspected_us", sa.BigInteger(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("trusted_until_us", sa.BigInteger(), nullable=False),
    )
