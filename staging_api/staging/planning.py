"""Plan a request: find artifacts that are staged or being staged, and add rows for the rest."""

import hashlib
from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.locks.hold import RequestOrigin
from staging_api.sources.url import ArchiveUrl
from staging_api.staging.model import StagedArtifact, Staging, StagingRequest, lock_kind_of
from staging_api.staging.repository import artifact_rows, event_rows, reading, staging_rows


def nothing_left(conn: Connection, request: StagingRequest) -> Staging | None:
    """Return the staging that answers a request without new work; None if there is work to do.

    The artifacts are staged, or on their way in that staging.
    """
    newest = reading.newest_for(conn, request.archive_url, request.names)
    if newest is None:
        return None
    rows = _requested_rows(conn, newest, request)
    if {row.name for row in rows} != set(request.names):
        return None
    on_their_way = [row for row in rows if not row.settled]
    return _bringer(conn, newest, on_their_way) if on_their_way else newest


def missing(conn: Connection, request: StagingRequest) -> list[StagedArtifact]:
    """Return the requested artifacts that are optional, and were not in the archive."""
    rows = reading.artifacts_of(conn, request.archive_url, request.names)
    return [row for row in rows if row.state == "missing"]


def queue_behind(
    database: Database,
    holder: str,
    request: StagingRequest,
    origin: RequestOrigin,
    came: Collection[str] = (),
) -> None:
    """Queue a request behind the current lock holder; see `StagingService.queue_behind`."""
    with database.connect() as conn:
        coming = _coming(conn, request, came)
    if coming is not None and set(request.names) <= set(coming.joined):
        return
    # Most repeated requests end above, with one read; only the rest write.
    with database.begin() as conn:
        event_rows.act_as(conn, origin.caller, holder)
        prefix = reserve_folder(conn, request)
        # The folder comes first: it makes the row that `lock_archive` locks. Serialized: of
        # concurrent requests, all but the first find the staging of the first.
        artifact_rows.lock_archive(conn, request.archive_url)
        coming = _coming(conn, request, came)
        if coming is not None and staging_rows.note_joined(
            conn, coming.id, request.names, origin.caller
        ):
            return
        plan(conn, request, origin, prefix, over=("failed",), came=came)
        staging_rows.settle(conn, request.archive_url)


def reserve_folder(conn: Connection, request: StagingRequest) -> str:
    """Return the archive's folder below ``/static``, which is chosen at the first request."""
    return artifact_rows.static_prefix(conn, request.archive_url, *_prefixes(request.url))


def plan(
    conn: Connection,
    request: StagingRequest,
    origin: RequestOrigin,
    prefix: str,
    *,
    over: Sequence[str],
    came: Collection[str] = (),
) -> str:
    """Add a staging; return its id.

    Args:
        conn: guarded by the locks of the request; or any transaction, if no process may work on an
            artifact in a state of `over`.
        prefix: the archive's folder, returned by `reserve_folder`.
        over: artifacts in one of these states become due again.
        came: artifacts that were missing and are in the archive now: they become due again as well.
    """
    staging_id = staging_rows.add_staging(
        conn,
        request.archive_url,
        request.names,
        caller=origin.caller,
        reference_id=origin.reference_id,
        upload_wait_seconds=request.upload_wait_seconds,
        turn_of=origin.turn_of,
    )
    staging_rows.lock_stagings(conn, request.archive_url)
    # In the catalogue's order: two concurrent plans, one of them without the lock, never deadlock.
    for kind in request.kinds:
        artifact_rows.plan_artifact(
            conn,
            staging_id,
            request.archive_url,
            name=kind.name,
            lock_kind=lock_kind_of(kind).name,
            phase=kind.phase,
            path=f"{prefix}/{kind.target('', request.url.build)}",
            over=(*over, "missing") if kind.name in came else over,
        )
    return staging_id


def _bringer(
    conn: Connection, newest: Staging, on_their_way: Sequence[StagedArtifact]
) -> Staging | None:
    """Return the staging that brings these without the caller; None: there is work to do."""
    # The caller waits for foreground artifacts, and a failed artifact is due again: both are work.
    if any(row.phase == "foreground" or row.state == "failed" for row in on_their_way):
        return None
    names = [row.name for row in on_their_way]
    bringer = reading.bringer(conn, newest.archive_url, names)
    if bringer is None or bringer.cancel_requested_at is not None:
        return None
    return bringer if newest.final else newest


def _requested_rows(
    conn: Connection, newest: Staging, request: StagingRequest
) -> Sequence[StagedArtifact]:
    """Return the present artifacts of a request, those that have a row."""
    names = set(request.names)
    rows = [row for row in newest.artifacts if row.name in names]
    if names <= set(newest.requested) and all(row.settled for row in rows):
        return rows
    # The newest staging shows its own artifacts; others may have staged or evicted some since.
    return reading.artifacts_of(conn, request.archive_url, request.names)


def _coming(conn: Connection, request: StagingRequest, came: Collection[str]) -> Staging | None:
    """Return the unfinished staging that brings everything, if there is one.

    No requested artifact failed for it, and it waits for an upload at least as long as the request.
    """
    found = reading.unfinished_for(conn, request.archive_url, request.names)
    if found is None or not set(request.names) <= set(found.requested):
        return None
    if (found.upload_wait_seconds or 0) < (request.upload_wait_seconds or 0):
        return None
    coming = {
        a.name
        for a in found.artifacts
        if a.to_do or (a.settled and not (a.state == "missing" and a.name in came))
    }
    return found if set(request.names) <= coming else None


def _prefixes(url: ArchiveUrl) -> tuple[str, str]:
    """Return the folder of an archive, as clients expect it, and an alternative if it is taken.

    For a local folder only the last two segments are shown: the rest would expose this machine's
    paths.
    """
    segments = url.segments[-2:] if url.local else url.segments
    # At a bucket's root only single objects are staged: the bucket's name is their folder.
    preferred = "/".join(segments) or url.authority
    return preferred, f"{preferred}~{hashlib.sha256(url.canonical.encode()).hexdigest()[:12]}"
