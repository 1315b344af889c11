"""Calls about configuration documents: buffer collections, review and commit them.

Changes wait in the service's queue while another request changes documents. A change whose response
was lost is sent again with the same Idempotency-Key, and gets the same response.
"""

from collections.abc import Sequence
from urllib.parse import quote

from staging_api.client.calls import Calls, with_query
from staging_api.client.document_calls import (
    Document,
    PostedCollection,
    changed,
    fetched,
)
from staging_api.client.pacing import OnRetry
from staging_api.vocabulary.documents import BufferMode


async def create(
    calls: Calls,
    /,
    collection: str,
    text: bytes,
    *,
    mode: BufferMode = "rejectoncontents",
    reason: str | None = None,
    if_match: str | None = None,
    on_retry: OnRetry | None = None,
) -> Document:
    """Put a collection into the buffer; return the result of its validations.

    Args:
        collection: name of the collection.
        text: its documents, a YAML stream.
        mode: what to do with a buffer that is not empty.
        reason: reason of the change, for the record.
        if_match: ETag of the version that was edited; the call fails if the collection has changed
            since.
        on_retry: called before each wait for a lock that another holds.

    Raises:
        Invalid: the documents are not valid; `extra["messages"]` says why.
        Conflict: the buffer does not allow it.
        LockHeld: another request changed documents all the time.
    """
    headers = {"Content-Type": "application/x-yaml"}
    if if_match is not None:
        headers["If-Match"] = if_match
    query = {"buffermode": mode, "reason": reason}
    path = with_query(f"/configdocs/{quote(collection, '')}", query)
    return await changed(calls, "POST", path, content=text, headers=headers, on_retry=on_retry)


async def empty(
    calls: Calls,
    /,
    collection: str,
    *,
    mode: BufferMode = "rejectoncontents",
    reason: str | None = None,
    on_retry: OnRetry | None = None,
) -> Document:
    """Remove all documents of a collection in the buffer.

    Raises:
        Invalid: the collection has no documents.
        Conflict: the buffer does not allow it.
        LockHeld: another request changed documents all the time.
    """
    query = {"buffermode": mode, "empty-collection": "true", "reason": reason}
    path = with_query(f"/configdocs/{quote(collection, '')}", query)
    return await changed(calls, "POST", path, content=b"", on_retry=on_retry)


async def status(calls: Calls, /, versions: Sequence[str] = ()) -> list[Document]:
    """Return how each collection changed between two versions (default: committed and buffer).

    While a commit of either version waits for its confirmation, each entry has `confirm_until`.
    """
    query = [("versions", version) for version in versions]
    return await calls.answer(list, "GET", with_query("/configdocs", query))


async def get(
    calls: Calls, /, collection: str, version: str = "buffer", *, secrets: bool = False
) -> bytes:
    """Return the text of a collection as it was posted.

    Raises:
        NotFound: the version lacks the collection.
        Forbidden: the caller may not see secrets.
    """
    return (await posted(calls, collection, version, secrets=secrets)).text


async def posted(
    calls: Calls, /, collection: str, version: str = "buffer", *, secrets: bool = False
) -> PostedCollection:
    """Return a collection as it was posted, to be edited and posted again.

    Raises:
        NotFound: the version lacks the collection.
        Forbidden: the caller may not see secrets.
    """
    query = {"version": version, "cleartext-secrets": "true" if secrets else None}
    return await fetched(calls, with_query(f"/configdocs/{quote(collection, '')}", query))


async def rendered(calls: Calls, /, version: str = "buffer", *, secrets: bool = False) -> bytes:
    """Return all documents of a version, layered and with their substitutions.

    Raises:
        NotFound: there is no such version.
        Invalid: the documents cannot be rendered; `extra["messages"]` says why.
    """
    named = "revision" if version.isdigit() else "version"
    query = {named: version, "cleartext-secrets": "true" if secrets else None}
    return (await fetched(calls, with_query("/renderedconfigdocs", query))).text


async def commit(
    calls: Calls,
    /,
    *,
    revision: int | None = None,
    force: bool = False,
    dryrun: bool = False,
    confirm_within: int | None = None,
    stage: bool = False,
    reason: str | None = None,
    on_retry: OnRetry | None = None,
) -> Document:
    """Validate the buffer, and commit it; return the result of its validations.

    With `confirm_within`, the result has `confirm_until`, the time when the commit is undone.

    Args:
        revision: the revision that was reviewed; the call fails if the buffer has changed since.
        force: commit in spite of errors.
        dryrun: validate only.
        confirm_within: seconds after which the commit is undone unless it is confirmed.
        stage: stage the builds that its documents name.
        reason: reason of the commit, for the record.
        on_retry: called before each wait for a lock that another holds.

    Raises:
        Invalid: the validations failed; `extra["messages"]` says why.
        Conflict: there is nothing to commit, or the buffer is not the reviewed revision, or the
            commit before was not confirmed in time.
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
    path = with_query("/commitconfigdocs", query)
    return await changed(calls, "POST", path, content=b"", on_retry=on_retry)


async def buffer(calls: Calls, /) -> Document:
    """Return the buffer: its revision, its digest, and the collections that it changes.

    `unconfirmed` has the `revision` of a commit that waits for its confirmation, and its
    `confirm_until`; or None.
    """
    return await calls.answer(dict, "GET", "/document-buffer")


async def discard(
    calls: Calls, /, collection: str | None = None, *, reason: str | None = None
) -> Document:
    """Discard the buffer, or its changes to one collection.

    Raises:
        NotFound: the buffer does not change that collection.
    """
    below = "" if collection is None else f"/{quote(collection, '')}"
    return await changed(
        calls, "DELETE", with_query(f"/document-buffer{below}", {"reason": reason})
    )
