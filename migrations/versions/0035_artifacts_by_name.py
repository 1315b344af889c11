"""Artifacts of one name are listed from an index: a name that none has was looked for in all rows."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("staged_artifacts_name_idx", "staged_artifacts", ["name", "id"])
