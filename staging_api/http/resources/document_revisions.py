"""``/document-revisions``: the history of documents, tags, and rollbacks."""

import falcon

from staging_api.documents.changing import ChangeOrigin
from staging_api.documents.service import DocumentService
from staging_api.http.api_lock import api_lock, hold_of
from staging_api.http.auth import origin
from staging_api.http.conditions import not_modified
from staging_api.http.dependencies import Resource
from staging_api.http.document_bodies import BufferBody, RevisionBody, RevisionList
from staging_api.http.document_requests import (
    ChangeHeaders,
    ConditionalHeaders,
    KnownHeaders,
    OnceHeaders,
    ReasonQuery,
    RevisionQuery,
    RollbackHeaders,
    RollbackRequest,
    SiteActionRequest,
    TagRequest,
)
from staging_api.http.idempotency import answers_once
from staging_api.http.openapi import contract
from staging_api.http.resources.configdocs.answers import show, unless_moved
from staging_api.locks.model import CONFIGDOCS_UPDATE, GLOBAL


class DocumentRevisions(Resource):
    """All revisions."""

    answers_head = True

    @contract(query=RevisionQuery, headers=KnownHeaders, HTTP_200=RevisionList, HTTP_304=None)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List revisions, newest first."""
        query: RevisionQuery = req.context.query
        page = self.deps.documents.reader.revisions(query.limit, query.before)
        listed = RevisionList(
            items=[RevisionBody.of(revision) for revision in page.items],
            next=None if page.next is None else int(page.next),
        )
        show(req, resp, listed)


class OneDocumentRevision(Resource):
    """One revision."""

    answers_head = True

    @contract(404, headers=KnownHeaders, HTTP_200=RevisionBody, HTTP_304=None)
    def on_get(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        """Show a revision: who made it, whether it was committed, its tags."""
        show(req, resp, RevisionBody.of(self.deps.documents.reader.find(number)))


class RollbackToRevision(Resource):
    """Rollback to a revision."""

    # A response stored for a key needs no lock, and an invalid request never gets to the lock.
    @answers_once
    @contract(
        404, 409, 415, 422, json=RollbackRequest, headers=RollbackHeaders, HTTP_201=BufferBody
    )
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_post(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        """Replace the buffer's documents by those of this revision.

        The result is a new revision, to be reviewed and committed like any other. Revision 0 is
        empty.
        """
        body: RollbackRequest = req.context.json
        author = _author(req, body.reason)
        self.deps.documents.roll_back(
            number, author, over_buffer=body.over_buffer, unless=unless_moved(req)
        )
        resp.status = falcon.HTTP_201
        _show_buffer(self.deps.documents, resp)


class ConfirmationOfRevision(Resource):
    """Confirmation of a commit that would otherwise be undone."""

    @answers_once
    @contract(404, 409, 422, query=ReasonQuery, headers=OnceHeaders, HTTP_200=RevisionBody)
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_post(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        """Make a commit with `confirm_within` final."""
        query: ReasonQuery = req.context.query
        author = _author(req, query.reason)
        resp.media = RevisionBody.of(self.deps.documents.confirm(number, author))


class TagOfRevision(Resource):
    """One tag of a revision."""

    @contract(404, 409, 415, json=TagRequest, headers=ChangeHeaders, HTTP_200=RevisionBody)
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_put(self, req: falcon.Request, resp: falcon.Response, number: int, tag: str) -> None:
        """Tag a revision; an existing tag gets this data."""
        body: TagRequest = req.context.json
        author = _author(req, body.reason)
        resp.media = RevisionBody.of(self.deps.documents.tags.tag(number, tag, body.data, author))

    @contract(404, 409, query=ReasonQuery, headers=ChangeHeaders, HTTP_200=RevisionBody)
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, number: int, tag: str) -> None:
        """Remove a tag."""
        query: ReasonQuery = req.context.query
        author = _author(req, query.reason)
        resp.media = RevisionBody.of(self.deps.documents.tags.untag(number, tag, author))


class SiteActions(Resource):
    """Results of site actions."""

    @answers_once
    @contract(
        404, 409, 415, 422, json=SiteActionRequest, headers=OnceHeaders, HTTP_201=RevisionBody
    )
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Record that a site action ended on a committed revision.

        The newest such revision becomes the version last_site_action; the newest with a success,
        the version successful_site_action.
        """
        body: SiteActionRequest = req.context.json
        revision = self.deps.documents.tags.site_action(
            body.revision,
            body.data,
            _author(req, body.reason),
            succeeded=body.outcome == "success",
            staged=body.require_staged,
        )
        resp.status = falcon.HTTP_201
        resp.media = RevisionBody.of(revision)


class DocumentBuffer(Resource):
    """The buffer."""

    answers_head = True

    @contract(headers=KnownHeaders, HTTP_200=BufferBody, HTTP_304=None)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the buffer, which a commit would use: its revision, digest and collections."""
        state = self.deps.documents.reader.buffer_state()
        if not not_modified(req, resp, state.etag):
            resp.media = BufferBody.of(state)

    @contract(409, query=ReasonQuery, headers=ConditionalHeaders, HTTP_200=BufferBody)
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Discard the buffer: the documents are again those that were committed."""
        _discard(self.deps.documents, req, resp, None)


class CollectionOfBuffer(Resource):
    """The buffer's documents of one collection."""

    @contract(404, 409, query=ReasonQuery, headers=ConditionalHeaders, HTTP_200=BufferBody)
    @api_lock(CONFIGDOCS_UPDATE, scope=GLOBAL)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, collection: str) -> None:
        """Discard the changes of one collection."""
        _discard(self.deps.documents, req, resp, collection)


def _discard(
    documents: DocumentService, req: falcon.Request, resp: falcon.Response, collection: str | None
) -> None:
    query: ReasonQuery = req.context.query
    documents.discard(collection, _author(req, query.reason), unless_moved(req))
    _show_buffer(documents, resp)


def _show_buffer(documents: DocumentService, resp: falcon.Response) -> None:
    """Answer with the current buffer; the request still holds the lock."""
    state = documents.reader.buffer_state()
    # Lets the next change name the buffer in If-Match without another request.
    resp.set_header("ETag", state.etag)
    resp.media = BufferBody.of(state)


def _author(req: falcon.Request, reason: str | None) -> ChangeOrigin:
    return ChangeOrigin(origin(req), reason, hold_of(req, CONFIGDOCS_UPDATE))
