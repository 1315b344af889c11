"""Reading stagings, artifacts and served files; any connection will do."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, or_, select, text

from staging_api.db.tables import (
    archives,
    blobs,
    lock_scopes,
    staged_artifacts,
    stagings,
)
from staging_api.errors import NotFound
from staging_api.staging.model import Failure, ServedFile, StagedArtifact, Staging
from staging_api.staging.repository import joined
from staging_api.staging.repository.terms import is_live, is_to_do, now

_is_due = or_(
    staged_artifacts.c.next_attempt_at.is_(None), staged_artifacts.c.next_attempt_at <= now()
)


def artifacts_of(conn: Connection, archive_url: str, names: Iterable[str]) -> list[StagedArtifact]:
    """The live rows of these entries of one archive, in the order of `names`."""
    order = list(names)
    rows = conn.execute(
        select(staged_artifacts).where(
            staged_artifacts.c.archive_url == archive_url,
            staged_artifacts.c.name.in_(order),
            is_live,
        )
    )
    return sorted((_artifact(row) for row in rows), key=lambda a: (order.index(a.name), a.path))


def to_do(
    conn: Connection, archive_url: str, names: Sequence[str], phase: str
) -> list[StagedArtifact]:
    """What is left and due of these entries, in the order of `names`."""
    rows = conn.execute(
        select(staged_artifacts).where(
            staged_artifacts.c.archive_url == archive_url,
            staged_artifacts.c.name.in_(names),
            staged_artifacts.c.phase == phase,
            is_to_do,
            _is_due,
        )
    )
    return sorted((_artifact(row) for row in rows), key=lambda a: names.index(a.name))


def prefix_of(conn: Connection, archive_url: str) -> str:
    """The folder below ``/static`` that `static_prefix` chose for this archive."""
    prefix = select(archives.c.static_prefix).where(archives.c.archive_url == archive_url)
    return str(conn.execute(prefix).scalar_one())


def find(conn: Connection, staging_id: str) -> Staging:
    """One staging.

    Raises:
        NotFound: there is no such staging.
    """
    found = with_artifacts(conn, [staging_id])
    if not found:
        raise NotFound(f"there is no staging {staging_id}")
    return found[0]


def versions(conn: Connection, staging_ids: Sequence[str]) -> dict[str, int]:
    """The version of each of these stagings: what waits for changes looks only at this."""
    rows = conn.execute(
        select(stagings.c.id, stagings.c.version).where(stagings.c.id.in_(staging_ids))
    )
    return {row.id: row.version for row in rows}


def newest_for(conn: Connection, archive_url: str, names: Sequence[str]) -> Staging | None:
    """The newest staging of the archive that asked for any of `names`."""
    found = joined.read(conn, joined.NEWEST, {"archive_url": archive_url, "names": list(names)})
    return found[0] if found else None


def with_artifacts(conn: Connection, ids: Sequence[str]) -> list[Staging]:
    """These stagings, in this order, each with the live rows of what it asked for."""
    return joined.read(conn, joined.BY_ID, {"ids": list(ids)})


def unfinished_for(conn: Connection, archive_url: str, names: Sequence[str]) -> Staging | None:
    """An unfinished staging that brings some of `names`; one that brings all, if there is any."""
    brings_all = stagings.c.requested.contains(list(names))
    best = (
        select(stagings.c.id)
        .where(
            stagings.c.archive_url == archive_url,
            stagings.c.requested.overlap(list(names)),
            stagings.c.finished_at.is_(None),
            stagings.c.cancel_requested_at.is_(None),
        )
        .order_by(brings_all.desc(), stagings.c.id)
        .limit(1)
    )
    return next(iter(with_artifacts(conn, conn.execute(best).scalars().all())), None)


def list_stagings(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    equal: Mapping[str, str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Staging]:
    """Stagings, newest first: those below `after` whose columns equal, made between the times."""
    query = select(stagings.c.id).order_by(stagings.c.id.desc()).limit(limit)
    for column, value in (equal or {}).items():
        query = query.where(stagings.c[column] == value)
    if after is not None:
        query = query.where(stagings.c.id < after)
    if since is not None:
        query = query.where(stagings.c.created_at >= since)
    if until is not None:
        query = query.where(stagings.c.created_at < until)
    return with_artifacts(conn, conn.execute(query).scalars().all())


def find_artifact(conn: Connection, artifact_id: str) -> StagedArtifact:
    """One artifact, evicted ones included.

    Raises:
        NotFound: there is no such artifact.
    """
    query = select(staged_artifacts).where(staged_artifacts.c.id == artifact_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"there is no artifact {artifact_id}")
    return _artifact(row)


def list_artifacts(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    equal: Mapping[str, str] | None = None,
) -> list[StagedArtifact]:
    """Artifacts, newest first: those below `after` whose columns equal."""
    query = select(staged_artifacts).order_by(staged_artifacts.c.id.desc()).limit(limit)
    for column, value in (equal or {}).items():
        query = query.where(staged_artifacts.c[column] == value)
    if after is not None:
        query = query.where(staged_artifacts.c.id < after)
    return [_artifact(row) for row in conn.execute(query)]


def due(conn: Connection, limit: int) -> list[Staging]:
    """Unfinished stagings with something to do that nobody does, oldest first.

    Only a hint: whoever wants to do it takes the lock first, and looks again.
    """
    artifact = and_(
        staged_artifacts.c.archive_url == stagings.c.archive_url,
        staged_artifacts.c.name == func.any(stagings.c.requested),
        is_to_do,
        _is_due,
    )
    worked_on = exists().where(
        lock_scopes.c.kind == staged_artifacts.c.lock_kind,
        lock_scopes.c.scope == stagings.c.archive_url,
        lock_scopes.c.lock_id.is_not(None),
        lock_scopes.c.expires_at > now(),
    )
    query = (
        select(stagings.c.id)
        .where(
            stagings.c.finished_at.is_(None),
            exists().where(artifact, ~worked_on),
        )
        .order_by(stagings.c.id)
        .limit(limit)
    )
    return with_artifacts(conn, conn.execute(query).scalars().all())


def queue(conn: Connection) -> dict[str, tuple[int, float]]:
    """What is left to do: by state, how many, and the seconds since the oldest was due."""
    due_since = func.coalesce(staged_artifacts.c.next_attempt_at, staged_artifacts.c.created_at)
    waited = func.extract("epoch", now() - func.min(due_since))
    rows = conn.execute(
        select(staged_artifacts.c.state, func.count(), func.greatest(waited, 0.0))
        .where(is_to_do)
        .group_by(staged_artifacts.c.state)
    )
    return {state: (count, float(seconds)) for state, count, seconds in rows}


def served_file(conn: Connection, path: str) -> ServedFile | None:
    """What is served at `path` below ``/static``, if anything is."""
    row = conn.execute(_SERVED, {"path": path}).one_or_none()
    return None if row is None else ServedFile(**row._mapping)  # noqa: SLF001 - its public name


# As text: the statement of each GET of a file, and composing it anew costs as much as running it.
_SERVED = text("""
    SELECT f.path, f.artifact_id, f.sha256, f.size_bytes, a.staged_at, f.executable
    FROM staged_files f JOIN staged_artifacts a ON a.id = f.artifact_id
    WHERE f.path = :path AND a.state = 'staged'
    ORDER BY a.staged_at DESC LIMIT 1
""")


def known_blobs(conn: Connection, digests: Sequence[str]) -> set[str]:
    """Those of these contents that are durably in the store."""
    rows = conn.execute(select(blobs.c.sha256).where(blobs.c.sha256.in_(digests)))
    return set(rows.scalars())


def _artifact(row: Row[Any]) -> StagedArtifact:
    columns = {
        name: getattr(row, name)
        for name in StagedArtifact.__dataclass_fields__
        if name != "failure"
    }
    return StagedArtifact(**columns, failure=_failure(row))


def _failure(row: Row[Any]) -> Failure | None:
    if row.error_code is None:
        return None
    return Failure(row.error_code, row.error_message or "", bool(row.error_retryable))
