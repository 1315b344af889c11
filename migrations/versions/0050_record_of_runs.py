"""The record of a run is written by functions, and finds its generations by an index."""

from pathlib import Path

from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX dists_generations_building_idx ON dists_generations (archive_id)"
        " WHERE state = 'building'"
    )
    op.execute("CREATE INDEX dists_generations_run_id_idx ON dists_generations (run_id)")
    statements = (SQL / "0050_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
