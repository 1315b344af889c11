"""Configuration documents: buffer collections, review and commit them, go back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from staging_api.client.calls import API, PAGE_SIZE, Calls, once, understood
from staging_api.client.pacing import Deadline, OnRetry, retried
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable
from staging_api.vocabulary.documents import BufferMode, Outcome

Document = Mapping[str, Any]


@dataclass(frozen=True)
class PostedCollection:
    """A collection as it was posted.

    Attributes:
        text: its documents, a YAML stream; empty where the buffer deletes it.
        etag: for `Documents.create`, so that only this version of it is replaced; None if empty.
    """

    text: bytes
    etag: str | None


class Documents:
    """What `StagingClient.documents` is; every method retries as those of the client do.

    Changes wait in the service's queue while another request changes documents. One whose answer
    was lost is sent again with the same Idempotency-Key, and gets the answer it would have got.
    """

    def __init__(self, calls: Calls) -> None:
        """Share the client's connections."""
        self._calls = calls

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
        """What became of each collection between two versions (default: committed and buffer)."""
        query = [("versions", version) for version in versions]
        found: list[Document] = self._calls.ask("GET", _asked("/configdocs", query)).document
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
        return self._text(_asked(f"/configdocs/{quote(collection, '')}", query))

    def rendered(self, version: str = "buffer", *, secrets: bool = False) -> bytes:
        """All documents of a version, layered and with their substitutions.

        Raises:
            NotFound: there is no such version.
            Invalid: they cannot be rendered; `extra["messages"]` says why.
        """
        named = "revision" if version.isdigit() else "version"
        query = {named: version, "cleartext-secrets": "true" if secrets else None}
        return self._text(_asked("/renderedconfigdocs", query)).text

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
            Conflict: there is nothing to commit, or not what was reviewed.
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
        """What would be committed: revision, digest, and the collections that it changes."""
        return self._asked("GET", "/document-buffer")

    def discard(self, collection: str | None = None, *, reason: str | None = None) -> Document:
        """Drop the buffer, or what it has of one collection.

        Raises:
            NotFound: the buffer does not change that collection.
        """
        below = "" if collection is None else f"/{quote(collection, '')}"
        return self._changed("DELETE", _asked(f"/document-buffer{below}", {"reason": reason}))

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
        return self._changed("POST", _asked(path, {"reason": reason}))

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
        return self._changed("DELETE", _asked(path, {"reason": reason}))

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
            page = self._asked("GET", _asked("/document-revisions", query))
            with understood():
                items, following = page["items"], page["next"]
            yield from items
            if following is None:
                return
            query["before"] = following

    def explain(self, schema: str, name: str, version: str = "buffer") -> Document:
        """A rendered document, where each value came from, and which documents use it.

        Raises:
            NotFound: the version has no such document.
        """
        path = f"/documents/{quote(schema)}/{quote(name, '')}"
        return self._asked("GET", _asked(path, {"version": version, "provenance": "true"}))

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
            page = self._asked("GET", _asked("/document-differences", query))
            with understood():
                whole = whole or {**page, "changes": []}
                whole["changes"] += page["changes"]
                following = whole["next"] = page["next"]
            if following is None:
                return whole
            query["after"] = following

    def _asked(self, method: str, path: str, body: Document | None = None) -> Document:
        found: Document = self._calls.ask(method, path, body).document
        return found

    def _changed(self, method: str, path: str, body: Document | None = None) -> Document:
        reply = self._calls.transport.exchange(
            method,
            API + path,
            Deadline(self._calls.timeout),
            body=body,
            headers=once() if method == "POST" else None,
            queues=True,
        )
        found: Document = reply.document
        return found

    def _sent(
        self,
        path: str,
        query: Mapping[str, Any],
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        on_retry: OnRetry | None = None,
    ) -> Document:
        reply = self._calls.transport.exchange(
            "POST",
            API + _asked(path, query),
            Deadline(self._calls.timeout),
            content=content,
            headers={**once(), **(headers or {})},
            on_retry=on_retry,
            queues=True,
        )
        found: Document = reply.document
        return found

    def _text(self, path: str) -> PostedCollection:
        deadline = Deadline(self._calls.timeout)
        transport = self._calls.transport
        headers = {"Accept": "application/x-yaml, application/json"}

        def fetched() -> PostedCollection:
            with transport.sent("GET", API + path, deadline, headers) as answer:
                body = answer.read()
                if answer.status >= 400:  # noqa: PLR2004 - errors, RFC 9110
                    raise problem(answer.status, answer.headers, body)
                if answer.status != 200:  # noqa: PLR2004 - success, RFC 9110
                    raise AnswerUnusable(f"status {answer.status} in the place of documents")
                return PostedCollection(body, answer.headers.get("ETag"))

        return retried(fetched, deadline, transport.pacing)


def _asked(path: str, query: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> str:
    given = query.items() if isinstance(query, Mapping) else query
    named = urlencode([(name, value) for name, value in given if value is not None])
    return f"{path}?{named}" if named else path
