# SPDX-License-Identifier: Apache-2.0
"""Topology, supply, outages; events that are acknowledged."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add seven tables, and three columns to the events."""
    op.add_column("events", sa.Column("acknowledged_by", sa.Text(), nullable=True))
    op.add_column("events", sa.Column("acknowledged_real_us", sa.BigInteger(), nullable=True))
    op.add_column("events", sa.Column("note", sa.Text(), nullable=True))
    op.create_index("events_at", "events", ["at_us"], unique=False)
    _evidence()
    _outages()


def _evidence() -> None:
    op.create_table(
        "topology",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("transformer", sa.Text(), nullable=False),
        sa.Column("feeder", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id"),
    )
    op.create_index("ix_topology_transformer", "topology", ["transformer"], unique=False)
    op.create_index("ix_topology_feeder", "topology", ["feeder"], unique=False)
    op.create_table(
        "uplinks",
        sa.Column("concentrator", sa.LargeBinary(length=8), nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(length=40), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("since_real_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("concentrator"),
    )
    op.create_table(
        "supply",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("lost_us", sa.BigInteger(), nullable=False),
        sa.Column("returned_us", sa.BigInteger(), nullable=True),
        sa.Column("evidence", sa.String(length=12), nullable=False),
        sa.Column("found_real_us", sa.BigInteger(), nullable=False),
        sa.Column("returned_real_us", sa.BigInteger(), nullable=True),
        sa.Column("outage_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("meter_id"),
    )
    lost = sa.text("returned_us IS NULL")
    op.create_index(
        "supply_lost",
        "supply",
        ["meter_id"],
        unique=False,
        sqlite_where=lost,
        postgresql_where=lost,
    )
    unjudged = sa.text("outage_id IS NULL")
    op.create_index(
        "supply_unjudged",
        "supply",
        ["meter_id"],
        unique=False,
        sqlite_where=unjudged,
        postgresql_where=unjudged,
    )
    op.create_table(
        "pings",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("asked_real_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("worker", sa.String(length=40), server_default="", nullable=False),
        sa.Column("done_real_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("meter_id"),
    )
    op.create_index("ix_pings_state", "pings", ["state"], unique=False)


def _outages() -> None:
    op.create_table(
        "outages",
        sa.Column("outage_id", SERIAL, nullable=False),
        sa.Column("scope", sa.String(length=12), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("began_us", sa.BigInteger(), nullable=False),
        sa.Column("found_real_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_real_us", sa.BigInteger(), nullable=True),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_real_us", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("outage_id"),
    )
    op.create_index("ix_outages_parent_id", "outages", ["parent_id"], unique=False)
    op.create_index("ix_outages_ended_us", "outages", ["ended_us"], unique=False)
    still = sa.text("ended_us IS NULL")
    op.create_index(
        "outages_open",
        "outages",
        ["scope", "place"],
        unique=True,
        sqlite_where=still,
        postgresql_where=still,
    )
    op.create_table(
        "outage_meters",
        sa.Column("outage_id", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("lost_us", sa.BigInteger(), nullable=False),
        sa.Column("returned_us", sa.BigInteger(), nullable=True),
        sa.Column("evidence", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("outage_id", "meter_id"),
    )
    op.create_index("outage_meters_meter", "outage_meters", ["meter_id"], unique=False)
    op.create_table(
        "outage_history",
        sa.Column("history_id", SERIAL, nullable=False),
        sa.Column("outage_id", sa.BigInteger(), nullable=False),
        sa.Column("at_real_us", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("history_id"),
    )
    op.create_index("ix_outage_history_outage_id", "outage_history", ["outage_id"], unique=False)
