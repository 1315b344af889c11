"""``/apt-archives/{archive}/uploads``: send packages, accept and reject them."""

from collections.abc import Callable, Iterator

import falcon

from staging_api.errors import Invalid
from staging_api.http.archive_bodies import (
    Decision,
    StagedUpload,
    UploadBody,
    UploadList,
    UploadQuery,
    UploadTarget,
)
from staging_api.http.auth import origin
from staging_api.http.dependencies import Resource
from staging_api.http.media import form, media_type, raw
from staging_api.http.openapi import contract, validated
from staging_api.publishing.model import Upload

_ONE_PACKAGE = {"application/octet-stream", "application/vnd.debian.binary-package"}

Files = Iterator[tuple[str, Iterator[bytes]]]


class Uploads(Resource):
    """The uploads of an archive."""

    takes_files = True  # limited by STAGING_MAX_UPLOAD_BYTES, before any byte is read

    @contract(404, 409, 413, 415, 507, query=UploadTarget, HTTP_201=UploadList)
    def on_post(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Send packages.

        The body is one `.deb` or `.udeb`, named by `name`; or `multipart/form-data` with any number
        of files, those of a source package together with its `.dsc`; or JSON that names staged
        artifacts. 201 has the result of each package, and in its `note` further consequences; if
        every package is wrong, the response is the problem of the first.
        """
        query: UploadTarget = req.context.query
        to = self.deps.intake.destination(archive, query.suite, query.component)
        kind = media_type(req)
        if kind in _ONE_PACKAGE:
            uploads = self.deps.intake.take(to, _one(query.name, req), origin(req), _length(req))
        elif kind == falcon.MEDIA_MULTIPART:
            uploads = self.deps.intake.take(to, _several(req), origin(req), _length(req))
        else:
            uploads = self.deps.intake.take_staged(to, _staged(req), origin(req))
        resp.status = falcon.HTTP_201
        resp.media = UploadList(items=[UploadBody.of(each) for each in uploads], next=None)

    @contract(404, query=UploadQuery, HTTP_200=UploadList)
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List uploads, newest first."""
        page = self.deps.uploads.page(archive, **req.context.query.model_dump())
        resp.media = UploadList.of(page)


class OneUpload(Resource):
    """One upload."""

    @contract(404, HTTP_200=UploadBody)
    def on_get(self, _req: falcon.Request, resp: falcon.Response, upload_id: str) -> None:
        """Show an upload."""
        resp.media = UploadBody.of(self.deps.uploads.find(upload_id))


class DecisionOnUpload:
    """Accepting or rejecting an upload; one resource for each."""

    def __init__(self, decide: Callable[[str, str, str], Upload]) -> None:
        """Decide by this method of `UploadService`."""
        self._decide = decide

    @contract(404, 409, 415, json=Decision, HTTP_200=UploadBody)
    def on_post(self, req: falcon.Request, resp: falcon.Response, upload_id: str) -> None:
        """Accept or reject an upload; an accepted upload may be rejected until it is done.

        If its suite is held at older packages, accepting lifts the hold, and the `note` says so.
        """
        decided = self._decide(upload_id, req.context.caller, req.context.json.reason)
        resp.media = UploadBody.of(decided)


def _one(name: str | None, req: falcon.Request) -> Files:
    if name is None:
        raise Invalid.field("name", "a body that is one package needs its file name")
    yield name, raw(req)


def _several(req: falcon.Request) -> Files:
    for part in form(req):
        if not part.file_name:
            raise Invalid.field(part.name or "files", "must be a file with a name")
        # RFC 7578, section 4.2: a client may send a path; only its last segment names the file.
        yield part.file_name.rpartition("/")[2], part.chunks


def _length(req: falcon.Request) -> int:
    """Return the body's length, which is that of its files, and a little more for a form."""
    return req.content_length or 0


def _staged(req: falcon.Request) -> list[str]:
    return validated(StagedUpload, req.get_media()).staged
