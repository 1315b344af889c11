"""The use cases that change documents: post, commit, discard, roll back, confirm.

All changes are made under one lock, `CONFIGDOCS_UPDATE` on `GLOBAL`. Each change is one guarded
transaction that reads the buffer again, so lock, buffer and new revision are decided together.
Reading, rendering and validating run before the transaction and outside of it.

What if the process dies? Before the transaction commits: nothing was stored, the buffer is
unchanged, and the lock expires. After it: the revision, the ranges of its collections and its
event are all stored; a client that repeats the request gets the response that nothing is left to
add or to commit. Builds named in a commit are queued after the transaction: builds that were not
queued then are queued by the next commit with ``stage``, or by a staging request.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

from staging_api.db.engine import Database
from staging_api.documents.buffering import BufferMode, CurrentCollections
from staging_api.documents.builds import BuildState, DocumentBuilds
from staging_api.documents.changing import (
    Buffer,
    Change,
    ChangeOrigin,
    buffer_of,
    changing,
    unconfirmed_etag,
)
from staging_api.documents.contents import Contents
from staging_api.documents.messages import Verdict
from staging_api.documents.model import Document
from staging_api.documents.reader import DocumentReader
from staging_api.documents.refusals import BufferConflict, late, moved
from staging_api.documents.renderings import Renderings
from staging_api.documents.revision_tags import RevisionTags
from staging_api.documents.rows import commit_rows, content_rows
from staging_api.documents.rules import DeploymentRule
from staging_api.documents.stored import ContentRef, Revision
from staging_api.documents.undoing import undo
from staging_api.documents.validators import Validators
from staging_api.documents.verdicts import Verdicts
from staging_api.locks.hold import Locks

#: Examines the current buffer, and raises to refuse the change.
BufferCheck = Callable[[Buffer], None]


@dataclass(frozen=True)
class CollectionPost:
    """A collection posted by a client.

    Attributes:
        documents: the documents in `text`; None: empty the collection.
        unless: examines the current content of the collection (None: empty), and raises to refuse.
    """

    collection: str
    text: bytes = b""
    documents: tuple[Document, ...] | None = None
    mode: BufferMode = BufferMode.REJECT_ON_CONTENTS
    unless: Callable[[ContentRef | None], None] | None = None


@dataclass(frozen=True)
class CommitRequest:
    """Options of a commit.

    Attributes:
        reviewed: the revision that the caller reviewed; None: commit the current buffer unchecked.
        confirm_seconds: undo the commit after this time unless it is confirmed; None: final at
            once.
        stage: whether to stage the builds named in documents.
        unless: examines the current buffer, and raises to refuse.
    """

    force: bool = False
    dryrun: bool = False
    reviewed: int | None = None
    confirm_seconds: float | None = None
    stage: bool = False
    unless: BufferCheck | None = None


@dataclass(frozen=True)
class ChangeResult:
    """Result of a change.

    Attributes:
        buffer: the buffer after the change.
    """

    buffer: Buffer
    verdict: Verdict = field(default_factory=Verdict)
    committed: bool = False
    #: When the commit will be undone unless it is confirmed.
    confirm_until: datetime | None = None
    builds: tuple[BuildState, ...] = ()

    @property
    def etag(self) -> str:
        """The ETag of `GET /document-buffer` after the change."""
        return unconfirmed_etag(self.buffer.etag) if self.confirm_until else self.buffer.etag


@dataclass(frozen=True)
class DocumentService:
    """Changes to documents, for the API and the worker."""

    database: Database
    locks: Locks
    contents: Contents
    renderings: Renderings
    validators: Validators
    rule: DeploymentRule
    builds: DocumentBuilds

    @property
    def tags(self) -> RevisionTags:
        """The use cases that name revisions."""
        return RevisionTags(self.database, self.locks, self.reader, self.builds)

    @property
    def reader(self) -> DocumentReader:
        """The use cases that change nothing."""
        return DocumentReader(self.database, self.contents, self.renderings)

    def post(self, post: CollectionPost, author: ChangeOrigin) -> ChangeResult:
        """Set the documents of a collection in the buffer.

        Raises:
            BufferConflict: the buffer does not allow it, or a document is in another collection.
            RequestInvalid: nothing would change, or a rule of this service refuses the documents.
            DocumentsInvalid: one of the DataSchema documents is not a valid schema.
            LockHeld: another request changes documents.
        """
        required = self.rule.missing_from(post.documents)
        packed = None
        if post.documents is not None:
            self.renderings.refuse_schemas(post.documents)
        with self._changing(author) as change:
            if post.documents is not None:
                packed = self.contents.pack(post.text, post.documents)
            with change.deciding() as (conn, now):
                # Checked in the transaction, so that the change is based on the content that was
                # checked.
                if post.unless is not None:
                    post.unless(now.newest.get(post.collection))
                # Check the mode by the digest alone first, before thousands of rows are written
                # only to be rolled back.
                content = None if packed is None else ContentRef(0, packed.digest)
                target = now.posted(post.collection, content, post.mode)
                if packed is not None:
                    content_id = content_rows.add_content(conn, packed)
                    content = ContentRef(content_id, packed.digest)
                    target = now.posted(post.collection, content, post.mode)
                made = change.make(conn, now, target, post.collection)
        if content is not None and post.documents is not None:
            self.contents.keep(content.digest, post.documents)
        verdict = self._verdicts.of_buffer(target.collections)
        return ChangeResult(made, verdict.adding(required))

    def commit(self, request: CommitRequest, author: ChangeOrigin) -> ChangeResult:
        """Validate the buffer, and make it the committed version.

        A buffer with errors is committed only with `force`; a dry run changes nothing. This commit
        also confirms an earlier commit that waits to be confirmed. If the time of the earlier
        commit is over, that commit is undone instead, and this one is refused: the buffer still has
        the changes of the overdue commit.

        Raises:
            BufferConflict: there is no buffer, or it is not the reviewed revision, or an earlier
                commit is overdue.
            LockHeld: another request changes documents.
        """
        with self._changing(author) as change:
            if not request.dryrun and (overdue := undo(change)) is not None:
                raise late(overdue)
            now = change.look()
            reviewed = _reviewed(now, request)
            verdict = self._verdicts.of_commit(now, author.origin.reference_id)
            commits = not request.dryrun and (request.force or not verdict.errors)
            confirm_until = None
            if commits:
                with change.deciding() as (conn, there):
                    if buffer_of(there) != reviewed:
                        raise moved(f"revision {reviewed.revision}", there.newest_revision)
                    # The time of the earlier commit can end during the validations. One statement
                    # reads the clock: a commit that it leaves unconfirmed is late.
                    commit_rows.confirm(conn, there.committed_revision, author.origin.caller)
                    waiting = commit_rows.unconfirmed(conn)
                    if waiting is not None:
                        raise late(waiting.revision)
                    confirm_until = commit_rows.add_commit(
                        conn,
                        reviewed.revision,
                        change.stamp,
                        forced=bool(verdict.errors),
                        confirm_seconds=request.confirm_seconds,
                    )
        # The client's next state: the buffer is now committed, so nothing uncommitted is left.
        left = replace(reviewed, committed=reviewed.revision) if commits else reviewed
        named: tuple[BuildState, ...] = ()
        if request.stage:
            rendering = self.renderings.of(now.newest).rendering
            named = (
                self.builds.stage(rendering, author.origin)
                if commits
                else self.builds.look(rendering)
            )
        return ChangeResult(left, verdict, commits, confirm_until, named)

    def discard(
        self, collection: str | None, author: ChangeOrigin, unless: BufferCheck | None = None
    ) -> ChangeResult:
        """Drop the changes in the buffer, of one collection or of all.

        Raises:
            VersionNotFound: the buffer does not change that collection.
            LockHeld: another request changes documents.
        """
        with self._changing(author) as change, change.deciding() as (conn, now):
            _check_buffer(now, unless)
            target = now.discarded(collection)
            if target is None:
                return ChangeResult(buffer_of(now))
            return ChangeResult(change.make(conn, now, target, collection))

    def roll_back(
        self,
        number: int,
        author: ChangeOrigin,
        *,
        over_buffer: bool,
        unless: BufferCheck | None = None,
    ) -> ChangeResult:
        """Make an older revision the buffer; revision 0 is empty.

        Raises:
            NotFound: the revision does not exist.
            BufferConflict: there is a buffer and `over_buffer` is false, or nothing would change.
            LockHeld: another request changes documents.
        """
        old = self.reader.state(number)
        with self._changing(author) as change, change.deciding() as (conn, now):
            _check_buffer(now, unless)
            target = now.rolled_back(number, old, over_buffer=over_buffer)
            return ChangeResult(change.make(conn, now, target))

    def confirm(self, number: int, author: ChangeOrigin) -> Revision:
        """Make a commit final.

        Raises:
            NotFound: the revision does not exist.
            BufferConflict: the revision does not wait to be confirmed.
            LockHeld: another request changes documents.
        """
        self.reader.find(number)
        with self._changing(author) as change, change.deciding() as (conn, _):
            if not commit_rows.confirm(conn, number, author.origin.caller):
                raise BufferConflict(
                    "Nothing to confirm", f"revision {number} does not wait to be confirmed"
                )
        return self.reader.find(number)

    @property
    def _verdicts(self) -> Verdicts:
        return Verdicts(self.contents, self.renderings, self.validators)

    def _changing(self, author: ChangeOrigin) -> AbstractContextManager[Change]:
        return changing(self.database, self.locks, author)


def _reviewed(now: CurrentCollections, request: CommitRequest) -> Buffer:
    if not now.buffered:
        raise BufferConflict(
            "Unable to commit configuration documents",
            "There are no documents in the buffer to commit",
            retryable=True,
        )
    there = buffer_of(now)
    if request.reviewed not in (None, there.revision):
        raise moved(f"revision {request.reviewed}", there.revision)
    _check_buffer(now, request.unless)
    return there


def _check_buffer(now: CurrentCollections, unless: BufferCheck | None) -> None:
    if unless is not None:
        unless(buffer_of(now))
