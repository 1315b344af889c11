"""The use cases that change documents: post, commit, discard, roll back, confirm.

All of it happens under one lock, `CONFIGDOCS_UPDATE` on `GLOBAL`, and each change is one guarded
transaction that looks anew at the buffer: lock, buffer and new revision are decided together.
Reading, rendering and validating take no transaction and come before it.

What if the process dies? Before the transaction commits: nothing was stored, the buffer is as it
was, the lock runs out. After it: the revision, the ranges of its collections and its event are all
there; a client that sends the same again is answered that nothing is left to add, or to commit.
Builds that a commit names are queued after it: the next commit with ``stage``, or a request for
them, queues those that this one did not.
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

#: Looks at the buffer that is there, and refuses by raising.
BufferCheck = Callable[[Buffer], None]


@dataclass(frozen=True)
class CollectionPost:
    """A collection as a client sends it.

    Attributes:
        documents: those of `text`; None: the collection is emptied.
        unless: looks at what the collection holds (None: nothing), and refuses by raising.
    """

    collection: str
    text: bytes = b""
    documents: tuple[Document, ...] | None = None
    mode: BufferMode = BufferMode.REJECT_ON_CONTENTS
    unless: Callable[[ContentRef | None], None] | None = None


@dataclass(frozen=True)
class CommitRequest:
    """How the buffer is to be committed.

    Attributes:
        reviewed: the revision that the caller looked at; None: whatever is there.
        confirm_seconds: undone after so long unless confirmed; None: final at once.
        stage: whether the builds that documents name are to be staged.
    """

    force: bool = False
    dryrun: bool = False
    reviewed: int | None = None
    confirm_seconds: float | None = None
    stage: bool = False
    unless: BufferCheck | None = None


@dataclass(frozen=True)
class ChangeResult:
    """What a change came to.

    Attributes:
        buffer: as the change left it.
    """

    buffer: Buffer
    verdict: Verdict = field(default_factory=Verdict)
    committed: bool = False
    #: When the commit is undone, unless it is confirmed before.
    confirm_until: datetime | None = None
    builds: tuple[BuildState, ...] = ()

    @property
    def etag(self) -> str:
        """The ETag that `GET /document-buffer` has after the change."""
        return unconfirmed_etag(self.buffer.etag) if self.confirm_until else self.buffer.etag


@dataclass(frozen=True)
class DocumentService:
    """Documents, as the API and the worker change them."""

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
        """Let a collection hold other documents, in the buffer.

        Raises:
            BufferConflict: the buffer does not allow it, or a document is in another collection.
            RequestInvalid: nothing would change, or a rule of this service refuses.
            DocumentsInvalid: a DataSchema among them is none.
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
                # In the transaction: what the condition looked at is what the change is made from.
                if post.unless is not None:
                    post.unless(now.newest.get(post.collection))
                # Refused by the digest alone, before thousands of rows are written only to be
                # rolled back.
                content = None if packed is None else ContentRef(0, packed.digest)
                target = now.posted(post.collection, content, post.mode)
                if packed is not None:
                    content_id = content_rows.add_content(conn, packed)
                    content = ContentRef(content_id, packed.digest)
                    target = now.posted(post.collection, content, post.mode)
                made = change.make(conn, now, target, post.collection)
        if content is not None and post.documents is not None:
            self.contents.keep(content.content_id, post.documents)
        verdict = self._verdicts.of_buffer(target.collections)
        return ChangeResult(made, verdict.adding(required))

    def commit(self, request: CommitRequest, author: ChangeOrigin) -> ChangeResult:
        """Validate the buffer, and make it the committed version.

        With errors it is committed only by force; a dry run changes nothing. An earlier commit
        that waits to be confirmed is confirmed by this one. If its time is over it is undone
        instead, and this one is refused: the buffer still has what the overdue commit brought.

        Raises:
            BufferConflict: there is no buffer, or it is not the one that was reviewed, or an
                earlier commit is overdue.
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
                    # The time can end during the validations. One statement reads the clock:
                    # what it leaves unconfirmed is late.
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
        # A client goes on from the buffer as it is now: with nothing that is not committed.
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
        """Drop what the buffer has, of one collection or of all.

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
        """Let the buffer have exactly what an older revision has; 0 has nothing.

        Raises:
            NotFound: there is no such revision.
            BufferConflict: there is a buffer, or nothing would change.
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
            NotFound: there is no such revision.
            BufferConflict: it does not wait for that, or not any more.
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
