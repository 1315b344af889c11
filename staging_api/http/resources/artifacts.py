"""``/artifacts``: staged artifacts, their digests, pins and eviction."""

import falcon

from staging_api.http.auth import origin
from staging_api.http.bodies import NameQuery
from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract
from staging_api.http.staging_bodies import (
    ArtifactList,
    ArtifactQuery,
    FileList,
    FullArtifactBody,
    PinRequest,
)
from staging_api.staging.lists import ArtifactFilter


class AllArtifacts(Resource):
    """All staged artifacts."""

    @contract(query=ArtifactQuery, HTTP_200=ArtifactList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List staged artifacts, newest first."""
        query: ArtifactQuery = req.context.query
        columns = {"archive_url", "state", "name", "error_code"}
        equal = query.model_dump(include=columns, exclude_none=True)
        only = ArtifactFilter(equal, query.prefix, query.sha256, query.path, query.pinned)
        page = self.deps.stagings.artifacts.page(limit=query.limit, after=query.after, only=only)
        resp.media = ArtifactList.of(page)


class OneArtifact(Resource):
    """One staged artifact."""

    @contract(404, HTTP_200=FullArtifactBody)
    def on_get(self, _req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """Show a staged artifact."""
        resp.media = FullArtifactBody.of(self.deps.stagings.artifacts.find(artifact_id))

    @contract(404, 409, HTTP_200=FullArtifactBody)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """Evict a staged artifact.

        Its files are no longer served; its row stays as history. A pinned artifact is refused.
        """
        resp.media = FullArtifactBody.of(
            self.deps.stagings.artifacts.evict(artifact_id, origin(req))
        )


class FilesOfArtifact(Resource):
    """The files of one staged artifact."""

    @contract(404, query=NameQuery, HTTP_200=FileList)
    def on_get(self, req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """List the files of a staged artifact with their digests, ordered by path."""
        query: NameQuery = req.context.query
        page = self.deps.stagings.artifacts.files(
            artifact_id, limit=query.limit, after=query.after or ""
        )
        resp.media = FileList.of(page)


class PinOfArtifact(Resource):
    """The pin that keeps an artifact from being evicted."""

    @contract(404, 409, 415, json=PinRequest, HTTP_200=FullArtifactBody)
    def on_post(self, req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """Pin a staged artifact until a time, or unpin it."""
        body: PinRequest = req.context.json
        pinned = self.deps.stagings.artifacts.pin(artifact_id, body.until, origin(req))
        resp.media = FullArtifactBody.of(pinned)
