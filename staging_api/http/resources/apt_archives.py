"""``/apt-archives``: archives and suites, and the packages in them."""

from typing import Any

import falcon

from staging_api.http.archive_bodies import (
    ArchiveBody,
    ArchiveChange,
    ArchiveList,
    ArchiveRequest,
    DeletionRequest,
    PackageBody,
    PackageList,
    PackageQuery,
    SuiteChange,
    SuiteRequest,
)
from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract

#: Fields of a request that were sent; the service knows the defaults of the others.
_GIVEN: dict[str, Any] = {"exclude_unset": True, "exclude_none": True}

PATH = "/api/v1.0/apt-archives"


class AptArchives(Resource):
    """All archives."""

    @contract(409, 415, json=ArchiveRequest, HTTP_201=ArchiveBody)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make an archive, with its suites."""
        body: ArchiveRequest = req.context.json
        made = self.deps.archives.create(
            body.model_dump(**_GIVEN, exclude={"suites"}),
            [suite.model_dump(**_GIVEN) for suite in body.suites],
            req.context.caller,
        )
        resp.media = ArchiveBody.of(made)
        resp.status = falcon.HTTP_201
        resp.location = f"{PATH}/{body.name}"

    @contract(HTTP_200=ArchiveList)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List all archives, by name."""
        found = [ArchiveBody.of(each) for each in self.deps.archives.all()]
        resp.media = ArchiveList(items=found, next=None)


class OneAptArchive(Resource):
    """One archive."""

    @contract(404, HTTP_200=ArchiveBody)
    def on_get(self, _req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Show an archive."""
        resp.media = ArchiveBody.of(self.deps.archives.find(archive))

    @contract(404, 415, json=ArchiveChange, HTTP_200=ArchiveBody)
    def on_patch(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Change how an archive is published; seen by clients after the next run."""
        values = req.context.json.model_dump(exclude_unset=True)
        resp.media = ArchiveBody.of(self.deps.archives.change(archive, values, req.context.caller))


class Suites(Resource):
    """The suites of an archive."""

    @contract(404, 409, 415, json=SuiteRequest, HTTP_201=ArchiveBody)
    def on_post(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Make a suite."""
        values = req.context.json.model_dump(**_GIVEN)
        made = self.deps.archives.add_suite(archive, values, req.context.caller)
        resp.media = ArchiveBody.of(made)
        resp.status = falcon.HTTP_201


class OneSuite(Resource):
    """One suite of an archive."""

    @contract(404, 409, 415, json=SuiteChange, HTTP_200=ArchiveBody)
    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, archive: str, suite: str
    ) -> None:
        """Change a suite; seen by clients after the next run."""
        values = req.context.json.model_dump(exclude_unset=True)
        caller = req.context.caller
        resp.media = ArchiveBody.of(self.deps.archives.change_suite(archive, suite, values, caller))


class Packages(Resource):
    """The packages of an archive."""

    @contract(404, query=PackageQuery, HTTP_200=PackageList)
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List packages, published and past, in order of arrival."""
        page = self.deps.archives.packages(archive, **req.context.query.model_dump())
        resp.media = PackageList.of(page)


class OnePackage(Resource):
    """One package in a suite."""

    @contract(404, 409, 415, json=DeletionRequest, HTTP_200=PackageBody)
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, archive: str, package_id: int
    ) -> None:
        """Delete a package from its suite; seen by clients after the next run."""
        deleted = self.deps.archives.delete_package(
            archive, package_id, req.context.caller, req.context.json.reason
        )
        resp.media = PackageBody.of(deleted)
