"""Several replicas over one database: PgQueuer's queue, a limit that they share, rolling updates."""

import sqlalchemy as sa
from alembic import op

from tiersync.store import queue

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    has_work = sa.text("due_at IS NOT NULL")
    op.create_index(
        op.f("ix_syncs_org_due_at"),
        "syncs",
        ["org", "due_at"],
        unique=False,
        sqlite_where=has_work,
        postgresql_where=has_work,
    )
    op.create_table(
        "budgets",
        sa.Column("org", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("org"),
    )
    op.create_table(
        "slices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("org", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_slices_org_at"), "slices", ["org", "at"], unique=False)
    compatibility = op.create_table(
        "compatibility", sa.Column("oldest", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("oldest")
    )
    op.bulk_insert(compatibility, [{"oldest": revision}])
    queue.install(op.get_bind())


def downgrade() -> None:
    """Go back."""
    queue.remove(op.get_bind())
    op.drop_table("compatibility")
    op.drop_index(op.f("ix_slices_org_at"), table_name="slices")
    op.drop_table("slices")
    op.drop_table("budgets")
    op.drop_index(op.f("ix_syncs_org_due_at"), table_name="syncs")
