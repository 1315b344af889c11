"""``stage_images`` and ``list_image_dir``: disk images, and the files beside them."""

from datetime import datetime

import falcon

from staging_api.devserver.builds import FolderEntry
from staging_api.errors import Invalid
from staging_api.http.auth import origin
from staging_api.http.resources.devserver.answers import SUCCESS, say
from staging_api.http.resources.devserver.help import DevserverResource
from staging_api.http.resources.devserver.query import Query
from staging_api.locks.model import IMAGES
from staging_api.staging.model import StagingRequest


class StageImages(DevserverResource):
    """Stage disk images out of the build's image.zip.

    Answers `Success` once all of them are staged.
    """

    usage = "stage_images?archive_url=URL&image_types=test,base,recovery"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stage the named images."""
        self.services.joining.stage(self._images_of(Query(req)), origin(req))
        say(resp, SUCCESS)

    def _images_of(self, query: Query) -> StagingRequest:
        archive_url, types = query.archive_url, query.words("image_types")
        if not types:
            raise Invalid.field("image_types", "must be given, such as test,base,recovery")
        staging_request = self.services.joining.check_request(
            archive_url, types, query.upload_wait_seconds
        )
        if staging_request.lock_kinds != [IMAGES]:
            raise Invalid.field("image_types", "one of them is no image")
        return staging_request


class ListImageDir(DevserverResource):
    """List the staged files in a build's folder, and its subfolders: one name per line."""

    usage = "list_image_dir?archive_url=URL"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List one level of the folder."""
        staging_request = self.services.builds.check_request(Query(req).archive_url)
        folder, entries = self.services.builds.entries(staging_request)
        say(resp, "\n".join([f"Listing contents of :{folder} ", *map(_line, entries)]))


class LocateFile(DevserverResource):
    """The path of a staged file, relative to the build's folder, found by the file's name."""

    usage = "locate_file?archive_url=URL&file_name=NAME"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Find the file and answer with its path."""
        query = Query(req)
        request = self.services.builds.check_request(query.archive_url)
        folder = self.services.builds.folder(request)
        say(resp, self.services.controls.locate(folder, query.required("file_name")))


def _line(entry: FolderEntry) -> str:
    return (
        f"Name: {entry.path} Accessed: {_time(entry.accessed_at)}"
        f" Modified: {_time(entry.modified_at)} Size: {entry.size_bytes} bytes."
    )


def _time(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(sep=" ")
