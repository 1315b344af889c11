"""Each process says how many requests it refused within a minute, as another held the lock."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

COMMENT = "requests refused in the minute before its newest beat, as another held the lock"


def upgrade() -> None:
    # Processes of the version before write no number; 0 is what their rows then say.
    op.add_column(
        "service_processes",
        sa.Column("refused", sa.Integer, nullable=False, server_default="0", comment=COMMENT),
    )
    op.create_check_constraint("refused", "service_processes", "refused >= 0")
