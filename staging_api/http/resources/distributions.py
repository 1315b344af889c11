"""``/distributions``: what clients of each archive see; keeping it, and going back."""

import falcon

from staging_api.db.engine import Database
from staging_api.errors import Conflict, NotFound
from staging_api.http.auth import origin
from staging_api.http.bodies import Page
from staging_api.http.openapi import answers, spec
from staging_api.http.publisher_bodies import (
    ArchiveFileBody,
    ArchiveFileList,
    ArchiveFileQuery,
    DistributionBody,
    DistributionList,
    GenerationBody,
    GenerationList,
    HoldRequest,
    RollbackRequest,
)
from staging_api.http.what_runs import says_what_runs
from staging_api.publishing import rows
from staging_api.publishing.service import Publisher


class Distributions:
    """All archives that have been published."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(resp=answers(HTTP_200=DistributionList), tags=["distributions"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List what clients see, by archive."""
        with self._database.connect() as conn:
            names = rows.apt_archive_names(conn)
            found = [rows.find_distribution(conn, name) for name in names]
        resp.media = DistributionList(
            items=[DistributionBody.of(each) for each in found if each is not None], next=None
        )


class OneDistribution:
    """What clients of one archive see."""

    def __init__(self, publisher: Publisher) -> None:
        """Take what the responders need."""
        self._publisher = publisher
        self.locks = publisher.locks

    @spec.validate(resp=answers(404, HTTP_200=DistributionBody), tags=["distributions"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Show what clients see."""
        resp.media = _shown(self._publisher, archive)

    @spec.validate(
        json=RollbackRequest,
        resp=answers(404, 409, 415, HTTP_200=DistributionBody),
        tags=["distributions"],
    )
    @says_what_runs
    def on_patch(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Go back to the packages of an older generation.

        Clients see them at once, and until each suite is lifted or somebody uploads to it; runs
        renew its Release, and leave its packages alone.
        """
        body: RollbackRequest = req.context.json
        self._publisher.go_back(
            archive,
            body.generation_id,
            origin(req),
            suites=tuple(body.suites),
            reason=body.reason,
        )
        resp.media = _shown(self._publisher, archive)


class HoldOfSuite:
    """Whether a suite of an archive stays as it is, whatever is published."""

    def __init__(self, publisher: Publisher) -> None:
        """Take what the responders need."""
        self._publisher = publisher
        self.locks = publisher.locks

    @spec.validate(
        json=HoldRequest,
        resp=answers(404, 409, 415, HTTP_200=DistributionBody),
        tags=["distributions"],
    )
    @says_what_runs
    def on_put(self, req: falcon.Request, resp: falcon.Response, archive: str, suite: str) -> None:
        """Hold a suite at the packages that clients see now, or at those of a generation."""
        body: HoldRequest = req.context.json
        self._publisher.go_back(
            archive, body.generation_id, origin(req), suites=(suite,), reason=body.reason
        )
        resp.media = _shown(self._publisher, archive)

    @spec.validate(resp=answers(404, 409, HTTP_200=DistributionBody), tags=["distributions"])
    def on_delete(
        self, _req: falcon.Request, resp: falcon.Response, archive: str, suite: str
    ) -> None:
        """Lift a hold: clients see what is published after the next run."""
        if not self._publisher.lift(archive, (suite,)):
            raise Conflict(f"the suite {suite} of {archive} is not held")
        resp.media = _shown(self._publisher, archive)


def _shown(publisher: Publisher, archive: str) -> DistributionBody:
    with publisher.database.connect() as conn:
        found = rows.find_distribution(conn, archive)
    if found is None:
        raise NotFound(f"no archive {archive} has been published")
    return DistributionBody.of(found)


class Generations:
    """The generations of an archive."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(query=Page, resp=answers(404, HTTP_200=GenerationList), tags=["distributions"])
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List generations, newest first."""
        query: Page = req.context.query
        with self._database.connect() as conn:
            archive_id = rows.find_apt_archive(conn, archive).id
            found = rows.list_generations(
                conn, archive_id, limit=query.limit + 1, after=query.after
            )
        page = found[: query.limit]
        resp.media = GenerationList(
            items=[GenerationBody.of(each) for each in page],
            next=page[-1].id if len(found) > len(page) else None,
        )


class PinOfGeneration:
    """Whether a generation is kept."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(resp=answers(404, 409, HTTP_200=GenerationBody), tags=["distributions"])
    def on_put(self, req: falcon.Request, resp: falcon.Response, generation_id: str) -> None:
        """Keep a generation, with all packages that it lists, until it is unpinned."""
        self._pin(req, resp, generation_id, pinned=True)

    @spec.validate(resp=answers(404, 409, HTTP_200=GenerationBody), tags=["distributions"])
    def on_delete(self, req: falcon.Request, resp: falcon.Response, generation_id: str) -> None:
        """Keep a generation no longer than others."""
        self._pin(req, resp, generation_id, pinned=False)

    def _pin(
        self, req: falcon.Request, resp: falcon.Response, generation_id: str, *, pinned: bool
    ) -> None:
        with self._database.begin() as conn:
            done = rows.set_pin(conn, generation_id, req.context.caller, pinned=pinned)
            generation = rows.find_generation(conn, generation_id)
        if not done:
            raise Conflict(f"generation {generation_id} is {generation.state}: nothing to keep")
        resp.media = GenerationBody.of(generation)


class ArchiveFileLists:
    """What a copy of an archive consists of, for those who serve it by other means."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(
        query=ArchiveFileQuery, resp=answers(404, HTTP_200=ArchiveFileList), tags=["distributions"]
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List files in the order in which a copy is to write them.

        First the pool, then the dists of one generation: what is named before what names it.
        """
        query: ArchiveFileQuery = req.context.query
        with self._database.connect() as conn:
            now = rows.find_distribution(conn, archive)
            if now is None:
                raise NotFound(f"no archive {archive} has been published")
            generation = query.generation_id or now.live.id
            if query.part == "dists":
                found = list(rows.dists_list(conn, archive, generation))
            else:
                found = rows.pool_list(conn, archive, after=query.after, limit=query.limit)
        full = query.part == "pool" and len(found) == query.limit
        resp.media = ArchiveFileList(
            generation_id=generation,
            items=[ArchiveFileBody(path=p, sha256=s, size_bytes=b) for p, s, b in found],
            next=found[-1][0] if full else None,
        )
