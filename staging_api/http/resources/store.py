"""``/store``: how full it is, of what, and prunes of it."""

import falcon

from staging_api.http.auth import origin
from staging_api.http.bodies import PageQuery
from staging_api.http.idempotency import answers_once
from staging_api.http.openapi import answers, spec
from staging_api.http.store_bodies import (
    PruneBody,
    PruneList,
    PruneRequest,
    StoreBody,
)
from staging_api.locks.hold import Locks
from staging_api.staging.pruning import Pruning
from staging_api.staging.store_report import store_report
from staging_api.staging.upkeep import Upkeep


class Store:
    """The store."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    @spec.validate(resp=answers(HTTP_200=StoreBody), tags=["store"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show how full the store is, what it is used for, what is idle and what checks found.

        Sums are of now; what contents are there for, and the largest archives, are counted by a
        worker every half hour.
        """
        resp.media = StoreBody.of(store_report(self._upkeep))


class StorePrune:
    """A prune in two steps."""

    def __init__(self, upkeep: Upkeep) -> None:
        self.locks: Locks = upkeep.locks
        self._pruning = Pruning(upkeep)

    @answers_once
    @spec.validate(
        json=PruneRequest, resp=answers(404, 409, 415, 422, HTTP_200=PruneBody), tags=["store"]
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Preview which idle artifacts would be evicted; with the preview's token, evict them.

        A preview changes nothing, and lists 1,000 artifacts at most. Its token is good for an hour
        and for one time, and needs a reason, which is kept with the name of the caller. Artifacts
        that were read, pinned or asked for since the preview stay.
        """
        body: PruneRequest = req.context.json
        if body.token is not None and body.reason is not None:
            done = self._pruning.run(body.token, body.reason, origin(req))
        else:
            done = self._pruning.preview(
                req.context.caller, idle_seconds=body.idle_seconds, keep_bytes=body.keep_bytes
            )
        resp.media = PruneBody.filled(done.record, artifacts=done.artifacts)


class StorePrunes:
    """The prunes that were done."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._pruning = Pruning(upkeep)

    @spec.validate(query=PageQuery, resp=answers(HTTP_200=PruneList), tags=["store"])
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the prunes that operators let be done by the API, newest first."""
        query: PageQuery = req.context.query
        page = self._pruning.page(limit=query.limit, after=query.after)
        resp.media = PruneList.of(page)
