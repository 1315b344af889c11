"""A folder below ``/static`` as a page: its path, its files with their digests, lines to copy.

Only browsers get it; programs, which accept any type, get JSON. It requires the same roles as
reading the files, and shows nothing else.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import falcon

from staging_api.http_url import static_url
from staging_api.paging import Page
from staging_api.staging.model import FolderChild
from staging_api.ui.copies import Copies, curl_line
from staging_api.ui.dependencies import UiDependencies
from staging_api.ui.screen import Screen, ScreenContent
from staging_api.ui.shell import send_whole, server_of


@dataclass(frozen=True)
class FolderRow:
    """A file or folder, with its address relative to the page, and a command that fetches it."""

    child: FolderChild
    href: str
    curl: str


class FolderPages:
    """Shows folders to browsers."""

    def __init__(self, deps: UiDependencies, screens: Sequence[Screen]) -> None:
        """Show `screens` in the navigation."""
        self._deps, self._screens = deps, screens

    def __call__(
        self, req: falcon.Request, resp: falcon.Response, folder: str, page: Page[FolderChild]
    ) -> None:
        """Show a page of the children of a folder, whose path ends in a slash."""
        name = folder.rstrip("/").rpartition("/")[2]
        path = static_url(folder)
        copies = Copies(path, sql=_SQL, values={"folder": folder})
        address = f"{server_of(self._deps, req)}{path}"
        names = {
            "name": name,
            "crumbs": _crumbs(folder),
            "entries": [
                _entry(child, address, with_token=self._deps.auth != "none") for child in page.items
            ],
            "address": address,
            "next": page.next,
        }
        shown = ScreenContent("folder.html", f"{name}/", names, live=False, copies=copies)
        send_whole(self._deps, req, resp, self._screens, shown)


_SQL = """SELECT f.path, f.size_bytes, f.sha256, a.archive_url, a.name FROM staged_files f
JOIN staged_artifacts a ON a.id = f.artifact_id WHERE starts_with(f.path, :folder);"""


def _crumbs(folder: str) -> list[tuple[str, str]]:
    """Return the folders above with their addresses; nothing is served at ``/static/`` itself."""
    parts = folder.rstrip("/").split("/")[:-1]
    return [(part, static_url("/".join(parts[: n + 1]) + "/")) for n, part in enumerate(parts)]


def _entry(child: FolderChild, address: str, *, with_token: bool) -> FolderRow:
    # Relative to the folder; the ./ protects names with a colon.
    href, url = "./" + quote(child.name), address + quote(child.name)
    if child.sha256 is None:
        return FolderRow(child, href, "")
    name = shlex.quote(child.name)
    check = shlex.quote(f"{child.sha256}  {child.name}")
    fetch = curl_line(url, f"-fsS -o {name}", with_token=with_token)
    # Not `echo`, which interprets backslashes in some shells.
    return FolderRow(child, href, f"{fetch} && printf '%s\\n' {check} | sha256sum -c")
