"""Frame of a document change: the lock, the guarded transaction, and the new revision."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.documents import status
from staging_api.documents.buffering import CurrentCollections, RevisionTarget
from staging_api.documents.refusals import elsewhere
from staging_api.documents.rows import revision_rows
from staging_api.documents.stored import Stamp, State, Versions
from staging_api.locks.hold import Locks, RequestOrigin, guarded, holding
from staging_api.locks.keeper import Hold
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL


@dataclass(frozen=True)
class ChangeOrigin:
    """The caller of a change, and the reason.

    Attributes:
        held: the lock on all documents, if the caller already holds it; None: acquire the lock.
    """

    origin: RequestOrigin
    reason: str | None = None
    held: Hold | None = None


@dataclass(frozen=True)
class Buffer:
    """The newest revision, as a caller reviews it before the commit.

    Attributes:
        committed: the revision that a commit of this buffer would supersede; 0: none.
        digest: digest of all collections and their contents.
    """

    revision: int
    committed: int
    digest: str

    @property
    def etag(self) -> str:
        """Strong ETag of the buffer's content and of the committed revision it is compared with."""
        return etag_of(self.committed, self.revision, self.digest)

    @property
    def etags(self) -> tuple[str, str]:
        """Both ETags of this buffer: with the commit below it confirmed, and still unconfirmed."""
        return self.etag, unconfirmed_etag(self.etag)


def etag_of(committed: int, revision: int, digest: str) -> str:
    """Return the ETag of a revision that is compared with a committed revision."""
    return f'"{committed}-{revision}-{digest[:16]}"'


def unconfirmed_etag(etag: str) -> str:
    """Return the variant of an ETag for while the committed revision waits to be confirmed."""
    return f'{etag[:-1]}-unconfirmed"'


@dataclass(frozen=True)
class Change:
    """A change in progress, while the lock is held."""

    database: Database
    held: Hold
    stamp: Stamp

    def look(self) -> CurrentCollections:
        """Read the current collections, outside of the deciding transaction."""
        with self.database.connect() as conn:
            return now(conn, revision_rows.versions(conn))

    @contextmanager
    def deciding(self) -> Iterator[tuple[Connection, CurrentCollections]]:
        """Yield a transaction that commits only while the lock is held, and the collections in it.

        Raises:
            LockLost: the lock was lost; nothing was written.
        """
        with guarded(self.database, self.held) as conn:
            yield conn, now(conn, revision_rows.versions(conn))

    def make(
        self,
        conn: Connection,
        before: CurrentCollections,
        target: RevisionTarget,
        collection: str | None = None,
    ) -> Buffer:
        """Create the next revision; the transaction must not commit if this raises.

        Raises:
            BufferConflict: a document would be in two collections.
        """
        number = before.newest_revision + 1
        made = Buffer(number, before.committed_revision, digest_of(target.collections))
        revision_rows.add_revision(
            conn,
            number,
            target.kind,
            self.stamp,
            digest=made.digest,
            collection=collection,
            copied_from=target.copied_from,
        )
        changed = {
            name: target.collections[name].content_id if name in target.collections else None
            for name in status.changed(before.newest, target.collections)
        }
        found = revision_rows.change(conn, number, changed, collection)
        if found is not None:
            raise elsewhere(found.schema, found.name, found.collection)
        return made


@contextmanager
def changing(database: Database, locks: Locks, author: ChangeOrigin) -> Iterator[Change]:
    """Hold the lock on all documents for the block.

    Raises:
        LockHeld: another request changes documents.
        LockLost: the lease was lost before the block ended.
    """
    with holding(locks, CONFIGDOCS_UPDATE, GLOBAL, author.origin, author.held) as held:
        stamp = Stamp(
            caller=author.origin.caller,
            holder=locks.holder,
            reference_id=author.origin.reference_id,
            reason=author.reason,
            lock_id=held.lease.id,
            fence=held.lease.fence,
        )
        yield Change(database, held, stamp)


def now(conn: Connection, versions: Versions) -> CurrentCollections:
    """Read the committed and the newest collections."""
    committed = revision_rows.state(conn, versions.committed)
    newest = committed
    # Without a buffer both are the same revision: this saves one query for each request.
    if versions.newest != versions.committed:
        newest = revision_rows.state(conn, versions.newest)
    return CurrentCollections(versions.committed, committed, versions.newest, newest)


def buffer_of(there: CurrentCollections) -> Buffer:
    """Return the newest revision, for a review."""
    return Buffer(there.newest_revision, there.committed_revision, digest_of(there.newest))


def digest_of(collections: State) -> str:
    """Return a digest of the documents by collection; it reveals nothing about their content."""
    lines = (f"{name} {content.digest}\n" for name, content in sorted(collections.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
