"""``/document-differences``: comparison of two versions by collection, document and path.

A cursor names both revisions, so that all pages show the same comparison, whatever is posted or
committed in between.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import falcon
from pydantic import NonNegativeInt, TypeAdapter

from staging_api.documents.differences import DocumentChange, Position
from staging_api.documents.model import Identity
from staging_api.documents.reader import ComparisonRequest
from staging_api.errors import Invalid
from staging_api.http.conditions import not_modified
from staging_api.http.dependencies import Resource
from staging_api.http.document_bodies import DifferencesBody, DocumentChangeBody
from staging_api.http.document_requests import DifferencesQuery, KnownHeaders
from staging_api.http.openapi import contract
from staging_api.http.resources.configdocs.answers import may_see_secrets

# Parts of a `DifferencesCursor`: two revisions; a collection; schema, layer and name.
_PARTS = TypeAdapter(tuple[NonNegativeInt, NonNegativeInt, str, str, str, str])


@dataclass(frozen=True)
class DifferencesCursor:
    """Position at which a page ended."""

    old: int
    new: int
    position: Position

    def __str__(self) -> str:
        """Encode the cursor as text for a URL."""
        collection, identity = self.position
        parts = [self.old, self.new, collection, *identity]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()

    @classmethod
    def parse(cls, text: str) -> "DifferencesCursor":
        """Parse a cursor.

        Raises:
            Invalid: the text is not a cursor.
        """
        try:
            # A cursor is not signed: its content is allowed in the query of any caller of this
            # route.
            parts = base64.urlsafe_b64decode(text.encode())
            old, new, collection, *identity = _PARTS.validate_json(parts, strict=True)
            return cls(old, new, (collection, Identity(*identity)))
        except ValueError:
            raise Invalid.field("after", "must be the `next` of the page before") from None


class DocumentDifferences(Resource):
    """Comparison of two versions."""

    answers_head = True

    @contract(
        404, query=DifferencesQuery, headers=KnownHeaders, HTTP_200=DifferencesBody, HTTP_304=None
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Compare the documents of two versions, as posted or rendered; secrets are masked.

        `next` continues with the same two revisions, whatever `old` and `new` say.
        """
        query: DifferencesQuery = req.context.query
        if query.cleartext_secrets:
            may_see_secrets(req)
        compared = self._compared(query)
        # Checked before the comparison: revisions never change. With their digests: a failover that
        # lost rows assigns their numbers again.
        digests = [
            self.deps.documents.reader.find(number).digest if number else ""
            for number in (compared.old, compared.new)
        ]
        if not_modified(req, resp, _etag({**asdict(compared), "digests": digests})):
            return
        found = self.deps.documents.reader.differences(compared)
        resp.media = DifferencesBody(
            old=compared.old,
            new=compared.new,
            changes=[DocumentChangeBody.of(change) for change in found.changes],
            next=_next(compared, found.changes[-1]) if found.more else None,
        )

    def _compared(self, query: DifferencesQuery) -> ComparisonRequest:
        cursor = None if query.after is None else DifferencesCursor.parse(query.after)
        if cursor is None:
            old, new = (
                self.deps.documents.reader.number_or_zero(each) for each in (query.old, query.new)
            )
        else:
            old, new = cursor.old, cursor.new
        return ComparisonRequest(
            old=old,
            new=new,
            rendered=query.rendered,
            reveal=query.cleartext_secrets,
            after=None if cursor is None else cursor.position,
            limit=query.limit,
        )


def _etag(compared: Mapping[str, object]) -> str:
    """Return an ETag of the revisions, which never change, and of the rest of the query."""
    digest = hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()
    return f'"{digest[:32]}"'


def _next(compared: ComparisonRequest, last: DocumentChange) -> str:
    return str(DifferencesCursor(compared.old, compared.new, (last.collection, last.document)))
