"""``latestbuild``: the newest staged build of a target."""

import falcon

from staging_api.http.resources.devserver.answers import say
from staging_api.http.resources.devserver.help import DevserverResource, help_of
from staging_api.http.resources.devserver.query import Query


class LatestBuild(DevserverResource):
    """The newest staged build of a target, such as R17-1208.0.0-a1-b338.

    A build counts as staged once all required artifacts of the default are staged, background
    artifacts included: a build with only images or symbols staged cannot be tested.
    """

    usage = "latestbuild?target=x86-generic-release[&milestone=R17]"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the name of the newest build."""
        query = Query(req)
        if not query:
            say(resp, help_of(type(self)))
            return
        target, milestone = query.required("target").strip("/"), query.get("milestone") or ""
        say(resp, self.services.builds.latest(target, milestone))
