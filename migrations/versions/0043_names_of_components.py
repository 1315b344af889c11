"""A component may be named as others name theirs: mysql-8.0, updates/main."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

NAME = r"""
    name ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,63}(/[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,63}){0,3}$'
    AND name !~ '^(Release|InRelease|Release\.gpg)(/|$)'
    AND name !~ '/(source|debian-installer|by-hash|binary-[^/]*)(/|$)'
"""


def upgrade() -> None:
    # Whatever the version before wrote is allowed; it reads such names, and takes no package there.
    op.drop_constraint(op.f("components_name_check"), "components", type_="check")
    op.create_check_constraint(op.f("components_name_check"), "components", NAME)
