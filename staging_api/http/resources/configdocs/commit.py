"""``/commitconfigdocs``: commit the buffer if its validations succeed."""

from dataclasses import asdict, replace

import falcon

from staging_api.documents.service import CommitRequest
from staging_api.http.api_lock import api_lock, hold_of
from staging_api.http.dependencies import Resource
from staging_api.http.idempotency import answers_once
from staging_api.http.resources.configdocs.answers import author, unless_moved, validation_result
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL, LockKind

_MAX_CONFIRM_SECONDS = 7 * 24 * 3600
_MAX_REVISION = (1 << 63) - 1


def the_buffer(_self: "CommitConfigdocs", req: falcon.Request, _kind: LockKind) -> str:
    """Return the only scope of documents, after validating the request."""
    req.context.author = author(req)
    req.context.commit = CommitRequest(
        force=req.get_param_as_bool("force") or False,
        dryrun=req.get_param_as_bool("dryrun") or False,
        reviewed=req.get_param_as_int("revision", min_value=1, max_value=_MAX_REVISION),
        confirm_seconds=req.get_param_as_int(
            "confirm_within", min_value=1, max_value=_MAX_CONFIRM_SECONDS
        ),
        stage=req.get_param_as_bool("stage") or False,
        unless=unless_moved(req),
    )
    return GLOBAL


class CommitConfigdocs(Resource):
    """Commit of the buffer."""

    def sent_body(self, _req: falcon.Request) -> bytes:
        """Ignore the body, which has no meaning; clients send an empty one of any type."""
        return b""

    @answers_once
    @api_lock(CONFIGDOCS_UPDATE, scope=the_buffer)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Validate the buffer, and commit it."""
        request: CommitRequest = req.context.commit
        lock = hold_of(req, CONFIGDOCS_UPDATE)
        done = self.deps.documents.commit(request, replace(req.context.author, held=lock))
        body = validation_result(done, falcon.HTTP_200)
        if request.dryrun:
            body |= {"code": falcon.HTTP_200, "message": f"{body['message']} DRYRUN"}
        elif done.committed and done.verdict.errors:
            body |= {"code": falcon.HTTP_200, "message": f"{body['message']} FORCED SUCCESS"}
        if request.stage:
            body["builds"] = [asdict(each) for each in done.builds]
        resp.status = body["code"]
        if body["code"] == falcon.HTTP_200:
            resp.set_header("ETag", done.etag)
        resp.media = body
