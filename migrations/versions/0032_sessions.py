"""Sign-in of browsers: the key of their cookies, which auditors cannot read; builds by their name."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.create_table(
        "session_keys",
        sa.Column(
            "sole", sa.Boolean(), server_default=sa.true(), nullable=False, comment="true: one row"
        ),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="32 bytes"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint("sole", name=op.f("session_keys_sole_check")),
        sa.CheckConstraint("octet_length(key) = 32", name=op.f("session_keys_key_check")),
        sa.PrimaryKeyConstraint("sole", name=op.f("session_keys_pkey")),
        comment="The key that signs the cookies of browsers; without its row all are signed out.",
    )
    op.create_index(
        "archives_name_idx",
        "archives",
        [sa.text("substring(archive_url COLLATE \"C\", '[^/]*$')")],
    )
    for name in ("0032_functions.sql", "0032_sessions.sql"):
        # The driver alone, without parameters: a colon or percent sign in the file is only itself.
        statements = (SQL / name).read_text().replace("%", "%%")
        op.get_bind().exec_driver_sql(statements)
