"""Rows of many files: written in batches that are not read before the artifact is staged."""

import pytest

from staging_api.errors import ArchiveCorrupt, Unavailable
from staging_api.staging import attempt
from staging_api.staging.packs import Packs
from staging_api.staging.repository import file_rows
from tests.stagings import bench, packed

FILES = {f"suites/{number:03}": b"content %d" % (number % 20) for number in range(50)}
SERVED = "SELECT count(*) FROM staged_files f JOIN staged_artifacts a ON a.id = f.artifact_id"


@pytest.fixture
def at(database, database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "_FILES_AT_ONCE", 8)
    with bench(database, database_url, tmp_path, packs=Packs("no")) as made:
        yield made


def test_all_files_are_there_once_it_is_staged(at):
    (artifact,) = at.stage(at.build(suites_tgz=packed(FILES)), "suites").artifacts
    assert artifact.state == "staged"
    assert at.rows(SERVED) == [(50,)]
    (left,) = at.rows("SELECT count(*) FROM blobs WHERE doomed_at IS NOT NULL")
    assert left == (0,)


def test_no_file_is_served_before_the_artifact_is_staged_and_the_next_attempt_has_all(
    at, monkeypatch
):
    url, add_files, batches = at.build(suites_tgz=packed(FILES)), file_rows.add_files, []

    def failing(conn, artifact_id, files):
        batches.append(len(files))
        if len(batches) == 6:
            raise Unavailable("the database is away")
        return add_files(conn, artifact_id, files)

    monkeypatch.setattr(file_rows, "add_files", failing)
    with pytest.raises(Unavailable):
        at.stage(url, "suites")
    assert max(batches) == 8
    (left,) = at.rows(SERVED)[0]
    assert 0 < left < 50
    assert at.rows(f"{SERVED} AND a.state = 'staged'") == [(0,)]
    monkeypatch.undo()
    monkeypatch.setattr(attempt, "_FILES_AT_ONCE", 8)
    fewer = dict(list(FILES.items())[:30])
    (at.builds / "board" / "R17-1" / "suites.tgz").write_bytes(packed(fewer))
    staging = at.stage(url, "suites")
    assert staging.artifacts[0].state == "staged"
    assert at.rows(f"{SERVED} AND a.state = 'staged'") == [(30,)]


def test_rows_of_an_attempt_are_deleted_when_the_artifact_has_finally_failed(at, monkeypatch):
    url, add_files = at.build(suites_tgz=packed(FILES)), file_rows.add_files

    def failing(conn, artifact_id, files):
        if files[0]["path"].endswith("016"):
            raise Unavailable("the database is away")
        return add_files(conn, artifact_id, files)

    monkeypatch.setattr(file_rows, "add_files", failing)
    with pytest.raises(Unavailable):
        at.stage(url, "suites")
    assert at.rows(SERVED) == [(16,)]
    (at.builds / "board" / "R17-1" / "suites.tgz").write_bytes(b"no tar")
    with pytest.raises(ArchiveCorrupt, match="tar is damaged"):
        at.stage(url, "suites")
    assert at.rows(SERVED) == [(0,)]
