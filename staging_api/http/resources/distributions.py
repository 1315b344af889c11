"""``/distributions``: the generation that clients of an archive see, holds, pins and rollbacks."""

import falcon

from staging_api.http.auth import origin
from staging_api.http.bodies import PageQuery
from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract
from staging_api.http.publisher_bodies import (
    ArchiveFileBody,
    ArchiveFileList,
    ArchiveFileQuery,
    DistributionBody,
    DistributionChange,
    DistributionList,
    GenerationBody,
    GenerationList,
    HoldRequest,
)
from staging_api.http.what_runs import says_what_runs


class Distributions(Resource):
    """All archives that have been published."""

    @contract(HTTP_200=DistributionList)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List the distributions of all archives, by archive."""
        found = [DistributionBody.of(each) for each in self.deps.publisher.distributions.all()]
        resp.media = DistributionList(items=found, next=None)


class OneDistribution(Resource):
    """The distribution of one archive."""

    @contract(404, HTTP_200=DistributionBody)
    def on_get(self, _req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Show the distribution of an archive."""
        resp.media = DistributionBody.of(self.deps.publisher.distributions.find(archive))

    @contract(404, 409, 415, json=DistributionChange, HTTP_200=DistributionBody)
    @says_what_runs
    def on_patch(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Go back to the packages of an older generation.

        Clients see the change at once. It lasts until the hold of each suite is lifted or a package
        is uploaded to it; meanwhile runs renew its Release, and do not change its packages.
        """
        body: DistributionChange = req.context.json
        shown = self.deps.publisher.go_back(
            archive,
            body.generation_id,
            origin(req),
            suites=tuple(body.suites),
            reason=body.reason,
        )
        resp.media = DistributionBody.of(shown)


class HoldOfSuite(Resource):
    """A suite hold, which keeps the packages of a suite unchanged whatever is published."""

    @contract(404, 409, 415, json=HoldRequest, HTTP_200=DistributionBody)
    @says_what_runs
    def on_put(self, req: falcon.Request, resp: falcon.Response, archive: str, suite: str) -> None:
        """Hold a suite at the packages that clients see now, or at those of a generation."""
        body: HoldRequest = req.context.json
        self.deps.publisher.check_suite(archive, suite)
        shown = self.deps.publisher.go_back(
            archive, body.generation_id, origin(req), suites=(suite,), reason=body.reason
        )
        resp.media = DistributionBody.of(shown)

    @contract(404, 409, HTTP_200=DistributionBody)
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, archive: str, suite: str
    ) -> None:
        """Lift a hold: clients see the published packages after the next run."""
        shown = self.deps.publisher.lift_suite(archive, suite, req.context.caller)
        resp.media = DistributionBody.of(shown)


class Generations(Resource):
    """The generations of an archive."""

    @contract(404, query=PageQuery, HTTP_200=GenerationList)
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List generations, newest first."""
        page = self.deps.publisher.distributions.generations(
            archive, **req.context.query.model_dump()
        )
        resp.media = GenerationList.of(page)


class PinOfGeneration(Resource):
    """The pin of a generation, which keeps it."""

    @contract(404, 409, HTTP_200=GenerationBody)
    def on_put(self, req: falcon.Request, resp: falcon.Response, generation_id: str) -> None:
        """Keep a generation, with all packages that it lists, until it is unpinned."""
        pinned = self.deps.publisher.distributions.set_pin(
            generation_id, req.context.caller, pinned=True
        )
        resp.media = GenerationBody.of(pinned)

    @contract(404, 409, HTTP_200=GenerationBody)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, generation_id: str) -> None:
        """Unpin a generation, so that it is kept no longer than others."""
        unpinned = self.deps.publisher.distributions.set_pin(
            generation_id, req.context.caller, pinned=False
        )
        resp.media = GenerationBody.of(unpinned)


class ArchiveFileLists(Resource):
    """Files of an archive, for operators who copy it to another server."""

    @contract(404, query=ArchiveFileQuery, HTTP_200=ArchiveFileList)
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List files in the order in which a copy must write them.

        First the pool, then the dists of one generation: each file before the index that names it.
        """
        page = self.deps.publisher.distributions.files(archive, **req.context.query.model_dump())
        resp.media = ArchiveFileList(
            generation_id=page.generation_id,
            items=[ArchiveFileBody(**vars(file)) for file in page.items],
            next=page.next,
        )
