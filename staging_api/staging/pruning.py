"""Prune the store in two steps: a preview that returns a token, then the prune by that token.

The prune evicts the artifacts of the preview, and no others: an artifact that was read, pinned or
requested since then stays. A token is valid for an hour and for one use; the row of the prune
records who did it and why, and each eviction is an event with that caller.

What if the process dies after some evictions? The other artifacts stay, and the row says that the
prune was begun and not that it ended. A new preview shows the remaining artifacts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.errors import Conflict
from staging_api.locks.hold import RequestOrigin
from staging_api.paging import Page, page_of
from staging_api.staging import eviction
from staging_api.staging.reports import PruneRecord
from staging_api.staging.repository import prune_rows, usage_rows
from staging_api.staging.repository.space_rows import EvictableArtifact
from staging_api.staging.upkeep import Upkeep

#: Limit of artifacts of one prune, so that each response comes in time; more need another prune.
MOST_ARTIFACTS = 1000


@dataclass(frozen=True)
class Prune:
    """A prune with its artifacts: those of the preview, or those that are still staged."""

    record: PruneRecord
    artifacts: Sequence[EvictableArtifact]


@dataclass(frozen=True)
class Pruning:
    """Prunes of one store, by operators."""

    upkeep: Upkeep

    def preview(self, caller: str, *, idle_seconds: float | None, keep_bytes: int) -> Prune:
        """Record which artifacts would be evicted, the idlest first; evict none.

        Args:
            caller: the operator.
            idle_seconds: only artifacts not read for this time; None: by the terms of the store.
            keep_bytes: only as many artifacts as reduce the store to this size.
        """
        if idle_seconds is None:
            idle_seconds = self.upkeep.terms.evictable_seconds
        need = self.upkeep.space().staying - keep_bytes
        planned = eviction.plan(self.upkeep.database, need, idle_seconds, most=MOST_ARTIFACTS)
        with self.upkeep.database.begin() as conn:
            prune_id = prune_rows.add_prune(
                conn,
                caller=caller,
                idle_seconds=idle_seconds,
                keep_bytes=keep_bytes,
                artifact_ids=[artifact.id for artifact in planned.artifacts],
                frees_bytes=planned.frees_bytes,
            )
            return Prune(prune_rows.find_prune(conn, prune_id), planned.artifacts)

    def find(self, token: str) -> Prune:
        """Return a prune with those of its artifacts that are still staged.

        Raises:
            NotFound: there is no such prune, or its preview was deleted.
        """
        with self.upkeep.database.connect() as conn:
            record = prune_rows.find_prune(conn, token)
            return Prune(record, usage_rows.idle_of(conn, list(record.artifact_ids)))

    def run(self, token: str, reason: str, origin: RequestOrigin) -> Prune:
        """Evict the artifacts of a preview, and remove contents that no row names any more.

        Raises:
            NotFound: there is no such preview.
            Conflict: it is older than an hour, or was used before.
            StoreAbsent: the store is not mounted, or another one is.
        """
        self.upkeep.identity.check()
        database = self.upkeep.database
        with database.begin() as conn:
            found = prune_rows.find_prune(conn, token)
            if not prune_rows.begin_prune(conn, token, origin.caller, reason):
                raise Conflict(_refusal(found))
        with database.connect() as conn:
            artifacts = usage_rows.idle_of(conn, list(found.artifact_ids))
        before = self.upkeep.space().staying
        evicted = [
            artifact
            for artifact in artifacts
            # Compared with a fixed time, not an age, which grows meanwhile: artifacts read since
            # the preview stay.
            if eviction.evict(
                self.upkeep, artifact, "space", 0.0, origin, idle_before=found.idle_before
            )
        ]
        freed = max(before - self.upkeep.space().staying, 0)
        with database.begin() as conn:
            prune_rows.end_prune(conn, token, len(evicted), freed)
            done = prune_rows.find_prune(conn, token)
        self.upkeep.collect()
        gone = {artifact.id for artifact in evicted}
        return Prune(done, [artifact for artifact in artifacts if artifact.id not in gone])

    def page(self, *, limit: int, after: str | None = None) -> Page[PruneRecord]:
        """List the prunes with ids below `after` that were begun, the newest first."""
        with self.upkeep.database.connect() as conn:
            return page_of(
                lambda rows: prune_rows.list_prunes(conn, limit=rows, after=after), limit
            )


def _refusal(found: PruneRecord) -> str:
    if found.begun_at is not None:
        return f"this prune was begun by {found.begun_by} at {found.begun_at:%Y-%m-%d %H:%M:%S} UTC"
    return "the preview is older than an hour: make another one"
