"""``/stagings``: request artifacts, show their progress, wait, cancel."""

import falcon

from staging_api.http.api_lock import api_lock, holds_of
from staging_api.http.auth import client_of, origin
from staging_api.http.conditions import is_known, not_modified
from staging_api.http.dependencies import Resource
from staging_api.http.idempotency import answers_once
from staging_api.http.known_answers import KnownAnswers, shown, unless_known
from staging_api.http.openapi import contract
from staging_api.http.prefer import applied, preference
from staging_api.http.staging_bodies import (
    PollHeaders,
    StagingBody,
    StagingHeaders,
    StagingList,
    StagingQuery,
)
from staging_api.http.staging_bodies import StagingRequest as StagingRequestBody
from staging_api.locks.model import LockKind
from staging_api.staging.lists import StagingFilter
from staging_api.staging.model import LOCK_BY_NAME, Staging, StagingRequest

PATH = "/api/v1.0/stagings"


def checked(self: "Stagings", req: falcon.Request) -> StagingRequest:
    """Return the validated body of the request, parsed once."""
    # The scope, the shortcut and the responder each need the body.
    if not hasattr(req.context, "staging_request"):
        body: StagingRequestBody = req.context.json
        req.context.staging_request = self.deps.stagings.check_request(
            body.archive_url, body.artifacts or (), body.upload_wait_seconds
        )
        self.deps.known.note_request(req, req.context.staging_request)
    request: StagingRequest = req.context.staging_request
    return request


def archive_url(self: "Stagings", req: falcon.Request, kind: LockKind) -> str | None:
    """Return the scope to lock: the archive, for the kinds of lock that its artifacts need."""
    request = checked(self, req)
    return request.archive_url if kind in request.lock_kinds else None


def nothing_left(self: "Stagings", req: falcon.Request, resp: falcon.Response) -> bool:
    """Answer 200, without a lock, if everything is staged or in progress; return whether it did."""
    staging = self.deps.stagings.nothing_left(checked(self, req))
    if staging is None:
        return False
    _show(req, resp, staging, falcon.HTTP_200)
    return True


class Stagings(Resource):
    """All stagings."""

    # From the outside in, the cheap before the expensive: a cached response needs no parsing, a
    # response stored for a key needs no lock, and an invalid request never gets to the lock.
    @unless_known(KnownAnswers.answer_request)
    @answers_once
    @contract(
        *(404, 409, 413, 415, 422, 502, 504, 507),
        json=StagingRequestBody,
        headers=StagingHeaders,
        HTTP_200=StagingBody,
        HTTP_201=StagingBody,
        HTTP_202=StagingBody,
    )
    @api_lock(*LOCK_BY_NAME.values(), scope=archive_url, unless=nothing_left)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stage artifacts of an archive.

        201 once all foreground artifacts are staged; 200 if there was nothing left to do; 202 at
        once with `Prefer: respond-async`. Background artifacts follow.
        """
        holds = holds_of(req)
        if preference(req, self.wait_cap_seconds).respond_async:
            staging = self.deps.stagings.queue(checked(self, req), origin(req), holds)
            applied(resp, "respond-async")
            _show(req, resp, staging, falcon.HTTP_202)
        else:
            staging = self.deps.stagings.stage(checked(self, req), origin(req), holds)
            _show(req, resp, staging, falcon.HTTP_201)

    @contract(query=StagingQuery, HTTP_200=StagingList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List stagings, newest first."""
        query: StagingQuery = req.context.query
        columns = {"archive_url", "state", "caller", "reference_id", "error_code"}
        equal = query.model_dump(include=columns, exclude_none=True)
        only = StagingFilter(equal, query.prefix, query.since, query.until)
        page = self.deps.stagings.page(limit=query.limit, after=query.after, only=only)
        resp.media = StagingList.of(page)


class OneStaging(Resource):
    """One staging."""

    @unless_known(KnownAnswers.answer_about)
    @contract(404, headers=PollHeaders, HTTP_200=StagingBody, HTTP_304=None)
    def on_get(self, req: falcon.Request, resp: falcon.Response, staging_id: str) -> None:
        """Show a staging.

        With `If-None-Match` and `Prefer: wait=N` this is a long poll: 304 when nothing changed in
        time.
        """
        staging = self.deps.stagings.find(staging_id)
        wait = preference(req, self.wait_cap_seconds).wait_seconds
        if wait and is_known(req, _etag(staging)) and not staging.final:
            applied(resp, f"wait={int(wait)}")
            self.deps.watch.wait_for_change(staging_id, staging.version, wait, client_of(req))
            staging = self.deps.stagings.find(staging_id)
        if not not_modified(req, resp, _etag(staging)):
            _show(req, resp, staging, falcon.HTTP_200)

    @contract(404, HTTP_202=StagingBody)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, staging_id: str) -> None:
        """Cancel a staging.

        Staged artifacts stay; the others stop within a second or so.
        """
        _show(req, resp, self.deps.stagings.cancel(staging_id, origin(req)), falcon.HTTP_202)


def _show(req: falcon.Request, resp: falcon.Response, staging: Staging, status: str) -> None:
    shown(req, staging)
    resp.status = status
    resp.media = StagingBody.of(staging)
    resp.location = f"{PATH}/{staging.id}"
    resp.set_header("ETag", _etag(staging))


def _etag(staging: Staging) -> str:
    return f'"{staging.id}.{staging.tag}"'
