"""What there is to read: versions compared, collections as they were posted, revisions rendered."""

from collections.abc import Sequence
from dataclasses import dataclass

from staging_api.db.engine import Database
from staging_api.documents import rows, status
from staging_api.documents.changing import Buffer, buffer_of, digest_of, etag_of, now
from staging_api.documents.contents import Contents
from staging_api.documents.differences import DocumentChange, compare
from staging_api.documents.model import Document, RenderingFailed
from staging_api.documents.refusals import RequestInvalid, VersionNotFound
from staging_api.documents.rendering.model import RenderedDocument
from staging_api.documents.renderings import Rendered, Renderings
from staging_api.documents.stored import BUFFER, COMMITTED, VERSIONS, Held, Revision, State
from staging_api.errors import NotFound

_MAX_NUMBER = (1 << 63) - 1


@dataclass(frozen=True)
class Comparison:
    """Two versions, and what became of each collection between them."""

    pair: status.Pair
    digest: str
    collections: list[status.CollectionStatus]

    @property
    def etag(self) -> str:
        """A strong validator; of committed and buffer, that of the buffer."""
        pair = self.pair
        tag = etag_of(pair.base_revision, pair.new_revision, self.digest)
        names = (pair.base_version, pair.new_version)
        return tag if names == (COMMITTED, BUFFER) else f'"{"-".join(names)}-{tag[1:]}'


@dataclass(frozen=True)
class Differences:
    """The documents of two revisions, compared place by place; revision 0 has none."""

    old: int
    new: int
    changes: tuple[DocumentChange, ...]


@dataclass(frozen=True)
class DocumentReader:
    """Documents, for whoever reads them; takes no lock."""

    database: Database
    contents: Contents
    renderings: Renderings

    def buffer(self) -> Buffer:
        """The newest revision, to be reviewed."""
        with self.database.connect() as conn:
            return buffer_of(now(conn, rows.versions(conn)))

    def buffered(self) -> list[str]:
        """The collections that the buffer changes."""
        with self.database.connect() as conn:
            return now(conn, rows.versions(conn)).buffered

    def compare(self, names: Sequence[str]) -> Comparison:
        """The collections of two versions (none named: committed and buffer), compared.

        Raises:
            RequestInvalid: the names are not two different versions.
            VersionNotFound: a version of site actions does not exist.
        """
        ordered = status.ordered(names)
        with self.database.connect() as conn:
            pair = status.revisions(ordered, rows.versions(conn))
            base, new = rows.state(conn, pair.base_revision), rows.state(conn, pair.new_revision)
        return Comparison(pair, digest_of(new), status.compare(pair, base, new))

    def differences(self, old: str, new: str, *, rendered: bool, reveal: bool) -> Differences:
        """Compare the documents of two versions, or of revisions by their numbers.

        Args:
            old: the version before; while nothing is committed, committed is revision 0.
            new: the version after.
            rendered: compare what is rendered, not what was posted.
            reveal: show secrets too.

        Raises:
            RequestInvalid: one of them is no version.
            VersionNotFound: a version of site actions does not exist.
            NotFound: there is no such revision.
            RenderingFailed: one of them cannot be rendered.
            DocumentsUnreadable: a key that sealed some documents is not here.
        """
        numbers = self._number_or_zero(old), self._number_or_zero(new)
        read = self._rendered if rendered else self._posted
        before, after = (read(number) for number in numbers)
        return Differences(*numbers, compare(before, after, reveal=reveal))

    def _number_or_zero(self, version: str) -> int:
        if version == "0":
            return 0
        if version.lower() not in {BUFFER, COMMITTED}:
            return self.number_of(version)
        # Without a buffer the documents are those that are committed.
        buffer = self.buffer()
        return buffer.revision if version.lower() == BUFFER else buffer.committed

    def _posted(self, number: int) -> Sequence[Document]:
        return self.contents.documents(self.state(number))

    def _rendered(self, number: int) -> Sequence[RenderedDocument]:
        if not number:
            return ()
        made = self.rendered(number)
        if made.rendering is None:
            raise RenderingFailed(made.findings)
        return made.rendering.documents

    def held(self, version: str, collection: str) -> Held | None:
        """What a collection holds in a version; None: the buffer deletes it.

        Raises:
            VersionNotFound: the version, or the collection in it, is not there.
        """
        with self.database.connect() as conn:
            versions = rows.versions(conn)
            if version == BUFFER:
                there = now(conn, versions)
                if collection not in there.buffered:
                    raise _no_documents(
                        "The Shipyard buffer is empty or does not contain this collection"
                    )
                return there.newest.get(collection)
            state = rows.state(conn, versions.named(version))
        if collection not in state:
            raise _no_documents(f"No collection {collection} for revision {version}")
        return state[collection]

    def posted(self, collection: str, held: Held) -> tuple[bytes, list[Document]]:
        """The text of a collection as it was posted, and its documents."""
        return self.contents.text(held.content_id), self.contents.documents({collection: held})

    def number_of(self, version: str) -> int:
        """The revision of a version or of a number in digits.

        Raises:
            RequestInvalid: it is neither.
            VersionNotFound: there is no such version.
            NotFound: there is no such revision.
        """
        if version.isascii() and version.isdigit() and len(version) < 19:  # noqa: PLR2004 - bigint
            return self.find(int(version)).number
        name = version_named(version)
        with self.database.connect() as conn:
            number = rows.versions(conn).named(name)
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
            return rows.state(conn, number)

    def find(self, number: int) -> Revision:
        """One revision.

        Raises:
            NotFound: there is none of this number.
        """
        revision = None
        if number <= _MAX_NUMBER:
            with self.database.connect() as conn:
                revision = rows.find_revision(conn, number)
        if revision is None:
            raise NotFound(f"there is no revision {number}")
        return revision

    def revisions(self, limit: int, before: int | None) -> list[Revision]:
        """Revisions, newest first."""
        with self.database.connect() as conn:
            return rows.list_revisions(conn, limit=limit, before=before)


def version_named(text: str | None) -> str:
    """The version that a request names, in any case; none is the buffer.

    Raises:
        RequestInvalid: there is no such version.
    """
    name = (text or BUFFER).lower()
    if name not in VERSIONS:
        listed = ", ".join(VERSIONS[::-1])
        raise RequestInvalid(
            "Invalid version query parameter specified", f"version must be {listed}"
        )
    return name


def _no_documents(reason: str) -> VersionNotFound:
    return VersionNotFound("No documents to retrieve", reason)
