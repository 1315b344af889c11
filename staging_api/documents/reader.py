"""Read documents: compare versions, return posted collections, render revisions."""

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
#: Of what a request names, in a refusal.
_SHOWN_LENGTH = 80
#: Of unified diffs, after which a page of differences ends.
_PAGE_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class Comparison:
    """Two versions, and what became of each collection between them."""

    pair: status.VersionPair
    digest: str
    collections: list[status.CollectionStatus]
    #: One of the two versions, if that is undone unless it is confirmed.
    unconfirmed: Unconfirmed | None = None

    @property
    def etag(self) -> str:
        """A strong validator; of committed and buffer, that of the buffer."""
        pair = self.pair
        tag = etag_of(pair.base_revision, pair.new_revision, self.digest)
        tag = tag if self.unconfirmed is None else unconfirmed_etag(tag)
        names = (pair.base_version, pair.new_version)
        return tag if names == (COMMITTED, BUFFER) else f'"{"-".join(names)}-{tag[1:]}'


@dataclass(frozen=True)
class BufferState:
    """The buffer at one moment.

    Attributes:
        collections: those that it changes.
        unconfirmed: the committed revision, if that is undone unless it is confirmed.
    """

    buffer: Buffer
    collections: list[str]
    unconfirmed: Unconfirmed | None

    @property
    def etag(self) -> str:
        """A strong validator, of which `Buffer.etags` knows every form."""
        etag = self.buffer.etag
        return etag if self.unconfirmed is None else unconfirmed_etag(etag)


@dataclass(frozen=True)
class ComparisonRequest:
    """Which documents are compared, and how.

    Attributes:
        old: the revision before; 0 has no documents.
        new: the revision after.
        rendered: compare rendered documents, not the posted ones.
        reveal: show secrets too.
        after: where the page before ended.
        limit: documents of a page, at most.
    """

    old: int
    new: int
    rendered: bool
    reveal: bool
    after: Position | None
    limit: int


@dataclass(frozen=True)
class Differences:
    """A page of documents that differ, compared place by place."""

    changes: tuple[DocumentChange, ...]
    more: bool


@dataclass(frozen=True)
class DocumentReader:
    """The use cases that read documents; they take no lock."""

    database: Database
    contents: Contents
    renderings: Renderings

    def buffer(self) -> Buffer:
        """The newest revision, to be reviewed."""
        with self.database.connect() as conn:
            return buffer_of(now(conn, revision_rows.versions(conn)))

    def buffer_state(self) -> BufferState:
        """Read the newest revision, the collections it changes, and the commit that waits."""
        with self.database.connect() as conn:
            there = now(conn, revision_rows.versions(conn))
            unconfirmed = commit_rows.unconfirmed(conn)
        return BufferState(buffer_of(there), there.buffered, unconfirmed)

    def compare(self, names: Sequence[str]) -> Comparison:
        """The collections of two versions (none named: committed and buffer), compared.

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
        """Compare the documents of two revisions, a page at a time.

        Raises:
            NotFound: there is no such revision.
            RenderingFailed: one of them cannot be rendered.
            DocumentsUnreadable: a key that sealed some documents is not here.
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
        """The revision of a version, as `number_of`; 0 while nothing is committed, or of "0".

        Raises:
            RequestInvalid: it is no version.
            VersionNotFound: a version of site actions does not exist.
            NotFound: there is no such revision.
        """
        if version == "0":
            return 0
        if version.lower() not in {BUFFER, COMMITTED}:
            return self.number_of(version)
        # Without a buffer the documents are those that are committed.
        buffer = self.buffer()
        return buffer.revision if version.lower() == BUFFER else buffer.committed

    def content(self, version: str, collection: str) -> ContentRef | None:
        """What a collection holds in a version; None: the buffer deletes it.

        Raises:
            VersionNotFound: the version, or the collection in it, is not there.
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
        """The text of a collection as it was posted, and its documents."""
        text = self.contents.text(content.content_id)
        return text, self.contents.documents({collection: content})

    def number_of(self, version: str) -> int:
        """The revision of a version or of a number in digits.

        Raises:
            RequestInvalid: it is neither.
            VersionNotFound: there is no such version.
            NotFound: there is no such revision.
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
        """A revision, rendered.

        Raises:
            NotFound: there is no such revision.
        """
        return self.renderings.of(self.state(number))

    def state(self, number: int) -> State:
        """The collections of a revision; of 0, none.

        Raises:
            NotFound: there is no such revision.
        """
        if number:
            self.find(number)
        with self.database.connect() as conn:
            return revision_rows.state(conn, number)

    def find(self, number: int) -> Revision:
        """One revision.

        Raises:
            NotFound: there is none of this number.
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
    """The version that a request names, in any case; none is the buffer.

    Args:
        text: what the request has.
        or_else: what it could be instead, for the refusal.

    Raises:
        RequestInvalid: there is no such version.
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
    """The number of a revision that a request names.

    Raises:
        RequestInvalid: it is no number.
        NotFound: it has more digits than that of any revision.
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
