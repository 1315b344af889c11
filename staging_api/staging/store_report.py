"""The report on the store: used space, uses, idle artifacts, and findings of the checks."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.errors import StagingApiError
from staging_api.staging.reports import Checks, ContentUse, IdleArtifact, LargeArchive
from staging_api.staging.repository import check_rows, space_rows, store_rows, usage_rows
from staging_api.staging.repository.space_rows import StoreSpace
from staging_api.staging.upkeep import Upkeep

log = logging.getLogger(__name__)

#: Interval of counting the uses of the store: each count reads all files of the tables.
COUNT_SECONDS = 1800.0
_IDLEST = 20


@dataclass(frozen=True)
class StoreReport:
    """The report on a store.

    Attributes:
        identity: ULID in its marker; None: no process has bound one yet.
        quota_bytes: None: as much as the disk has.
        free_bytes: free space of its disk, for a bucket that of its spool; None: the disk does not
            answer.
        whole_bytes: the quota, or else the used and free space; None: unknown, as of a bucket.
        lost_contents: number of contents of packages that must be uploaded again.
        usage, largest: as counted last by a worker; empty: not yet counted.
    """

    identity: str | None
    space: StoreSpace
    quota_bytes: int | None
    free_bytes: int | None
    whole_bytes: int | None
    usage: Sequence[ContentUse]
    largest: Sequence[LargeArchive]
    idlest: Sequence[IdleArtifact]
    checks: Checks
    lost_contents: int


def store_report(upkeep: Upkeep) -> StoreReport:
    """Return the report of a store: sums and short lists, never a list of all rows.

    Raises:
        Unavailable: the database cannot be reached.
    """
    free = _free_bytes(upkeep)
    with upkeep.database.connect() as conn:
        space = space_rows.space(conn)
        return StoreReport(
            identity=store_rows.store_id(conn),
            space=space,
            quota_bytes=upkeep.terms.quota_bytes or None,
            free_bytes=free,
            whole_bytes=_whole_bytes(upkeep, space, free),
            usage=usage_rows.usage(conn),
            largest=usage_rows.largest_archives(conn),
            idlest=usage_rows.idlest(conn, _IDLEST),
            checks=usage_rows.checks(conn),
            lost_contents=check_rows.lost_count(conn),
        )


def lost_contents(upkeep: Upkeep) -> int:
    """Return how many contents of packages are lost and must be uploaded again.

    Raises:
        Unavailable: the database cannot be reached.
    """
    with upkeep.database.connect() as conn:
        return check_rows.lost_count(conn)


def used_share(upkeep: Upkeep) -> float:
    """Return the used share of the whole store, 0 to 1; 0 if its size is unknown.

    Raises:
        Unavailable: the database cannot be reached.
    """
    with upkeep.database.connect() as conn:
        space = space_rows.space(conn)
    whole = _whole_bytes(upkeep, space, _free_bytes(upkeep))
    return (space.used + space.reserved) / whole if whole else 0.0


def count_usage(upkeep: Upkeep) -> None:
    """Count the uses of the store, unless another process did recently."""
    with upkeep.database.begin() as conn:
        usage_rows.count_usage(conn, COUNT_SECONDS)


def _whole_bytes(upkeep: Upkeep, space: StoreSpace, free: int | None) -> int | None:
    if upkeep.terms.quota_bytes:
        return upkeep.terms.quota_bytes
    # A bucket has no known size: the disk of its spool is another one.
    if free is None or upkeep.blobs.disk_of != "store":
        return None
    return space.used + free


def _free_bytes(upkeep: Upkeep) -> int | None:
    try:
        return upkeep.blobs.free_bytes()
    except (OSError, StagingApiError) as error:
        log.info("the room in the store is not known: %s", error)
        return None
