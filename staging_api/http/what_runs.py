"""Which operation of the publisher is in the way: ``publication`` beside ``lock`` of a 409."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import falcon

from staging_api.errors import LockHeld
from staging_api.http.dependencies import Resource
from staging_api.locks.model import PUBLISHER

P = ParamSpec("P")
R = TypeVar("R", bound=Resource)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]


def says_what_runs(responder: Responder[R, P]) -> Responder[R, P]:
    """Say in a refusal which operation runs, and when it will be over.

    Earlier runs show how long it takes; the lease, which is renewed for as long, does not.
    ``publication`` is null only if the holder died before it recorded its run.
    """

    @wraps(responder)
    def explained(
        self: R, req: falcon.Request, resp: falcon.Response, /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            responder(self, req, resp, *args, **kwargs)
        except LockHeld as error:
            lock = error.extra["lock"]
            if lock["kind"] == PUBLISHER.name and lock["id"]:
                running = self.deps.publisher.runs.running_under(lock["id"])
                error.extra["publication"] = running and running.run
                if running and running.seconds_left is not None:
                    error.retry_after_seconds = running.seconds_left
            raise

    return explained
