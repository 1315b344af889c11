"""What needs a person: failed runs, uploads to decide on, packages that wait, old Releases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.publishing.model import ArchiveAttention
from staging_api.publishing.rows.attention import archives_needing_attention
from tests.archive_rows import ARCHIVES, DISTS, PACKAGES
from tests.rows import only_rows

DAY = 86_400
_ADD_RUN = text("""
    INSERT INTO publisher_runs (id, operation, archive_id, options, state, caller, holder, lock_id,
        fence, started_at, finished_at, purpose, counts, error_code)
    SELECT left(ulid_floor(now() - make_interval(secs => :age)), 20)
            || lpad(cast(:n AS text), 6, '0'),
        :operation, :archive, '{}', :state, 'me', 'here', 'l', 1,
        now() - make_interval(secs => :age), now(), :purpose,
        CASE WHEN :live THEN '{"generations": 1}' ELSE '{}' END::jsonb,
        CASE WHEN :state = 'failed' THEN 'hook_failed' END
""")
#: Words of a run: its operation or purpose.
_WORDS = {
    "accept": ("process-accepted", None),
    "distro": ("publish-distro", None),
    "all": ("publish-ftpmaster", None),
    "renewal": ("publish-distro", "renewal"),
    "back": ("publish-distro", "go-back"),
}


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, ARCHIVES + PACKAGES + DISTS) as made:
        made.execute(text("DELETE FROM uploads"))
        made.execute(text("DELETE FROM release_files"))
        made.execute(text("DELETE FROM package_publications WHERE state = 'pending'"))
        yield made


def found(conn: Connection) -> list[ArchiveAttention]:
    return archives_needing_attention(conn, run_seconds=7 * DAY, unpublished_seconds=DAY)


def add_run(conn: Connection, words: str, number: int, archive: int = 1, age: float = 60) -> None:
    """Add a run, such as ``distro failed``."""
    name, state, *live = words.split()
    operation, purpose = _WORDS[name]
    given = {"operation": operation, "purpose": purpose, "state": state, "live": bool(live)}
    conn.execute(_ADD_RUN, {**given, "n": number, "archive": archive, "age": age})


@pytest.mark.parametrize(
    ("runs", "unsettled"),
    [
        ([], 0),
        (["distro succeeded"], 0),
        (["distro succeeded", "distro failed"], 1),
        (["distro failed", "distro abandoned"], 2),
        (["distro failed", "distro succeeded"], 0),
        (["distro failed", "all succeeded"], 0),
        (["distro failed", "accept succeeded"], 1),
        (["distro failed", "renewal succeeded"], 1),
        (["distro failed", "back succeeded"], 1),
        (["all failed", "distro succeeded"], 0),
        (["all failed", "accept succeeded"], 1),
        (["accept failed", "distro succeeded"], 1),
        (["accept failed", "all succeeded"], 0),
        (["accept failed", "accept succeeded"], 0),
        (["renewal failed", "renewal succeeded"], 0),
        (["renewal failed", "distro succeeded"], 0),
        (["back failed", "renewal succeeded"], 1),
        # Hooks behind a generation do not run again while nothing is new.
        (["all published_hook_failed", "all succeeded"], 1),
        (["all published_hook_failed", "distro succeeded live"], 1),
        (["all published_hook_failed", "all succeeded live"], 0),
        (["all succeeded live", "all published_hook_failed", "all succeeded"], 1),
    ],
)
def test_a_run_needs_a_person_until_a_later_one_did_its_work(
    conn: Connection, runs: list[str], unsettled: int
) -> None:
    add_run(conn, "all succeeded live", 99, archive=2)
    for number, words in enumerate(runs):
        add_run(conn, words, number)
    assert [(each.archive, each.kind, each.count) for each in found(conn)] == [
        ("one", "run", unsettled)
    ] * bool(unsettled)


def test_the_newest_of_the_runs_is_named_and_those_of_a_week_ago_are_not(conn: Connection) -> None:
    for number, age in enumerate((8 * DAY, 6 * DAY, 5 * DAY)):
        add_run(conn, "distro failed", number, age=age)
    (run,) = found(conn)
    newest = conn.execute(text("SELECT max(id), now() FROM publisher_runs")).one()
    assert (run.count, run.run_id) == (2, newest[0])
    assert run.since is not None
    assert (newest[1] - run.since).days == 6


_UPLOAD = text("""
    INSERT INTO uploads (id, suite_id, component, name, state, caller, binary_release_id,
        created_at, decided_at, decided_by)
    VALUES (:id, :suite, 'main', 'a.deb', :state, 'me', 1, now() - make_interval(days => :days),
        now() - make_interval(days => :decided), CASE WHEN :decided >= 0 THEN 'me' END)
""")


def test_uploads_to_decide_on_need_a_person_at_once(conn: Connection) -> None:
    for number, (suite, state) in enumerate(((11, "new"), (12, "unapproved"), (21, "new"))):
        given = {"id": f"u{number}", "suite": suite, "state": state, "days": 0, "decided": None}
        conn.execute(_UPLOAD, given)
    assert [(each.archive, each.kind, each.count) for each in found(conn)] == [
        ("one", "decision", 2),
        ("two", "decision", 1),
    ]


@pytest.mark.parametrize(
    ("days", "decided", "waits"), [(0, None, 0), (2, None, 1), (9, 0, 0), (9, 2, 1)]
)
def test_an_accepted_upload_needs_a_person_a_day_after_its_decision(
    conn: Connection, days: int, decided: int | None, waits: int
) -> None:
    given = {"id": "u1", "suite": 11, "state": "accepted", "days": days, "decided": decided}
    conn.execute(_UPLOAD, given)
    assert [(each.kind, each.count) for each in found(conn)] == [("unpublished", 1)] * waits


def test_a_pending_package_needs_a_person_after_a_day(conn: Connection) -> None:
    for package, days in ((3, 0), (5, 2), (6, 3)):
        conn.execute(
            text("""
                INSERT INTO package_publications (id, suite_id, component, package, state,
                    binary_release_id, created_at) OVERRIDING SYSTEM VALUE
                VALUES (90 + :id, 12, 'extra', 'x', 'pending', :id,
                    now() - make_interval(days => :days))
            """),
            {"id": package, "days": days},
        )
    (waiting,) = found(conn)
    assert (waiting.archive, waiting.kind, waiting.count) == ("one", "unpublished", 2)
    assert waiting.since is not None


def test_a_release_needs_a_person_with_a_quarter_of_its_validity_left(conn: Connection) -> None:
    for suite, hours, gone in ((11, 26, None), (12, 24, None), (21, 24, 2), (31, None, None)):
        conn.execute(
            text("""
                INSERT INTO release_files (suite_id, name, content, sha256, dated_at, valid_until,
                    modified_at, first_number, gone_number)
                VALUES (:suite, 'Release', '', repeat('0', 64), now() - interval '75 h',
                    now() + make_interval(hours => :hours), now(), 1, :gone)
            """),
            {"suite": suite, "hours": hours, "gone": gone},
        )
    assert found(conn) == [ArchiveAttention("one", "validity", 1, None, None)]
