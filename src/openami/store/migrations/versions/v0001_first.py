# SPDX-License-Identifier: Apache-2.0
"""The tables of version 1."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "schema",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "accepted",
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("invocation_counter", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("title", "epoch", "invocation_counter"),
    )
    op.create_table(
        "accounts",
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("session_epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("login"),
    )
    op.create_table(
        "attachments",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("attached", sa.Boolean(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id"),
    )
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_real_us", sa.BigInteger(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id"),
    )
    op.create_table(
        "command_history",
        sa.Column(
            "history_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("command_id", sa.String(length=36), nullable=False),
        sa.Column("at_real_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("history_id"),
    )
    op.create_index(
        op.f("ix_command_history_command_id"), "command_history", ["command_id"], unique=False
    )
    op.create_table(
        "commands",
        sa.Column("command_id", sa.String(length=36), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("argument", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_real_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_real_us", sa.BigInteger(), nullable=False),
        sa.Column("counter_first", sa.BigInteger(), nullable=True),
        sa.Column("counter_after", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index(op.f("ix_commands_meter_id"), "commands", ["meter_id"], unique=False)
    op.create_index(op.f("ix_commands_state"), "commands", ["state"], unique=False)
    op.create_table(
        "counters",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "epoch"),
    )
    op.create_table(
        "coverage",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("actual", sa.Integer(), nullable=False),
        sa.Column("estimated", sa.Integer(), nullable=False),
        sa.Column("suspect", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "day"),
    )
    op.create_index("coverage_day", "coverage", ["day"], unique=False)
    op.create_index(
        "coverage_incomplete",
        "coverage",
        ["meter_id", "day"],
        unique=False,
        sqlite_where=sa.text("actual < expected"),
        postgresql_where=sa.text("actual < expected"),
    )
    op.create_table(
        "events",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sa.UniqueConstraint("meter_id", "at_us", "code"),
    )
    op.create_index(op.f("ix_events_meter_id"), "events", ["meter_id"], unique=False)
    op.create_table(
        "feed",
        sa.Column("feed_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("feed_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "findings",
        sa.Column(
            "finding_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("found_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("finding_id"),
        sa.UniqueConstraint("meter_id", "channel", "start_us", "code"),
    )
    op.create_index("findings_found", "findings", ["found_us"], unique=False)
    op.create_table(
        "gaps",
        sa.Column("gap_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("from_us", sa.BigInteger(), nullable=False),
        sa.Column("to_us", sa.BigInteger(), nullable=False),
        sa.Column("found_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_real_us", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("gap_id"),
        sa.UniqueConstraint("meter_id", "from_us"),
    )
    op.create_index(op.f("ix_gaps_meter_id"), "gaps", ["meter_id"], unique=False)
    op.create_table(
        "inbox",
        sa.Column(
            "message_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("hops", sa.Text(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("message_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_inbox_batch_id"), "inbox", ["batch_id"], unique=False)
    op.create_table(
        "latest",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "channel"),
    )
    op.create_table(
        "meter_keys",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("key_name", sa.String(length=8), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "key_name", "epoch"),
    )
    op.create_table(
        "meters",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("ldn", sa.String(length=16), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("concentrator", sa.LargeBinary(length=8), nullable=False),
        sa.Column("installed_us", sa.BigInteger(), nullable=False),
        sa.Column("capture_period_s", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("breaker", sa.Integer(), nullable=True),
        sa.Column("breaker_us", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=True),
        sa.Column("profile_read_us", sa.BigInteger(), nullable=True),
        sa.Column("events_read_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("meter_id"),
        sa.UniqueConstraint("title"),
    )
    op.create_index(op.f("ix_meters_region"), "meters", ["region"], unique=False)
    op.create_table(
        "rejected",
        sa.Column(
            "rejected_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("title", sa.LargeBinary(length=8), nullable=False),
        sa.Column("concentrator", sa.LargeBinary(length=8), nullable=True),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("rejected_id"),
    )
    op.create_table(
        "sequences",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "vee_due",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("not_before_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id", "day"),
    )
    op.create_index(op.f("ix_vee_due_not_before_us"), "vee_due", ["not_before_us"], unique=False)
    op.create_table(
        "watches",
        sa.Column("meter_id", sa.Integer(), nullable=False),
        sa.Column("until_real_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("meter_id"),
    )
