"""Members of container files in one pack, whose rows are stored before the artifact is staged."""

import gzip
import hashlib
import tarfile

import pytest

from staging_api import name_table
from staging_api.errors import Unavailable
from staging_api.staging import attempt, file_table, reconcile
from staging_api.staging.packs import Packs
from staging_api.staging.repository import file_rows, pack_rows, reading
from staging_api.store.pack_writer import LEAST_CONTENTS, PackWriter
from staging_api.store.places import read_at
from tests.archives import header, tar_of, zip_of
from tests.stagings import bench, packed
from tests.stores import blobs_of

BELOW = "board/R17-1/"
LARGE = b"large" * 20_000
FILES = {f"d/{number:03}": b"content %d" % (number % 25) for number in range(60)}
ALL = {**FILES, "d/large": LARGE, "d/empty": b"", "d/e\\x2d": b"a backslash", "größe": b"umlaut"}


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path) as made:
        yield made


def served(at, path):
    with at.database.connect() as conn:
        found = reading.served_file(conn, path)
    return None if found is None else read_at(at.service.blobs, found.place)


def staged(at, url, *names):
    staging = at.stage(url, *(names or ("suites",)))
    assert [artifact.state for artifact in staging.artifacts] == ["staged"] * len(names or "1")
    return staging


def check(at, files, below=BELOW):
    for path, content in files.items():
        assert served(at, below + path) == content
    assert at.rows("SELECT count(*) FROM staged_files") == [(len(files),)]


def test_small_members_of_a_tar_become_one_pack_and_each_is_served(at):
    staged(at, at.build(suites_tgz=packed(ALL)))
    check(at, ALL)
    ((pack, size),) = at.rows("SELECT sha256, size_bytes FROM packs")
    assert size == sum(len(content) for content in {*ALL.values()} - {LARGE})
    large = hashlib.sha256(LARGE).hexdigest()
    assert {blob.sha256 for blob, _ in blobs_of(at.service.blobs)} == {pack, large}


def test_small_members_of_a_zip_become_one_pack_as_well(at):
    url = at.build(image_zip=zip_of(*ALL.items()))
    staging = staged(at, url, "member:image.zip!/d")
    files = {f"image.zip!/{path}": data for path, data in ALL.items() if path.startswith("d/")}
    check(at, files)
    assert at.rows("SELECT count(*) FROM packs") == [(1,)]
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items()]
    listed = "".join(sorted(lines, key=lambda line: line[66:])).encode()
    assert staging.artifacts[0].sha256 == hashlib.sha256(listed).hexdigest()


def test_the_same_archive_of_two_builds_is_one_pack(at):
    for name in ("R17-1", "R17-2"):
        staged(at, at.build(name, suites_tgz=packed(FILES)))
    assert at.rows("SELECT count(*), count(DISTINCT sha256) FROM packs") == [(2, 1)]
    ((size,),) = at.rows("SELECT DISTINCT size_bytes FROM packs")
    assert at.service.upkeep.space().used == size


@pytest.mark.parametrize(("count", "packs"), [(LEAST_CONTENTS - 1, 0), (LEAST_CONTENTS, 1)])
def test_a_few_contents_are_blobs_of_their_own(at, count, packs):
    files = {f"d/{number:03}": b"content %d" % (number % count) for number in range(3 * count)}
    staged(at, at.build(suites_tgz=packed(files)))
    check(at, files)
    assert at.rows("SELECT count(*) FROM packs") == [(packs,)]


def test_no_pack_is_written_to_a_database_that_older_versions_may_serve(
    database, database_url, tmp_path
):
    with bench(database, database_url, tmp_path) as at:
        at.service.upkeep.identity.check()
        at.tamper("UPDATE store_identity SET packs = false")
        staged(at, at.build(suites_tgz=packed(FILES)))
        assert at.rows("SELECT count(*) FROM packs") == [(0,)]
        check(at, FILES)
    with bench(database, database_url, tmp_path, packs=Packs("yes")) as at:
        staged(at, at.build("R17-2", suites_tgz=packed(FILES)))
        assert at.rows("SELECT count(*) FROM packs") == [(1,)]
    with bench(database, database_url, tmp_path, packs=Packs("yes", file_bytes=9)) as at:
        staged(at, at.build("R17-3", suites_tgz=packed(FILES)))
        assert at.rows("SELECT count(*) FROM packs") == [(1,)]


@pytest.mark.parametrize("in_memory", [10**6, 9], ids=["in memory", "names in a file"])
def test_of_two_members_of_one_path_the_last_counts_and_links_have_its_content(
    at, in_memory, monkeypatch
):
    monkeypatch.setattr(name_table, "MOST_IN_MEMORY", in_memory)
    monkeypatch.setattr(name_table, "_GROUP", 7)
    monkeypatch.setattr(file_table, "_FEW", in_memory)
    raw = tar_of(
        *FILES.items(),
        (header("d/hard", tarfile.LNKTYPE, "d/000"), b""),
        ("d/000", b"the second one"),
        (header("d/soft", tarfile.SYMTYPE, "000"), b""),
        (header("again", tarfile.SYMTYPE, "d"), b""),
        (header("d/run", mode=0o755), b"#!/bin/sh"),
    )
    staged(at, at.build(suites_tgz=gzip.compress(raw)))
    files = {**FILES, "d/000": b"the second one", "d/hard": FILES["d/000"]}
    files |= {"d/soft": b"the second one", "d/run": b"#!/bin/sh"}
    files |= {f"again{path[1:]}": content for path, content in files.items()}
    check(at, files)
    executable = at.rows("SELECT path FROM staged_files WHERE executable ORDER BY 1")
    assert executable == [(f"{BELOW}again/run",), (f"{BELOW}d/run",)]


def test_nothing_is_served_before_it_is_staged_and_the_next_attempt_begins_anew(at, monkeypatch):
    monkeypatch.setattr(attempt, "_PACKED_AT_ONCE", 8)
    add, batches = pack_rows.add_packed_files, []

    def failing(conn, artifact_id, files):
        batches.append(len(files))
        if len(batches) == 5:
            raise Unavailable("the database is away")
        return add(conn, artifact_id, files)

    url = at.build(suites_tgz=packed(FILES))
    monkeypatch.setattr(pack_rows, "add_packed_files", failing)
    with pytest.raises(Unavailable):
        at.stage(url, "suites")
    assert at.rows("SELECT count(*) FROM packed_files") == [(32,)]
    assert served(at, f"{BELOW}d/000") is None
    (at.builds / "board" / "R17-1" / "suites.tgz").write_bytes(packed(ALL))
    monkeypatch.setattr(pack_rows, "add_packed_files", add)
    staged(at, url)
    check(at, ALL)
    assert at.rows("SELECT count(*) FROM packs") == [(1,)]
    # The pack of the first attempt has no name any more.
    assert at.service.upkeep.collect() == 1
    check(at, ALL)


def test_a_pack_that_is_removed_before_its_row_is_fetched_again(at, monkeypatch):
    add = file_rows.add_pack

    def removed(conn, artifact_id, pack, paths):
        at.service.blobs.remove(pack.sha256)
        return add(conn, artifact_id, pack, paths)

    url = at.build(suites_tgz=packed(FILES))
    monkeypatch.setattr(file_rows, "add_pack", removed)
    with pytest.raises(Unavailable, match="removed"):
        at.stage(url, "suites")
    monkeypatch.undo()
    staged(at, url)
    check(at, FILES)


def test_an_evicted_pack_is_staged_again(at):
    url = at.build(suites_tgz=packed(ALL))
    first = staged(at, url)
    at.service.blobs.path(at.rows("SELECT sha256 FROM packs")[0][0]).unlink()
    (shard,) = {sha256[:2] for (sha256,) in at.rows("SELECT sha256 FROM packs")}
    reconcile.check(at.service.upkeep, shard)
    again = staged(at, url)
    assert again.artifacts[0].id != first.artifacts[0].id
    check(at, ALL)


def test_the_quota_counts_the_bytes_of_the_pack(tmp_path):
    counted: list[int] = []
    writer = PackWriter(str(tmp_path / "pack"), counted.append)
    contents = [b"%d" % number * 60_000 for number in range(40)]
    places = [writer.add(content) for content in contents]
    assert writer.few() is None
    sha256, size = writer.seal()
    raw = (tmp_path / "pack").read_bytes()
    assert (hashlib.sha256(raw).hexdigest(), len(raw), sum(counted)) == (sha256, size, size)
    for content, (digest, offset) in zip(contents, places, strict=True):
        assert raw[offset : offset + len(content)] == content
        assert hashlib.sha256(content).digest() == digest
