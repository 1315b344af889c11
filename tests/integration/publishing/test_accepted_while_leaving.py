"""Acceptance of an upload while another transaction removes the files of its package: refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database
from tests.packages import control_text, deb, dsc, source_file
from tests.publisher import Shop, shop
from tests.rows import select
from tests.service import eventually

_WAITS = """
    SELECT 1 FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%accept%'"""

_UPLOADS = """
    SELECT coalesce(b.package, s.package), u.id FROM uploads u
    LEFT JOIN binary_releases b ON b.id = u.binary_release_id
    LEFT JOIN source_releases s ON s.id = u.source_release_id"""


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up()
        yield made


@pytest.mark.parametrize("kind", ["binary", "source"])
def test_an_upload_waits_for_what_takes_its_files_away_and_is_refused(
    here: Shop, kind: str
) -> None:
    here.upload(deb(control_text("hello")))
    files = {"bye_1.0.tar.xz": b"content"}
    of_source = dsc([source_file(*each) for each in files.items()], "bye", version="1.0")
    here.send({"bye_1.0.dsc": of_source.encode(), **files})
    uploads: dict[str, str] = dict(select(here.database, _UPLOADS))
    leaves, stays = ("hello", "bye") if kind == "binary" else ("bye", "hello")

    def accept() -> list[tuple[str, str]]:
        with here.database.begin() as conn:
            ids = [uploads[leaves], uploads[stays]]
            found = conn.execute(text("SELECT * FROM publisher_accept(:ids)"), {"ids": ids})
            return [tuple(row) for row in found]

    with ThreadPoolExecutor(1) as pool:
        with here.database.begin() as conn:
            conn.execute(text(f"UPDATE {kind}_releases SET removed_at = clock_timestamp()"))
            accepted = pool.submit(accept)
            eventually(
                lambda: accepted.done() or bool(select(here.database, _WAITS)),
                "it neither waits nor ends",
            )
            assert not accepted.done()
        found = accepted.result()
    assert found == [
        (uploads[leaves], f"the files of {leaves} have left the pool: upload it again")
    ]
    pending = select(here.database, "SELECT package, state FROM package_publications")
    assert pending == [(stays, "pending")]
