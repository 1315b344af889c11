"""A run of the publisher counts its commits that do not wait for the disk."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

COMMENT = "its commits that did not wait for the disk; by it the run sees if one was lost"


def upgrade() -> None:
    # A run belongs to one process; one of the version before has no such commits.
    op.add_column(
        "publisher_runs",
        sa.Column("steps", sa.Integer, nullable=False, server_default="0", comment=COMMENT),
    )
    op.create_check_constraint("steps", "publisher_runs", "steps >= 0")
