"""``/documents/{schema}/{name}``: one rendered document, its values' origins, and its users."""

import hashlib

import falcon

from staging_api.documents.model import Path, RenderingFailed
from staging_api.documents.paths import MISSING, PathInvalid, get, parse_path, path_text
from staging_api.documents.provenance import users, why
from staging_api.documents.redaction import redacted
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.errors import Invalid, NotFound
from staging_api.http.conditions import not_modified
from staging_api.http.dependencies import Resource
from staging_api.http.document_bodies import DocumentBody, IdentityBody, OriginBody
from staging_api.http.document_requests import DocumentQuery, KnownHeaders
from staging_api.http.openapi import contract
from staging_api.http.resources.configdocs.answers import may_see_secrets


class OneDocument(Resource):
    """One document of a version."""

    answers_head = True

    @contract(404, query=DocumentQuery, headers=KnownHeaders, HTTP_200=DocumentBody, HTTP_304=None)
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        *,
        namespace: str,
        kind: str,
        version: str,
        name: str,
    ) -> None:
        """Show a rendered document and the documents that use it.

        With `provenance`, also the origin of each of its values; with `path`, of one value only.
        """
        query: DocumentQuery = req.context.query
        if query.cleartext_secrets:
            may_see_secrets(req)
        number = self.deps.documents.reader.number_of(query.version)
        digest = self.deps.documents.reader.find(number).digest
        # Checked before rendering, which is the most expensive step: a revision never changes.
        if not_modified(req, resp, _etag(number, digest, query)):
            return
        made = self.deps.documents.reader.rendered(number)
        if made.rendering is None:
            raise RenderingFailed(made.findings)
        schema = f"{namespace}/{kind}/{version}"
        found = made.rendering.get(schema, name)
        if found is None:
            raise NotFound(f"revision {number} has no document [{schema}, {name}]")
        resp.media = _shown(found, made.rendering, number, query)


def _shown(
    found: RenderedDocument, rendering: Rendering, number: int, query: DocumentQuery
) -> DocumentBody:
    path = _path(query.path)
    value = found.value if query.cleartext_secrets else redacted(found, rendering)
    data = get(value["data"], path)
    if data is MISSING:
        raise NotFound(f"the document has nothing at {path_text(path)}")
    document = found.document
    return DocumentBody(
        schema=document.schema,
        name=document.name,
        layer=document.layer or None,
        collection=document.collection,
        revision=number,
        metadata=dict(value["metadata"]),
        data=data,
        redacted=not query.cleartext_secrets and bool(found.secret_paths),
        parent=None if found.parent is None else IdentityBody.of(found.parent),
        sources=[IdentityBody.of(each) for each in found.sources],
        used_by=[IdentityBody.of(each) for each in users(rendering, document.identity)],
        provenance=_origins(found, path) if query.provenance else None,
    )


def _origins(found: RenderedDocument, path: Path) -> list[OriginBody]:
    return [
        OriginBody(
            path=path_text(place),
            origin=f"{origin.document} {path_text(origin.path)}",
            document=IdentityBody.of(origin.document),
            origin_path=path_text(origin.path),
            secret=origin.secret,
            steps=[f"{step.document} {step.instruction}" for step in origin.steps],
        )
        for place, origin in why(found, path)
    ]


def _etag(number: int, digest: str, query: DocumentQuery) -> str:
    """Return an ETag of a revision, which never changes, and of the query that selects from it.

    With the digest of the revision: a failover that lost rows assigns their numbers again.
    """
    requested = digest + query.model_dump_json(exclude={"version"})
    return f'"{number}-{hashlib.sha256(requested.encode()).hexdigest()[:16]}"'


def _path(text: str) -> Path:
    try:
        return parse_path(text)
    except PathInvalid as error:
        raise Invalid.field("path", str(error)) from None
