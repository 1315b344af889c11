"""A folder below ``/static``: what is staged in it, as JSON, a page at a time."""

from urllib.parse import quote

import falcon

from staging_api.db.engine import Database
from staging_api.errors import NotFound
from staging_api.staging import repository
from staging_api.staging.repository import Child

_PAGE, _MOST = 100, 1000


def show_folder(
    req: falcon.Request, resp: falcon.Response, database: Database, folder: str
) -> None:
    """List the files and folders directly in a folder; `limit` and `after` turn the pages.

    Raises:
        NotFound: nothing is staged there, or nothing behind `after`.
    """
    limit = req.get_param_as_int("limit", min_value=1, max_value=_MOST, default=_PAGE)
    after = req.get_param("after", default="")
    with database.connect() as conn:
        found = repository.children_of(conn, folder, after, limit + 1)
    if not found:
        raise NotFound(f"nothing is staged in {folder}")
    page = found[:limit]
    resp.media = {
        "items": [_shown(folder, child) for child in page],
        "next": page[-1].name if len(found) > len(page) else None,
    }
    resp.set_header("Cache-Control", "no-cache")


def _shown(folder: str, child: Child) -> dict[str, str | int | None]:
    path = folder + child.name
    return {
        "name": child.name,
        "path": path,
        "url": f"/static/{quote(path)}",
        "size_bytes": child.size_bytes,
        "sha256": child.sha256,
    }
