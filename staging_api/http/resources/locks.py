"""``/locks``: current holders, past grants, and breaking a lock by force."""

import falcon

from staging_api.http.auth import is_operator
from staging_api.http.bodies import PageQuery
from staging_api.http.dependencies import Resource
from staging_api.http.lock_bodies import BreakRequest, LockBody, LockList, LockQuery, WaiterList
from staging_api.http.openapi import contract
from staging_api.locks.model import LockFilter
from staging_api.sources.url import canonical_filter


class AllLocks(Resource):
    """The locks that are held now, or every grant in the history."""

    @contract(query=LockQuery, HTTP_200=LockList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List locks.

        Lists the locks that are held now; with `state=all` the whole history, each grant with its
        outcome. Both are in the order in which they were granted, which is not that of their ids.
        To follow the history, repeat the request with the id of the last grant as `after`: each
        grant is returned once, and concurrent grants are returned together.
        """
        query: LockQuery = req.context.query
        page = self.deps.lock_service.page(
            query.state,
            limit=query.limit,
            after=query.after,
            only=LockFilter(
                # The scope of an archive is its canonical URL, but a query may spell it
                # differently.
                query.scope and canonical_filter(query.scope),
                query.kind,
                query.except_kind,
            ),
        )
        resp.media = LockList(
            items=[LockBody.shown(grant, with_fence=is_operator(req)) for grant in page.items],
            next=page.next,
        )


class OneLock(Resource):
    """One grant of a lock."""

    @contract(404, HTTP_200=LockBody)
    def on_get(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """Show a lock."""
        resp.media = LockBody.shown(
            self.deps.lock_service.find(lock_id), with_fence=is_operator(req)
        )

    @contract(404, 409, 415, json=BreakRequest, HTTP_200=LockBody)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """Break a lock.

        Its holder is fenced off: whatever it writes from now on is refused.
        """
        body: BreakRequest = req.context.json
        broken = self.deps.lock_service.break_lock(lock_id, req.context.caller, body.reason)
        resp.media = LockBody.shown(broken, with_fence=is_operator(req))


class WaitersOfLock(Resource):
    """The waiters of a lock."""

    @contract(404, query=PageQuery, HTTP_200=WaiterList)
    def on_get(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """List the requests that wait for a held lock, the first in the queue first."""
        query: PageQuery = req.context.query
        page = self.deps.lock_service.waiters(lock_id, limit=query.limit, after=query.after)
        resp.media = WaiterList.of(page)
