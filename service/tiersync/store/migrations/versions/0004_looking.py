"""Indexes for what the operator's page asks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("ix_syncs_group_id", "syncs", ["group_id"]),
    ("ix_events_reason_id", "events", ["reason", "id", "status", "org", "program", "received_at"]),
    ("ix_events_member", "events", ["member"]),
    ("ix_adjustments_last_at_status", "adjustments", ["last_at", "status"]),
)


def upgrade() -> None:
    """Go forward."""
    op.drop_index("ix_events_status_id", "events")
    op.create_index("ix_events_status_id", "events", ["status", "id", "reason", "org", "program", "received_at"])
    op.create_index("ix_events_program_id", "events", ["program", "id", "org", "received_at"])
    op.create_index("ix_events_org_id", "events", ["org", "id", "received_at"])
    op.create_index("ix_events_received_at_id", "events", ["received_at", "id"])
    for name, table, columns in _PARTIAL:
        given = sa.text(f"{columns[0]} IS NOT NULL")
        op.create_index(name, table, columns, sqlite_where=given, postgresql_where=given)


def downgrade() -> None:
    """Go back."""
    for name, table, _ in _PARTIAL:
        op.drop_index(name, table)
    for name in ("ix_events_received_at_id", "ix_events_org_id", "ix_events_program_id", "ix_events_status_id"):
        op.drop_index(name, "events")
    op.create_index("ix_events_status_id", "events", ["status", "id"])
