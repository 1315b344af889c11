"""Callers without a name take turns by the address of the client."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE stagings ADD COLUMN turn_of text")
    op.execute(
        "COMMENT ON COLUMN stagings.turn_of IS 'whose turn it takes among callers: of one without a"
        " name, that of the client''s address; null: the caller''s'"
    )
    # The index of before stays: the version before looks for turns by it.
    op.execute(
        "CREATE INDEX stagings_turn_of_idx ON stagings"
        " ((state = 'foreground_staged'), (coalesce(turn_of, caller)), id)"
        " WHERE finished_at IS NULL"
    )
