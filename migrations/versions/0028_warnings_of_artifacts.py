"""Warnings of an artifact: what of its objects was left out, or taken otherwise than it says."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "staged_artifacts",
        sa.Column(
            "warnings",
            sa.ARRAY(sa.Text),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="what of its objects was left out, or taken otherwise than it says; sentences",
        ),
    )
