"""``/document-differences``: two versions compared by collection, document and path."""

import falcon

from staging_api.documents.service import DocumentService
from staging_api.http.document_bodies import (
    DifferencesBody,
    DifferencesQuery,
    DocumentChangeBody,
)
from staging_api.http.openapi import answers, spec
from staging_api.http.resources.configdocs.answers import may_see_secrets


class DocumentDifferences:
    """Two versions, compared."""

    def __init__(self, documents: DocumentService) -> None:
        """Take what the responders need."""
        self._reader = documents.reader

    @spec.validate(
        query=DifferencesQuery, resp=answers(404, HTTP_200=DifferencesBody), tags=["documents"]
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Compare the documents of two versions, as posted or rendered; secrets are masked."""
        query: DifferencesQuery = req.context.query
        if query.cleartext_secrets:
            may_see_secrets(req)
        found = self._reader.differences(
            query.old, query.new, rendered=query.rendered, reveal=query.cleartext_secrets
        )
        resp.media = DifferencesBody(
            old=found.old,
            new=found.new,
            changes=[DocumentChangeBody.of(change) for change in found.changes],
        )
