"""``/publications``: start an operation of the publisher, and list runs with their results."""

import falcon

from staging_api.http.api_lock import api_lock, hold_of
from staging_api.http.auth import origin
from staging_api.http.dependencies import Resource
from staging_api.http.idempotency import answers_once
from staging_api.http.openapi import contract
from staging_api.http.publisher_bodies import (
    PublicationBody,
    PublicationList,
    PublicationQuery,
    PublicationRequest,
)
from staging_api.http.what_runs import says_what_runs
from staging_api.locks.model import GLOBAL, PUBLISHER, LockKind
from staging_api.publishing.run_model import Options

PATH = "/api/v1.0/publications"


def the_publisher(self: "Publications", req: falcon.Request, _kind: LockKind) -> str:
    """Return the publisher's only scope, after validating the request."""
    body: PublicationRequest = req.context.json
    req.context.archive = self.deps.publisher.apt_archive(
        body.archive, body.options.suites, field="options.suites"
    )
    return GLOBAL


class Publications(Resource):
    """All runs of the publisher."""

    @answers_once
    @contract(404, 409, 415, 422, 500, json=PublicationRequest, HTTP_201=PublicationBody)
    # Outside the lock, as it adds to the lock's refusal.
    @says_what_runs
    @api_lock(PUBLISHER, scope=the_publisher)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Run an operation.

        Answers 201 when the run is done. Only one operation runs at a time, for all archives: 409
        names the operation that runs.
        """
        body: PublicationRequest = req.context.json
        archive = req.context.archive
        run = self.deps.publisher.run(
            body.operation, archive, _options(body), origin(req), hold_of(req, PUBLISHER)
        )
        resp.status = falcon.HTTP_201
        resp.media = PublicationBody.of(run)
        resp.location = f"{PATH}/{run.id}"

    @contract(query=PublicationQuery, HTTP_200=PublicationList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List runs, newest first."""
        page = self.deps.publisher.runs.page(**req.context.query.model_dump())
        resp.media = PublicationList.of(page)


class OnePublication(Resource):
    """One run of the publisher."""

    @contract(404, HTTP_200=PublicationBody)
    def on_get(self, _req: falcon.Request, resp: falcon.Response, publication_id: str) -> None:
        """Show a run; while it runs, also its phase and progress."""
        resp.media = PublicationBody.of(self.deps.publisher.runs.find(publication_id))


def _options(body: PublicationRequest) -> Options:
    given = body.options.model_dump()
    return Options(**{**given, "suites": tuple(given["suites"])})
