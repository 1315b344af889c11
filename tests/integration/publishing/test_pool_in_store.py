"""Pool files as contents of the store: kept as long as the pool refers to them, then removed."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from staging_api.db.engine import Database
from staging_api.debian.forms import Form
from staging_api.errors import PackageInvalid, Unavailable, WrongStore
from staging_api.publishing import intake
from staging_api.staging.eviction import prune
from staging_api.staging.reconcile import check
from staging_api.staging.upkeep import StoreTerms, Upkeep
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import MARKER
from tests.packages import control_text, deb
from tests.publisher import Shop, shop
from tests.rows import execute, select

SMALL = deb(control_text("hello"), Form.GZ)
DIGEST = hashlib.sha256(SMALL).hexdigest()


@pytest.fixture
def here(database: Database, database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with shop(database, database_url, tmp_path) as made:
        made.set_up(quarantine_seconds=0)
        yield made


def upkeep_of(here: Shop) -> Upkeep:
    """Return an upkeep without grace periods: it keeps only contents that rows refer to."""
    terms = StoreTerms(idle_seconds=0, noted_seconds=0, grace_seconds=0, busy_seconds=0)
    return Upkeep(here.database, here.publisher.locks, here.publisher.blobs, terms)


def sweep(here: Shop) -> None:
    """Run all steps that remove contents."""
    upkeep = upkeep_of(here)
    prune(upkeep)
    check(upkeep, DIGEST[:2])
    upkeep.collect()


def remove_from_pool(here: Shop) -> None:
    """Supersede the package, and let the older version's removal delay pass."""
    here.add("hello", version="2.0")
    here.run()
    for table, column in (
        ("package_publications", "scheduled_deletion_at"),
        ("dists_generations", "retired_at"),
        *((name, "created_at") for name in ("package_files", "binary_releases")),
    ):
        execute(here.database, f"UPDATE {table} SET {column} = {column} - interval '2 days'")
    here.run()


def is_stored(here: Shop) -> bool:
    rows = select(here.database, "SELECT 1 FROM blobs WHERE sha256 = :sha256", sha256=DIGEST)
    assert bool(rows) == here.publisher.blobs.has(DIGEST)
    return bool(rows)


def test_uploaded_and_published_contents_are_never_collected(here: Shop) -> None:
    here.upload(SMALL)
    sweep(here)
    assert is_stored(here)
    here.run()
    sweep(here)
    assert is_stored(here)


def test_contents_that_left_the_pool_leave_the_store(here: Shop) -> None:
    here.upload(SMALL)
    here.run()
    remove_from_pool(here)
    assert is_stored(here)
    sweep(here)
    assert not is_stored(here)
    # The history of the package stays, with its names.
    rows = select(here.database, "SELECT sha256 FROM package_files WHERE removed_at IS NOT NULL")
    assert rows == [(DIGEST,)]


def test_contents_uploaded_again_before_collection_stay(here: Shop) -> None:
    here.upload(SMALL)
    here.run()
    remove_from_pool(here)
    here.upload(SMALL)
    sweep(here)
    assert is_stored(here)


def test_packages_go_into_the_store_of_the_database_alone(here: Shop, tmp_path: Path) -> None:
    here.intake = replace(here.intake, upkeep=upkeep_of(here))
    here.upload(SMALL)
    (tmp_path / "store" / MARKER).write_text("0" * 26)
    here.intake = replace(here.intake, upkeep=upkeep_of(here))
    other = deb(control_text("other"), Form.GZ)
    with pytest.raises(WrongStore):
        here.upload(other)
    assert not here.publisher.blobs.has(hashlib.sha256(other).hexdigest())
    with pytest.raises(WrongStore):
        here.run()
    states = "SELECT state, error_message FROM package_publications"
    assert select(here.database, states) == [("pending", None)]


class Losing:
    """A store that loses a content at the moment it is asked which contents it lacks."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def lacks(self, contents: Mapping[str, int]) -> set[str]:
        self._blobs.remove(DIGEST)
        return self._blobs.lacks(contents)


def test_an_upload_whose_content_the_store_lost_is_refused_and_its_row_does_not_stay(
    here: Shop,
) -> None:
    here.intake = replace(here.intake, blobs=cast("BlobStore", Losing(here.intake.blobs)))
    with pytest.raises(Unavailable, match="send them again") as refused:
        here.upload(SMALL, deb(control_text("other"), Form.GZ))
    assert refused.value.retry_after_seconds == 1
    assert select(here.database, "SELECT 1 FROM uploads") == []
    marked = "SELECT sha256 FROM blobs WHERE doomed_at IS NOT NULL"
    assert select(here.database, marked) == [(DIGEST,)]


def test_an_upload_whose_content_was_marked_for_removal_meanwhile_is_refused(
    here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> None:
        mark = "UPDATE blobs SET doomed_at = clock_timestamp() WHERE sha256 = :sha256"
        execute(here.database, mark, sha256=DIGEST)

    with monkeypatch.context() as patch:
        patch.setattr(intake, "make_way", meanwhile)
        with pytest.raises(Unavailable, match="send them again") as refused:
            here.upload(SMALL, deb(control_text("other"), Form.GZ))
    assert refused.value.retry_after_seconds == 1
    assert select(here.database, "SELECT 1 FROM uploads") == []
    assert [each.state for each in here.upload(SMALL)] == ["accepted"]


def test_contents_of_another_archive_stay(here: Shop, database: Database) -> None:
    here.upload(SMALL)
    here.run()
    execute(
        database,
        "INSERT INTO apt_archives (name, forms, retention_seconds, quarantine_seconds)"
        " VALUES ('other', '{gz}', 1, 1)",
    )
    execute(
        database,
        "INSERT INTO package_files (archive_id, path, sha256, size_bytes)"
        " SELECT a.id, f.path, f.sha256, f.size_bytes FROM apt_archives a, package_files f"
        " WHERE a.name = 'other'",
    )
    remove_from_pool(here)
    sweep(here)
    assert is_stored(here)


def test_the_packages_of_a_rejected_upload_leave_the_store(here: Shop) -> None:
    raw = deb(control_text("hello", architecture="riscv64"), Form.GZ)
    digest = hashlib.sha256(raw).hexdigest()
    with pytest.raises(PackageInvalid, match="no architecture riscv64"):
        here.upload(raw)
    upkeep = upkeep_of(here)
    check(upkeep, digest[:2])
    upkeep.collect()
    assert not here.publisher.blobs.has(digest)
