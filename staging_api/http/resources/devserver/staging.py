"""``download``, ``wait_for_status``, ``stage``, ``is_staged``: staging, and its progress."""

import falcon

from staging_api.catalogue.model import FILE_WORD
from staging_api.errors import Invalid
from staging_api.http.auth import client_of, origin
from staging_api.http.resources.devserver.answers import SUCCESS, say
from staging_api.http.resources.devserver.help import DevserverResource
from staging_api.http.resources.devserver.query import Query


class DevserverDownload(DevserverResource):
    """Stage a build.

    Answers `Success` once the foreground artifacts, which a test needs at once, are staged. The
    background artifacts follow; wait_for_status waits for them. A request for a build that
    another request is staging joins that staging.
    """

    usage = "download?archive_url=URL"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stage the default artifacts."""
        query = Query(req)
        staging_request = self.services.joining.check_request(
            query.archive_url, (), query.upload_wait_seconds
        )
        self.services.joining.stage(staging_request, origin(req))
        say(resp, SUCCESS)


class WaitForStatus(DevserverResource):
    """Wait for all artifacts of a build whose staging was started by download.

    Answers `Success` when all are staged; with an error if an artifact failed, or if the build
    was never requested.
    """

    usage = "wait_for_status?archive_url=URL"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Wait for the default artifacts."""
        staging_request = self.services.builds.check_request(Query(req).archive_url)
        self.services.joining.wait_for_all(staging_request, client_of(req))
        say(resp, SUCCESS)


class Stage(DevserverResource):
    """Stage artifacts by name, and objects of the archive unchanged.

    Answers `Success` once all are staged; with async=True immediately, and is_staged tells when
    they are staged. clean=True stages existing artifacts again.
    """

    usage = "stage?archive_url=URL&artifacts=a,b&files=f,g[&async=True][&clean=True]"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stage the artifacts and files of the query."""
        query = Query(req)
        staging_request = self.services.joining.check_request(
            query.archive_url, _words(query), query.upload_wait_seconds
        )
        # After the validation: an invalid request evicts nothing.
        if query.flag("clean"):
            self.services.builds.evict(staging_request, origin(req))
        if query.flag("async"):
            self.services.joining.queue(staging_request, origin(req))
        elif not self.services.joining.all_staged(staging_request, client_of(req)):
            self.services.joining.stage_all(staging_request, origin(req))
            self.services.joining.check_there(staging_request, query.words("artifacts"))
        say(resp, SUCCESS)


class IsStaged(DevserverResource):
    """`True` if all named artifacts and files are staged, else `False`; an error if one failed."""

    usage = "is_staged?archive_url=URL&artifacts=a,b&files=f,g"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer `True` or `False`."""
        query = Query(req)
        staging_request = self.services.builds.check_request(query.archive_url, _words(query))
        staged = self.services.joining.all_staged(staging_request, client_of(req))
        if not staged and self.services.joining.is_staged(staging_request, client_of(req)):
            self.services.joining.check_there(staging_request, query.words("artifacts"))
            staged = True
        say(resp, str(staged))


def _words(query: Query) -> list[str]:
    files = [f"{FILE_WORD}{name}" for name in query.words("files")]
    artifacts = [*query.words("artifacts"), *files]
    if not artifacts:
        raise Invalid.field("artifacts", "artifacts or files must be given")
    return artifacts
