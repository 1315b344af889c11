"""The rows of stagings and staged artifacts: every statement that reads or writes them.

Functions that change what is staged take a connection that has passed `locks.store.guard` in the
same transaction; `staging.service` sees to that. Reading functions take any connection.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, exists, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from staging_api.db.tables import (
    STAGING_FINAL_STATES,
    archives,
    blobs,
    lock_scopes,
    staged_artifacts,
    staged_files,
    stagings,
)
from staging_api.errors import NotFound
from staging_api.locks.model import Lease, new_id
from staging_api.staging.model import Failure, ServedFile, StagedArtifact, Staging

_now = func.clock_timestamp
_live = staged_artifacts.c.state != "evicted"
_to_do = staged_artifacts.c.state.in_(("pending", "staging"))
_is_due = or_(
    staged_artifacts.c.next_attempt_at.is_(None), staged_artifacts.c.next_attempt_at <= _now()
)


# -- planning --------------------------------------------------------------------------------------


def static_prefix(conn: Connection, archive_url: str, preferred: str, otherwise: str) -> str:
    """The folder below ``/static`` that belongs to this archive alone, chosen when first asked.

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
            .on_conflict_do_nothing()
        )
    return str(conn.execute(found).scalar_one())


def add_staging(
    conn: Connection,
    archive_url: str,
    requested: Sequence[str],
    caller: str,
    reference_id: str | None,
) -> str:
    """A new staging, not begun; returns its id."""
    staging_id = new_id()
    conn.execute(
        insert(stagings).values(
            id=staging_id,
            archive_url=archive_url,
            state="queued",
            requested=list(requested),
            caller=caller,
            reference_id=reference_id,
        )
    )
    return staging_id


def plan_artifact(
    conn: Connection,
    staging_id: str,
    archive_url: str,
    *,
    name: str,
    lock_kind: str,
    phase: str,
    path: str,
) -> None:
    """Make sure that there is a live row for this entry; what failed before is due again."""
    row = insert(staged_artifacts).values(
        id=new_id(),
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
            index_where=_live,
            set_=again,
            where=staged_artifacts.c.state.not_in(("staged", "missing")),
        )
    )


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
}


# -- one artifact on its way -----------------------------------------------------------------------


def begin_artifact(conn: Connection, artifact_id: str, lease: Lease) -> None:
    """A new attempt, under `lease`."""
    _set(
        conn,
        artifact_id,
        state="staging",
        attempt=staged_artifacts.c.attempt + 1,
        started_at=_now(),
        **_proof(lease),
        **_NO_PROGRESS,
    )


def note_progress(
    conn: Connection, artifact_id: str, done: int, total: int | None, per_second: float
) -> None:
    """How far an attempt has come, in bytes."""
    _set(conn, artifact_id, bytes_done=done, bytes_total=total, bytes_per_second=per_second)


def mark_staged(
    conn: Connection,
    artifact_id: str,
    lease: Lease,
    *,
    source_url: str,
    source_version: str | None,
    sha256: str,
    size_bytes: int,
    bytes_done: int,
    files: Sequence[Mapping[str, Any]],
) -> None:
    """Say ``staged``; from the commit on, and not before, its files are served.

    Args:
        sha256: of the source object, or of what was taken out of it; `size_bytes` is its length.
        bytes_done: what came over the wire for it.
        files: ``path`` below /static, ``sha256``, ``size_bytes`` and ``executable`` of each; their
            bytes are durably in the store.
    """
    contents = {file["sha256"]: file["size_bytes"] for file in files}
    if contents:
        rows = [{"sha256": digest, "size_bytes": length} for digest, length in contents.items()]
        conn.execute(insert(blobs).on_conflict_do_nothing(), rows)
    conn.execute(staged_files.delete().where(staged_files.c.artifact_id == artifact_id))
    if files:
        conn.execute(
            staged_files.insert(), [{"artifact_id": artifact_id, **file} for file in files]
        )
    _set(
        conn,
        artifact_id,
        state="staged",
        size_bytes=size_bytes,
        sha256=sha256,
        source_url=source_url,
        source_version=source_version,
        staged_at=_now(),
        bytes_per_second=None,
        bytes_done=bytes_done,
        bytes_total=bytes_done,
        **_proof(lease),
        **_NO_FAILURE,
    )


def mark_missing(conn: Connection, artifact_id: str, lease: Lease) -> None:
    """An optional artifact that the archive does not have."""
    _set(conn, artifact_id, state="missing", **_proof(lease), **_NO_FAILURE)


def mark_failed(
    conn: Connection, artifact_id: str, lease: Lease, failure: Failure, again_after: float | None
) -> None:
    """An attempt failed; due again after so many seconds, or for good if that is None."""
    _set(
        conn,
        artifact_id,
        state="failed" if again_after is None else "pending",
        next_attempt_at=None if again_after is None else _now() + _seconds(again_after),
        bytes_per_second=None,
        error_code=failure.code,
        error_message=failure.message,
        error_retryable=failure.retryable,
        **_proof(lease),
    )


def mark_pending(conn: Connection, artifact_id: str) -> None:
    """An attempt was given up without a verdict."""
    _set(conn, artifact_id, state="pending", **_NO_PROGRESS)


def mark_evicted(conn: Connection, artifact_id: str) -> None:
    """Stop serving an artifact; its row stays as history, its files are forgotten."""
    conn.execute(staged_files.delete().where(staged_files.c.artifact_id == artifact_id))
    _set(conn, artifact_id, state="evicted", evicted_at=_now())


def pin(conn: Connection, artifact_id: str, until: datetime | None) -> None:
    """Keep an artifact from being evicted until then; None unpins."""
    _set(conn, artifact_id, pinned_until=until)


def is_pinned(conn: Connection, artifact_id: str) -> bool:
    """Whether it may not be evicted now."""
    pinned = select(staged_artifacts.c.pinned_until > _now())
    return bool(conn.execute(pinned.where(staged_artifacts.c.id == artifact_id)).scalar())


def _set(conn: Connection, artifact_id: str, **values: Any) -> None:
    row = staged_artifacts.c.id == artifact_id
    if conn.execute(update(staged_artifacts).where(row, _live).values(**values)).rowcount != 1:
        raise NotFound(f"there is no live artifact {artifact_id}")


def _proof(lease: Lease) -> Mapping[str, Any]:
    return {"lock_id": lease.id, "fence": lease.fence}


def _seconds(number: float) -> Any:
    return func.make_interval(0, 0, 0, 0, 0, 0, number)


# -- the staging, which follows from its artifacts -------------------------------------------------


def settle(conn: Connection, archive_url: str, lease: Lease | None = None) -> None:
    """Bring every unfinished staging of the archive to the state that its artifacts are in.

    The rows are locked first: of two transactions that finish one artifact each, under locks of two
    kinds, the later one sees what the earlier one wrote.
    """
    unfinished = and_(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
    conn.execute(
        select(stagings.c.id).where(unfinished).order_by(stagings.c.id).with_for_update()
    ).all()
    proof = _proof(lease) if lease is not None else {}
    conn.execute(
        update(stagings)
        .where(unfinished)
        .values(version=stagings.c.version + 1, **proof, **_state_by_artifacts())
    )


def _state_by_artifacts() -> Mapping[str, Any]:
    """The columns of a staging that follow from the live rows of what it asked for."""
    mine = and_(
        staged_artifacts.c.archive_url == stagings.c.archive_url,
        staged_artifacts.c.name == func.any(stagings.c.requested),
        _live,
    )

    def some(*which: Any) -> Any:
        return exists().where(mine, *which)

    foreground = staged_artifacts.c.phase == "foreground"
    failed = staged_artifacts.c.state == "failed"
    worked_on = some(or_(staged_artifacts.c.state != "pending", staged_artifacts.c.attempt > 0))
    state = case(
        (some(failed, foreground), literal("failed")),
        (and_(some(failed), ~some(_to_do)), literal("failed")),
        (~some(_to_do), literal("staged")),
        (~some(_to_do, foreground), literal("foreground_staged")),
        (worked_on, literal("running")),
        else_=stagings.c.state,
    )

    def of_first_failure(column: Any) -> Any:
        first = select(column).where(mine, failed).order_by(staged_artifacts.c.id).limit(1)
        return func.coalesce(first.scalar_subquery(), None)

    return {
        "state": state,
        "foreground_staged_at": case(
            (some(or_(_to_do, failed), foreground), stagings.c.foreground_staged_at),
            else_=func.coalesce(stagings.c.foreground_staged_at, _now()),
        ),
        "finished_at": case((state.in_(STAGING_FINAL_STATES), _now()), else_=None),
        "error_code": of_first_failure(staged_artifacts.c.error_code),
        "error_message": of_first_failure(staged_artifacts.c.error_message),
        "error_retryable": of_first_failure(staged_artifacts.c.error_retryable),
    }


def begin_staging(conn: Connection, staging_id: str) -> None:
    """Somebody works on it now."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(
            state=case((stagings.c.state == "queued", "running"), else_=stagings.c.state),
            attempt=stagings.c.attempt + 1,
            version=stagings.c.version + 1,
        )
    )


def request_cancel(conn: Connection, staging_id: str) -> None:
    """Ask whoever works on it to stop; does nothing to a finished one."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(
            cancel_requested_at=func.coalesce(stagings.c.cancel_requested_at, _now()),
            version=stagings.c.version + 1,
        )
    )


def cancel_is_requested(conn: Connection, staging_id: str) -> bool:
    """Whether somebody asked to stop this staging."""
    asked = select(stagings.c.cancel_requested_at.is_not(None))
    return bool(conn.execute(asked.where(stagings.c.id == staging_id)).scalar_one())


def mark_cancelled(conn: Connection, staging_id: str) -> None:
    """Cancelled for good: nobody works on it any more."""
    conn.execute(
        update(stagings)
        .where(stagings.c.id == staging_id, stagings.c.finished_at.is_(None))
        .values(state="cancelled", finished_at=_now(), version=stagings.c.version + 1)
    )


def touch(conn: Connection, archive_url: str) -> None:
    """Let those who wait for a change of this archive's stagings see one."""
    conn.execute(
        update(stagings)
        .where(stagings.c.archive_url == archive_url, stagings.c.finished_at.is_(None))
        .values(version=stagings.c.version + 1)
    )


# -- reading ---------------------------------------------------------------------------------------


def artifacts_of(conn: Connection, archive_url: str, names: Iterable[str]) -> list[StagedArtifact]:
    """The live rows of these entries of one archive, in the order of `names`."""
    order = list(names)
    rows = conn.execute(
        select(staged_artifacts).where(
            staged_artifacts.c.archive_url == archive_url,
            staged_artifacts.c.name.in_(order),
            _live,
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
            _to_do,
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
    row = conn.execute(select(stagings).where(stagings.c.id == staging_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no staging {staging_id}")
    return _staging(conn, row)


def versions(conn: Connection, staging_ids: Sequence[str]) -> dict[str, int]:
    """The version of each of these stagings: what waits for changes looks only at this."""
    rows = conn.execute(
        select(stagings.c.id, stagings.c.version).where(stagings.c.id.in_(staging_ids))
    )
    return {row.id: row.version for row in rows}


def newest_for(conn: Connection, archive_url: str, names: Sequence[str]) -> Staging | None:
    """The newest staging of the archive that asked for any of `names`."""
    row = conn.execute(
        select(stagings)
        .where(stagings.c.archive_url == archive_url, stagings.c.requested.overlap(list(names)))
        .order_by(stagings.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _staging(conn, row)


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
    query = select(stagings).order_by(stagings.c.id.desc()).limit(limit)
    for column, value in (equal or {}).items():
        query = query.where(stagings.c[column] == value)
    if after is not None:
        query = query.where(stagings.c.id < after)
    if since is not None:
        query = query.where(stagings.c.created_at >= since)
    if until is not None:
        query = query.where(stagings.c.created_at < until)
    return [_staging(conn, row) for row in conn.execute(query).all()]


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
        _to_do,
        _is_due,
    )
    worked_on = exists().where(
        lock_scopes.c.kind == staged_artifacts.c.lock_kind,
        lock_scopes.c.scope == stagings.c.archive_url,
        lock_scopes.c.lock_id.is_not(None),
        lock_scopes.c.expires_at > _now(),
    )
    query = (
        select(stagings)
        .where(
            stagings.c.finished_at.is_(None),
            exists().where(artifact, ~worked_on),
        )
        .order_by(stagings.c.id)
        .limit(limit)
    )
    return [_staging(conn, row) for row in conn.execute(query).all()]


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


def _staging(conn: Connection, row: Row[Any]) -> Staging:
    return Staging(
        id=row.id,
        archive_url=row.archive_url,
        state=row.state,
        requested=tuple(row.requested),
        caller=row.caller,
        reference_id=row.reference_id,
        created_at=row.created_at,
        foreground_staged_at=row.foreground_staged_at,
        finished_at=row.finished_at,
        cancel_requested_at=row.cancel_requested_at,
        lock_id=row.lock_id,
        attempt=row.attempt,
        failure=_failure(row),
        version=row.version,
        artifacts=tuple(artifacts_of(conn, row.archive_url, row.requested)),
    )


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
