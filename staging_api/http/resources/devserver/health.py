"""``check_health``: the load of this server, by which clients choose among theirs."""

import falcon

from staging_api.devserver.services import DevserverServices


class CheckHealth:
    """Free disk (GB) and load of this server, as JSON."""

    usage = "check_health"

    def __init__(self, services: DevserverServices) -> None:
        self._health = services.health

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Report the load; an error if nothing can be staged, so that clients choose another."""
        resp.media = self._health.report()
