# SPDX-License-Identifier: Apache-2.0
"""Keys of groups, who has them, and blocks that go to a group."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the tables, and what is known of the meters of a campaign; none listened before."""
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "groups",
        sa.Column("concentrator", sa.LargeBinary(8), primary_key=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("encryption", sa.LargeBinary(), nullable=False),
        sa.Column("authentication", sa.LargeBinary(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_real_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "group_members",
        sa.Column("meter_id", sa.Integer(), primary_key=True),
        sa.Column("concentrator", sa.LargeBinary(8), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("changed_real_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_group_members_concentrator", "group_members", ["concentrator"])
    op.create_table(
        "campaign_groups",
        sa.Column("group_id", serial, primary_key=True),
        sa.Column("campaign_id", sa.String(36), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("concentrator", sa.LargeBinary(8), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("blocks", sa.Integer(), nullable=False),
        sa.Column("block_octets", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("blocks_sent", sa.Integer(), nullable=False),
        sa.Column("octets_sent", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("began_real_us", sa.BigInteger(), nullable=False),
        sa.Column("changed_real_us", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("campaign_id", "wave", "concentrator"),
    )
    for name, kind in (("listens", sa.SmallInteger()), ("blocks_heard", sa.Integer())):
        op.add_column("campaign_meters", sa.Column(name, kind, nullable=False, server_default="0"))
