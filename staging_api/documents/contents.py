"""Contents of collections: packed for storage, and loaded as documents.

A content never changes, so its documents are cached in memory after the first read; the cache
returns the same objects each time, so that a rendering recognises documents it has rendered.
The key is the digest: after a failover that lost rows, the database assigns their ids again.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from staging_api.bounded_cache import BoundedCache
from staging_api.db.engine import Database
from staging_api.documents.keys import Keys
from staging_api.documents.model import Document, canonical_json
from staging_api.documents.rows import content_rows
from staging_api.documents.sealing import KeyRing
from staging_api.documents.stored import FoundText, State, StoredBody, StoredContent
from staging_api.documents.text import load_documents
from staging_api.errors import DocumentsUnreadable

#: Number of contents in memory: for a site of 100 collections, the last 20 versions of each.
_KEPT = 2000


@dataclass
class Contents:
    """The contents of all collections; thread-safe."""

    database: Database
    keys: Keys
    _kept: BoundedCache[str, tuple[Document, ...]] = field(
        default_factory=lambda: BoundedCache(_KEPT)
    )

    def digest(self, documents: Iterable[Document]) -> str:
        """Return a digest that is equal for equal documents, whatever their order and spelling."""
        return _digest(self.keys.ring(), documents)

    def pack(self, posted: bytes, documents: Sequence[Document]) -> StoredContent:
        """Pack a content for its rows; seal it if a document is encrypted.

        Call this under the lock of documents, so that keys are not rotated before the write.
        """
        has_secrets = any(each.encrypted for each in documents)
        ring = self.keys.sealing() if has_secrets else self.keys.ring()
        digest = _digest(ring, documents)
        # Compress before sealing: sealed bytes look random, and cannot be compressed.
        packed, key_id = zlib.compress(posted), None
        if has_secrets:
            packed, key_id = ring.seal(packed, _text_of(digest)), ring.current
        bodies = [_body(ring, digest, place, each) for place, each in enumerate(documents)]
        return StoredContent(digest, packed, len(posted), key_id, bodies)

    def text(self, content_id: int) -> bytes:
        """Return the bytes that were posted.

        Raises:
            DocumentsUnreadable: the key that sealed the content is missing.
        """
        with self.database.connect() as conn:
            found = content_rows.posted_text(conn, content_id)
        return zlib.decompress(self._opened(found))

    def documents(self, state: State) -> list[Document]:
        """Return the documents of all collections of a revision; the same objects each time.

        Raises:
            DocumentsUnreadable: a key that sealed some of the documents is missing.
        """
        found: list[Document] = []
        for collection, content in state.items():
            kept = self._kept.get(content.digest)
            # A document has the name of its collection, and two collections may have had the same
            # content.
            if kept is None or (kept and kept[0].collection != collection):
                kept = load_documents(self.text(content.content_id), collection=collection)
                self.keep(content.digest, kept)
            found += kept
        return found

    def keep(self, digest: str, documents: tuple[Document, ...]) -> None:
        """Cache the documents of the content with this digest."""
        self._kept.put(digest, documents)

    def _opened(self, found: FoundText) -> bytes:
        posted = bytes(found.posted)
        if found.key_id is None:
            return posted
        try:
            return self.keys.ring().open(posted, found.key_id, _text_of(found.digest))
        except DocumentsUnreadable:
            # Another process may have added a key since the keys were read, and sealed with it.
            return self.keys.refresh().open(posted, found.key_id, _text_of(found.digest))


def seal_again(
    ring: KeyRing, old: FoundText, sealed: Sequence[tuple[int, bytes]]
) -> tuple[bytes, dict[int, bytes]]:
    """Seal a content with the current key; return its text and its sealed documents by position."""
    key_id = old.key_id or ""
    text_of = _text_of(old.digest)
    posted = ring.seal(ring.open(bytes(old.posted), key_id, text_of), text_of)
    again = {}
    for place, value in sealed:
        body_of = _body_of(old.digest, place)
        again[place] = ring.seal(ring.open(value, key_id, body_of), body_of)
    return posted, again


def _digest(ring: KeyRing, documents: Iterable[Document]) -> str:
    ordered = sorted(documents, key=lambda each: each.identity)
    return ring.digest("\n".join(each.digest for each in ordered).encode())


def _body(ring: KeyRing, digest: str, place: int, document: Document) -> StoredBody:
    body = canonical_json(document.value)
    sealed = ring.seal(body, _body_of(digest, place)) if document.encrypted else None
    return StoredBody(
        place,
        document.schema,
        document.name,
        document.layer or None,
        document.replacement,
        document.storage_policy.value,
        body.decode() if sealed is None else None,
        sealed,
    )


# Associated data of a sealed value: it names the only row where the value can be opened.
def _text_of(digest: str) -> str:
    return f"text of {digest}"


def _body_of(digest: str, place: int) -> str:
    return f"document {place} of {digest}"
