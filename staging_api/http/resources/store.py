"""``/store``: fill level and contents of the store, and prunes."""

import falcon

from staging_api.http.auth import origin
from staging_api.http.bodies import PageQuery
from staging_api.http.dependencies import Resource
from staging_api.http.idempotency import answers_once
from staging_api.http.openapi import contract
from staging_api.http.store_bodies import PruneBody, PruneList, PruneRequest, StoreBody
from staging_api.staging.pruning import Pruning
from staging_api.staging.store_report import store_report


class Store(Resource):
    """The store."""

    @contract(HTTP_200=StoreBody)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show how full the store is, what it is used for, what is idle and what checks found.

        Sums are current; the uses of contents, and the largest archives, are counted by a worker
        every half hour.
        """
        resp.media = StoreBody.of(store_report(self.deps.stagings.upkeep))


class StorePrune(Resource):
    """A prune in two steps."""

    @answers_once
    @contract(404, 409, 415, 422, json=PruneRequest, HTTP_200=PruneBody)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Preview which idle artifacts would be evicted; with the preview's token, evict them.

        A preview changes nothing, and lists 1,000 artifacts at most. Its token is valid for an hour
        and for one use, and needs a reason, which is stored with the name of the caller. Artifacts
        that were read, pinned or requested since the preview stay.
        """
        body: PruneRequest = req.context.json
        if body.token is not None and body.reason is not None:
            done = Pruning(self.deps.stagings.upkeep).run(body.token, body.reason, origin(req))
        else:
            done = Pruning(self.deps.stagings.upkeep).preview(
                req.context.caller, idle_seconds=body.idle_seconds, keep_bytes=body.keep_bytes
            )
        resp.media = PruneBody.filled(done.record, artifacts=done.artifacts)


class StorePrunes(Resource):
    """The prunes that were done."""

    @contract(query=PageQuery, HTTP_200=PruneList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the prunes that operators started through the API, newest first."""
        query: PageQuery = req.context.query
        page = Pruning(self.deps.stagings.upkeep).page(limit=query.limit, after=query.after)
        resp.media = PruneList.of(page)
