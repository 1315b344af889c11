"""Identify the store before its contents are trusted, written or removed.

The store has a marker with an id, and the database has the same id. A pod that mounts another
volume, an empty one or none, or that has another bucket, finds another marker or none: then nothing
is known of any content, nothing is staged there, and nothing counts as lost.

A store without a marker, as the version before left it, is adopted if it has the contents that the
database lists. What if the process dies, or two adopt at once? The marker is written first, and
only the first one is kept; then the database stores its id, and also keeps the first. So of two
pods with a volume each, one is refused. A marker that was lost or damaged is restored if the blobs
exist.
"""

import logging
import secrets
from collections.abc import Mapping

from staging_api.db.engine import Database
from staging_api.errors import StoreAbsent, StoreFailed, WrongStore
from staging_api.locks.model import new_id
from staging_api.staging.repository import store_rows
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)

#: Number of blobs to look for in a store without a marker; the right store has most of them.
_SAMPLE = 20
_RETRY_SECONDS = 30.0
_REMEDY = (
    "mount the store that belongs to this database; if this one is to take its place,"
    " run `staging-api adopt-store`"
)


class StoreIdentity:
    """Compares the marker of a store with the database, whose id is cached here."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._expected: str | None = None

    def check(self, *, adopt: bool = True) -> None:
        """Check that the store is the one of the database; adopt a store without an owner.

        Args:
            adopt: whether a marker may be written; a probe writes nothing.

        Raises:
            WrongStore: it is another store.
            StoreAbsent: the store is not mounted, or was emptied.
            StoreFailed: the store cannot answer.
            Unavailable: the database cannot be reached.
        """
        if self._expected is None:
            with self._database.connect() as conn:
                self._expected = store_rows.store_id(conn)
        found = self._blobs.identity()
        if self._expected is None:
            self._check_unowned(found)
            if adopt:
                self._adopt()
        elif found is None:
            self._check_unmarked(self._expected)
            if adopt:
                log.warning("the marker of the store was lost, and is written again")
                self._blobs.identify(self._expected)
        elif found != self._expected:
            raise WrongStore(
                f"the store is {found}, and the database belongs to {self._expected}: {_REMEDY}",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def replace(self) -> str:
        """Bind this store to the database, as an operator decided; return its id.

        The comparison of disk and tables then finds the contents that it lacks, which are staged
        again.
        """
        with self._database.connect() as conn:
            known = store_rows.store_id(conn)
            chosen = known or self._blobs.identity() or new_id()
            self._blobs.identify(chosen, replace=True)
            self._expected = store_rows.keep_store_id(conn, chosen)
        return self._expected

    def _check_unowned(self, found: str | None) -> None:
        """Check that a database without an id may adopt this store."""
        sample = self._sample()
        # Half of them: a store that lost some of its contents is still the right one.
        if sample and self._lacking(sample) * 2 > len(sample):
            raise self._unmarked("and the database has contents")
        if not sample and found is not None and not self._blobs.is_empty():
            raise WrongStore(
                f"the store {found} has contents of another database: {_REMEDY}",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def _adopt(self) -> None:
        self._blobs.identify(new_id())
        if (marker := self._blobs.identity()) is None:
            raise StoreFailed("the marker of the store cannot be read", retry_after_seconds=1)
        with self._database.connect() as conn:
            self._expected = store_rows.keep_store_id(conn, marker)
        log.info("the store %s belongs to this database", self._expected)
        # Another process bound its store first: this store is compared with that one.
        if self._expected != marker:
            self.check()

    def _check_unmarked(self, expected: str) -> None:
        """Check that only the marker is missing."""
        sample = self._sample()
        if self._lacking(sample) * 2 >= len(sample):
            raise self._unmarked(f"and the database belongs to {expected}")

    def _unmarked(self, and_yet: str) -> StoreAbsent:
        """Return the error of a store without a marker that lacks its contents."""
        if self._blobs.is_empty():
            return StoreAbsent(
                f"the store is empty, {and_yet}: is its volume mounted? {_REMEDY}",
                retry_after_seconds=_RETRY_SECONDS,
            )
        return WrongStore(
            f"the store has other contents and no marker, {and_yet}: {_REMEDY}",
            retry_after_seconds=_RETRY_SECONDS,
        )

    def _sample(self) -> Mapping[str, int]:
        with self._database.connect() as conn:
            return store_rows.some_blobs(conn, secrets.token_hex(32), _SAMPLE)

    def _lacking(self, sample: Mapping[str, int]) -> int:
        return len(self._blobs.lacks(sample))
