"""Compare disk and tables, one shard of the store at a time, and repair either.

If the disk has lost a content, or has it in another length, its artifacts are evicted, so that a
later request stages them again. Orphans (files without a row) and rows that no file names, both
older than the grace time, are marked for deletion, and `Upkeep.collect` removes them. Files whose
name is no digest are foreign, and stay. ``store_checks`` records the findings.

No other work waits for this: it runs in a worker, the shards take turns, and of several workers
each gets another shard. What if the process dies? The shard is checked again when its turn comes.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from staging_api.errors import StagingApiError
from staging_api.staging.damage import lose
from staging_api.staging.repository import check_rows, reading, store_rows
from staging_api.staging.upkeep import Upkeep

log = logging.getLogger(__name__)

#: The shards: contents by the first two digits of their digests.
SHARDS = tuple(f"{number:02x}" for number in range(256))


@dataclass(frozen=True)
class CheckResult:
    """The findings of the check of one shard.

    Attributes:
        lost: contents with a row that the disk lacks.
        orphans: contents on the disk without a row.
        failed: number of contents that could not be checked or evicted.
    """

    shard: str
    files: int
    size_bytes: int
    lost: tuple[str, ...]
    orphans: tuple[str, ...]
    failed: int


def check_next(upkeep: Upkeep) -> CheckResult | None:
    """Check the next shard that is due; return None if all were checked recently."""
    with upkeep.database.connect() as conn:
        shard = check_rows.claim_shard(conn, SHARDS, upkeep.terms.check_seconds)
    return None if shard is None else check(upkeep, shard)


def check(upkeep: Upkeep, shard: str) -> CheckResult:
    """Check one shard of the store, and record the findings.

    Raises:
        StoreAbsent: the store is not mounted, or another one is, which says nothing of this one.
    """
    upkeep.identity.check()
    with upkeep.database.connect() as conn:
        # Read before the files: the file of a content stored in between is young.
        rows = store_rows.blobs_of(conn, shard)
    files = {blob.sha256: (blob.size_bytes, used) for blob, used in upkeep.blobs.shard(shard)}
    missing = {d: size for d, size in rows.items() if _size(files.get(d)) != size}
    lost, failed = _evict_lost(upkeep, missing)
    orphans = _orphans(upkeep, files)
    with upkeep.database.begin() as conn:
        # An upload may have stored some of the lost contents again.
        noted = check_rows.lost_of(conn, shard)
        check_rows.note_there(conn, noted & rows.keys() - missing.keys())
        store_rows.adopt_orphans(conn, orphans)
        store_rows.mark_unnamed_for_deletion(
            conn, store_rows.unnamed_of(conn, shard, upkeep.terms.grace_seconds)
        )
    found = CheckResult(
        shard, len(files), sum(size for size, _ in files.values()), lost, tuple(orphans), failed
    )
    with upkeep.database.connect() as conn:
        check_rows.note_check(
            conn,
            shard,
            files=found.files,
            size_bytes=found.size_bytes,
            lost=len(lost),
            orphans=len(orphans),
        )
    return found


def _size(file: tuple[int, float] | None) -> int | None:
    return None if file is None else file[0]


def _evict_lost(upkeep: Upkeep, missing: Mapping[str, int]) -> tuple[tuple[str, ...], int]:
    """Evict the artifacts of these contents; return the lost contents, and how many failed."""
    lost, failed = [], 0
    for digest, size in missing.items():
        try:
            if lose(upkeep, digest, size):
                lost.append(digest)
        except StagingApiError as error:
            log.warning(
                "%s is missing, and its artifacts were not evicted: %s", digest, error.detail
            )
            failed += 1
    return tuple(lost), failed


def _orphans(upkeep: Upkeep, files: Mapping[str, tuple[int, float]]) -> dict[str, int]:
    """Return files without a row that were not used for the grace time, with their lengths."""
    horizon = upkeep.known_time() - upkeep.terms.grace_seconds
    old = {digest: size for digest, (size, used) in files.items() if used < horizon}
    with upkeep.database.connect() as conn:
        known = reading.known_blobs(conn, list(old))
    return {digest: size for digest, size in old.items() if digest not in known}
