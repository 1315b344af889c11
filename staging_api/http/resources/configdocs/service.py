"""``/versions`` and ``/api/v1.0/health``: the probes of these clients."""

import falcon


class ConfigdocsVersions:
    """The versions of the API."""

    answers_head = True

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """List the versions of the API."""
        resp.media = {"v1.0": {"path": "/api/v1.0", "status": "stable"}}


class ConfigdocsHealth:
    """Health probe of Shipyard's API."""

    answers_head = True

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer without a body; ``/readyz`` reports readiness."""
        resp.status = falcon.HTTP_204
