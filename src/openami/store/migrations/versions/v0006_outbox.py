# SPDX-License-Identifier: Apache-2.0
"""What is to be published to other systems."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the outbox."""
    op.create_table(
        "outbox",
        sa.Column(
            "publication_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("publication_id"),
        sqlite_autoincrement=True,
    )
