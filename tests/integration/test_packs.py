"""Files in packs: found, read, counted, checked and evicted like loose files."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from staging_api.devserver.control_files import ControlFiles
from staging_api.devserver.symbolication import Symbolication
from staging_api.errors import NotFound
from staging_api.staging import eviction, reconcile
from staging_api.staging.fetched import PackedRow
from staging_api.staging.model import StagedArtifact
from staging_api.staging.packs import Packs
from staging_api.staging.repository import (
    file_rows,
    folder_rows,
    found_files,
    pack_rows,
    reading,
    space_rows,
)
from staging_api.staging.scrub import Scrub
from staging_api.store.places import open_at, read_at
from tests.factories import ORIGIN
from tests.packs import packed_up
from tests.stagings import bench, packed

FILES = {f"autotest/suites/control.{number:03}": b"content %d" % number for number in range(30)}
FILES["autotest/a\\b"] = b"a name with a backslash"
FILES["autotest/größe"] = b""
BELOW = "board/R17-1/"


@pytest.fixture
def at(database, database_url, tmp_path):
    with bench(database, database_url, tmp_path, packs=Packs("no")) as made:
        yield made


@pytest.fixture
def artifact(at):
    (staged,) = at.stage(at.build(suites_tgz=packed(FILES)), "suites").artifacts
    return staged


@pytest.fixture
def pack(at, artifact):
    made = packed_up(at, artifact.id)
    at.service.upkeep.collect()
    return made


def found(at, path):
    with at.database.connect() as conn:
        return reading.served_file(conn, path)


def test_each_file_is_found_by_its_path_and_read_out_of_the_pack(at, pack):
    for name, content in FILES.items():
        file = found(at, BELOW + name)
        assert (file.place.sha256, file.place.packed) == (pack.sha256, True)
        assert read_at(at.service.blobs, file.place) == content
        with open_at(at.service.blobs, file.place) as stream:
            assert stream.read() == content
    assert found(at, BELOW + "autotest/suites/control") is None


def test_folders_and_lists_are_the_same_as_without_a_pack(at, artifact):
    def shown():
        with at.database.connect() as conn:
            below = folder_rows.served_below(conn, BELOW, 1000)
            return (
                folder_rows.children_of(conn, BELOW + "autotest/", "", 100),
                folder_rows.children_of(conn, BELOW, "", 100),
                [(file.path, file.sha256, file.size_bytes) for file in below],
                found_files.files_of(conn, artifact.id, "", 10),
                found_files.files_of(conn, artifact.id, BELOW + "autotest/suites/control.007", 99),
                [file.path for file in found_files.files_below(conn, "board/R17-1", "autotest/")],
                sorted(at.rows("SELECT artifact_id, path, sha256, size_bytes FROM staged_files")),
            )

    before = shown()
    packed_up(at, artifact.id)
    assert shown() == before
    assert len(before[2]) == len(FILES)


def test_a_path_is_one_probe_of_an_index_in_each_table(at, pack):
    with at.database.begin() as conn:
        conn.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            conn.execute(
                text(
                    "EXPLAIN SELECT pack_sha256 FROM staged_files"
                    " WHERE path COLLATE \"C\" = 'board/x'"
                )
            ).scalars()
        )
    assert "packed_files_path_idx" in plan
    assert "loose_files_folder_idx" in plan


def test_the_devserver_reads_control_files_and_symbols_out_of_a_pack(at, pack, tmp_path):
    controls = ControlFiles(at.service.upkeep)
    name = "autotest/suites/control.003"
    assert controls.text("board/R17-1", "suites/control.003") == FILES[name]
    assert len(controls.texts("board/R17-1", None)) == 30
    with at.database.connect() as conn:
        places = found_files.newest_of_each(conn, "archive", [name], 10)
    runner = Symbolication(tmp_path, at.database, at.service.blobs)
    runner._link(tmp_path, places)
    assert (tmp_path / name).read_bytes() == FILES[name]


def test_the_pack_counts_once_and_goes_with_its_artifact(at, artifact, pack):
    size = pack.size_bytes
    assert at.service.upkeep.space().used == size
    with at.database.connect() as conn:
        (share,) = space_rows.shares(conn, [artifact.id])
        assert (share.frees, share.holds) == (size, size)
        (idle,) = space_rows.idle_artifacts(conn, 0, None, 10)
    assert eviction.evict(at.service.upkeep, idle, "space")
    assert at.rows("SELECT count(*) FROM staged_files") == [(0,)]
    assert at.rows("SELECT count(*) FROM packs") == [(0,)]
    assert at.service.upkeep.collect() == 1
    assert not at.service.blobs.has(pack.sha256)
    assert at.service.upkeep.space().used == 0


def test_rows_that_an_eviction_leaves_are_deleted_in_batches_and_the_blob_at_once(
    at, artifact, pack, monkeypatch
):
    monkeypatch.setattr(file_rows, "_FEW_FILES", 5)
    at.service.artifacts.evict(artifact.id, ORIGIN)
    assert at.service.upkeep.collect() == 1
    assert at.rows("SELECT count(*) FROM packed_files") == [(len(FILES) - 5,)]
    assert found(at, BELOW + "autotest/größe") is None
    assert at.service.upkeep.forget_dropped(10) == len(FILES) - 5
    assert at.rows("SELECT count(*) FROM packed_files") == [(0,)]
    assert at.rows("SELECT count(*) FROM packs") == [(0,)]


def test_the_comparison_keeps_packs_and_evicts_what_lost_one(at, artifact, pack):
    shard = pack.sha256[:2]
    assert reconcile.check(at.service.upkeep, shard).lost == ()
    at.tamper("UPDATE blobs SET stored_at = stored_at - interval '2 days'")
    reconcile.check(at.service.upkeep, shard)
    assert at.service.upkeep.collect() == 0
    at.service.blobs.path(pack.sha256).write_bytes(b"cut")
    assert reconcile.check(at.service.upkeep, shard).lost == (pack.sha256,)
    assert at.rows("SELECT evict_reason FROM staged_artifacts") == [("lost",)]


def test_a_reader_that_misses_the_pack_has_its_artifact_evicted(at, pack):
    at.service.blobs.path(pack.sha256).unlink()
    with pytest.raises(NotFound, match="lost"):
        ControlFiles(at.service.upkeep).text("board/R17-1", "suites/control.003")
    assert at.rows("SELECT evict_reason FROM staged_artifacts") == [("lost",)]


def test_a_flipped_bit_of_one_member_is_found_by_the_scrub(at, pack):
    path = at.service.blobs.path(pack.sha256)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    at.tamper("UPDATE blobs SET stored_at = stored_at - interval '2 days'")
    again: list[StagedArtifact] = []
    assert Scrub(at.service.upkeep, again.append).turn(pack.sha256[:2]).corrupt == (pack.sha256,)
    assert [each.name for each in again] == ["suites"]
    assert at.rows("SELECT evict_reason FROM staged_artifacts") == [("corrupt",)]


def test_auditors_find_a_content_in_a_pack(at, artifact, pack):
    (digest,) = at.rows(
        'SELECT sha256 FROM staged_files WHERE path COLLATE "C" = :p',
        p=BELOW + "autotest/suites/control.011",
    )[0]
    assert at.rows("SELECT artifact_id FROM staged_files WHERE sha256 = :d", d=digest) == [
        (artifact.id,)
    ]


WRONG = {
    "behind its end": PackedRow(BELOW + "autotest/b", bytes(32), 10, 10**6, False),
    "outside of its paths": PackedRow(BELOW + "zzz", bytes(32), 1, 0, False),
    "no digest": PackedRow(BELOW + "autotest/b", bytes(31), 1, 0, False),
    "before its start": PackedRow(BELOW + "autotest/b", bytes(32), 1, -1, False),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG)
def test_an_impossible_place_is_refused(at, artifact, pack, row):
    with pytest.raises(IntegrityError), at.database.begin() as conn:
        pack_rows.add_packed_files(conn, artifact.id, [row])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM packs",
        "UPDATE packs SET size_bytes = size_bytes + 1",
        "UPDATE packed_files SET pack_offset = 0",
        "DELETE FROM blobs",
    ],
)
def test_the_rows_of_a_pack_do_not_change_and_go_in_one_order(at, pack, statement):
    with pytest.raises(IntegrityError), at.database.begin() as conn:
        conn.execute(text(statement))


def test_a_file_of_an_artifact_without_a_pack_is_refused(at, artifact):
    row = PackedRow(BELOW + "autotest/b", bytes(32), 1, 0, False)
    with pytest.raises(IntegrityError), at.database.begin() as conn:
        pack_rows.add_packed_files(conn, artifact.id, [row])
