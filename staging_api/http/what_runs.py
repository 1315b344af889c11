"""Which operation of the publisher is in the way: ``publication`` beside ``lock`` of a 409."""

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import falcon

from staging_api.db.engine import Database
from staging_api.errors import LockHeld
from staging_api.locks.hold import Locks
from staging_api.locks.model import PUBLISHER
from staging_api.publishing import repository

#: A run writes its row just after it got the lock; by then nobody waits longer for the row.
PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02

P = ParamSpec("P")


class Publishing(Protocol):
    """A resource whose responders may find the publisher at work."""

    locks: Locks


R = TypeVar("R", bound=Publishing)
Responder = Callable[Concatenate[R, falcon.Request, falcon.Response, P], None]


def says_what_runs(responder: Responder[R, P]) -> Responder[R, P]:
    """Tell a caller that came second which operation runs, and when it will be over.

    Earlier runs tell how long it takes; the lease, which is renewed for as long, does not.
    ``publication`` is null only if what got the lock died before it could say what it is.
    """

    @wraps(responder)
    def told(
        self: R, req: falcon.Request, resp: falcon.Response, /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            responder(self, req, resp, *args, **kwargs)
        except LockHeld as error:
            lock = error.extra["lock"]
            if lock["kind"] == PUBLISHER.name and lock["id"]:
                run = error.extra["publication"] = _run_of(self.locks.database, lock["id"])
                with self.locks.database.connect() as conn:
                    left = repository.seconds_left(conn, run["id"]) if run else None
                if left is not None:
                    error.retry_after_seconds = left
            raise

    return told


def _run_of(database: Database, lock_id: str) -> Mapping[str, Any] | None:
    """What runs under a grant of the lock, once its row is there; at most for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with database.connect() as conn:
            found = repository.run_of_lock(conn, lock_id)
        if found is not None or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_SECONDS)
