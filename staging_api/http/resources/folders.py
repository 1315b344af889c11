"""A folder below ``/static``: its staged files and folders, in pages.

The list is JSON; clients that prefer HTML, such as browsers, get a page of links, or the
dashboard's page.
"""

from collections.abc import Iterator
from html import escape
from urllib.parse import quote, urlencode

import falcon

from staging_api.http.dependencies import FolderPage
from staging_api.http_url import static_url
from staging_api.paging import Page
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import FolderChild

_PAGE, _MOST = 100, 1000
# The first one wins at equal preference: programs that accept anything get JSON.
_FORMS = (falcon.MEDIA_JSON, falcon.MEDIA_HTML)


def show_folder(
    req: falcon.Request,
    resp: falcon.Response,
    files: StagedFiles,
    folder: str,
    page_for_people: FolderPage | None = None,
) -> None:
    """List the files and folders directly in a folder; `limit` and `after` select the page.

    Args:
        req, resp: Falcon's request and response.
        files: service that finds staged files.
        folder: path of the folder, with a slash at the end.
        page_for_people: renders the dashboard's page; None: a page of links.

    Raises:
        NotFound: nothing is staged in the folder.
    """
    limit = req.get_param_as_int("limit", min_value=1, max_value=_MOST, default=_PAGE)
    after = req.get_param("after", default="")
    page = files.children(folder, limit=limit, after=after)
    # One URL with two forms: a cache must not send a program's JSON to a browser.
    resp.set_header("Vary", "Accept")
    if req.client_prefers(_FORMS) == falcon.MEDIA_HTML:
        if page_for_people is not None:
            page_for_people(req, resp, folder, page)
            return
        resp.content_type = falcon.MEDIA_HTML
        resp.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
        resp.text = _page(folder, page)
        resp.set_header("Cache-Control", "no-cache")
        return
    resp.media = {"items": [_shown(folder, child) for child in page.items], "next": page.next}
    resp.set_header("Cache-Control", "no-cache")


def _shown(folder: str, child: FolderChild) -> dict[str, str | int | None]:
    path = folder + child.name
    return {
        "name": child.name,
        "path": path,
        "url": static_url(path),
        "size_bytes": child.size_bytes,
        "sha256": child.sha256,
    }


def _page(folder: str, page: Page[FolderChild]) -> str:
    title = escape(f"/static/{folder}")
    return "\n".join(
        [
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
            f"<h1>{title}</h1><table>",
            *_rows(page),
            "</table></html>",
        ]
    )


def _rows(page: Page[FolderChild]) -> Iterator[str]:
    yield '<tr><td><a href="../">../</a></td></tr>'
    for child in page.items:
        # Relative to the folder; also valid if a name has a colon.
        link, name = escape("./" + quote(child.name)), escape(child.name)
        size = "" if child.size_bytes is None else str(child.size_bytes)
        digest = escape(child.sha256 or "")
        yield f'<tr><td><a href="{link}">{name}</a></td><td>{size}</td><td>{digest}</td></tr>'
    if page.next is not None:
        query = escape(urlencode({"after": page.next}))
        yield f'<tr><td><a href="?{query}">more</a></td></tr>'
