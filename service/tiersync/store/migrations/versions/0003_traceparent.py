"""The trace of a delivery is stored with its event, and how often its key had been claimed until then."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("events", sa.Column("traceparent", sa.Text(), nullable=True))
    op.add_column("events", sa.Column("fence", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Go back."""
    op.drop_column("events", "fence")
    op.drop_column("events", "traceparent")
