"""``download/BUCKET/...`` and ``extract/BUCKET/...``: the paths of gs_cache, for its clients.

There a bucket was read through; here the object is staged first, once for all who ask, and then
sent like any staged file. Of an archive the object itself is kept, too, so that the next member
comes out of the store.
"""

from dataclasses import dataclass

import falcon

from staging_api.catalogue.model import FILE_WORD, MEMBER_WORD
from staging_api.devserver.builds import Builds
from staging_api.devserver.joining import Joining
from staging_api.devserver.services import DevserverServices
from staging_api.http.auth import origin
from staging_api.http.resources.devserver.query import Query
from staging_api.http.resources.static import StaticFiles


class FromBucket:
    """An object of a bucket, as it is."""

    usage = "download/BUCKET/PATH/OBJECT"

    def __init__(self, services: DevserverServices, static: StaticFiles) -> None:
        self._through = _Through(services.joining, services.builds, static)

    def on_get(self, req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """Stage the object and send it."""
        folder, _, name = path.rpartition("/")
        url, word = f"gs://{bucket}/{folder}", f"{FILE_WORD}{name}"
        self._through.send(req, resp, url, word, name=name)


class FromArchive:
    """A member of a tar or zip in a bucket."""

    usage = "extract/BUCKET/PATH/ARCHIVE?file=MEMBER"

    def __init__(self, services: DevserverServices, static: StaticFiles) -> None:
        self._through = _Through(services.joining, services.builds, static)

    def on_get(self, req: falcon.Request, resp: falcon.Response, bucket: str, path: str) -> None:
        """Stage the archive, take the member out of it and send that."""
        folder, _, name = path.rpartition("/")
        inside = f"{name}!/{Query(req).required('file')}"
        # A zip's members come by ranges, without the rest of it.
        whole = [] if name.endswith(".zip") else [f"{FILE_WORD}{name}"]
        words = [*whole, f"{MEMBER_WORD}{inside}"]
        self._through.send(req, resp, f"gs://{bucket}/{folder}", *words, name=inside)


@dataclass(frozen=True)
class _Through:
    """Stages the artifacts of a request, and sends one of their files."""

    joining: Joining
    builds: Builds
    static: StaticFiles

    def send(
        self, req: falcon.Request, resp: falcon.Response, archive_url: str, *words: str, name: str
    ) -> None:
        """Send `name` of the archive's folder, once all that the words mean is staged."""
        staging_request = self.joining.check_request(
            archive_url, words, Query(req).upload_wait_seconds
        )
        self.joining.stage_all(staging_request, origin(req))
        self.static.on_get(req, resp, f"{self.builds.folder(staging_request)}/{name}")
