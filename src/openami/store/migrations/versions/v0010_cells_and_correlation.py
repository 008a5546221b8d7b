# SPDX-License-Identifier: Apache-2.0
"""Which cell a meter shares its way with, and what an asker calls a command."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the two columns; a command of before is called by its id."""
    op.add_column("meters", sa.Column("cell", sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "commands",
        sa.Column("correlation", sa.String(length=64), nullable=False, server_default=""),
    )
    op.execute("UPDATE commands SET correlation = command_id")
    op.create_index("ix_commands_correlation", "commands", ["correlation"])
