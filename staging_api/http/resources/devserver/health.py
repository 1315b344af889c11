"""``check_health``: the load of this server, by which clients choose a server."""

import falcon

from staging_api.http.resources.devserver.help import DevserverResource


class CheckHealth(DevserverResource):
    """Free disk (GB) and load of this server, as JSON."""

    usage = "check_health"

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Report the load; an error if nothing can be staged, so that clients choose another."""
        resp.media = self.services.health.report()
