"""Calls about revisions of configuration documents: show, compare, tag, roll back."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from staging_api.client.calls import PAGE_SIZE, Calls, understood, with_query
from staging_api.client.document_calls import Document, changed
from staging_api.vocabulary.documents import Outcome


async def rollback(
    calls: Calls, /, revision: int, *, over_buffer: bool = False, reason: str | None = None
) -> Document:
    """Replace the buffer's documents by those of an older revision; revision 0 is empty.

    Raises:
        NotFound: there is no such revision.
        Conflict: the buffer has changes, or nothing would change.
    """
    body = {"over_buffer": over_buffer, "reason": reason}
    return await changed(calls, "POST", f"/document-revisions/{revision}/rollback", body)


async def confirm(calls: Calls, /, revision: int, *, reason: str | None = None) -> Document:
    """Confirm a commit, which would be undone otherwise.

    Raises:
        Conflict: the commit does not wait for a confirmation, or no longer does.
    """
    path = f"/document-revisions/{revision}/confirm"
    return await changed(calls, "POST", with_query(path, {"reason": reason}))


async def tag(
    calls: Calls, /, revision: int, tag: str, data: object = None, *, reason: str | None = None
) -> Document:
    """Give a revision a tag."""
    path = f"/document-revisions/{revision}/tags/{quote(tag, '')}"
    return await changed(calls, "PUT", path, {"data": data, "reason": reason})


async def untag(calls: Calls, /, revision: int, tag: str, *, reason: str | None = None) -> Document:
    """Remove a tag from a revision.

    Raises:
        NotFound: the revision does not have this tag.
    """
    path = f"/document-revisions/{revision}/tags/{quote(tag, '')}"
    return await changed(calls, "DELETE", with_query(path, {"reason": reason}))


async def site_action(
    calls: Calls,
    /,
    outcome: Outcome,
    *,
    revision: int | None = None,
    require_staged: bool = False,
    data: object = None,
    reason: str | None = None,
) -> Document:
    """Record that a site action ended on a committed revision (None: the newest one).

    Raises:
        Conflict: the revision is not committed, or a build that it names is not staged.
    """
    body = {
        "outcome": outcome,
        "revision": revision,
        "require_staged": require_staged,
        "data": data,
        "reason": reason,
    }
    return await changed(calls, "POST", "/document-site-actions", body)


async def revision(calls: Calls, /, number: int) -> Document:
    """Return a revision: who made it, whether it was committed, its tags."""
    return await calls.answer(dict, "GET", f"/document-revisions/{number}")


def revisions(calls: Calls, /, page_size: int = PAGE_SIZE) -> AsyncIterator[Document]:
    """Yield all revisions, newest first, fetching pages as needed."""
    return calls.pages(dict, "/document-revisions", {}, page_size, following="before")


async def explain(
    calls: Calls, /, schema: str, name: str, version: str = "buffer", *, path: str = "."
) -> Document:
    """Return a rendered document, the origin of each value, and the documents that use it.

    Args:
        schema: schema of the document.
        name: name of the document.
        version: a version, or the number of a revision.
        path: path of one value in its data, such as ``.a.b[0]``.

    Raises:
        NotFound: the version has no such document, or the document has nothing at the path.
        Invalid: the path is malformed, or the documents cannot be rendered.
    """
    query = {"version": version, "provenance": "true", "path": path}
    return await calls.answer(
        dict, "GET", with_query(f"/documents/{quote(schema)}/{quote(name, '')}", query)
    )


async def differences(
    calls: Calls,
    /,
    old: str = "committed",
    new: str = "buffer",
    *,
    rendered: bool = False,
    secrets: bool = False,
) -> Document:
    """Return the differences of two versions or revisions, by collection, document and path.

    Args:
        old: a version, or the number of a revision; 0 has no documents.
        new: likewise.
        rendered: compare the rendered documents, not those that were posted.
        secrets: show secrets instead of masking them.

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
        page = await calls.answer(dict, "GET", with_query("/document-differences", query))
        with understood():
            whole = whole or {**page, "changes": []}
            whole["changes"] += page["changes"]
            following = whole["next"] = page["next"]
        if following is None:
            return whole
        query["after"] = following
