"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "replays",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("replayed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "syncs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("org", sa.BigInteger(), nullable=False),
        sa.Column("program", sa.BigInteger(), nullable=False),
        sa.Column("customer", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("planned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("event_log_id", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("tier_number", sa.BigInteger(), nullable=True),
        sa.Column("tier_name", sa.Text(), nullable=True),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("inherits", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("settled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("customer", "program", "org", name=op.f("uq_syncs_customer_program_org")),
    )
    op.create_index(
        op.f("ix_syncs_due_at"),
        "syncs",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("org", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("sync", sa.BigInteger(), nullable=True),
        sa.Column("program", sa.BigInteger(), nullable=True),
        sa.Column("customer", sa.BigInteger(), nullable=True),
        sa.Column("member", sa.BigInteger(), nullable=True),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("tier_number", sa.BigInteger(), nullable=True),
        sa.Column("tier_name", sa.Text(), nullable=True),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("event_log_id", sa.BigInteger(), nullable=True),
        sa.Column("depth", sa.Integer(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sync"],
            ["syncs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id", "org", name=op.f("uq_events_event_id_org")),
    )
    op.create_index(op.f("ix_events_customer_id"), "events", ["customer", "id"], unique=False)
    op.create_index(op.f("ix_events_status_id"), "events", ["status", "id"], unique=False)
    op.create_index(op.f("ix_events_sync_status"), "events", ["sync", "status"], unique=False)
    op.create_table(
        "adjustments",
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("member", sa.BigInteger(), nullable=False),
        sa.Column("sync", sa.BigInteger(), nullable=False),
        sa.Column("org", sa.BigInteger(), nullable=False),
        sa.Column("program", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("tier_number", sa.BigInteger(), nullable=True),
        sa.Column("tier_name", sa.Text(), nullable=True),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("verify", sa.Boolean(), nullable=False),
        sa.Column("may_lower", sa.Boolean(), nullable=False),
        sa.Column("depth", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("code", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event"],
            ["events.id"],
        ),
        sa.ForeignKeyConstraint(
            ["sync"],
            ["syncs.id"],
        ),
        sa.PrimaryKeyConstraint("event", "member"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_adjustments_member_planned_at"), "adjustments", ["member", "planned_at"], unique=False)
    op.create_index(
        op.f("ix_adjustments_sync_status_due_at"), "adjustments", ["sync", "status", "due_at"], unique=False
    )


def downgrade() -> None:
    """Go back."""
    op.drop_index(op.f("ix_adjustments_sync_status_due_at"), table_name="adjustments")
    op.drop_index(op.f("ix_adjustments_member_planned_at"), table_name="adjustments")
    op.drop_table("adjustments")
    op.drop_index(op.f("ix_events_sync_status"), table_name="events")
    op.drop_index(op.f("ix_events_status_id"), table_name="events")
    op.drop_index(op.f("ix_events_customer_id"), table_name="events")
    op.drop_table("events")
    op.drop_index(
        op.f("ix_syncs_due_at"),
        table_name="syncs",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("syncs")
    op.drop_table("replays")
