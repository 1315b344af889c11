"""``/apt-archives/{archive}/uploads``: sending packages, and deciding about them."""

from collections.abc import Iterator

import falcon

from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid
from staging_api.http.archive_bodies import (
    Decision,
    StagedUpload,
    UploadBody,
    UploadList,
    UploadQuery,
    UploadTarget,
)
from staging_api.http.auth import origin
from staging_api.http.media import form, media_type, raw
from staging_api.http.openapi import answers, spec, validated
from staging_api.publishing import rows
from staging_api.publishing.intake import Intake, lifted
from staging_api.vocabulary.publishing import OPEN_UPLOAD_STATES

_ONE_PACKAGE = {"application/octet-stream", "application/vnd.debian.binary-package"}

Files = Iterator[tuple[str, Iterator[bytes]]]


class Uploads:
    """The uploads of an archive."""

    takes_files = True

    def __init__(self, intake: Intake) -> None:
        """Take what the responders need."""
        self._intake = intake

    @spec.validate(
        query=UploadTarget,
        resp=answers(404, 409, 413, 415, 507, HTTP_201=UploadList),
        tags=["apt-archives"],
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Send packages.

        The body is one `.deb` or `.udeb`, named by `name`; or `multipart/form-data` with any
        number of files, those of a source package together with its `.dsc`; or JSON that names
        what has been staged. 201 tells what became of each, and in its `note` what else follows;
        if every one is wrong, the answer is the problem of the first.
        """
        query: UploadTarget = req.context.query
        to = self._intake.destination(archive, query.suite, query.component)
        kind = media_type(req)
        if kind in _ONE_PACKAGE:
            uploads = self._intake.take(to, _one(query.name, req), origin(req), _length(req))
        elif kind == falcon.MEDIA_MULTIPART:
            uploads = self._intake.take(to, _several(req), origin(req), _length(req))
        else:
            uploads = self._intake.take_staged(to, _staged(req), origin(req))
        resp.status = falcon.HTTP_201
        resp.media = UploadList(items=[UploadBody.of(each) for each in uploads], next=None)

    @spec.validate(query=UploadQuery, resp=answers(404, HTTP_200=UploadList), tags=["apt-archives"])
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List uploads, newest first."""
        query: UploadQuery = req.context.query
        with self._intake.database.connect() as conn:
            found = rows.list_uploads(
                conn,
                rows.find_apt_archive(conn, archive).id,
                limit=query.limit + 1,
                after=query.after,
                state=query.state,
            )
        page = found[: query.limit]
        resp.media = UploadList(
            items=[UploadBody.of(each) for each in page],
            next=page[-1].id if len(found) > len(page) else None,
        )


class OneUpload:
    """One upload."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(resp=answers(404, HTTP_200=UploadBody), tags=["apt-archives"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response, upload_id: str) -> None:
        """Show an upload."""
        with self._database.connect() as conn:
            resp.media = UploadBody.of(rows.find_upload(conn, upload_id))


class DecisionOnUpload:
    """Accepting and rejecting an upload; one resource for each."""

    def __init__(self, database: Database, state: str) -> None:
        """Take what the responder needs; `state` is what the upload is in after it."""
        self._database = database
        self._state = state

    @spec.validate(
        json=Decision, resp=answers(404, 409, 415, HTTP_200=UploadBody), tags=["apt-archives"]
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, upload_id: str) -> None:
        """Accept or reject an upload; one that is accepted may be rejected until it is done.

        If its suite was held at older packages, accepting lifts that, and its `note` says so.
        """
        rejects = self._state == "rejected"
        body: Decision = req.context.json
        if rejects and not body.reason:
            raise Invalid.field("reason", "an upload is rejected for a reason")
        before = (*OPEN_UPLOAD_STATES, "accepted") if rejects else OPEN_UPLOAD_STATES
        with self._database.begin() as conn:
            done = rows.decide(
                conn,
                upload_id,
                state=self._state,
                before=before,
                caller=req.context.caller,
                reason=body.reason,
            )
            if done and not rejects and rows.lift_for(conn, upload_id):
                suite = rows.find_upload(conn, upload_id).suite
                rows.note_upload(conn, upload_id, lifted(suite))
            upload = rows.find_upload(conn, upload_id)
        if not done:
            raise Conflict(f"upload {upload_id} is {upload.state}: it cannot be {self._state} now")
        resp.media = UploadBody.of(upload)


def _one(name: str | None, req: falcon.Request) -> Files:
    if name is None:
        raise Invalid.field("name", "a body that is one package needs its file name")
    yield name, raw(req)


def _several(req: falcon.Request) -> Files:
    for part in form(req):
        if not part.file_name:
            raise Invalid.field(part.name or "files", "must be a file with a name")
        yield part.file_name.rpartition("/")[2], part.chunks


def _length(req: falcon.Request) -> int:
    """Of the body, which is what its files have, and a little more if it is a form."""
    return req.content_length or 0


def _staged(req: falcon.Request) -> list[str]:
    return validated(StagedUpload, req.get_media()).staged
