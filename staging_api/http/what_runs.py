"""Operation of the publisher that holds the lock: ``publication`` beside ``lock`` of a 409."""

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
    """Add to a refusal which operation runs, and when it will probably end.

    The estimate comes from earlier runs, not from the lease, which is renewed during the run.
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
