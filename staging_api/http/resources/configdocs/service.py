"""``/versions`` and ``/api/v1.0/health``: whether the API is there, as these clients ask."""

import falcon


class ConfigdocsVersions:
    """The versions of the API."""

    answers_head = True

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List the versions of the API."""
        resp.media = {"v1.0": {"path": "/api/v1.0", "status": "stable"}}


class ConfigdocsHealth:
    """Whether the API answers."""

    answers_head = True

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer that the API answers; readiness is told by /readyz."""
        resp.status = falcon.HTTP_204
