"""Finish a staging that another process left, or that was queued for a worker.

What if the process dies? See `service`: every step can be repeated, by any worker.
"""

import logging
from collections.abc import Callable, Sequence

from staging_api.catalogue.model import ArtifactKind
from staging_api.errors import (
    Cancelled,
    Invalid,
    LockLost,
    ShuttingDown,
    StagingApiError,
    StoreAbsent,
    Unavailable,
)
from staging_api.locks.hold import RequestOrigin, guarded
from staging_api.logs import bind_log_context
from staging_api.staging.model import Failure, Staging, StagingRequest
from staging_api.staging.repository import artifact_rows, staging_rows
from staging_api.staging.service import StagingService
from staging_api.staging.work import FOR_WORKER, Holds

log = logging.getLogger(__name__)


def resume(
    stagings: StagingService,
    staging: Staging,
    origin: RequestOrigin,
    postpone: Callable[[], bool] = lambda: False,
) -> None:
    """Finish a staging, unless another process works on it; failures are written to its rows.

    Args:
        stagings: the use cases of staging.
        staging: the staging.
        origin: the worker.
        postpone: called before each background artifact; True leaves the rest for later.

    Raises:
        Cancelled: the staging was cancelled.
        LockHeld: another process works on it.
        LockLost: another process has its lock now.
        ShuttingDown: this process ends; another may continue at once.
    """
    bind_log_context(staging_id=staging.id, reference_id=staging.reference_id)
    with stagings.holding(staging.lock_kinds, staging.archive_url, origin) as holds:
        # Read again under the locks: another process may have finished it before they were free.
        staging = stagings.find(staging.id)
        if staging.final:
            return
        if staging.cancel_requested_at is not None:
            stagings.mark_cancelled(staging, holds)
            return
        try:
            request = _still_known(stagings, staging, holds)
            if not request.kinds:
                return
            with stagings.working(staging.id, request, holds, FOR_WORKER) as work:
                work.foreground()
                work.background(postpone)
        except (Cancelled, LockLost, ShuttingDown, Unavailable, StoreAbsent):
            raise
        except StagingApiError as error:
            # This error is not the failure of one artifact, which its row would have: no work can
            # begin.
            _fail(stagings, staging, holds, staging.requested, error)


def _still_known(stagings: StagingService, staging: Staging, holds: Holds) -> StagingRequest:
    """Return the request without entries that left the catalogue; their artifacts fail.

    Raises:
        SourceNotAllowed: the archive is no longer in the allow-list.
    """
    url = stagings.check_url(staging.archive_url, root=True)
    kinds: list[ArtifactKind] = []
    for name in staging.requested:
        try:
            found = stagings.check_request(staging.archive_url, [name]).kinds
            # Resolving a name may add other entries; the request names those itself.
            kinds += [kind for kind in found if kind.name == name]
        except Invalid as error:
            _fail(stagings, staging, holds, [name], error)
    return StagingRequest(url, tuple(kinds), staging.upload_wait_seconds)


def _fail(
    stagings: StagingService,
    staging: Staging,
    holds: Holds,
    names: Sequence[str],
    error: StagingApiError,
) -> None:
    """Fail artifacts that the catalogue or the allow-list no longer has."""
    log.info("staging %s: %s", staging.id, error.detail)
    failure = Failure(error.code, error.detail, error.retryable)
    for artifact in staging.artifacts:
        if artifact.name in names and artifact.to_do:
            held = holds[artifact.lock_kind]
            with guarded(stagings.database, held) as conn:
                artifact_rows.mark_failed(conn, artifact.id, held.lease, failure, None)
                staging_rows.settle(conn, artifact.archive_url, held.lease)
