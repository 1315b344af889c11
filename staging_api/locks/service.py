"""The locks as operators see them: those that are held, every grant there was, breaking one."""

from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.errors import Conflict, NotFound
from staging_api.locks import repository, store
from staging_api.locks.model import Grant
from staging_api.paging import Page, page_of
from staging_api.vocabulary.locks import Listed


@dataclass(frozen=True)
class LockService:
    """The grants of locks; takes none itself."""

    database: Database

    def page(
        self, listed: Listed, *, limit: int, after: str | None = None, scope: str | None = None
    ) -> Page[Grant]:
        """List the grants behind `after` in the order in which they were made.

        Args:
            listed: those held now, or all.
            scope: only grants of this scope; with all.
        """
        with self.database.connect() as conn:
            if listed == "held":
                return page_of(lambda rows: repository.held(conn, limit=rows, after=after), limit)
            return page_of(
                lambda rows: repository.history(conn, limit=rows, after=after, scope=scope), limit
            )

    def find(self, lock_id: str) -> Grant:
        """Return one grant.

        Raises:
            NotFound: there is no such grant.
        """
        with self.database.connect() as conn:
            return repository.find(conn, lock_id)

    def break_lock(self, lock_id: str, caller: str, reason: str) -> Grant:
        """End a lock by force: its holder's writes are refused from now on.

        Raises:
            NotFound: there is no such lock.
            Conflict: it had ended already.
        """
        with self.database.connect() as conn:
            outcome = store.break_lock(conn, lock_id, caller, reason)
            if outcome is None:
                raise NotFound(f"there is no lock {lock_id}")
            if outcome != "broken":
                raise Conflict(f"lock {lock_id} is not held: it was {outcome} before")
            return repository.find(conn, lock_id)
