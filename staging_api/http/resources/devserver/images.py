"""``stage_images`` and ``list_image_dir``: disk images, and what lies beside them."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import falcon

from staging_api.devserver.joining import Joining
from staging_api.errors import Invalid, NotFound
from staging_api.http.auth import origin
from staging_api.http.resources.devserver.answers import SUCCESS, say
from staging_api.http.resources.devserver.query import Query
from staging_api.locks.model import IMAGES
from staging_api.staging import repository
from staging_api.staging.model import Wanted
from staging_api.staging.repository import FoundFile
from staging_api.staging.service import StagingService


class StageImages:
    """Stage disk images out of the build's image.zip.

    `Success` once all are there.
    """

    usage = "stage_images?archive_url=URL&image_types=test,base,recovery"

    def __init__(self, joining: Joining) -> None:
        """Take what the responder needs."""
        self._joining = joining

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stage the images that are named."""
        self._joining.stage(self._wanted(Query(req)), origin(req))
        say(resp, SUCCESS)

    def _wanted(self, query: Query) -> Wanted:
        archive_url, types = query.required("archive_url"), query.words("image_types")
        if not types:
            raise Invalid.field("image_types", "must be given, such as test,base,recovery")
        wanted = self._joining.wanted(archive_url, types, query.upload_wait_seconds)
        if wanted.lock_kinds != [IMAGES]:
            raise Invalid.field("image_types", "one of them is no image")
        return wanted


class ListImageDir:
    """List what is staged of a build: a line for each file, or folder of files, of its folder."""

    usage = "list_image_dir?archive_url=URL"

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responder needs."""
        self._stagings = stagings

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List one level of the folder."""
        wanted = self._stagings.wanted(Query(req).required("archive_url"), ())
        with self._stagings.database.connect() as conn:
            prefix = repository.folder_of(conn, wanted.archive_url)
            files = repository.files_below(conn, prefix)
        if not files:
            raise NotFound(f"nothing of {wanted.archive_url} is staged")
        lines = [f"Listing contents of :{prefix} ", *_lines(prefix, files)]
        say(resp, "\n".join(lines))


def _lines(prefix: str, files: Iterable[FoundFile]) -> Iterator[str]:
    """A line per name in the folder; a folder below it has the newest time and all the bytes."""
    entries: dict[str, list[FoundFile]] = {}
    for file in files:
        name = file.path.removeprefix(f"{prefix}/").partition("/")[0]
        entries.setdefault(name, []).append(file)
    for name, found in entries.items():
        modified = max(file.staged_at for file in found)
        accessed = max(file.last_accessed_at or file.staged_at for file in found)
        size = sum(file.size_bytes for file in found)
        yield (
            f"Name: {prefix}/{name} Accessed: {_time(accessed)} Modified: {_time(modified)}"
            f" Size: {size} bytes."
        )


def _time(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(sep=" ")
