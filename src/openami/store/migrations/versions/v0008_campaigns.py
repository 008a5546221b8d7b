# SPDX-License-Identifier: Apache-2.0
"""Firmware campaigns: releases, what is planned, where each meter stands."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the five tables."""
    op.create_table(
        "releases",
        sa.Column("release_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("identifier", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("keyhash", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_real_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("release_id"),
    )
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("release_id", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("waves", sa.Integer(), nullable=False),
        sa.Column("wave_real_us", sa.BigInteger(), nullable=False),
        sa.Column("judged_real_us", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_real_us", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id"),
    )
    op.create_index("ix_campaigns_state", "campaigns", ["state"], unique=False)
    op.create_table(
        "campaign_history",
        sa.Column("history_id", SERIAL, nullable=False),
        sa.Column("campaign_id", sa.String(length=36), nullable=False),
        sa.Column("at_real_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("history_id"),
    )
    op.create_index(
        "ix_campaign_history_campaign_id", "campaign_history", ["campaign_id"], unique=False
    )
    op.create_table(
        "campaign_meters",
        sa.Column("target_id", SERIAL, nullable=False),
        sa.Column("campaign_id", sa.String(length=36), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("open", sa.SmallInteger(), nullable=True),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("version_before", sa.Text(), nullable=False),
        sa.Column("version_after", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Integer(), nullable=False),
        sa.Column("blocks_there", sa.Integer(), nullable=False),
        sa.Column("blocks_sent", sa.Integer(), nullable=False),
        sa.Column("octets_sent", sa.BigInteger(), nullable=False),
        sa.Column("initiated", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("free_real_us", sa.BigInteger(), nullable=False),
        sa.Column("began_real_us", sa.BigInteger(), nullable=True),
        sa.Column("transferred_real_us", sa.BigInteger(), nullable=True),
        sa.Column("activate_us", sa.BigInteger(), nullable=True),
        sa.Column("activated_real_us", sa.BigInteger(), nullable=True),
        sa.Column("changed_real_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target_id"),
        sa.UniqueConstraint("campaign_id", "meter_id"),
        sa.UniqueConstraint("meter_id", "open"),
    )
    op.create_index(
        "campaign_meters_state",
        "campaign_meters",
        ["campaign_id", "state", "wave"],
        unique=False,
    )
    op.create_table(
        "firmware",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("read_real_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id"),
    )
