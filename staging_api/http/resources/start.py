"""``/`` and ``/me``: the service, the caller, and the operations that the caller may use."""

from collections.abc import Collection, Mapping

import falcon

from staging_api import about
from staging_api.http.openapi import contract
from staging_api.http.permissions import ANYBODY, Roles
from staging_api.http.report_bodies import Me, Start

#: Links for a reader; a route that does not exist is left out.
LINKS: Mapping[str, str] = {
    "openapi": "/openapi.json",
    "stagings": "/api/v1.0/stagings",
    "archives": "/api/v1.0/archives",
    "artifacts": "/api/v1.0/artifacts",
    "locks": "/api/v1.0/locks",
    "events": "/api/v1.0/events",
    "counts": "/api/v1.0/counts",
    "store": "/api/v1.0/store",
    "processes": "/api/v1.0/processes",
    "catalogue": "/api/v1.0/catalogue",
    "apt_archives": "/api/v1.0/apt-archives",
    "me": "/api/v1.0/me",
    "live": "/livez",
    "ready": "/readyz",
    "metrics": "/metrics",
}

#: Entry page of the dashboard; the pages below it are `ui.routes.SCREENS`.
DASHBOARD: Mapping[str, str] = {"dashboard": "/ui"}


class StartPage:
    """Entry point of the service."""

    def __init__(self, *, dashboard: bool) -> None:
        """Include the dashboard in the links if there is one."""
        self._links = {**LINKS, **(DASHBOARD if dashboard else {})}

    @contract(HTTP_200=Start)
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Show the name and version of the service, and links to its parts."""
        resp.media = Start(
            name=about.NAME,
            version=about.package_version(),
            build=about.build(),
            links=self._links,
        )


class Caller:
    """The caller of the request."""

    def __init__(self, allowed: Mapping[str, Mapping[str, Roles]]) -> None:
        """Take the roles by the template of a route and by method."""
        self._allowed = allowed

    @contract(HTTP_200=Me)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the name and roles of the caller, and the operations that they allow."""
        roles: Collection[str] = req.context.roles
        resp.media = Me(
            name=req.context.caller,
            roles=sorted(map(str, roles)),
            may=[
                f"{method} {path}"
                for path, methods in self._allowed.items()
                for method, needed in methods.items()
                if needed == ANYBODY or not needed.isdisjoint(roles)
            ],
        )
