"""Configuration documents: buffer collections, review and commit them, go back."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from staging_api.client.calls import PAGE_SIZE, understood
from staging_api.client.document_calls import (
    Document,
    DocumentCalls,
    PostedCollection,
    with_query,
)
from staging_api.client.pacing import OnRetry
from staging_api.vocabulary.documents import BufferMode, Outcome


class Documents(DocumentCalls):
    """What `StagingClient.documents` is; every method retries as those of the client do.

    Changes wait in the service's queue while another request changes documents. One whose answer
    was lost is sent again with the same Idempotency-Key, and gets the answer it would have got.
    """

    def create(
        self,
        collection: str,
        text: bytes,
        *,
        mode: BufferMode = "rejectoncontents",
        reason: str | None = None,
        if_match: str | None = None,
        on_retry: OnRetry | None = None,
    ) -> Document:
        """Put a collection into the buffer; gives the result of its validations.

        Args:
            collection: its name.
            text: its documents, a YAML stream.
            mode: what to do with a buffer that is not empty.
            reason: why, for the record.
            if_match: the ETag of what was edited; refused if that has moved.
            on_retry: called before each wait for another's lock.

        Raises:
            Invalid: the documents are not valid; `extra["messages"]` says why.
            Conflict: the buffer does not allow it.
            LockHeld: another request changed documents all the time.
        """
        headers = {"Content-Type": "application/x-yaml"}
        if if_match is not None:
            headers["If-Match"] = if_match
        path = f"/configdocs/{quote(collection, '')}"
        query = {"buffermode": mode, "reason": reason}
        return self._sent(path, query, text, headers=headers, on_retry=on_retry)

    def empty(
        self,
        collection: str,
        *,
        mode: BufferMode = "rejectoncontents",
        reason: str | None = None,
        on_retry: OnRetry | None = None,
    ) -> Document:
        """Remove all documents of a collection, in the buffer.

        Raises:
            Invalid: it has none.
            Conflict: the buffer does not allow it.
            LockHeld: another request changed documents all the time.
        """
        path = f"/configdocs/{quote(collection, '')}"
        query = {"buffermode": mode, "empty-collection": "true", "reason": reason}
        return self._sent(path, query, b"", on_retry=on_retry)

    def status(self, versions: Sequence[str] = ()) -> list[Document]:
        """What became of each collection between two versions (default: committed and buffer).

        While a commit of one of the two waits to be confirmed, each entry has `confirm_until`.
        """
        query = [("versions", version) for version in versions]
        found: list[Document] = self._calls.ask("GET", with_query("/configdocs", query)).document
        return found

    def get(self, collection: str, version: str = "buffer", *, secrets: bool = False) -> bytes:
        """The text of a collection as it was posted.

        Raises:
            NotFound: the version lacks it.
            Forbidden: the caller may not see secrets.
        """
        return self.posted(collection, version, secrets=secrets).text

    def posted(
        self, collection: str, version: str = "buffer", *, secrets: bool = False
    ) -> PostedCollection:
        """A collection as it was posted, to be edited and posted again.

        Raises:
            NotFound: the version lacks it.
            Forbidden: the caller may not see secrets.
        """
        query = {"version": version, "cleartext-secrets": "true" if secrets else None}
        return self._text(with_query(f"/configdocs/{quote(collection, '')}", query))

    def rendered(self, version: str = "buffer", *, secrets: bool = False) -> bytes:
        """All documents of a version, layered and with their substitutions.

        Raises:
            NotFound: there is no such version.
            Invalid: they cannot be rendered; `extra["messages"]` says why.
        """
        named = "revision" if version.isdigit() else "version"
        query = {named: version, "cleartext-secrets": "true" if secrets else None}
        return self._text(with_query("/renderedconfigdocs", query)).text

    def commit(
        self,
        *,
        revision: int | None = None,
        force: bool = False,
        dryrun: bool = False,
        confirm_within: int | None = None,
        stage: bool = False,
        reason: str | None = None,
        on_retry: OnRetry | None = None,
    ) -> Document:
        """Validate the buffer, and commit it; gives the result of its validations.

        With `confirm_within` it has `confirm_until`, when the commit is undone.

        Args:
            revision: the one that was reviewed; refused if the buffer is another one by now.
            force: commit in spite of errors.
            dryrun: validate only.
            confirm_within: seconds after which the commit is undone unless it is confirmed.
            stage: stage the builds that its documents name.
            reason: why, for the record.
            on_retry: called before each wait for another's lock.

        Raises:
            Invalid: the validations failed; `extra["messages"]` says why.
            Conflict: there is nothing to commit, or not what was reviewed, or the commit before
                was not confirmed in time.
            LockHeld: another request changed documents all the time.
        """
        query = {
            "revision": revision,
            "force": "true" if force else None,
            "dryrun": "true" if dryrun else None,
            "confirm_within": confirm_within,
            "stage": "true" if stage else None,
            "reason": reason,
        }
        return self._sent("/commitconfigdocs", query, b"", on_retry=on_retry)

    def buffer(self) -> Document:
        """What would be committed: revision, digest, and the collections that it changes.

        `unconfirmed` has the `revision` of a commit that waits, and its `confirm_until`; or None.
        """
        return self._asked("GET", "/document-buffer")

    def discard(self, collection: str | None = None, *, reason: str | None = None) -> Document:
        """Drop the buffer, or what it has of one collection.

        Raises:
            NotFound: the buffer does not change that collection.
        """
        below = "" if collection is None else f"/{quote(collection, '')}"
        return self._changed("DELETE", with_query(f"/document-buffer{below}", {"reason": reason}))

    def rollback(
        self, revision: int, *, over_buffer: bool = False, reason: str | None = None
    ) -> Document:
        """Let the buffer have exactly what an older revision has; 0 has nothing.

        Raises:
            NotFound: there is no such revision.
            Conflict: there is a buffer, or nothing would change.
        """
        body = {"over_buffer": over_buffer, "reason": reason}
        return self._changed("POST", f"/document-revisions/{revision}/rollback", body)

    def confirm(self, revision: int, *, reason: str | None = None) -> Document:
        """Make a commit final that would be undone otherwise.

        Raises:
            Conflict: it does not wait for that, or not any more.
        """
        path = f"/document-revisions/{revision}/confirm"
        return self._changed("POST", with_query(path, {"reason": reason}))

    def tag(
        self, revision: int, tag: str, data: object = None, *, reason: str | None = None
    ) -> Document:
        """Name a revision."""
        path = f"/document-revisions/{revision}/tags/{quote(tag, '')}"
        return self._changed("PUT", path, {"data": data, "reason": reason})

    def untag(self, revision: int, tag: str, *, reason: str | None = None) -> Document:
        """Take a name from a revision.

        Raises:
            NotFound: it does not have that name.
        """
        path = f"/document-revisions/{revision}/tags/{quote(tag, '')}"
        return self._changed("DELETE", with_query(path, {"reason": reason}))

    def site_action(
        self,
        outcome: Outcome,
        *,
        revision: int | None = None,
        require_staged: bool = False,
        data: object = None,
        reason: str | None = None,
    ) -> Document:
        """Note that a site action ended on a committed revision (None: the newest one).

        Raises:
            Conflict: it is not committed, or a build that it names is not staged.
        """
        body = {
            "outcome": outcome,
            "revision": revision,
            "require_staged": require_staged,
            "data": data,
            "reason": reason,
        }
        return self._changed("POST", "/document-site-actions", body)

    def revision(self, number: int) -> Document:
        """One revision: who made it, whether it was committed, its tags."""
        return self._asked("GET", f"/document-revisions/{number}")

    def revisions(self, page_size: int = PAGE_SIZE) -> Iterator[Document]:
        """All revisions, newest first; pages are fetched as they are read."""
        query: dict[str, Any] = {"limit": page_size}
        while True:
            page = self._asked("GET", with_query("/document-revisions", query))
            with understood():
                items, following = page["items"], page["next"]
            yield from items
            if following is None:
                return
            query["before"] = following

    def explain(
        self, schema: str, name: str, version: str = "buffer", *, path: str = "."
    ) -> Document:
        """A rendered document, where each value came from, and which documents use it.

        Args:
            schema: of the document.
            name: of the document.
            version: a version, or the number of a revision.
            path: of one place in its data, such as ``.a.b[0]``.

        Raises:
            NotFound: the version has no such document, or the document nothing at the path.
            Invalid: the path cannot be read, or the documents cannot be rendered.
        """
        query = {"version": version, "provenance": "true", "path": path}
        return self._asked(
            "GET", with_query(f"/documents/{quote(schema)}/{quote(name, '')}", query)
        )

    def differences(
        self,
        old: str = "committed",
        new: str = "buffer",
        *,
        rendered: bool = False,
        secrets: bool = False,
    ) -> Document:
        """What differs between two versions or revisions, by collection, document and path.

        Args:
            old: a version, or the number of a revision; 0 has no documents.
            new: likewise.
            rendered: compare what is rendered, not what was posted.
            secrets: show them too.

        Raises:
            NotFound: there is no such version.
            Invalid: one of them cannot be rendered.
            Forbidden: the caller may not see secrets.
        """
        query = {
            "old": old,
            "new": new,
            "rendered": "true" if rendered else None,
            "cleartext-secrets": "true" if secrets else None,
        }
        whole: dict[str, Any] = {}
        while True:
            page = self._asked("GET", with_query("/document-differences", query))
            with understood():
                whole = whole or {**page, "changes": []}
                whole["changes"] += page["changes"]
                following = whole["next"] = page["next"]
            if following is None:
                return whole
            query["after"] = following
