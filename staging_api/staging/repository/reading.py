"""Read stagings, artifacts and served files, on any connection."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from staging_api.db.engine import Database, rows
from staging_api.db.tables import archives, blobs, staged_artifacts, stagings
from staging_api.errors import NotFound
from staging_api.staging.model import Failure, ServedFile, StagedArtifact, Staging
from staging_api.staging.repository import joined
from staging_api.staging.repository.terms import is_live


def artifacts_of(conn: Connection, archive_url: str, names: Iterable[str]) -> list[StagedArtifact]:
    """Return the live rows of these entries of one archive, in the order of `names`."""
    order = list(names)
    rows = conn.execute(
        select(staged_artifacts).where(
            staged_artifacts.c.archive_url == archive_url,
            staged_artifacts.c.name.in_(order),
            is_live,
        )
    )
    return sorted((artifact_of(row) for row in rows), key=lambda a: (order.index(a.name), a.path))


def to_do(
    conn: Connection, staging: Staging, names: Sequence[str], phase: str
) -> list[StagedArtifact]:
    """Return the due artifacts of a staging in one phase, in the order of `names`.

    The caller holds their locks. Artifacts that failed for this staging are left out.
    """
    given = {"id": staging.id, "archive_url": staging.archive_url, "names": list(names)}
    ids = conn.execute(_TO_DO, {**given, "phase": phase}).scalars().all()
    rows = conn.execute(select(staged_artifacts).where(staged_artifacts.c.id.in_(ids)))
    return sorted((artifact_of(row) for row in rows), key=lambda a: names.index(a.name))


def prefix_of(conn: Connection, archive_url: str) -> str:
    """Return the folder below ``/static`` that `static_prefix` chose for this archive."""
    prefix = select(archives.c.static_prefix).where(archives.c.archive_url == archive_url)
    return str(conn.execute(prefix).scalar_one())


def find(conn: Connection, staging_id: str) -> Staging:
    """Return one staging.

    Raises:
        NotFound: there is no such staging.
    """
    found = with_artifacts(conn, [staging_id])
    if not found:
        raise NotFound(f"there is no staging {staging_id}")
    return found[0]


def versions(conn: Connection, staging_ids: Sequence[str]) -> dict[str, int]:
    """Return the version of each of these stagings, by which waiters detect changes."""
    rows = conn.execute(
        select(stagings.c.id, stagings.c.version).where(stagings.c.id.in_(staging_ids))
    )
    return {row.id: row.version for row in rows}


def newest_for(conn: Connection, archive_url: str, names: Sequence[str]) -> Staging | None:
    """Return the newest staging of the archive that requested any of `names`."""
    found = joined.read(conn, joined.NEWEST, {"archive_url": archive_url, "names": list(names)})
    return found[0] if found else None


def with_artifacts(conn: Connection, ids: Sequence[str]) -> list[Staging]:
    """Return these stagings, in this order, each with its artifacts."""
    return joined.read(conn, joined.BY_ID, {"ids": list(ids)})


def unfinished_for(conn: Connection, archive_url: str, names: Sequence[str]) -> Staging | None:
    """Return the unfinished staging that is best suited to bring some of `names`.

    Preferred in this order: it requested all of them, nothing failed for it, it waits longest for
    an upload, it is the oldest.
    """
    brings_all = stagings.c.requested.contains(list(names))
    best = (
        select(stagings.c.id)
        .where(
            stagings.c.archive_url == archive_url,
            stagings.c.requested.overlap(list(names)),
            stagings.c.finished_at.is_(None),
            stagings.c.cancel_requested_at.is_(None),
        )
        .order_by(
            brings_all.desc(),
            stagings.c.failures.is_not(None),
            func.coalesce(stagings.c.upload_wait_seconds, 0).desc(),
            stagings.c.id,
        )
        .limit(1)
    )
    return next(iter(with_artifacts(conn, conn.execute(best).scalars().all())), None)


def bringer(conn: Connection, archive_url: str, names: Sequence[str]) -> Staging | None:
    """Return the staging that brings some of `names`; None if no artifact of them is to do."""
    given = {"archive_url": archive_url, "names": list(names)}
    return next(iter(with_artifacts(conn, conn.execute(_BRINGER, given).scalars().all())), None)


def find_artifact(conn: Connection, artifact_id: str) -> StagedArtifact:
    """Return one artifact, which may be evicted.

    Raises:
        NotFound: there is no such artifact.
    """
    query = select(staged_artifacts).where(staged_artifacts.c.id == artifact_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"there is no artifact {artifact_id}")
    return artifact_of(row)


@dataclass(frozen=True)
class DueStaging:
    """A staging with a due artifact, and the facts by which workers order it.

    Attributes:
        caller: the caller whose turn it uses; callers without a name count by address.
        background: whether its foreground is staged.
    """

    staging_id: str
    archive_url: str
    caller: str
    background: bool


def due(conn: Connection, each: int) -> list[DueStaging]:
    """Return the stagings with due artifacts, the oldest of each caller and class.

    Only a hint: a worker acquires the lock first, and reads again.

    Args:
        each: limit, for each caller, of stagings that wait for their foreground, and of those that
            wait for their background.
    """
    # Each worker calls this ten times a second, mostly without a result: the full query takes 1 ms
    # to plan, this one a tenth of that.
    if not conn.execute(_ANY_UNFINISHED).scalar():
        return []
    rows = conn.execute(_DUE, {"each": each})
    return [DueStaging(**row._mapping) for row in rows]  # noqa: SLF001 - its public name


def foreground_is_due(conn: Connection) -> bool:
    """Return whether a foreground artifact is due."""
    return bool(conn.execute(_FOREGROUND_IS_DUE).scalar())


def queue(conn: Connection) -> dict[str, tuple[int, float]]:
    """Return by state how many artifacts are to do, and the seconds since the oldest was due."""
    rows = conn.execute(_QUEUE)
    return {state: (count, float(seconds)) for state, count, seconds in rows}


def served_file(conn: Connection, path: str) -> ServedFile | None:
    """Return the file that is served at `path` below ``/static``; None if there is none."""
    found = rows(conn, _SERVED, (path,))
    return ServedFile(*found[0]) if found else None


def files_served(database: Database, paths: Sequence[str]) -> Mapping[str, ServedFile | None]:
    """Return the file that is served at each of these paths, by one statement."""
    if len(paths) == 1:
        found = database.read(_SERVED, (paths[0],))
    else:
        found = database.read(_SERVED_MANY, (list(paths),))
    files = {row[0]: ServedFile(*row) for row in found}
    return {path: files.get(path) for path in paths}


# The view staging_queue contains the artifacts that are to do, and which of them are due.
_TO_DO = text("""
    SELECT q.artifact_id FROM staging_queue q
    JOIN stagings s ON s.id = :id
    WHERE q.archive_url = :archive_url AND q.name = ANY (:names) AND q.phase = :phase
      AND q.due_at <= clock_timestamp() AND NOT coalesce(s.failures ? q.artifact_id, false)
""")
_BRINGER = text("""
    SELECT q.staging_id FROM staging_queue q
    WHERE q.archive_url = :archive_url AND q.name = ANY (:names)
    ORDER BY q.cancel_requested, q.staging_id LIMIT 1
""")
# One probe of stagings_turn_of_idx for each caller of each class, however long its queue is.
_ANY_UNFINISHED = text("SELECT EXISTS (SELECT FROM stagings WHERE finished_at IS NULL)")
_DUE = text("""
    WITH RECURSIVE callers AS (
        SELECT class.background, (
            SELECT coalesce(s.turn_of, s.caller) FROM stagings s
            WHERE s.finished_at IS NULL AND (s.state = 'foreground_staged') = class.background
            ORDER BY coalesce(s.turn_of, s.caller) LIMIT 1) AS caller
        FROM (VALUES (false), (true)) AS class (background)
        UNION ALL
        SELECT c.background, (
            SELECT coalesce(s.turn_of, s.caller) FROM stagings s
            WHERE s.finished_at IS NULL AND (s.state = 'foreground_staged') = c.background
              AND coalesce(s.turn_of, s.caller) > c.caller
            ORDER BY coalesce(s.turn_of, s.caller) LIMIT 1)
        FROM callers c WHERE c.caller IS NOT NULL
    )
    SELECT t.id AS staging_id, t.archive_url, c.caller, c.background
    FROM callers c
    CROSS JOIN LATERAL (
        SELECT s.id, s.archive_url FROM stagings s
        WHERE s.finished_at IS NULL AND (s.state = 'foreground_staged') = c.background
          AND coalesce(s.turn_of, s.caller) = c.caller
          AND EXISTS (SELECT FROM staging_queue q WHERE q.staging_id = s.id AND q.due)
        ORDER BY s.id LIMIT :each
    ) t
    ORDER BY c.background, t.id
""")
_FOREGROUND_IS_DUE = text("""
    SELECT EXISTS (SELECT FROM staging_queue WHERE due AND phase = 'foreground')
""")
_QUEUE = text("""
    SELECT state, count(*),
        greatest(extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE due)), 0)
    FROM staging_queue GROUP BY state
""")

# The columns of `ServedFile`, in their order.
_SERVED = "SELECT * FROM file_served(%s)"
_SERVED_MANY = "SELECT f.* FROM unnest(%s) p CROSS JOIN LATERAL file_served(p) f"


def known_blobs(conn: Connection, digests: Sequence[str]) -> set[str]:
    """Return those of these contents that are durably in the store."""
    rows = conn.execute(select(blobs.c.sha256).where(blobs.c.sha256.in_(digests)))
    return set(rows.scalars())


def artifact_of(row: Row[Any]) -> StagedArtifact:
    """Return the artifact of a row of ``staged_artifacts``."""
    columns = {
        name: getattr(row, name)
        for name in StagedArtifact.__dataclass_fields__
        if name not in {"failure", "brought_since_by"}
    }
    return StagedArtifact(**columns, failure=_failure(row))


def _failure(row: Row[Any]) -> Failure | None:
    if row.error_code is None:
        return None
    return Failure(row.error_code, row.error_message or "", bool(row.error_retryable))
