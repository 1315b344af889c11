"""``/distributions``: what clients of each archive see; keeping it, and going back."""

import falcon

from staging_api.http.auth import origin
from staging_api.http.bodies import PageQuery
from staging_api.http.openapi import answers, spec
from staging_api.http.publisher_bodies import (
    ArchiveFileBody,
    ArchiveFileList,
    ArchiveFileQuery,
    DistributionBody,
    DistributionChange,
    DistributionList,
    GenerationBody,
    GenerationList,
    HoldRequest,
)
from staging_api.http.what_runs import says_what_runs
from staging_api.publishing.distributions import DistributionService
from staging_api.publishing.service import Publisher


class Distributions:
    """All archives that have been published."""

    def __init__(self, service: DistributionService) -> None:
        self._service = service

    @spec.validate(resp=answers(HTTP_200=DistributionList), tags=["distributions"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List what clients see, by archive."""
        found = [DistributionBody.of(each) for each in self._service.all()]
        resp.media = DistributionList(items=found, next=None)


class OneDistribution:
    """What clients of one archive see."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.runs = publisher.runs

    @spec.validate(resp=answers(404, HTTP_200=DistributionBody), tags=["distributions"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Show what clients see."""
        resp.media = DistributionBody.of(self._publisher.distributions.find(archive))

    @spec.validate(
        json=DistributionChange,
        resp=answers(404, 409, 415, HTTP_200=DistributionBody),
        tags=["distributions"],
    )
    @says_what_runs
    def on_patch(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Go back to the packages of an older generation.

        Clients see them at once, until the hold of each suite is lifted or a package is uploaded to
        it; runs renew its Release, and leave its packages alone.
        """
        body: DistributionChange = req.context.json
        shown = self._publisher.go_back(
            archive,
            body.generation_id,
            origin(req),
            suites=tuple(body.suites),
            reason=body.reason,
        )
        resp.media = DistributionBody.of(shown)


class HoldOfSuite:
    """Whether a suite of an archive stays as it is, whatever is published."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.runs = publisher.runs

    @spec.validate(
        json=HoldRequest,
        resp=answers(404, 409, 415, HTTP_200=DistributionBody),
        tags=["distributions"],
    )
    @says_what_runs
    def on_put(self, req: falcon.Request, resp: falcon.Response, archive: str, suite: str) -> None:
        """Hold a suite at the packages that clients see now, or at those of a generation."""
        body: HoldRequest = req.context.json
        self._publisher.check_suite(archive, suite)
        shown = self._publisher.go_back(
            archive, body.generation_id, origin(req), suites=(suite,), reason=body.reason
        )
        resp.media = DistributionBody.of(shown)

    @spec.validate(resp=answers(404, 409, HTTP_200=DistributionBody), tags=["distributions"])
    def on_delete(
        self, _req: falcon.Request, resp: falcon.Response, archive: str, suite: str
    ) -> None:
        """Lift a hold: clients see the published packages after the next run."""
        resp.media = DistributionBody.of(self._publisher.lift_suite(archive, suite))


class Generations:
    """The generations of an archive."""

    def __init__(self, service: DistributionService) -> None:
        self._service = service

    @spec.validate(
        query=PageQuery, resp=answers(404, HTTP_200=GenerationList), tags=["distributions"]
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List generations, newest first."""
        page = self._service.generations(archive, **req.context.query.model_dump())
        resp.media = GenerationList.of(page)


class PinOfGeneration:
    """Whether a generation is kept."""

    def __init__(self, service: DistributionService) -> None:
        self._service = service

    @spec.validate(resp=answers(404, 409, HTTP_200=GenerationBody), tags=["distributions"])
    def on_put(self, req: falcon.Request, resp: falcon.Response, generation_id: str) -> None:
        """Keep a generation, with all packages that it lists, until it is unpinned."""
        pinned = self._service.set_pin(generation_id, req.context.caller, pinned=True)
        resp.media = GenerationBody.of(pinned)

    @spec.validate(resp=answers(404, 409, HTTP_200=GenerationBody), tags=["distributions"])
    def on_delete(self, req: falcon.Request, resp: falcon.Response, generation_id: str) -> None:
        """Keep a generation no longer than others."""
        unpinned = self._service.set_pin(generation_id, req.context.caller, pinned=False)
        resp.media = GenerationBody.of(unpinned)


class ArchiveFileLists:
    """What a copy of an archive consists of, for those who serve it by other means."""

    def __init__(self, service: DistributionService) -> None:
        self._service = service

    @spec.validate(
        query=ArchiveFileQuery, resp=answers(404, HTTP_200=ArchiveFileList), tags=["distributions"]
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List files in the order in which a copy is to write them.

        First the pool, then the dists of one generation: each file before the index that names it.
        """
        page = self._service.files(archive, **req.context.query.model_dump())
        resp.media = ArchiveFileList(
            generation_id=page.generation_id,
            items=[ArchiveFileBody(**vars(file)) for file in page.items],
            next=page.next,
        )
