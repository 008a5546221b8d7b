# SPDX-License-Identifier: Apache-2.0
"""Leases of work, the worker that a meter hangs on, and when and how urgently a command is due."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make them; a command of before is as urgent as any, and due."""
    op.create_table(
        "leases",
        sa.Column("kind", sa.String(12), primary_key=True),
        sa.Column("item", sa.String(40), primary_key=True),
        sa.Column("holder", sa.String(80), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("until_real_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_leases_holder", "leases", ["holder"])
    op.add_column(
        "attachments", sa.Column("worker", sa.String(40), nullable=False, server_default="")
    )
    for name, kind, default in (
        ("priority", sa.SmallInteger(), "1"),
        ("valid_from_real_us", sa.BigInteger(), "0"),
        ("attempts", sa.Integer(), "0"),
        ("next_attempt_real_us", sa.BigInteger(), "0"),
        ("changed_real_us", sa.BigInteger(), "0"),
    ):
        op.add_column("commands", sa.Column(name, kind, nullable=False, server_default=default))
