"""Statements that change rows: the given rows change, all others stay."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.heartbeats import rows as heartbeats
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.staging.repository import (
    check_rows,
    file_rows,
    pack_rows,
    prune_rows,
    space_rows,
    store_rows,
)
from tests.rows import keyed_rows, only_rows

BLOBS = """
    ('{1}', 10, now() - interval '2 days', NULL, NULL, 0),  -- not named
    ('{2}', 20, now() - interval '3 days', NULL, NULL, 0),
    ('{3}', 30, now(), now() - interval '1 h', NULL, 0),  -- marked
    ('{4}', 40, now(), now() - interval '2 h', NULL, 0),
    ('{5}', 50, now(), now() - interval '1 h', now() + interval '1 h', 0),  -- claimed
    ('{6}', 60, now(), now() - interval '1 h', now() + interval '1 h', 0),
    ('{7}', 70, now(), now() - interval '1 min', now() - interval '1 s', 0),  -- not any more
    ('{8}', 80, now(), now() + interval '1 h', NULL, 0),  -- released
    ('{9}', 90, now() - interval '2 days', NULL, NULL, 0),  -- named by a pack
    ('{a}', 99, now(), now() - interval '3 h', NULL, 0),  -- marked, and named since
    ('{c}', 22, now(), now() - interval '30 min', NULL, 0),  -- the same, later
    ('{b}', 11, now() - interval '1 min', NULL, NULL, 0),  -- not named, and young
    ('{d}', 13, now(), NULL, NULL, 0),  -- named by a pool and by a build
    ('{f}', 15, now(), now() + interval '9 h', NULL, 1)  -- named by a pool, and marked for later
"""
OTHERS = """
    INSERT INTO blobs (sha256, size_bytes, stored_at, doomed_at, removing_until, removal_failures)
        VALUES {blobs};
    INSERT INTO lost_contents (sha256, reason) VALUES ('{1}', 'lost'), ('{2}', 'corrupt');
    INSERT INTO packs (artifact_id, sha256, size_bytes, first_path, last_path) VALUES
        ('kept', '{9}', 90, 'a', 'z'), ('other', '{a}', 99, 'a', 'z'),
        ('third', '{c}', 22, 'a', 'z'),
        ('dropped', NULL, 10, 'b', 'd'), ('dropped-2', NULL, 10, 'b', 'd');
    INSERT INTO packed_files (pack_offset, size_bytes, artifact_id, path, sha256, executable)
        SELECT 0, 1, id, path, decode('{1}', 'hex'), false
        FROM unnest(ARRAY['kept', 'other', 'dropped', 'dropped-2']) id,
             unnest(ARRAY['b', 'c', 'd']) path;
    INSERT INTO loose_files (artifact_id, path, sha256, size_bytes, executable) VALUES
        ('loose', 'a/1', '{a}', 99, false), ('loose', 'a/2', '{a}', 99, false),
        ('loose-2', 'b/1', '{c}', 22, false), ('loose-3', 'd/1', '{d}', 13, false);
    INSERT INTO package_files (archive_id, path, sha256, size_bytes)
        VALUES (1, 'pool/d', '{d}', 13), (1, 'pool/f', '{f}', 15);
    INSERT INTO store_checks (shard, began_at, scrubbed_at) VALUES
        ('11', now() - interval '2 h', now() - interval '1 h'),
        ('22', now() - interval '3 h', now() - interval '2 h'), ('33', now(), now());
    INSERT INTO store_prunes
        (id, caller, made_at, idle_before, keep_bytes, artifact_ids, frees_bytes, reason, begun_by,
         begun_at)
    SELECT id, 'me', now() - age, now(), 0, '{}', 0, reason, reason,
        CASE WHEN reason IS NULL THEN NULL ELSE now() END
    FROM (VALUES ('fresh', interval '0', NULL), ('fresh-2', '0', NULL), ('hours', '2 h', NULL),
                 ('days', '2 days', NULL), ('DONE', '2 days', 'full'), ('DONE-2', '0', 'full'))
         AS made (id, age, reason);
    INSERT INTO upload_reservations (id, bytes, expires_at)
        VALUES ('one', 1, now() + interval '1 h'), ('two', 2, now() + interval '1 h');
    INSERT INTO lock_scopes
        (kind, scope, lock_id, fence, caller, holder, acquired_at, expires_at)
    SELECT 'archive', id, lpad(ulid, 26, '0'), 7, 'me', 'here', now(), now() + lasts
    FROM (VALUES ('holds', '1', interval '1 h'), ('held', '2', '-1 s'), ('again', '3', '1 h'))
         AS locks (id, ulid, lasts);
    INSERT INTO store_reservations (artifact_id, bytes, kind, scope, lock_id, fence)
    SELECT id, 1, 'archive', id, lpad(ulid, 26, '0'), fence
    FROM (VALUES ('holds', '1', 7), ('held', '2', 7), ('again', '3', 6), ('gone', '4', 7))
         AS made (id, ulid, fence);
    INSERT INTO service_processes
        (name, kind, version, build, schema, places, busy, waiting, threads, draining, seen_at,
         every_seconds)
    SELECT name, 'api', '1', '', '', 1, 0, 0, 1, false, now() - age, 10
    FROM (VALUES ('p1', interval '0'), ('p2', '0'), ('p3', '2 days')) AS seen (name, age);
"""
KEYS = {
    "blobs": "left(sha256, 1)",
    "lost_contents": "left(sha256, 1)",
    "packs": "artifact_id",
    "packed_files": "artifact_id || '/' || path",
    "loose_files": "artifact_id || '/' || path",
    "store_checks": "shard",
    "store_prunes": "id",
    "store_reservations": "artifact_id",
    "upload_reservations": "id",
    "service_processes": "name",
}
ME = ProcessDescription("p2", "api", "2", "", "", "", 4)


def of(*digits: str) -> list[str]:
    return [digit * 64 for digit in digits]


def all_rows(conn: Connection) -> dict[tuple[str, str], str]:
    return keyed_rows(conn, KEYS)


@pytest.fixture
def conn(database: Database):
    statements = OTHERS.replace("{blobs}", BLOBS)
    for digit in "123456789abcdf":
        statements = statements.replace(f"{{{digit}}}", digit * 64)
    with only_rows(database, statements) as made:
        yield made


Call = Callable[[Connection], Any]
CHANGES: dict[str, tuple[Call, Any, set[tuple[str, str]]]] = {
    "mark": (
        lambda c: store_rows.mark_unnamed_for_deletion(c, of("1", "3", "9")),
        None,
        {("blobs", "1")},
    ),
    "claim": (
        lambda c: store_rows.claim_marked(c, 2),
        of("4"),
        {("blobs", "4"), ("blobs", "a")},  # the other is named: mark removed
    ),
    "claim all": (
        lambda c: sorted(store_rows.claim_marked(c, 10)),
        of("3", "4", "7"),
        {("blobs", digit) for digit in "347ac"},
    ),
    "claim busy": (
        lambda c: sorted(store_rows.claim_marked(c, 10, busy_too=True)),
        of("3", "4", "7", "8"),
        {("blobs", digit) for digit in "3478ac"},
    ),
    "renew": (
        lambda c: store_rows.renew_claim(c, of("1", "5", "7"), 9999.0),
        of("5"),
        {("blobs", "5")},
    ),
    "forget": (
        lambda c: store_rows.forget_blobs(c, of("1", "3", "5")),
        None,
        {("blobs", "5")},
    ),
    "put back": (lambda c: store_rows.put_back(c, of("1", "5"), 60), None, {("blobs", "5")}),
    "put off": (lambda c: store_rows.put_off_removal(c, of("1", "5")), None, {("blobs", "5")}),
    "adopt": (
        lambda c: store_rows.adopt_orphans(c, {"e" * 64: 1, "1" * 64: 2}),
        None,
        {("blobs", "e")},
    ),
    "there": (lambda c: check_rows.note_there(c, of("1")), None, {("lost_contents", "1")}),
    "scrubbed": (lambda c: check_rows.note_scrubbed(c, of("1")), None, {("blobs", "1")}),
    "claim shard": (
        lambda c: check_rows.claim_shard(c, ["11"], 3600),
        "22",
        {("store_checks", "22")},
    ),
    "claim no shard": (lambda c: check_rows.claim_shard(c, [], 4 * 3600), None, set()),
    "claim a new shard": (
        lambda c: check_rows.claim_shard(c, ["33", "44"], 4 * 3600),
        "44",
        {("store_checks", "44")},
    ),
    "lost of a pool": (
        lambda c: check_rows.note_lost(c, "d" * 64, "lost"),
        True,
        {("lost_contents", "d")},
    ),
    "lost of a build": (lambda c: check_rows.note_lost(c, "9" * 64, "lost"), False, set()),
    "lost of a pool, but marked": (
        lambda c: check_rows.note_lost(c, "f" * 64, "lost"),
        False,
        set(),
    ),
    "lost again": (lambda c: check_rows.note_lost(c, "2" * 64, "lost"), False, set()),
    "claim scrub": (lambda c: check_rows.claim_scrub(c, []), "22", {("store_checks", "22")}),
    "check": (
        lambda c: check_rows.note_check(c, "11", files=1, size_bytes=2, lost=3, orphans=4),
        None,
        {("store_checks", "11")},
    ),
    "again": (lambda c: check_rows.check_again(c, "11", 1, 9), None, {("store_checks", "11")}),
    "drop": (lambda c: pack_rows.drop_pack(c, "kept"), "9" * 64, {("packs", "kept")}),
    "drop again": (lambda c: pack_rows.drop_pack(c, "dropped"), None, set()),
    "forget one": (
        lambda c: pack_rows.forget_packed(c, "dropped", 1),
        (1, "b"),
        {("packed_files", "dropped/b")},
    ),
    "forget pack": (
        lambda c: pack_rows.forget_packed(c, "dropped", 9),
        (3, None),
        {("packs", "dropped"), *(("packed_files", f"dropped/{path}") for path in "bcd")},
    ),
    "forget none": (lambda c: pack_rows.forget_packed(c, "kept", 9), (0, None), set()),
    "forget files": (
        lambda c: file_rows.forget_files(c, "loose"),
        None,
        {("loose_files", "loose/a/1"), ("loose_files", "loose/a/2")},
    ),
    "forget some files": (
        lambda c: file_rows.forget_some_files(c, "loose-2", 9),
        False,
        {("loose_files", "loose-2/b/1")},
    ),
    "forget one file": (
        lambda c: file_rows.forget_some_files(c, "loose-2", 1),
        True,
        {("loose_files", "loose-2/b/1")},
    ),
    "begin": (
        lambda c: prune_rows.begin_prune(c, "fresh", "me", "full"),
        True,
        {("store_prunes", "fresh")},
    ),
    "begin late": (lambda c: prune_rows.begin_prune(c, "hours", "me", "full"), False, set()),
    "begin twice": (lambda c: prune_rows.begin_prune(c, "DONE-2", "me", "more"), False, set()),
    "end": (lambda c: prune_rows.end_prune(c, "DONE", 1, 2), None, {("store_prunes", "DONE")}),
    "forget reservations": (
        space_rows.forget_dead_reservations,
        3,
        {("store_reservations", name) for name in ("held", "again", "gone")},
    ),
    "release": (
        lambda c: space_rows.release_upload(c, "one"),
        None,
        {("upload_reservations", "one")},
    ),
    "leave": (lambda c: heartbeats.leave(c, "p1"), None, {("service_processes", "p1")}),
    "beat": (
        lambda c: heartbeats.beat(c, ME, ProcessLoad(1, 2, False), threads=3, every_seconds=10),
        None,
        {("service_processes", "p2"), ("service_processes", "p3")},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_statement_changes_only_the_given_rows(conn: Connection, name: str):
    call, expected, rows = CHANGES[name]
    before = all_rows(conn)
    assert call(conn) == expected
    after = all_rows(conn)
    assert {key for key in before | after if before.get(key) != after.get(key)} == rows


def test_a_new_preview_of_a_prune_forgets_those_of_another_day_that_were_not_begun(
    conn: Connection,
):
    before = all_rows(conn)
    made = prune_rows.add_prune(
        conn, caller="me", idle_seconds=1, keep_bytes=0, artifact_ids=["a"], frees_bytes=3
    )
    after = all_rows(conn)
    assert before.keys() - after.keys() == {("store_prunes", "days")}
    assert after.keys() - before.keys() == {("store_prunes", made)}
    assert prune_rows.find_prune(conn, made).frees_bytes == 3
    assert prune_rows.find_prune(conn, "hours").id == "hours"


def test_a_removal_that_fails_is_put_off_for_longer_each_time_up_to_six_hours(
    conn: Connection,
) -> None:
    def put_off() -> tuple[int, int]:
        store_rows.put_off_removal(conn, of("5"))
        row = conn.execute(
            text(
                "SELECT extract(epoch FROM doomed_at - clock_timestamp()) AS pause,"
                " removal_failures, removing_until FROM blobs WHERE sha256 = :sha256"
            ),
            {"sha256": "5" * 64},
        ).one()
        assert row.removing_until is None
        # The statement may take seconds on a slow machine; the pauses are whole half minutes.
        return 30 * math.ceil(row.pause / 30), row.removal_failures

    for failures in range(10):
        assert put_off() == (30 * 2**failures, failures + 1)
    assert put_off() == (6 * 3600, 11)
    conn.execute(text("UPDATE blobs SET removal_failures = 5000 WHERE doomed_at IS NOT NULL"))
    assert put_off() == (6 * 3600, 5001)


READS: dict[str, tuple[Call, Any]] = {
    "blobs": (lambda c: store_rows.blobs_of(c, "11"), {"1" * 64: 10}),
    "marked blobs": (lambda c: store_rows.blobs_of(c, "33"), {}),
    "beside": (lambda c: store_rows.some_blobs(c, "5" * 64, 1), {"2" * 64: 20, "9" * 64: 90}),
    "unnamed": (lambda c: store_rows.unnamed_of(c, "11", 3600), of("1")),
    "unnamed but named": (lambda c: store_rows.unnamed_of(c, "99", 3600), []),
    "unnamed but young": (lambda c: store_rows.unnamed_of(c, "bb", 3600), []),
    "unnamed but marked": (lambda c: store_rows.unnamed_of(c, "44", -1), []),
    "with": (lambda c: store_rows.artifacts_with(c, "9" * 64), ["kept"]),
    "lost": (lambda c: check_rows.lost_of(c, "11"), set(of("1"))),
    "unchecked": (
        lambda c: [each.sha256 for each in check_rows.longest_unchecked(c, "11", 60, 9)],
        ["1" * 64],
    ),
    "unchecked but claimed": (lambda c: check_rows.longest_unchecked(c, "55", -1, 9), []),
    "unchecked but young": (lambda c: check_rows.longest_unchecked(c, "bb", 3600, 9), []),
    "dropped": (lambda c: sorted(pack_rows.dropped_packs(c, 9)), ["dropped", "dropped-2"]),
    "prunes": (
        lambda c: [each.id for each in prune_rows.list_prunes(c, limit=9)],
        ["DONE-2", "DONE"],
    ),
    "older prunes": (
        lambda c: [each.id for each in prune_rows.list_prunes(c, limit=9, after="DONE-2")],
        ["DONE"],
    ),
    "prune": (lambda c: prune_rows.find_prune(c, "fresh-2").id, "fresh-2"),
    "processes": (
        lambda c: [(each.name, each.alive) for each in heartbeats.seen(c, limit=9, after="p1")],
        [("p2", True), ("p3", False)],
    ),
}


@pytest.mark.parametrize("name", READS)
def test_a_query_reads_only_the_given_rows(conn: Connection, name: str):
    call, expected = READS[name]
    assert call(conn) == expected
