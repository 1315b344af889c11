"""Who is calling; runs before any responder, so before any lock."""

from typing import Any

import falcon

from staging_api.locks.hold import Asker


class Authentication:
    """Middleware that names the caller of every request."""

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, _resource: Any, _params: Any
    ) -> None:
        """Without authentication, which only a loopback address may have, nobody has a name."""
        req.context.caller = "anonymous"


def asker(req: falcon.Request) -> Asker:
    """On whose behalf the request's locks are taken."""
    return Asker(caller=req.context.caller, reference_id=req.context.reference_id)
