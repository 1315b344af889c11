"""Write the rows of a request: a staging, and one row for each of its artifacts."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection

from staging_api.locks.hold import RequestOrigin
from staging_api.sources.url import ArchiveUrl
from staging_api.staging import repository
from staging_api.staging.model import StagingRequest, lock_kind_of


def reserve_folder(conn: Connection, request: StagingRequest) -> str:
    """Return the archive's folder below ``/static``, which is chosen at the first request."""
    return repository.static_prefix(conn, request.archive_url, *_prefixes(request.url))


def plan(
    conn: Connection,
    request: StagingRequest,
    origin: RequestOrigin,
    prefix: str,
    *,
    over: Sequence[str],
) -> str:
    """Add a staging; return its id.

    Args:
        conn: guarded by the locks of the request; or any transaction, if no process may work on
            an artifact in a state of `over`.
        prefix: returned by `reserve_folder`.
        over: artifacts in one of these states are due again.
    """
    staging_id = repository.add_staging(
        conn,
        request.archive_url,
        request.names,
        caller=origin.caller,
        reference_id=origin.reference_id,
        upload_wait_seconds=request.upload_wait_seconds,
        turn_of=origin.turn_of,
    )
    repository.lock_stagings(conn, request.archive_url)
    # In the catalogue's order: two concurrent plans, one of them without the lock, never deadlock.
    for kind in request.kinds:
        repository.plan_artifact(
            conn,
            staging_id,
            request.archive_url,
            name=kind.name,
            lock_kind=lock_kind_of(kind).name,
            phase=kind.phase,
            path=f"{prefix}/{kind.target('', request.url.build)}",
            over=over,
        )
    return staging_id


def _prefixes(url: ArchiveUrl) -> tuple[str, str]:
    """Where an archive is served: as its clients expect, or, if that is taken, beside it.

    Of a local folder only the last two segments are shown: the rest is this machine's business.
    """
    segments = url.segments[-2:] if url.local else url.segments
    preferred = "/".join(segments)
    return preferred, f"{preferred}~{hashlib.sha256(url.canonical.encode()).hexdigest()[:12]}"
