"""A folder below ``/static``: its staged files and folders as JSON, a page at a time."""

import falcon

from staging_api.http_url import static_url
from staging_api.staging.files import StagedFiles
from staging_api.staging.model import Child

_PAGE, _MOST = 100, 1000


def show_folder(
    req: falcon.Request, resp: falcon.Response, files: StagedFiles, folder: str
) -> None:
    """List the files and folders directly in a folder; `limit` and `after` turn the pages.

    Raises:
        NotFound: nothing is staged there, or nothing behind `after`.
    """
    limit = req.get_param_as_int("limit", min_value=1, max_value=_MOST, default=_PAGE)
    after = req.get_param("after", default="")
    page = files.children(folder, limit=limit, after=after)
    resp.media = {"items": [_shown(folder, child) for child in page.items], "next": page.next}
    resp.set_header("Cache-Control", "no-cache")


def _shown(folder: str, child: Child) -> dict[str, str | int | None]:
    path = folder + child.name
    return {
        "name": child.name,
        "path": path,
        "url": static_url(path),
        "size_bytes": child.size_bytes,
        "sha256": child.sha256,
    }
