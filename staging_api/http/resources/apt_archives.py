"""``/apt-archives``: archives and suites, and the packages in them."""

from collections.abc import Mapping
from typing import Any

import falcon
from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import Conflict, Invalid, NotFound
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
from staging_api.http.openapi import answers, spec
from staging_api.publishing import rows

PATH = "/api/v1.0/apt-archives"

_DAY_SECONDS = 24 * 3600
_DEFAULTS: Mapping[str, Any] = {
    "forms": ["gz", "xz"],
    "retention_seconds": _DAY_SECONDS,
    "quarantine_seconds": _DAY_SECONDS,
}
_SUITE_DEFAULTS: Mapping[str, Any] = {"components": ["main"], "architectures": ["amd64"]}


class AptArchives:
    """All archives."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(
        json=ArchiveRequest, resp=answers(409, 415, HTTP_201=ArchiveBody), tags=["apt-archives"]
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make an archive, with its suites."""
        body: ArchiveRequest = req.context.json
        values = body.model_dump(exclude_unset=True, exclude_none=True, exclude={"suites"})
        with self._database.begin() as conn:
            rows.add_apt_archive(conn, {**_DEFAULTS, **values})
            for suite in body.suites:
                _add_suite(conn, body.name, suite)
            resp.media = ArchiveBody.of(rows.find_apt_archive(conn, body.name))
        resp.status = falcon.HTTP_201
        resp.location = f"{PATH}/{body.name}"

    @spec.validate(resp=answers(HTTP_200=ArchiveList), tags=["apt-archives"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List all archives, by name."""
        with self._database.connect() as conn:
            names = rows.apt_archive_names(conn)
            found = [ArchiveBody.of(rows.find_apt_archive(conn, name)) for name in names]
        resp.media = ArchiveList(items=found, next=None)


class OneAptArchive:
    """One archive."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(resp=answers(404, HTTP_200=ArchiveBody), tags=["apt-archives"])
    def on_get(self, _req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Show an archive."""
        with self._database.connect() as conn:
            resp.media = ArchiveBody.of(rows.find_apt_archive(conn, archive))

    @spec.validate(
        json=ArchiveChange, resp=answers(404, 415, HTTP_200=ArchiveBody), tags=["apt-archives"]
    )
    def on_patch(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Change how an archive is published; seen by clients after the next run."""
        values = req.context.json.model_dump(exclude_unset=True)
        _refuse_nothing(values, but=("valid_for_seconds",))
        with self._database.begin() as conn:
            rows.change_apt_archive(conn, rows.find_apt_archive(conn, archive), values)
            resp.media = ArchiveBody.of(rows.find_apt_archive(conn, archive))


class Suites:
    """The suites of an archive."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(
        json=SuiteRequest, resp=answers(404, 409, 415, HTTP_201=ArchiveBody), tags=["apt-archives"]
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """Make a suite."""
        with self._database.begin() as conn:
            _add_suite(conn, archive, req.context.json)
            resp.media = ArchiveBody.of(rows.find_apt_archive(conn, archive))
        resp.status = falcon.HTTP_201


class OneSuite:
    """One suite of an archive."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(
        json=SuiteChange, resp=answers(404, 409, 415, HTTP_200=ArchiveBody), tags=["apt-archives"]
    )
    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, archive: str, suite: str
    ) -> None:
        """Change a suite; seen by clients after the next run."""
        values = req.context.json.model_dump(exclude_unset=True)
        _refuse_nothing(values)
        with self._database.begin() as conn:
            found = rows.find_apt_archive(conn, archive).suite(suite)
            if found is None:
                raise NotFound(f"{archive} has no suite {suite}")
            rows.change_suite(conn, found, values)
            resp.media = ArchiveBody.of(rows.find_apt_archive(conn, archive))


class Packages:
    """The packages of an archive."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(
        query=PackageQuery, resp=answers(404, HTTP_200=PackageList), tags=["apt-archives"]
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, archive: str) -> None:
        """List packages, published and past, in the order in which they came."""
        query: PackageQuery = req.context.query
        with self._database.connect() as conn:
            found = rows.list_package_publications(
                conn,
                rows.find_apt_archive(conn, archive).id,
                limit=query.limit + 1,
                after=query.after,
                suite=query.suite,
                state=query.state,
                package=query.package,
            )
        page = found[: query.limit]
        resp.media = PackageList(
            items=[PackageBody.of(each) for each in page],
            next=str(page[-1].id) if len(found) > len(page) else None,
        )


class OnePackage:
    """One package in a suite."""

    def __init__(self, database: Database) -> None:
        """Take what the responders need."""
        self._database = database

    @spec.validate(
        json=DeletionRequest,
        resp=answers(404, 409, 415, HTTP_200=PackageBody),
        tags=["apt-archives"],
    )
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, archive: str, package_id: int
    ) -> None:
        """Delete a package from its suite; seen by clients after the next run."""
        reason, caller = req.context.json.reason, req.context.caller
        with self._database.begin() as conn:
            archive_id = rows.find_apt_archive(conn, archive).id
            suite = rows.delete_package_publication(conn, archive_id, package_id, caller, reason)
            if suite is not None:
                rows.mark_dirty(conn, [suite])
            found = rows.list_package_publications(
                conn, archive_id, limit=1, publication_id=package_id
            )
            if not found:
                raise NotFound(f"{archive} has no package {package_id}")
            if suite is None:
                raise Conflict(f"package {package_id} is {found[0].state}, or its suite immutable")
            resp.media = PackageBody.of(found[0])


def _add_suite(conn: Connection, archive: str, body: SuiteRequest) -> None:
    values = body.model_dump(exclude_unset=True, exclude_none=True)
    given = {"codename": body.name, **_SUITE_DEFAULTS, **values}
    rows.add_suite(conn, rows.find_apt_archive(conn, archive), given)


def _refuse_nothing(values: Mapping[str, Any], but: tuple[str, ...] = ()) -> None:
    for name, value in values.items():
        if value is None and name not in but:
            raise Invalid.field(name, "may not be null")
