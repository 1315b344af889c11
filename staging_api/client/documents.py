"""Configuration documents: buffer collections, review and commit them.

Changes wait in the service's queue while another request changes documents. One whose answer was
lost is sent again with the same Idempotency-Key, and gets the answer it would have got.
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
    """Remove all documents of a collection, in the buffer.

    Raises:
        Invalid: it has none.
        Conflict: the buffer does not allow it.
        LockHeld: another request changed documents all the time.
    """
    query = {"buffermode": mode, "empty-collection": "true", "reason": reason}
    path = with_query(f"/configdocs/{quote(collection, '')}", query)
    return await changed(calls, "POST", path, content=b"", on_retry=on_retry)


async def status(calls: Calls, /, versions: Sequence[str] = ()) -> list[Document]:
    """What became of each collection between two versions (default: committed and buffer).

    While a commit of one of the two waits to be confirmed, each entry has `confirm_until`.
    """
    query = [("versions", version) for version in versions]
    return await calls.answer(list, "GET", with_query("/configdocs", query))


async def get(
    calls: Calls, /, collection: str, version: str = "buffer", *, secrets: bool = False
) -> bytes:
    """The text of a collection as it was posted.

    Raises:
        NotFound: the version lacks it.
        Forbidden: the caller may not see secrets.
    """
    return (await posted(calls, collection, version, secrets=secrets)).text


async def posted(
    calls: Calls, /, collection: str, version: str = "buffer", *, secrets: bool = False
) -> PostedCollection:
    """A collection as it was posted, to be edited and posted again.

    Raises:
        NotFound: the version lacks it.
        Forbidden: the caller may not see secrets.
    """
    query = {"version": version, "cleartext-secrets": "true" if secrets else None}
    return await fetched(calls, with_query(f"/configdocs/{quote(collection, '')}", query))


async def rendered(calls: Calls, /, version: str = "buffer", *, secrets: bool = False) -> bytes:
    """All documents of a version, layered and with their substitutions.

    Raises:
        NotFound: there is no such version.
        Invalid: they cannot be rendered; `extra["messages"]` says why.
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
    path = with_query("/commitconfigdocs", query)
    return await changed(calls, "POST", path, content=b"", on_retry=on_retry)


async def buffer(calls: Calls, /) -> Document:
    """What would be committed: revision, digest, and the collections that it changes.

    `unconfirmed` has the `revision` of a commit that waits, and its `confirm_until`; or None.
    """
    return await calls.answer(dict, "GET", "/document-buffer")


async def discard(
    calls: Calls, /, collection: str | None = None, *, reason: str | None = None
) -> Document:
    """Drop the buffer, or what it has of one collection.

    Raises:
        NotFound: the buffer does not change that collection.
    """
    below = "" if collection is None else f"/{quote(collection, '')}"
    return await changed(
        calls, "DELETE", with_query(f"/document-buffer{below}", {"reason": reason})
    )
