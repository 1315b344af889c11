"""``/locks``: who holds what, what was held, and breaking a lock by force."""

import falcon

from staging_api.errors import Conflict, NotFound
from staging_api.http.auth import is_operator
from staging_api.http.bodies import BreakRequest, LockBody, LockList, LockQuery
from staging_api.http.openapi import answers, spec
from staging_api.locks import repository, store
from staging_api.locks.hold import Locks


class AllLocks:
    """The locks that are held now, or every grant there ever was."""

    def __init__(self, locks: Locks) -> None:
        """Take what the responders need."""
        self.locks = locks

    @spec.validate(query=LockQuery, resp=answers(HTTP_200=LockList), tags=["locks"])
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List locks.

        Those held now; with `state=all` the whole history, each with its outcome; both in the order
        in which they were granted, which is not that of their ids. To follow the history, ask again
        with the id of the last one as `after`: each grant comes once. One that was made while
        another was still on its way comes with that.
        """
        query: LockQuery = req.context.query
        with self.locks.database.connect() as conn:
            if query.state == "held":
                found = repository.held(conn, limit=query.limit + 1, after=query.after)
            else:
                found = repository.history(
                    conn, limit=query.limit + 1, after=query.after, scope=query.scope
                )
        page = found[: query.limit]
        resp.media = LockList(
            items=[LockBody.of(grant, with_fence=is_operator(req)) for grant in page],
            next=page[-1].id if len(found) > len(page) else None,
        )


class OneLock:
    """One grant of a lock."""

    def __init__(self, locks: Locks) -> None:
        """Take what the responders need."""
        self.locks = locks

    @spec.validate(resp=answers(404, HTTP_200=LockBody), tags=["locks"])
    def on_get(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """Show a lock."""
        resp.media = self._show(req, lock_id)

    @spec.validate(
        json=BreakRequest, resp=answers(404, 409, 415, HTTP_200=LockBody), tags=["locks"]
    )
    def on_delete(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """Break a lock.

        Its holder is fenced off: whatever it writes from now on is refused.
        """
        body: BreakRequest = req.context.json
        with self.locks.database.connect() as conn:
            outcome = store.break_lock(conn, lock_id, req.context.caller, body.reason)
        if outcome is None:
            raise NotFound(f"there is no lock {lock_id}")
        if outcome != "broken":
            raise Conflict(f"lock {lock_id} is not held: it was {outcome} before")
        resp.media = self._show(req, lock_id)

    def _show(self, req: falcon.Request, lock_id: str) -> LockBody:
        with self.locks.database.connect() as conn:
            return LockBody.of(repository.find(conn, lock_id), with_fence=is_operator(req))
