"""The paths of gs_cache, for its clients: objects of a bucket, and members of tars and zips.

gs_cache read through to the bucket; here the object is staged first, once for all requests, and
then sent like any staged file. A tar itself is kept, too, so that its next member is read from the
store. A missing object is 404 at once: these clients do not wait for uploads.
"""

import re
from contextlib import closing, suppress
from dataclasses import replace
from fnmatch import fnmatchcase

import falcon

from staging_api.catalogue.model import DECOMPRESSED_WORD, FILE_WORD, MEMBER_WORD
from staging_api.errors import Invalid, NotFound
from staging_api.http.auth import origin
from staging_api.http.dependencies import AppDependencies
from staging_api.http.resources.devserver.answers import say
from staging_api.http.resources.devserver.help import DevserverResource
from staging_api.http.resources.devserver.query import Query
from staging_api.http.resources.static import StaticFiles
from staging_api.staging.model import StagingRequest

_GLOB = re.compile(r"[*?\[]")


class _ReadsThrough(DevserverResource):
    """Base of resources that stage the artifacts of a request, and send one of their files."""

    def __init__(self, deps: AppDependencies) -> None:
        super().__init__(deps)
        # These clients are programs: a path with a slash at its end is not a page for people.
        self.static = StaticFiles(replace(deps, folder_page=None))

    def checked(self, req: falcon.Request, archive_url: str, words: list[str]) -> StagingRequest:
        """Validate the request; it waits for no upload unless the query demands a wait."""
        seconds = Query(req, {"file"}).upload_wait_seconds or 0.0
        return self.services.joining.check_request(archive_url, words, seconds)

    def staged(self, req: falcon.Request, archive_url: str, words: list[str]) -> StagingRequest:
        """Stage the artifacts that `words` name, and return the request."""
        request = self.checked(req, archive_url, words)
        self.services.joining.stage_all(request, origin(req))
        return request

    def send(
        self, req: falcon.Request, resp: falcon.Response, archive_url: str, *words: str, name: str
    ) -> None:
        """Send `name` of the archive's folder, after staging the artifacts that `words` name."""
        self.show(req, resp, self.staged(req, archive_url, list(words)), name)

    def show(
        self, req: falcon.Request, resp: falcon.Response, request: StagingRequest, name: str
    ) -> None:
        """Send or describe a file of the archive's folder."""
        path = f"{self.services.builds.folder(request)}/{name}"
        if req.method == "HEAD":
            self.static.on_head(req, resp, path)
        else:
            self.static.on_get(req, resp, path)


class BucketObjectAsIs(_ReadsThrough):
    """An object of a bucket, unchanged. HEAD answers with its length, and stages nothing."""

    usage = "download/BUCKET/PATH/OBJECT"

    def on_get(self, req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """Stage the object and send it."""
        url, name = _split(bucket, path)
        self.send(req, resp, url, f"{FILE_WORD}{name}", name=name)

    def on_head(self, req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """Describe the staged object, or else the object in the bucket."""
        url, name = _split(bucket, path)
        request = self.checked(req, url, [f"{FILE_WORD}{name}"])
        # An earlier miss does not count: the object may have been uploaded since.
        with suppress(NotFound):
            if self.services.joining.is_staged(request):
                self.show(req, resp, request, name)
                return
        with closing(self.services.joining.stagings.open_archive(request.url)) as source:
            found = source.stat(name)
        if found.size_bytes is not None:
            resp.content_length = found.size_bytes
        resp.content_type = "application/octet-stream"
        resp.set_header("Accept-Ranges", "bytes")


class BucketMember(_ReadsThrough):
    """A member of a tar or zip in a bucket.

    With several file=, or with * or ? in one, all matching members as JSON: text by path.
    """

    usage = "extract/BUCKET/PATH/ARCHIVE?file=MEMBER[&file=...]"

    def on_get(self, req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """Stage the archive, extract the members and send them."""
        given = Query(req, {"file"}).all("file")
        wanted = list(dict.fromkeys(name.removeprefix("./") for name in given))
        url, name = _split(bucket, path)
        if len(wanted) == 1 and not _GLOB.search(wanted[0]):
            inside = f"{name}!/{wanted[0]}"
            # A zip's members are read by ranges, without the rest of the zip.
            whole = [] if name.endswith(".zip") else [f"{FILE_WORD}{name}"]
            self.send(req, resp, url, *whole, f"{MEMBER_WORD}{inside}", name=inside)
            return
        request = self.staged(req, url, [f"{MEMBER_WORD}{name}!/*"])
        folder = f"{self.services.builds.folder(request)}/{name}!/"
        resp.media = self.services.controls.below(folder, lambda member: _fits(member, wanted))

    on_head = on_get


class Decompressed(_ReadsThrough):
    """An object of a bucket, decompressed: a tar.gz, tgz, tar.bz2 or tar.xz becomes a tar."""

    usage = "decompress/BUCKET/PATH/OBJECT"

    def on_get(self, req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """Stage the object, decompressed during the download, and send it."""
        url, name = _split(bucket, path)
        word, found = f"{DECOMPRESSED_WORD}{name}", f"{name}!decompressed"
        self.send(req, resp, url, word, name=found)

    on_head = on_get


class ListDir(DevserverResource):
    """The objects and folders directly in a folder of a bucket, one URL per line."""

    usage = "list_dir/BUCKET/PATH"

    def on_get(self, _req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """List the folder; nothing is staged."""
        url = self.services.joining.stagings.check_url(f"gs://{bucket}/{path.strip('/')}")
        with closing(self.services.joining.stagings.open_archive(url)) as source:
            names = source.names()
        # A bucket has no folders: a name with a slash implies one.
        first = dict.fromkeys(name.partition("/")[0] + "/" * ("/" in name) for name in names)
        lines = sorted(first, key=lambda name: (name.endswith("/"), name))
        say(resp, "".join(f"gs://{bucket}/{path.strip('/')}/{line}\n" for line in lines))


def _split(bucket: str, path: str) -> tuple[str, str]:
    """Return the URL of the folder of an object, and its name.

    Raises:
        Invalid: the path names no object.
    """
    folder, _, name = path.rpartition("/")
    if not name:
        raise Invalid.field("path", "must name an object, not a folder: list_dir lists one")
    return f"gs://{bucket}/{folder}", name


def _fits(member: str, wanted: list[str]) -> bool:
    return any(fnmatchcase(member, each) for each in wanted)
