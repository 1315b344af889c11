"""Read access to documents: compare versions, return posted collections, render revisions."""

from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.documents import status
from staging_api.documents.changing import (
    Buffer,
    buffer_of,
    digest_of,
    etag_of,
    now,
    unconfirmed_etag,
)
from staging_api.documents.contents import Contents
from staging_api.documents.differences import DocumentChange, Position, differences
from staging_api.documents.model import Document, RenderingFailed
from staging_api.documents.refusals import RequestInvalid, VersionNotFound
from staging_api.documents.rendering.model import RenderedDocument
from staging_api.documents.renderings import Rendered, Renderings
from staging_api.documents.rows import commit_rows, revision_rows
from staging_api.documents.stored import (
    BUFFER,
    COMMITTED,
    VERSIONS,
    ContentRef,
    Revision,
    State,
    Unconfirmed,
)
from staging_api.errors import NotFound
from staging_api.paging import Page, page_of

_MAX_NUMBER = (1 << 63) - 1
#: Maximum length of a request parameter in an error message.
_SHOWN_LENGTH = 80
#: Characters of unified diffs after which a page of differences ends.
_PAGE_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class Comparison:
    """Two versions, and the status of each collection between them."""

    pair: status.VersionPair
    digest: str
    collections: list[status.CollectionStatus]
    #: One of the two versions, if it waits to be confirmed.
    unconfirmed: Unconfirmed | None = None

    @property
    def etag(self) -> str:
        """A strong validator; for committed and buffer, the ETag of the buffer."""
        pair = self.pair
        tag = etag_of(pair.base_revision, pair.new_revision, self.digest)
        tag = tag if self.unconfirmed is None else unconfirmed_etag(tag)
        names = (pair.base_version, pair.new_version)
        return tag if names == (COMMITTED, BUFFER) else f'"{"-".join(names)}-{tag[1:]}'


@dataclass(frozen=True)
class BufferState:
    """The buffer at one moment.

    Attributes:
        collections: names of the collections that the buffer changes.
        unconfirmed: the committed revision, if it waits to be confirmed.
    """

    buffer: Buffer
    collections: list[str]
    unconfirmed: Unconfirmed | None

    @property
    def etag(self) -> str:
        """A strong validator; one of `Buffer.etags`."""
        etag = self.buffer.etag
        return etag if self.unconfirmed is None else unconfirmed_etag(etag)


@dataclass(frozen=True)
class ComparisonRequest:
    """Parameters of a comparison of documents.

    Attributes:
        old: the revision before; 0 has no documents.
        new: the revision after.
        rendered: compare rendered documents instead of posted ones.
        reveal: show secrets too.
        after: the position where the previous page ended.
        limit: maximum number of documents in a page.
    """

    old: int
    new: int
    rendered: bool
    reveal: bool
    after: Position | None
    limit: int


@dataclass(frozen=True)
class Differences:
    """A page of documents that differ, with their differences by path."""

    changes: tuple[DocumentChange, ...]
    more: bool


@dataclass(frozen=True)
class DocumentReader:
    """The use cases that read documents; they acquire no lock."""

    database: Database
    contents: Contents
    renderings: Renderings

    def buffer(self) -> Buffer:
        """Return the newest revision, for a review."""
        with self.database.connect() as conn:
            return buffer_of(now(conn, revision_rows.versions(conn)))

    def buffer_state(self) -> BufferState:
        """Read the newest revision, the collections it changes, and the unconfirmed commit."""
        with self.database.connect() as conn:
            there = now(conn, revision_rows.versions(conn))
            unconfirmed = commit_rows.unconfirmed(conn)
        return BufferState(buffer_of(there), there.buffered, unconfirmed)

    def compare(self, names: Sequence[str]) -> Comparison:
        """Compare the collections of two versions (no names: committed and buffer).

        Raises:
            RequestInvalid: the names are not two different versions.
            VersionNotFound: a version of site actions does not exist.
        """
        ordered = status.ordered(names)
        with self.database.connect() as conn:
            pair = status.revisions(ordered, revision_rows.versions(conn))
            base = revision_rows.state(conn, pair.base_revision)
            new = revision_rows.state(conn, pair.new_revision)
            waiting = commit_rows.unconfirmed(conn)
        if waiting is not None and waiting.revision not in {pair.base_revision, pair.new_revision}:
            waiting = None
        return Comparison(pair, digest_of(new), status.compare(pair, base, new), waiting)

    def differences(self, query: ComparisonRequest) -> Differences:
        """Return a page of the differences between two revisions.

        Raises:
            NotFound: a revision does not exist.
            RenderingFailed: one of the revisions cannot be rendered.
            DocumentsUnreadable: a key that sealed some of the documents is missing.
        """
        read = self._rendered if query.rendered else self._posted
        old, new = read(query.old), read(query.new)
        changes = differences(old, new, reveal=query.reveal, after=query.after)
        page: list[DocumentChange] = []
        size = 0
        for change in changes:
            if len(page) == query.limit or size > _PAGE_CHARACTERS:
                return Differences(tuple(page), more=True)
            page.append(change)
            size += len(change.text)
        return Differences(tuple(page), more=False)

    def number_or_zero(self, version: str) -> int:
        """Return the revision of a version like `number_of`; 0 for "0" or if nothing is committed.

        Raises:
            RequestInvalid: the text is not a version.
            VersionNotFound: a version of site actions does not exist.
            NotFound: the revision does not exist.
        """
        if version == "0":
            return 0
        if version.lower() not in {BUFFER, COMMITTED}:
            return self.number_of(version)
        # Without a buffer, the newest documents are the committed ones.
        buffer = self.buffer()
        return buffer.revision if version.lower() == BUFFER else buffer.committed

    def content(self, version: str, collection: str) -> ContentRef | None:
        """Return the content of a collection in a version; None: the buffer deletes the collection.

        Raises:
            VersionNotFound: the version does not exist, or does not have the collection.
        """
        with self.database.connect() as conn:
            versions = revision_rows.versions(conn)
            if version == BUFFER:
                there = now(conn, versions)
                if collection not in there.buffered:
                    raise _no_documents(
                        "The Shipyard buffer is empty or does not contain this collection"
                    )
                return there.newest.get(collection)
            state = revision_rows.state(conn, versions.named(version))
        if collection not in state:
            raise _no_documents(f"No collection {collection} for revision {version}")
        return state[collection]

    def posted(self, collection: str, content: ContentRef) -> tuple[bytes, list[Document]]:
        """Return the text of a collection as it was posted, and its documents."""
        text = self.contents.text(content.content_id)
        return text, self.contents.documents({collection: content})

    def number_of(self, version: str) -> int:
        """Return the revision of a version, or of a number in digits.

        Raises:
            RequestInvalid: the text is neither a version nor a number.
            VersionNotFound: the version does not exist.
            NotFound: the revision does not exist.
        """
        if version.isascii() and version.isdigit():
            return self.find(revision_number(version)).number
        name = version_named(version, "or the number of a revision")
        with self.database.connect() as conn:
            number = revision_rows.versions(conn).named(name)
        if not number:
            raise VersionNotFound("This revision does not exist", f"{name} version does not exist")
        return number

    def rendered(self, number: int) -> Rendered:
        """Render a revision.

        Raises:
            NotFound: the revision does not exist.
        """
        return self.renderings.of(self.state(number))

    def state(self, number: int) -> State:
        """Return the collections of a revision; revision 0 has none.

        Raises:
            NotFound: the revision does not exist.
        """
        if number:
            self.find(number)
        with self.database.connect() as conn:
            return revision_rows.state(conn, number)

    def find(self, number: int) -> Revision:
        """Return a revision.

        Raises:
            NotFound: the revision does not exist.
        """
        revision = None
        if number <= _MAX_NUMBER:
            with self.database.connect() as conn:
                revision = revision_rows.find_revision(conn, number)
        if revision is None:
            raise NotFound(f"there is no revision {number}")
        return revision

    def revisions(self, limit: int, before: int | None) -> Page[Revision]:
        """Return a page of the revisions below `before`, newest first."""
        with self.database.connect() as conn:
            return page_of(
                lambda count: revision_rows.list_revisions(conn, limit=count, before=before),
                limit,
                lambda revision: revision.number,
            )

    def _posted(self, number: int) -> Sequence[Document]:
        return self.contents.documents(self.state(number))

    def _rendered(self, number: int) -> Sequence[RenderedDocument]:
        if not number:
            return ()
        made = self.rendered(number)
        if made.rendering is None:
            raise RenderingFailed(made.findings)
        return made.rendering.documents


def version_named(text: str | None, or_else: str = "") -> str:
    """Parse the version in a request, ignoring case; None or empty means the buffer.

    Args:
        text: the parameter of the request.
        or_else: description of other allowed values, for the error message.

    Raises:
        RequestInvalid: the version does not exist.
    """
    name = (text or BUFFER).lower()
    if name not in VERSIONS:
        listed = ", ".join(VERSIONS[::-1])
        more = f" {or_else}, not {name[:_SHOWN_LENGTH]!r}" if or_else else ""
        raise RequestInvalid(
            "Invalid version query parameter specified", f"version must be {listed}{more}"
        )
    return name


def revision_number(text: str) -> int:
    """Parse the revision number in a request.

    Raises:
        RequestInvalid: the text is not a number.
        NotFound: the number has more digits than any revision number.
    """
    shown = text[:_SHOWN_LENGTH]
    if not (text.isascii() and text.isdigit()):
        raise RequestInvalid(
            "Invalid revision parameter", f"revision must be a revision's number, not {shown!r}"
        )
    if len(text) > _SHOWN_LENGTH:
        raise NotFound(f"there is no revision {shown}...")
    return int(text)


def _no_documents(reason: str) -> VersionNotFound:
    return VersionNotFound("No documents to retrieve", reason)
