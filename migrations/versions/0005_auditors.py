"""Auditors: their role, and the indexes of their questions."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.create_index(op.f("stagings_caller_id_idx"), "stagings", ["caller", "id"])
    for columns in (["archive_url", "name"], ["sha256"]):
        op.create_index(
            op.f(f"staged_artifacts_{'_'.join(columns)}_idx"), "staged_artifacts", columns
        )
    op.create_index(
        "staged_artifacts_fetched_idx",
        "staged_artifacts",
        ["source_url", "source_version", "name"],
        postgresql_where=sa.text("staged_at IS NOT NULL"),
    )
    op.create_index(
        "staged_artifacts_staged_idx",
        "staged_artifacts",
        ["staged_at"],
        postgresql_where=sa.text("staged_at IS NOT NULL"),
    )
    op.create_index(
        "staged_artifacts_evicted_idx",
        "staged_artifacts",
        ["evicted_at"],
        postgresql_where=sa.text("evicted_at IS NOT NULL"),
    )
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0005_audit.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
