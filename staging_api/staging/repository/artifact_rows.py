"""Write the rows of artifacts: planned, begun, staged, failed, evicted.

Every function takes a connection that has passed `locks.store.guard` in the same transaction. Only
planning an artifact on which no process works needs no lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import archives, staged_artifacts
from staging_api.errors import NotFound
from staging_api.locks.model import Lease
from staging_api.sources.model import SourceObject
from staging_api.staging.fetched import FetchedArtifact, FileRow
from staging_api.staging.model import Failure
from staging_api.staging.repository.file_rows import add_files, forget_files
from staging_api.staging.repository.growth_rows import end_growth
from staging_api.staging.repository.staging_rows import settle
from staging_api.staging.repository.terms import is_live, now, proof, ulid
from staging_api.vocabulary.staging import DAMAGE_REASONS, EvictReason

_NO_FAILURE: Mapping[str, None] = {
    "error_code": None,
    "error_message": None,
    "error_retryable": None,
}
_NO_PROGRESS: Mapping[str, Any] = {
    **_NO_FAILURE,
    "next_attempt_at": None,
    "bytes_done": 0,
    "bytes_total": None,
    "bytes_per_second": None,
    "warnings": [],
    "source_url": None,
    "source_version": None,
}

# The columns that are also fields of `FetchedArtifact`.
_OF_FETCHED = ["source_url", "source_version", "sha256", "size_bytes", "verified_by"]


def static_prefix(conn: Connection, archive_url: str, preferred: str, otherwise: str) -> str:
    """Return the folder below ``/static`` of this archive, chosen at its first request.

    Archives of two buckets may have the same path: the first gets `preferred`, others `otherwise`.
    """
    found = select(archives.c.static_prefix).where(archives.c.archive_url == archive_url)
    for prefix in (preferred, otherwise):
        row = conn.execute(found).scalar_one_or_none()
        if row is not None:
            return str(row)
        conn.execute(
            insert(archives)
            .values(archive_url=archive_url, static_prefix=prefix)
            # Without a conflict target: this archive's row may exist by now, or another's with this
            # folder.
            .on_conflict_do_nothing()
        )
    return str(conn.execute(found).scalar_one())


def lock_archive(conn: Connection, archive_url: str) -> None:
    """Serialize the transactions that call this for one archive.

    A holder of the archive's lock is not blocked: rows that refer to the archive need only its key.
    """
    row = select(archives.c.archive_url).where(archives.c.archive_url == archive_url)
    conn.execute(row.with_for_update(key_share=True))


def plan_artifact(
    conn: Connection,
    staging_id: str,
    archive_url: str,
    *,
    name: str,
    lock_kind: str,
    phase: str,
    path: str,
    over: Sequence[str],
) -> None:
    """Add a live row for this entry, or make an existing one in a state of `over` due again."""
    row = insert(staged_artifacts).values(
        id=ulid(),
        staging_id=staging_id,
        archive_url=archive_url,
        name=name,
        lock_kind=lock_kind,
        phase=phase,
        state="pending",
        path=path,
    )
    again = {"staging_id": staging_id, "state": "pending", "phase": phase, **_NO_PROGRESS}
    conn.execute(
        row.on_conflict_do_update(
            index_elements=["archive_url", "name", "path"],
            index_where=is_live,
            set_=again,
            where=staged_artifacts.c.state.in_(over),
        )
    )


def begin_artifact(conn: Connection, artifact_id: str, lease: Lease) -> None:
    """Record the start of a new attempt, under `lease`."""
    _set(
        conn,
        artifact_id,
        state="staging",
        attempt=staged_artifacts.c.attempt + 1,
        started_at=now(),
        **proof(lease),
        **_NO_PROGRESS,
    )


def note_progress(
    conn: Connection, artifact_id: str, done: int, total: int | None, per_second: float
) -> None:
    """Record the progress of an attempt, in bytes."""
    _set(conn, artifact_id, bytes_done=done, bytes_total=total, bytes_per_second=per_second)


def mark_staged(
    conn: Connection,
    artifact_id: str,
    lease: Lease,
    fetched: FetchedArtifact,
    *,
    files: Sequence[FileRow] | None,
    bytes_done: int,
) -> set[str]:
    """Set an artifact to ``staged``; its files are served from the commit on, and not before.

    Args:
        fetched: the result of the attempt.
        files: its files, as for `add_files`, whose result is returned; None: `add_files` was called
            with all of them.
        bytes_done: number of bytes that were downloaded for it.

    Raises:
        Unavailable: one of the contents is being removed.
    """
    if files is not None:
        forget_files(conn, artifact_id)
        if unsure := add_files(conn, artifact_id, files):
            return unsure
    _set(
        conn,
        artifact_id,
        state="staged",
        staged_at=now(),
        bytes_per_second=None,
        bytes_done=bytes_done,
        bytes_total=bytes_done,
        **{name: getattr(fetched, name) for name in _OF_FETCHED},
        held_by=fetched.cached_by,
        warnings=list(fetched.warnings),
        **proof(lease),
        **_NO_FAILURE,
    )
    return set()


def mark_missing(
    conn: Connection,
    artifact_id: str,
    lease: Lease,
    warnings: Sequence[str],
    without: SourceObject | None = None,
) -> None:
    """Record that the archive lacks an optional artifact.

    Args:
        warnings: sentences about names that were left out of its list.
        without: the object that exists, and contains nothing of the artifact.
    """
    forget_files(conn, artifact_id)
    new: dict[str, Any] = {"state": "missing", "warnings": list(warnings)}
    if without is not None:
        new |= {"source_url": without.url, "source_version": without.version}
    _set(conn, artifact_id, **new, **proof(lease), **_NO_FAILURE)


def mark_failed(
    conn: Connection, artifact_id: str, lease: Lease, failure: Failure, again_after: float | None
) -> None:
    """Record a failure: due again after `again_after` seconds; None: failed for good."""
    if again_after is None:
        forget_files(conn, artifact_id)
    _set(
        conn,
        artifact_id,
        state="failed" if again_after is None else "pending",
        next_attempt_at=None if again_after is None else now() + timedelta(seconds=again_after),
        bytes_per_second=None,
        error_code=failure.code,
        error_message=failure.message,
        error_retryable=failure.retryable,
        **proof(lease),
    )


def leave_to_patient(conn: Connection, artifact_id: str, staging_id: str, failure: Failure) -> bool:
    """Fail an artifact for one staging alone, if another would wait longer for its upload.

    Returns:
        False if no other would; then nothing was written.
    """
    conn.execute(_LOCK_STAGINGS, {"id": artifact_id})
    given = {"id": artifact_id, "staging_id": staging_id}
    patient = conn.execute(_PATIENT, given).scalar_one_or_none()
    if patient is None:
        return False
    why = {"code": failure.code, "message": failure.message, "retryable": failure.retryable}
    conn.execute(_FAIL_FOR_ONE, {**given, **why})
    _set(conn, artifact_id, staging_id=patient, state="pending", **_NO_PROGRESS)
    return True


def mark_pending(conn: Connection, artifact_id: str) -> None:
    """Record that an attempt ended without a result."""
    _set(conn, artifact_id, state="pending", **_NO_PROGRESS)


def is_evictable(
    conn: Connection,
    artifact_id: str,
    reason: EvictReason,
    idle_seconds: float,
    idle_before: datetime | None = None,
) -> bool:
    """Return whether an artifact may be evicted: staged, idle and not pinned, or damaged.

    The result stays true until this transaction ends: a reader of the artifact waits, and is
    refused.

    Args:
        conn: connection within the transaction.
        artifact_id: id of the artifact.
        reason: reason of the eviction.
        idle_seconds: least age of its last read.
        idle_before: its last read must also be before this time; None: at any time.
    """
    conn.execute(_LOCK_STAGINGS, {"id": artifact_id})
    given = {"id": artifact_id, "bad": reason in DAMAGE_REASONS, "idle": idle_seconds}
    given["before"] = idle_before
    return conn.execute(_EVICTABLE, given).one_or_none() is not None


def mark_evicted(conn: Connection, artifact_id: str, reason: EvictReason) -> None:
    """Stop serving an artifact; its row stays as history, its files are deleted.

    An unfinished staging that requested it stages it again. If that staging is to be cancelled,
    this applies only to artifacts on which other requests rely: they go to a staging for these
    requests.
    """
    forget_files(conn, artifact_id)
    _set(conn, artifact_id, state="evicted", evicted_at=now(), evict_reason=reason)
    archive_url = conn.execute(_BRING_AGAIN, {"id": artifact_id}).scalar()
    if archive_url is not None:
        settle(conn, archive_url)


def pin(conn: Connection, artifact_id: str, until: datetime | None) -> None:
    """Protect an artifact from eviction until that time; None unpins it."""
    _set(conn, artifact_id, pinned_until=until)


def is_pinned(conn: Connection, artifact_id: str) -> bool:
    """Return whether an artifact is pinned now."""
    pinned = select(staged_artifacts.c.pinned_until > now())
    return bool(conn.execute(pinned.where(staged_artifacts.c.id == artifact_id)).scalar())


def _set(conn: Connection, artifact_id: str, **values: Any) -> None:
    conn.execute(_LOCK_STAGINGS, {"id": artifact_id})
    row = staged_artifacts.c.id == artifact_id
    if conn.execute(update(staged_artifacts).where(row, is_live).values(**values)).rowcount != 1:
        raise NotFound(f"there is no live artifact {artifact_id}")
    # Whatever the new state is, no process writes the file of the old attempt any more.
    if "state" in values:
        end_growth(conn, artifact_id)


# Same as `lock_stagings`, by an artifact's id; the staging of the artifact may be finished.
_LOCK_STAGINGS = text("""
    SELECT s.id FROM staged_artifacts a
    JOIN stagings s ON s.archive_url = a.archive_url
        AND (s.finished_at IS NULL OR s.id = a.staging_id)
    WHERE a.id = :id ORDER BY s.id FOR NO KEY UPDATE OF s
""")

_PATIENT = text("""
    SELECT p.id FROM staged_artifacts a
    JOIN stagings s ON s.id = :staging_id
    JOIN stagings p ON p.archive_url = a.archive_url AND p.id <> s.id
    WHERE a.id = :id AND p.finished_at IS NULL AND p.cancel_requested_at IS NULL
      AND a.name = ANY (p.requested) AND NOT coalesce(p.failures ? a.id, false)
      AND coalesce(p.upload_wait_seconds, 0) > coalesce(s.upload_wait_seconds, 0)
    ORDER BY p.upload_wait_seconds DESC, p.id LIMIT 1
""")

_FAIL_FOR_ONE = text("""
    UPDATE stagings s
    SET failures = coalesce(s.failures, '{}') || jsonb_build_object(a.id,
        staging_failure(a, :code, :message, :retryable))
    FROM staged_artifacts a WHERE s.id = :staging_id AND a.id = :id
""")

_BRING_AGAIN = text("""
    INSERT INTO staged_artifacts (
        id, staging_id, archive_url, name, lock_kind, phase, state, path)
    SELECT ulid_of(clock_timestamp()), s.id, a.archive_url, a.name, a.lock_kind, a.phase,
        'pending', a.path
    FROM staged_artifacts a
    JOIN stagings s ON s.archive_url = a.archive_url AND a.name = ANY (s.requested)
    WHERE a.id = :id AND s.finished_at IS NULL AND NOT coalesce(s.failures ? a.id, false)
      AND (s.cancel_requested_at IS NULL OR a.name = ANY (s.joined))
    ORDER BY s.cancel_requested_at IS NOT NULL, s.id DESC LIMIT 1
    RETURNING archive_url
""")

# least() ignores NULL in PostgreSQL: without `before`, only the idle time counts. FOR UPDATE makes
# a reader's `note_hand_out` wait for the end of the eviction.
_EVICTABLE = text("""
    SELECT true FROM staged_artifacts
    WHERE id = :id AND state = 'staged'
      AND (:bad OR coalesce(last_accessed_at, staged_at)
                <= least(clock_timestamp() - make_interval(secs => :idle),
                    CAST(:before AS timestamptz))
            AND (pinned_until IS NULL OR pinned_until <= clock_timestamp()))
    FOR UPDATE
""")
