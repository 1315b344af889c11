"""Revisions of configuration documents: look at them, compare them, name them, go back."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from staging_api.client.calls import PAGE_SIZE, Calls, understood, with_query
from staging_api.client.document_calls import Document, changed
from staging_api.vocabulary.documents import Outcome


async def rollback(
    calls: Calls, /, revision: int, *, over_buffer: bool = False, reason: str | None = None
) -> Document:
    """Let the buffer have exactly what an older revision has; 0 has nothing.

    Raises:
        NotFound: there is no such revision.
        Conflict: there is a buffer, or nothing would change.
    """
    body = {"over_buffer": over_buffer, "reason": reason}
    return await changed(calls, "POST", f"/document-revisions/{revision}/rollback", body)


async def confirm(calls: Calls, /, revision: int, *, reason: str | None = None) -> Document:
    """Make a commit final that would be undone otherwise.

    Raises:
        Conflict: it does not wait for that, or not any more.
    """
    path = f"/document-revisions/{revision}/confirm"
    return await changed(calls, "POST", with_query(path, {"reason": reason}))


async def tag(
    calls: Calls, /, revision: int, tag: str, data: object = None, *, reason: str | None = None
) -> Document:
    """Name a revision."""
    path = f"/document-revisions/{revision}/tags/{quote(tag, '')}"
    return await changed(calls, "PUT", path, {"data": data, "reason": reason})


async def untag(calls: Calls, /, revision: int, tag: str, *, reason: str | None = None) -> Document:
    """Take a name from a revision.

    Raises:
        NotFound: it does not have that name.
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
    return await changed(calls, "POST", "/document-site-actions", body)


async def revision(calls: Calls, /, number: int) -> Document:
    """One revision: who made it, whether it was committed, its tags."""
    return await calls.answer(dict, "GET", f"/document-revisions/{number}")


def revisions(calls: Calls, /, page_size: int = PAGE_SIZE) -> AsyncIterator[Document]:
    """All revisions, newest first; pages are fetched as they are read."""
    return calls.pages(dict, "/document-revisions", {}, page_size, following="before")


async def explain(
    calls: Calls, /, schema: str, name: str, version: str = "buffer", *, path: str = "."
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
        page = await calls.answer(dict, "GET", with_query("/document-differences", query))
        with understood():
            whole = whole or {**page, "changes": []}
            whole["changes"] += page["changes"]
            following = whole["next"] = page["next"]
        if following is None:
            return whole
        query["after"] = following
