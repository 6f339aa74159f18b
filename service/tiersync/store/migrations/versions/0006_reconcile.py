"""An event that a reconcile wrote names its job."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("events", sa.Column("job", sa.BigInteger(), nullable=True))
    op.create_index(
        op.f("ix_events_job"),
        "events",
        ["job"],
        unique=False,
        sqlite_where=sa.text("job IS NOT NULL"),
        postgresql_where=sa.text("job IS NOT NULL"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_index(op.f("ix_events_job"), table_name="events")
    op.drop_column("events", "job")
