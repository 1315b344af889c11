"""Hostile text from outside: shown as text, from every column that a page shows."""

import html

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.staging.model import Staging
from staging_api.ui.formats import build_url
from tests.integration.ui.conftest import Builds
from tests.pages import Site
from tests.rows import select

HOSTILE = "</td></table><img src=x onerror=alert(1)>\"'`><script>alert(2)</script>{{7*7}}"
#: Columns with a meaning of their own, which no caller writes.
_KEPT = {
    *("id", "staging_id", "artifact_id", "lock_id", "archive_url", "state", "kind", "phase"),
    *("outcome", "scope", "lock_kind", "sha256", "previous_digest", "digest", "evict_reason"),
    *("from_state", "to_state", "blob", "held_by", "object_sha256"),
}
TABLES = ("stagings", "staged_artifacts", "staging_events", "api_locks", "loose_files")


@pytest.fixture
def planted(builds: Builds, database: Database) -> Staging:
    """Return a failed staging beside a successful one, with hostile text in each free column."""
    staging = builds.staged("R1")
    builds.staged("R2", other_txt=b"")
    with database.begin() as conn:
        conn.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        for table in TABLES:
            _plant(conn, table)
    return staging


def _plant(conn: Connection, table: str) -> None:
    columns = conn.execute(
        text(
            "SELECT column_name FROM information_schema.columns WHERE table_name = :table"
            " AND data_type = 'text' AND is_generated = 'NEVER'"
        ),
        {"table": table},
    ).scalars()
    for column in set(columns) - _KEPT:
        # Paths and names are keys: each needs a distinct part.
        conn.execute(
            text(f"UPDATE {table} SET {column} = :hostile || {column} WHERE {column} IS NOT NULL"),
            {"hostile": HOSTILE},
        )


def test_hostile_text_is_text_on_every_page(site: Site, planted: Staging, database: Database):
    failed = select(database, "SELECT id FROM stagings WHERE state = 'failed'")[0][0]
    locks = [row[0] for row in select(database, "SELECT id FROM api_locks")]
    pages = [
        *("/", "/ui/builds", "/ui/locks?state=all", build_url(planted.archive_url)),
        *(f"/ui/stagings/{planted.id}", f"/ui/stagings/{failed}", f"/ui/search?q={HOSTILE}"),
        *(f"/ui/locks/{lock_id}" for lock_id in locks),
        *(f"/ui/builds?u={HOSTILE}", f"/ui/builds?prefix={HOSTILE}", f"/ui/locks?scope={HOSTILE}"),
        *(f"/ui/{HOSTILE}", f"/?done={HOSTILE}", f"/ui/locks/{HOSTILE}"),
    ]
    shown = 0
    for path in pages:
        for headers in ({}, {"X_Live": "1"}):
            page = site.get(path, **headers)
            assert not page.all("img"), path
            assert len(page.all("script")) <= 2, path
            shown += html.escape(HOSTILE) in page.html or "&lt;img src=x" in page.html
    assert shown > len(pages)
