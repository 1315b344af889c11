"""Folders of files."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("staged_files_folder_idx", "staged_files", [sa.text('path COLLATE "C"')])
