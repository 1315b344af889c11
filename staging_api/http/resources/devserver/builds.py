"""``latestbuild``: the newest build of a target that is staged."""

import re
from collections.abc import Sequence

import falcon

from staging_api.errors import NotFound
from staging_api.http.resources.devserver.answers import say
from staging_api.http.resources.devserver.help import help_of
from staging_api.http.resources.devserver.query import Query
from staging_api.sources.url import parse
from staging_api.staging import repository
from staging_api.staging.repository import BuildFolder
from staging_api.staging.service import StagingService

_PARTS = re.compile(r"(\d+|[a-z]+|\.)")


class LatestBuild:
    """The newest build of a target that is staged, such as R17-1208.0.0-a1-b338.

    Staged is what has every artifact of the default that is not optional, background included:
    a build of which only images or symbols are staged cannot be tested.
    """

    usage = "latestbuild?target=x86-generic-release[&milestone=R17]"

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responder needs."""
        self._stagings = stagings

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Find it."""
        query = Query(req)
        if not query:
            say(resp, help_of(self))
            return
        target, milestone = query.required("target").strip("/"), query.get("milestone") or ""
        with self._stagings.database.connect() as conn:
            folders = repository.builds_below(conn, target, self._stagings.needed)
        names = [name for name in _names(folders, target) if milestone.upper() in name]
        if not names:
            raise NotFound(f"no build of {target} is staged")
        say(resp, max(names, key=version_key))


def version_key(name: str) -> list[tuple[int, int, str]]:
    """Order versions by their parts: numbers by value, and before any letters."""
    parts = [part for part in _PARTS.split(name) if part and part != "."]
    return [(0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in parts]


def _names(folders: Sequence[BuildFolder], target: str) -> list[str]:
    """The builds directly in the target, less those that another bucket's build has pushed aside.

    Their folder is not named like the build, so no client would find it by the name.
    """
    return [
        name
        for folder in folders
        if (name := folder.static_prefix.removeprefix(f"{target}/"))
        == parse(folder.archive_url).build
    ]
