"""Orgs can be paused, replays are jobs, an echo is told by the change that was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "orgs",
        sa.Column("org", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("breaker", sa.Text(), server_default="closed", nullable=False),
        sa.Column("breaker_at", sa.BigInteger(), nullable=True),
        sa.Column("breaker_until", sa.BigInteger(), nullable=True),
        sa.Column("breaker_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("org"),
    )
    _replays_become_jobs()
    op.add_column("adjustments", sa.Column("sent", sa.Text(), nullable=True))
    op.drop_index(op.f("ix_adjustments_member_planned_at"), table_name="adjustments")
    op.create_index(op.f("ix_adjustments_member_last_at"), "adjustments", ["member", "last_at"], unique=False)
    op.add_column("syncs", sa.Column("lowers", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute("UPDATE syncs SET lowers = inherits")  # as it was understood until now


def _replays_become_jobs() -> None:
    op.rename_table("replays", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.alter_column("replayed", new_column_name="done")
        table.add_column(sa.Column("kind", sa.Text(), server_default="replay", nullable=False))
        # A replay that was interrupted had no position to go on from.
        table.add_column(sa.Column("status", sa.Text(), server_default="cancelled", nullable=False))
        table.add_column(sa.Column("upto", sa.BigInteger(), server_default="0", nullable=False))
        table.add_column(sa.Column("position", sa.BigInteger(), server_default="0", nullable=False))
        table.add_column(sa.Column("counts", sa.JSON(), server_default="{}", nullable=False))
        table.add_column(sa.Column("detail", sa.Text(), nullable=True))
        table.add_column(sa.Column("owner", sa.Text(), nullable=True))
        table.add_column(sa.Column("lease_until", sa.BigInteger(), nullable=True))
    op.execute("UPDATE jobs SET status = 'done' WHERE finished_at IS NOT NULL")
    op.execute("UPDATE jobs SET finished_at = at WHERE finished_at IS NULL")
    with op.batch_alter_table("jobs") as table:
        for name, kind in (("kind", sa.Text()), ("status", sa.Text()), ("counts", sa.JSON())):
            table.alter_column(name, existing_type=kind, existing_nullable=False, server_default=None)
    op.create_index(op.f("ix_jobs_status_id"), "jobs", ["status", "id"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_column("syncs", "lowers")
    op.drop_index(op.f("ix_adjustments_member_last_at"), table_name="adjustments")
    op.create_index(op.f("ix_adjustments_member_planned_at"), "adjustments", ["member", "planned_at"], unique=False)
    op.drop_column("adjustments", "sent")
    op.drop_index(op.f("ix_jobs_status_id"), table_name="jobs")
    with op.batch_alter_table("jobs") as table:
        for name in ("kind", "status", "upto", "position", "counts", "detail", "owner", "lease_until"):
            table.drop_column(name)
        table.alter_column("done", new_column_name="replayed")
    op.rename_table("jobs", "replays")
    op.drop_table("orgs")
