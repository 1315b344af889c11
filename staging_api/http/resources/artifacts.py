"""``/artifacts``: what is staged, its proof, its pin, its eviction."""

import falcon

from staging_api.http.auth import origin
from staging_api.http.bodies import ArtifactList, ArtifactQuery, FullArtifactBody, PinRequest
from staging_api.http.openapi import answers, spec
from staging_api.staging import repository
from staging_api.staging.service import StagingService


class Artifacts:
    """All staged artifacts."""

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responders need."""
        self.stagings = stagings

    @spec.validate(query=ArtifactQuery, resp=answers(HTTP_200=ArtifactList), tags=["artifacts"])
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List staged artifacts, newest first."""
        query: ArtifactQuery = req.context.query
        equal = query.model_dump(include={"archive_url", "state", "name"}, exclude_none=True)
        with self.stagings.database.connect() as conn:
            found = repository.list_artifacts(
                conn, limit=query.limit + 1, after=query.after, equal=equal
            )
        page = found[: query.limit]
        resp.media = ArtifactList(
            items=[FullArtifactBody.of(artifact) for artifact in page],
            next=page[-1].id if len(found) > len(page) else None,
        )


class OneArtifact:
    """One staged artifact."""

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responders need."""
        self.stagings = stagings

    @spec.validate(resp=answers(404, HTTP_200=FullArtifactBody), tags=["artifacts"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """Show a staged artifact."""
        with self.stagings.database.connect() as conn:
            resp.media = FullArtifactBody.of(repository.find_artifact(conn, artifact_id))

    @spec.validate(resp=answers(404, 409, HTTP_200=FullArtifactBody), tags=["artifacts"])
    def on_delete(self, req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """Evict a staged artifact.

        Its files are no longer served; its row stays as history. A pinned one is refused.
        """
        resp.media = FullArtifactBody.of(self.stagings.artifacts.evict(artifact_id, origin(req)))


class PinOfArtifact:
    """The pin that keeps an artifact from being evicted."""

    def __init__(self, stagings: StagingService) -> None:
        """Take what the responders need."""
        self.stagings = stagings

    @spec.validate(
        json=PinRequest, resp=answers(404, 409, 415, HTTP_200=FullArtifactBody), tags=["artifacts"]
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, artifact_id: str) -> None:
        """Pin a staged artifact until a time, or unpin it."""
        body: PinRequest = req.context.json
        pinned = self.stagings.artifacts.pin(artifact_id, body.until, origin(req))
        resp.media = FullArtifactBody.of(pinned)
