"""What was never verified, found without reading every row."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "staged_artifacts_unverified_idx",
        "staged_artifacts",
        ["name"],
        postgresql_include=["source_url", "size_bytes", "staged_at"],
        postgresql_where=sa.text("state = 'staged' AND verified_by IS NULL"),
    )
