"""Lost and corrupt contents: evict the artifacts that use them, at once.

A lost content is noticed by the first reader that misses it, or by the comparison of disk and
tables (`reconcile`); a corrupt one by the scrub (`scrub`). In either case each artifact that has
the content is evicted, with the reason, so that the next request stages it again. The pool of an
APT archive cannot be staged again: its content is recorded in ``lost_contents`` until it is
uploaded again. No content counts as lost while the store itself is unavailable, or another store is
mounted.

What if the process dies? Before an artifact is evicted: the next reader, or the next comparison,
finds the same. After that: the row says ``evicted``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api import metrics
from staging_api.errors import NotFound, StagingApiError
from staging_api.staging.eviction import evict
from staging_api.staging.model import StagedArtifact
from staging_api.staging.repository import check_rows, reading, store_rows
from staging_api.staging.upkeep import Upkeep
from staging_api.vocabulary.staging import EvictReason

log = logging.getLogger(__name__)

#: If an archive is locked, its artifacts cannot be evicted; the shard is checked again after this
#: time.
_AGAIN_SECONDS = 60.0


@contextmanager
def losses_noticed(upkeep: Upkeep, sha256: str, size_bytes: int) -> Iterator[None]:
    """Read a content in the block; if it is lost, evict the artifacts that have it.

    Raises:
        NotFound: the content is not in the store.
        StoreFailed: the store is unavailable, or another one is mounted: nothing is known.
    """
    try:
        yield
    except NotFound:
        upkeep.identity.check()
        try:
            lose(upkeep, sha256, size_bytes)
        except StagingApiError as error:
            log.warning("artifacts with the lost %s were not evicted: %s", sha256, error.detail)
        raise NotFound(
            "the store has lost the bytes of this file: stage its artifact again,"
            " or upload its package again"
        ) from None


def lose(upkeep: Upkeep, sha256: str, size_bytes: int) -> bool:
    """Evict the artifacts of a content if the store really lost it; return whether it did.

    Raises:
        StoreFailed: the store cannot answer.
    """
    with upkeep.database.connect() as conn:
        recorded = store_rows.blobs_of(conn, sha256)
    if not recorded or upkeep.blobs.has(sha256, size_bytes):
        return False  # the content was removed, or stored again, meanwhile
    evict_holders(upkeep, sha256, "lost")
    return True


def evict_holders(upkeep: Upkeep, sha256: str, reason: EvictReason) -> list[StagedArtifact]:
    """Evict every artifact that has a content, and record the loss if a pool has it, too.

    Returns:
        the artifacts that were evicted.
    """
    with upkeep.database.connect() as conn:
        holders = [
            reading.find_artifact(conn, each) for each in store_rows.artifacts_with(conn, sha256)
        ]
        noted = check_rows.note_lost(conn, sha256, reason)
    # Each reader meets a lost content of a pool until it is uploaded again: log only the first.
    if holders or noted or reason == "corrupt":
        metrics.STORE_DAMAGED.labels(reason).inc()
        pools = ", and a pool" if noted else ""
        log.error("%s is %s, which %d artifacts have%s", sha256, reason, len(holders), pools)
    evicted = [each for each in holders if evict(upkeep, each, reason)]
    with upkeep.database.connect() as conn:
        store_rows.mark_unnamed_for_deletion(conn, [sha256])
        if len(evicted) < len(holders):
            check_rows.check_again(conn, sha256[:2], _AGAIN_SECONDS, upkeep.terms.check_seconds)
    return evicted
