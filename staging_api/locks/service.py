"""The locks for operators: list held locks and the history of grants, break a lock."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import Conflict, NotFound
from staging_api.locks import repository, store
from staging_api.locks.model import Grant, ListedGrant, LockFilter, LockWaiter
from staging_api.paging import Page, page_of
from staging_api.vocabulary.locks import Listed


@dataclass(frozen=True)
class LockService:
    """The grants of locks; this class acquires none."""

    database: Database

    def page(
        self,
        listed: Listed,
        *,
        limit: int,
        after: str | None = None,
        only: LockFilter = repository.ALL,
    ) -> Page[ListedGrant]:
        """List the grants behind `after`, in the order of their time.

        Args:
            listed: ``held`` for the locks held now, ``all`` for all grants.
        """
        select = repository.held if listed == "held" else repository.history
        with self.database.connect() as conn:
            page = page_of(lambda rows: select(conn, limit=rows, after=after, only=only), limit)
            return Page(_with_waiters(conn, page.items), page.next)

    def newest(
        self, *, limit: int, before: str | None = None, only: LockFilter = repository.ALL
    ) -> Page[ListedGrant]:
        """List every grant, the newest first: for pages, which do not follow the history."""
        with self.database.connect() as conn:
            page = page_of(
                lambda rows: repository.newest(conn, limit=rows, before=before, only=only), limit
            )
            return Page(_with_waiters(conn, page.items), page.next)

    def find(self, lock_id: str) -> ListedGrant:
        """Return one grant.

        Raises:
            NotFound: there is no such grant.
        """
        with self.database.connect() as conn:
            (found,) = _with_waiters(conn, [repository.find(conn, lock_id)])
        return found

    def waiters(self, lock_id: str, *, limit: int, after: str | None = None) -> Page[LockWaiter]:
        """List the requests that wait for a held lock, in the order of the queue.

        Raises:
            NotFound: there is no such grant, or it has ended.
        """
        with self.database.connect() as conn:
            grant = repository.find(conn, lock_id)
            if grant.outcome is not None:
                raise NotFound(f"lock {lock_id} is not held: it was {grant.outcome}")
            return page_of(lambda rows: repository.waiters(conn, grant, rows, after), limit)

    def break_lock(self, lock_id: str, caller: str, reason: str) -> ListedGrant:
        """End a lock by force: its holder's writes are refused from now on.

        Raises:
            NotFound: there is no such lock.
            Conflict: the lock had ended already.
        """
        with self.database.connect() as conn:
            outcome = store.break_lock(conn, lock_id, caller, reason)
            if outcome is None:
                raise NotFound(f"there is no lock {lock_id}")
            if outcome != "broken":
                raise Conflict(f"lock {lock_id} is not held: it was {outcome} before")
        return self.find(lock_id)


def _with_waiters(conn: Connection, grants: Sequence[Grant]) -> list[ListedGrant]:
    counts = repository.waiter_counts(conn, grants)
    return [
        ListedGrant(grant, 0 if grant.outcome else counts[grant.kind, grant.scope])
        for grant in grants
    ]
