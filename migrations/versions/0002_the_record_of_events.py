"""The record of events."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    _add_columns()
    _create_events()
    _create_drops()
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0002_events.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)


def _add_columns() -> None:
    for name, comment in (("events_count", "of its events"), ("events_dropped", "for their age")):
        op.add_column(
            "stagings",
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False, comment=comment),
        )
    op.add_column(
        "stagings",
        sa.Column("events_digest", sa.Text(), comment="digest of its newest event"),
    )
    op.add_column(
        "staged_artifacts",
        sa.Column("evict_reason", sa.Text(), comment="asked, space, lost"),
    )
    op.create_check_constraint(
        op.f("staged_artifacts_evict_reason_check"),
        "staged_artifacts",
        "evict_reason IN ('asked', 'space', 'lost')",
    )


def _create_events() -> None:
    op.create_table(
        "staging_events",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("staging_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="place in its staging: 1, 2, 3 ..."
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="staging, artifact, cancel_requested, pin"
        ),
        sa.Column("artifact_id", sa.Text(collation="C"), comment="null: about the staging itself"),
        sa.Column("name", sa.Text(), comment="of the artifact"),
        sa.Column("from_state", sa.Text(), comment="null: it is new"),
        sa.Column("to_state", sa.Text(), comment="of the staging or of the artifact, by kind"),
        sa.Column(
            "actor",
            sa.Text(),
            nullable=False,
            comment="on whose behalf: a caller, or a database role",
        ),
        sa.Column("holder", sa.Text(), comment="the process that did it"),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            comment="the grant under which it was done; null: under none",
        ),
        sa.Column("fence", sa.BigInteger()),
        sa.Column("code", sa.Text(), comment="why: of the error, or why it was evicted"),
        sa.Column("message", sa.Text()),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            nullable=False,
            comment="what else changed: attempt, digest, source",
        ),
        sa.Column(
            "previous_digest",
            sa.Text(),
            comment="digest of the event before it; null for the first",
        ),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="sha256 of all other columns, in order, as JSON",
        ),
        sa.CheckConstraint(
            "kind IN ('staging', 'artifact', 'cancel_requested', 'pin')",
            name=op.f("staging_events_kind_check"),
        ),
        sa.CheckConstraint("number >= 1", name=op.f("staging_events_number_check")),
        sa.CheckConstraint(
            "(number = 1) = (previous_digest IS NULL)",
            name=op.f("staging_events_first_has_none_before_check"),
        ),
        sa.CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name=op.f("staging_events_digest_check")),
        sa.ForeignKeyConstraint(
            ["staging_id"], ["stagings.id"], name=op.f("staging_events_staging_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("staging_events_pkey")),
        comment="Every change of state of a staging or artifact: who, what, from, to, why.",
        postgresql_partition_by="RANGE (id)",
    )
    for columns in (["staging_id", "number"], ["artifact_id", "at"]):
        op.create_index(op.f(f"staging_events_{'_'.join(columns)}_idx"), "staging_events", columns)


def _create_drops() -> None:
    op.create_table(
        "staging_event_drops",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("role", sa.Text(), nullable=False, comment="the database role that did it"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "below",
            sa.Text(collation="C"),
            nullable=False,
            comment="every event with a lower id was dropped",
        ),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="how many"),
        sa.PrimaryKeyConstraint("id", name=op.f("staging_event_drops_pkey")),
        comment="When old events were dropped: only staging_events_drop() does it, whole months.",
    )
