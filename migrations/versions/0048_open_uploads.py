"""Uploads that wait for a decision are found by an index: the page Now counts them."""

from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX uploads_open_idx ON uploads (suite_id) WHERE state IN ('new', 'unapproved')"
    )
