# SPDX-License-Identifier: Apache-2.0
"""Alembic's table says the version now."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop the table that said it before."""
    op.drop_table("schema")
